//! Whether standbys answer: each is asked every `healthCheck.interval` on a connection of its own, the path of the check
//! by HTTP, or where there is none, for a connection.
//!
//! The agent asks, and not the controller, since it stands where the requests would come from.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::{sleep_until, timeout},
};

use super::{
    known::{Known, Service},
    metrics::AgentMetrics,
};
use crate::api::HealthCheck;

/// Bytes of an answer that are read: its first line is all that counts.
const LONGEST: u64 = 1024;

/// Asks the standbys of one service.
#[derive(Debug)]
pub struct Prober {
    /// What the service's own checks send.
    host: String,
    metrics: Arc<AgentMetrics>,
    standbys: BTreeMap<String, Record>,
}

/// What is known of a standby at an address.
#[derive(Clone, Copy, Debug)]
struct Record {
    address: SocketAddr,
    /// `None` before the first answer, which counts at once.
    answers: Option<bool>,
    /// Answers in a row that say otherwise.
    otherwise: i32,
}

impl Record {
    /// It was asked once more.
    fn note(&mut self, good: bool, check: &HealthCheck) {
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
    pub fn new(namespace: &str, service: &str, metrics: Arc<AgentMetrics>) -> Self {
        Self { host: format!("{service}.{namespace}"), metrics, standbys: BTreeMap::new() }
    }

    /// Asks until nobody tells it of standbys any more, and tells who answers, by name, when that changes.
    pub async fn run(mut self, mut known: watch::Receiver<Known>, answering: watch::Sender<Vec<String>>) {
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
                self.tell(&answering);
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

    /// Those that are to be asked; whether one is new, or somewhere else now.
    fn follow(&mut self, service: &Service) -> bool {
        let mut before = std::mem::take(&mut self.standbys);
        let mut is_new = false;
        for standby in &service.standbys {
            let Some(address) = standby.address else { continue };
            let record = before.remove(&standby.name).filter(|record| record.address == address);
            is_new |= record.is_none();
            let record = record.unwrap_or(Record { address, answers: None, otherwise: 0 });
            self.standbys.insert(standby.name.clone(), record);
        }
        is_new
    }

    /// All at the same time; an answer may take as long as until the next time.
    async fn ask(&mut self, check: &HealthCheck) {
        let (patience, host, path) = (Duration::from(check.interval), &self.host, check.path.as_deref());
        let ask = |record: &Record| {
            let address = record.address;
            async move { timeout(patience, probe(address, host, path)).await.is_ok_and(|answer| answer.is_ok()) }
        };
        let answers = join_all(self.standbys.values().map(ask)).await;
        for (record, good) in self.standbys.values_mut().zip(answers) {
            record.note(good, check);
        }
    }

    fn tell(&self, answering: &watch::Sender<Vec<String>>) {
        let answers = |record: &Record| record.answers == Some(true);
        self.metrics.answering(self.standbys.iter().map(|(name, record)| (name.clone(), answers(record))));
        let names: Vec<String> = self
            .standbys
            .iter()
            .filter(|(_, record)| answers(record))
            .map(|(name, _)| name.clone())
            .collect();
        answering.send_if_modified(|before| {
            let changed = *before != names;
            *before = names;
            changed
        });
    }
}

/// Good if it takes the connection, and where there is a path, answers 2xx or 3xx.
async fn probe(address: SocketAddr, host: &str, path: Option<&str>) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let Some(path) = path else { return Ok(()) };
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: plimsoll\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut stream = stream.take(LONGEST);
    while !answer.contains(&b'\n') && stream.read_buf(&mut answer).await? > 0 {}
    let line = String::from_utf8_lossy(&answer);
    let good =
        ["HTTP/1.1 2", "HTTP/1.1 3", "HTTP/1.0 2", "HTTP/1.0 3"].iter().any(|start| line.starts_with(start));
    if good { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(answers: Option<bool>) -> Record {
        Record { address: ([127, 0, 0, 1], 80).into(), answers, otherwise: 0 }
    }

    #[test]
    fn the_first_answer_counts_at_once_and_later_ones_in_a_row() {
        let check = HealthCheck { rise: 2, fall: 3, ..HealthCheck::default() };
        let after = |mut record: Record, answers: &[bool]| {
            answers.iter().for_each(|good| record.note(*good, &check));
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
