//! What the API server last said, and its copy beside the balancer for a start without it.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use crate::{api::Traffic, balancer::Endpoints};

/// Everything that a balancer is made of, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The ScalableService; `None` until it was seen.
    pub service: Option<Service>,
    /// Its endpoints; `None` until they were seen.
    pub endpoints: Option<Endpoints>,
    /// When the first change came that is not applied yet.
    pub changed: Option<Instant>,
}

/// What of the ScalableService concerns its balancers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Of the spec.
    pub generation: i64,
    /// Whether `minReplicas` is 0, so that a request may find no replica at all.
    pub scales_to_zero: bool,
    /// `spec.traffic`.
    pub traffic: Traffic,
    /// `status.traffic.draining`.
    pub draining: BTreeSet<String>,
}

impl Known {
    /// Notes that something changed.
    pub fn touch(&mut self) {
        self.changed.get_or_insert_with(Instant::now);
    }

    /// Both parts, once they are known.
    #[must_use]
    pub fn complete(&self) -> Option<(&Service, &Endpoints)> {
        self.service.as_ref().zip(self.endpoints.as_ref())
    }
}

#[derive(Serialize, Deserialize)]
struct Copied {
    service: Service,
    endpoints: Endpoints,
}

/// Reads the copy; `None` if there is none that is understood.
#[must_use]
pub fn read_copy(path: &Path) -> Option<(Service, Endpoints)> {
    let copied: Copied = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some((copied.service, copied.endpoints))
}

/// Replaces the copy.
///
/// # Errors
/// The file can't be written.
pub fn write_copy(path: &Path, service: &Service, endpoints: &Endpoints) -> io::Result<()> {
    let text = serde_json::to_vec(&Copied { service: service.clone(), endpoints: endpoints.clone() })?;
    let beside = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&text)?;
    fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_comes_back_as_it_was_and_half_a_copy_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known.json");
        assert!(read_copy(&path).is_none());
        let traffic = serde_json::from_value(
            serde_json::json!({"provider": "HAProxy", "targetPort": 8080, "listeners": [{"port": 80}]}),
        );
        let service = Service {
            generation: 3,
            scales_to_zero: true,
            traffic: traffic.unwrap(),
            draining: BTreeSet::from(["a".to_owned()]),
        };
        let endpoints: Endpoints = serde_json::from_value(serde_json::json!({
            "a": {"ip": "10.0.0.1", "ready": true, "serving": true, "terminating": false, "zone": null},
        }))
        .unwrap();
        write_copy(&path, &service, &endpoints).unwrap();
        assert_eq!(read_copy(&path), Some((service, endpoints)));
        let half = fs::read(&path).unwrap();
        fs::write(&path, &half[..half.len() / 2]).unwrap();
        assert!(read_copy(&path).is_none());
    }
}
