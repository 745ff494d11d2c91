//! The OCI image layout as one tar: a layer, a configuration, a manifest and an index.

use crate::prelude::*;
use sha2::{Digest, Sha256};
use std::{fs::File, io::Write};

pub type Contents = BTreeMap<String, (u32, Vec<u8>)>;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub fn write_layer(contents: &Contents) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut folders: BTreeMap<PathBuf, u32> = BTreeMap::from([(PathBuf::from("tmp"), 0o1777)]);
    for target in contents.keys() {
        let parents = Path::new(target.trim_start_matches('/')).ancestors().skip(1);
        for parent in parents.filter(|parent| !parent.as_os_str().is_empty()) {
            folders.entry(parent.to_owned()).or_insert(0o755);
        }
    }
    for (folder, mode) in &folders {
        append(&mut tar, &format!("{}/", folder.display()), tar::EntryType::Directory, *mode, &[])?;
    }
    for (target, (mode, bytes)) in contents {
        append(&mut tar, target.trim_start_matches('/'), tar::EntryType::Regular, *mode, bytes)?;
    }
    Ok(tar.into_inner()?)
}

pub fn write_archive(path: &Path, name: &str, layer: &[u8], configuration: &Value) -> Result<String> {
    let configuration = serde_json::to_vec(configuration)?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &configuration),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)]
    }))?;
    let entry = json!({
        "mediaType": MANIFEST,
        "digest": digest(&manifest),
        "size": manifest.len(),
        "platform": { "architecture": architecture(), "os": "linux" },
        "annotations": { "io.containerd.image.name": name }
    });
    let index = serde_json::to_vec(&json!({ "schemaVersion": 2, "manifests": [entry] }))?;

    let mut tar = tar::Builder::new(File::create(path)?);
    let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
    append(&mut tar, "oci-layout", tar::EntryType::Regular, 0o644, layout)?;
    append(&mut tar, "index.json", tar::EntryType::Regular, 0o644, &index)?;
    for blob in [&manifest, &configuration, layer] {
        let path = format!("blobs/{}", digest(blob).replace(':', "/"));
        append(&mut tar, &path, tar::EntryType::Regular, 0o644, blob)?;
    }
    tar.into_inner()?.sync_data()?;
    Ok(digest(&manifest))
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    path: &str,
    kind: tar::EntryType,
    mode: u32,
    bytes: &[u8],
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes).with_context(|| format!("cannot add {path}"))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn entries(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(bytes);
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn every_blob_has_the_digest_that_names_it_and_the_manifest_leads_to_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        let layer =
            write_layer(&BTreeMap::from([("/bin/app".to_owned(), (0o755, b"program".to_vec()))])).unwrap();
        let manifest_digest =
            write_archive(&path, "plimsoll.local/app:1", &layer, &json!({"os": "linux"})).unwrap();
        let files = entries(&fs::read(&path).unwrap());
        let blob =
            |digest: &str| files.get(&format!("blobs/{}", digest.replace(':', "/"))).expect("blob is there");
        let index: Value = serde_json::from_slice(files.get("index.json").unwrap()).unwrap();
        assert_eq!(index["manifests"][0]["digest"], manifest_digest.as_str());
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "plimsoll.local/app:1");
        let manifest: Value = serde_json::from_slice(blob(&manifest_digest)).unwrap();
        let config = manifest["config"]["digest"].as_str().unwrap();
        let layer_digest = manifest["layers"][0]["digest"].as_str().unwrap();
        for named in [manifest_digest.as_str(), config, layer_digest] {
            assert_eq!(digest(blob(named)), named);
        }
        assert_eq!(manifest["layers"][0]["size"], layer.len());
    }

    #[test]
    fn a_layer_has_the_folders_of_its_files_and_is_the_same_each_time() {
        let contents = BTreeMap::from([("/usr/lib/x/libx.so".to_owned(), (0o644, b"x".to_vec()))]);
        let layer = write_layer(&contents).unwrap();
        let names: Vec<String> = entries(&layer).into_keys().collect();
        assert_eq!(names, ["tmp/", "usr/", "usr/lib/", "usr/lib/x/", "usr/lib/x/libx.so"]);
        assert_eq!(layer, write_layer(&contents).unwrap());
    }
}
