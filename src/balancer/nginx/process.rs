//! NGINX's processes and connections, read from `proc(5)`. The processes are visible only in NGINX's container, the connections
//! in the whole pod.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::balancer::Epoch;

/// A master and its workers, including those of earlier configurations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processes {
    /// The master.
    pub master: Epoch,
    /// Its workers.
    pub workers: Vec<Worker>,
}

impl Processes {
    /// The processes in this container, by the PID file of the master; `None` if it does not run or its PID was reused.
    #[must_use]
    pub fn here(pid_file: &Path) -> Option<Self> {
        let master = master(pid_file)?;
        Some(Self { master, workers: workers(master.pid) })
    }

    /// Whether every worker that accepted connections `before` still runs.
    #[must_use]
    pub fn are_those_of(&self, before: &Self) -> bool {
        let here = |worker: &Worker| self.workers.iter().any(|found| found.epoch == worker.epoch);
        self.master == before.master && before.workers.iter().filter(|worker| !worker.leaving).all(here)
    }
}

/// A worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its identity.
    pub epoch: Epoch,
    /// Whether it is shutting down: it accepts no connections, and exits once it has finished its requests.
    pub leaving: bool,
}

fn master(pid_file: &Path) -> Option<Epoch> {
    let pid: u32 = fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    let stat = Stat::of(pid)?;
    title(pid).starts_with("nginx: master process").then_some(Epoch { pid, start: stat.start })
}

fn workers(master: u32) -> Vec<Worker> {
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let worker = |pid: u32| {
        let stat = Stat::of(pid).filter(|stat| stat.parent == master && stat.state != 'Z')?;
        let title = title(pid);
        // Right after its start, a worker still has the title of its master.
        let leaving = title.starts_with("nginx: worker process is shutting down");
        Some(Worker { epoch: Epoch { pid, start: stat.start }, leaving })
    };
    pids.filter_map(worker).collect()
}

fn title(pid: u32) -> String {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&text).replace('\0', " ")
}

struct Stat {
    state: char,
    parent: u32,
    /// Start time in ticks since boot.
    start: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::read(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the program's name in parentheses, and may contain any characters.
    fn read(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Client connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Open connections.
    pub open: BTreeSet<SocketAddr>,
    /// Open connections, and those that this side closed within the last minute.
    pub recent: BTreeSet<SocketAddr>,
}

/// The clients connected to one of `ports`.
pub fn clients(ports: &BTreeSet<u16>) -> Clients {
    let mut clients = Clients::default();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        for (local, remote, state) in text.lines().filter_map(connection) {
            // 0A is LISTEN; 06 is TIME_WAIT, on the side that closed first.
            if !ports.contains(&local) || state == "0A" {
                continue;
            }
            if state != "06" {
                clients.open.insert(remote);
            }
            clients.recent.insert(remote);
        }
    }
    clients
}

/// Local port, remote address and state of a line of `/proc/net/tcp`.
fn connection(line: &str) -> Option<(u16, SocketAddr, &str)> {
    let mut fields = line.split_whitespace().skip(1);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    let port = |text: &str| u16::from_str_radix(text, 16).ok();
    let (_, local) = local.split_once(':')?;
    let (address, remote) = remote.split_once(':')?;
    Some((port(local)?, SocketAddr::new(ip(address)?, port(remote)?), state))
}

/// Words of 32 bits, each in native byte order.
fn ip(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            let octets: [u8; 16] = words.try_into().ok()?;
            Some(Ipv6Addr::from(octets).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_parsed_with_any_program_name() {
        let own = Stat::of(std::process::id()).unwrap();
        assert!(own.start > 0 && own.parent > 0);
        let text = "7 (a) S 1 (b) c) R 42 7 7 0 -1 4194304 1 0 0 0 1 0 0 0 20 0 1 0 12345 0 0";
        let stat = Stat::read(text).unwrap();
        assert_eq!((stat.state, stat.parent, stat.start), ('R', 42, 12_345));
        assert!(Stat::read("").is_none());
    }

    #[test]
    fn an_exited_worker_is_missed_unless_it_was_shutting_down() {
        let worker = |pid, leaving| Worker { epoch: Epoch { pid, start: 1 }, leaving };
        let of =
            |workers: &[Worker]| Processes { master: Epoch { pid: 1, start: 1 }, workers: workers.to_vec() };
        let before = of(&[worker(2, false), worker(3, true)]);
        assert!(of(&[worker(2, true), worker(4, false)]).are_those_of(&before), "a reload");
        assert!(!of(&[worker(3, true), worker(4, false)]).are_those_of(&before), "2 exited");
        let again = Processes { master: Epoch { pid: 1, start: 9 }, ..before.clone() };
        assert!(!again.are_those_of(&before), "another master with the same ID");
    }

    #[test]
    fn connections_are_read_from_the_kernel() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ports = BTreeSet::from([port]);
        assert_eq!(clients(&ports), Clients::default(), "a listener is no client");
        let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (accepted, from) = listener.accept().unwrap();
        let open = Clients { open: BTreeSet::from([from]), recent: BTreeSet::from([from]) };
        assert_eq!(clients(&ports), open);
        drop(accepted);
        drop(client);
        let closed = clients(&ports);
        assert!(!closed.open.contains(&from) && closed.recent.contains(&from), "{closed:?}");
        let six = "0: 0000000000000000FFFF00000100007F:2710 0000000000000000FFFF00000100007F:C350 01";
        assert_eq!(
            connection(six),
            Some((10_000, "127.0.0.1:50000".parse().unwrap(), "01")),
            "IPv4 on an IPv6 socket"
        );
    }

    #[test]
    fn a_process_other_than_nginx_is_no_master() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nginx.pid");
        assert_eq!(master(&file), None);
        for text in ["", "no number", &std::process::id().to_string()] {
            fs::write(&file, text).unwrap();
            assert_eq!(master(&file), None, "{text}");
        }
    }
}
