//! Health checks of standbys. Each of their addresses is probed every `healthCheck.interval` on a separate connection:
//! with an HTTP request for the path of the check, or without a path by connecting. Over TLS the certificate must be
//! valid in either case.
//!
//! A standby answers while one of its addresses does.
//!
//! The agent probes, and not the controller, since the requests would come from the agent's pod.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::watch,
    time::{sleep_until, timeout},
};

use super::{
    authorities::Mounted,
    known::{Known, Service},
    metrics::AgentMetrics,
};
use plimsoll_api::{HealthCheck, NotAnswering, StandbyTls};

/// Bytes of a response that are read: only its first line counts.
const LONGEST: u64 = 1024;

/// Results of the probes of standbys, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Standbys that answer.
    pub answering: Vec<String>,
    /// Standbys that were probed and do not answer.
    pub not_answering: Vec<NotAnswering>,
}

/// Probes the standbys of one service.
#[derive(Debug)]
pub struct Prober {
    /// The `Host` header: the same as in the service's own health checks.
    host: String,
    authorities: Mounted,
    metrics: Arc<AgentMetrics>,
    standbys: BTreeMap<String, Vec<Record>>,
}

/// State of one address of a standby.
#[derive(Clone, Debug)]
struct Record {
    address: SocketAddr,
    tls: Option<StandbyTls>,
    /// `None` before the first result. The first result applies immediately; a later change needs `rise` or `fall` results in
    /// a row.
    answers: Option<bool>,
    /// Consecutive results that contradict `answers`.
    otherwise: i32,
    /// The last error.
    trouble: String,
}

impl Record {
    /// Records the result of a probe.
    fn note(&mut self, answer: Result<(), String>, check: &HealthCheck) {
        let good = answer.is_ok();
        if let Err(trouble) = answer {
            self.trouble = trouble;
        }
        self.otherwise =
            if self.answers.is_none_or(|answers| answers == good) { 0 } else { self.otherwise + 1 };
        let enough = if good { check.rise } else { check.fall };
        if self.answers.is_none() || self.otherwise >= enough {
            (self.answers, self.otherwise) = (Some(good), 0);
        }
    }
}

impl Prober {
    /// For the service of that namespace and name.
    #[must_use]
    pub fn new(namespace: &str, service: &str, authorities: Mounted, metrics: Arc<AgentMetrics>) -> Self {
        Self { host: format!("{service}.{namespace}"), authorities, metrics, standbys: BTreeMap::new() }
    }

    /// Probes until the channel of the known state is closed, and publishes the results when they change.
    pub async fn run(mut self, mut known: watch::Receiver<Known>, answers: watch::Sender<Answers>) {
        let mut due = Instant::now();
        loop {
            let service = known.borrow_and_update().service.clone();
            let mut next = None;
            if let Some(service) = service {
                let check = service.traffic.health_check.clone().unwrap_or_default();
                let is_new = self.follow(&service);
                if is_new || Instant::now() >= due {
                    due = Instant::now() + Duration::from(check.interval);
                    self.ask(&check).await;
                }
                self.publish(&answers);
                next = (!self.standbys.is_empty()).then_some(due);
            }
            let wait = async {
                match next {
                    Some(due) => sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = known.changed() => if changed.is_err() { return },
                () = wait => {}
            }
        }
    }

    /// Updates the addresses to probe. Returns whether one is new.
    fn follow(&mut self, service: &Service) -> bool {
        let mut before = std::mem::take(&mut self.standbys);
        let mut is_new = false;
        for standby in &service.standbys {
            if standby.addresses.is_empty() {
                continue;
            }
            let mut known = before.remove(&standby.name).unwrap_or_default();
            let records = standby.addresses.iter().map(|address| {
                let same = |record: &Record| record.address == *address && record.tls == standby.tls;
                if let Some(index) = known.iter().position(same) {
                    return known.swap_remove(index);
                }
                is_new = true;
                Record {
                    address: *address,
                    tls: standby.tls.clone(),
                    answers: None,
                    otherwise: 0,
                    trouble: String::new(),
                }
            });
            self.standbys.insert(standby.name.clone(), records.collect());
        }
        is_new
    }

    /// Probes all addresses at the same time; the timeout is the interval.
    async fn ask(&mut self, check: &HealthCheck) {
        let (patience, host, path) = (Duration::from(check.interval), &self.host, check.path.as_deref());
        let authorities = &self.authorities;
        let ask = |record: &Record| {
            let (address, tls) = (record.address, record.tls.clone());
            async move {
                match timeout(patience, probe(authorities, address, tls.as_ref(), host, path)).await {
                    Ok(answer) => answer.map_err(|error| words(&error)),
                    Err(_) => Err(format!("no answer within {} ms", patience.as_millis())),
                }
            }
        };
        let answers = join_all(self.standbys.values().flatten().map(ask)).await;
        for (record, answer) in self.standbys.values_mut().flatten().zip(answers) {
            record.note(answer, check);
        }
    }

    fn publish(&self, answers: &watch::Sender<Answers>) {
        let answer = |records: &[Record]| together(records).is_some_and(|answer| answer.is_ok());
        self.metrics.answering(self.standbys.iter().map(|(name, records)| (name.clone(), answer(records))));
        let mut now = Answers::default();
        for (name, records) in &self.standbys {
            match together(records) {
                Some(Ok(())) => now.answering.push(name.clone()),
                Some(Err(message)) => {
                    now.not_answering.push(NotAnswering { name: name.clone(), message: message.to_owned() });
                }
                None => {}
            }
        }
        answers.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
    }
}

/// Success if one of the addresses answers, otherwise the error of the first; `None` before all of them were probed.
fn together(records: &[Record]) -> Option<Result<(), &str>> {
    if records.iter().any(|record| record.answers == Some(true)) {
        return Some(Ok(()));
    }
    let all_asked = records.iter().all(|record| record.answers.is_some());
    records.first().filter(|_| all_asked).map(|record| Err(record.trouble.as_str()))
}

/// Succeeds if the connection is accepted and, if there is a path, the response is 2xx or 3xx.
async fn probe(
    authorities: &Mounted,
    address: SocketAddr,
    tls: Option<&StandbyTls>,
    host: &str,
    path: Option<&str>,
) -> io::Result<()> {
    let mut stream = authorities.connect(address, tls).await?;
    let Some(path) = path else { return Ok(()) };
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: plimsoll\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    let mut stream = stream.take(LONGEST);
    while !answer.contains(&b'\n') && stream.read_buf(&mut answer).await? > 0 {}
    let line = String::from_utf8_lossy(&answer);
    let good =
        ["HTTP/1.1 2", "HTTP/1.1 3", "HTTP/1.0 2", "HTTP/1.0 3"].iter().any(|start| line.starts_with(start));
    if good {
        Ok(())
    } else {
        Err(io::Error::other(format!("GET {path} was answered with {}", first_line(&line))))
    }
}

/// The error in words that stay the same while the cause does: rustls includes the seconds since a certificate expired.
fn words(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. })) => {
            "its certificate has expired".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. })) => {
            "its certificate is not valid yet".to_owned()
        }
        _ => error.to_string(),
    }
}

/// The first line of a response, quoted and cut short, since the sender is not trusted.
fn first_line(answer: &str) -> String {
    let line = answer.lines().next().unwrap_or_default();
    format!("{:?}", line.chars().take(64).collect::<String>())
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::UnixTime;

    use super::*;

    fn record(answers: Option<bool>) -> Record {
        let address = ([127, 0, 0, 1], 80).into();
        Record { address, tls: None, answers, otherwise: 0, trouble: String::new() }
    }

    #[test]
    fn the_message_about_a_certificate_out_of_its_validity_does_not_change() {
        let at = |second| UnixTime::since_unix_epoch(Duration::from_secs(second));
        let message = |error| words(&io::Error::other(rustls::Error::InvalidCertificate(error)));
        let expired = |second| ExpiredContext { time: at(second), not_after: at(100) };
        assert_eq!(message(expired(101)), "its certificate has expired");
        assert_eq!(message(expired(102)), message(expired(101)));
        let early = |second| NotValidYetContext { time: at(second), not_before: at(100) };
        assert_eq!(message(early(98)), "its certificate is not valid yet");
        assert_eq!(message(early(99)), message(early(98)));
    }

    #[test]
    fn a_standby_answers_while_one_of_its_addresses_does() {
        let of = |answers: &[Option<bool>]| {
            let records: Vec<Record> = answers.iter().map(|answers| record(*answers)).collect();
            together(&records).map(|answer| answer.is_ok())
        };
        assert_eq!(of(&[Some(false), Some(true), Some(false)]), Some(true));
        assert_eq!(of(&[None, Some(true)]), Some(true));
        assert_eq!(of(&[Some(false), Some(false)]), Some(false));
        assert_eq!(of(&[Some(false), None]), None, "the other one was not probed yet");
    }

    #[test]
    fn the_first_result_counts_immediately_and_later_ones_only_in_a_row() {
        let check = HealthCheck { rise: 2, fall: 3, ..HealthCheck::default() };
        let after = |mut record: Record, answers: &[bool]| {
            let answer = |good: bool| if good { Ok(()) } else { Err("closed".to_owned()) };
            answers.iter().for_each(|good| record.note(answer(*good), &check));
            record.answers
        };
        assert_eq!(after(record(None), &[]), None);
        assert_eq!(after(record(None), &[true]), Some(true));
        assert_eq!(after(record(None), &[false]), Some(false));
        assert_eq!(after(record(Some(true)), &[false, false]), Some(true));
        assert_eq!(
            after(record(Some(true)), &[false, false, true, false, false]),
            Some(true),
            "not in a row"
        );
        assert_eq!(after(record(Some(true)), &[false, false, false]), Some(false));
        assert_eq!(after(record(Some(false)), &[true]), Some(false));
        assert_eq!(after(record(Some(false)), &[true, true]), Some(true));
    }
}
