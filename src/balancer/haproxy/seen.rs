//! The state of a running HAProxy: `show info`, `show servers state`, `show stat` and `show map`.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
};

use super::{
    backend::GATE,
    command::AdminState,
    standbys::{is_standby, is_standby_backend},
};
use crate::balancer::Epoch;

/// State of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Identity of the process. Another process has not received the commands sent to this one.
    pub epoch: Epoch,
    /// Version, for example `2.6.12`.
    pub version: String,
    /// The structure of the configuration that it was started with; `None` for a file that is not ours.
    pub structure: Option<String>,
    /// Servers whose names are valid pod names.
    pub servers: BTreeMap<String, SeenServer>,
    /// The gate.
    pub gate: Option<SeenServer>,
    /// Servers of standbys, by their names in the configuration.
    pub standbys: BTreeMap<String, SeenServer>,
    /// The map of shares: the bound of each standby, or `None` if it is not exactly one number.
    pub shares: BTreeMap<String, Option<u8>>,
    /// Servers that are not Plimsoll's: their names can't be pod names.
    pub foreign: Vec<String>,
    /// Queued requests, without those in the standbys' own backends.
    pub queued: u32,
}

impl Epoch {
    /// Parses the answer to `show info`.
    ///
    /// # Errors
    /// A field is missing.
    pub fn read(info: &str) -> Result<Self, Unreadable> {
        let number = |name| -> Result<u64, Unreadable> {
            field(info, name)?.parse().map_err(|_| Unreadable { command: "show info", missing: name })
        };
        Ok(Self { pid: u32::try_from(number("Pid")?).unwrap_or_default(), start: number("Start_time_sec")? })
    }
}

/// A field of the answer to `show info`.
pub(super) fn field<'a>(info: &'a str, name: &'static str) -> Result<&'a str, Unreadable> {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.map(str::trim).ok_or(Unreadable { command: "show info", missing: name })
}

/// One server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenServer {
    /// Its address.
    pub address: SocketAddr,
    /// Administrative state.
    pub admin: AdminState,
    /// Whether its health checks pass, or it has none.
    pub up: bool,
    /// Weight; 0 has the same effect as draining.
    pub weight: u16,
    /// Limit of concurrent requests; 0 for no limit.
    pub maxconn: u32,
    /// Whether its health checks are on.
    pub checked: bool,
    /// Whether it has a cookie.
    pub cookie: bool,
    /// Requests in progress.
    pub active: u32,
    /// Requests queued for this server.
    pub queued: u32,
}

impl SeenServer {
    /// Whether it gets new requests.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.admin == AdminState::Ready && self.weight > 0 && self.up
    }

    /// Whether it has no request, in progress or queued.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.active == 0 && self.queued == 0
    }
}

/// An answer that lacks a documented field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("HAProxy's answer to `{command}` has no {missing}")]
pub struct Unreadable {
    /// The command.
    pub command: &'static str,
    /// The missing field.
    pub missing: &'static str,
}

impl Seen {
    /// Parses the answers. `map` is an error message if there is no map.
    ///
    /// # Errors
    /// A field is missing in one of them.
    pub fn read(info: &str, state: &str, stat: &str, map: &str) -> Result<Self, Unreadable> {
        let field = |name| field(info, name);
        let counts = Counts::read(stat)?;
        let mut seen = Self {
            epoch: Epoch::read(info)?,
            version: field("Version")?.chars().take_while(|char| "0123456789.".contains(*char)).collect(),
            structure: field("description")
                .ok()
                .and_then(|text| text.strip_prefix("structure="))
                .map(ToOwned::to_owned),
            servers: BTreeMap::new(),
            gate: None,
            standbys: BTreeMap::new(),
            shares: shares(map),
            foreign: Vec::new(),
            queued: counts.queued,
        };
        for server in states(state)? {
            let (name, server) = server?;
            let server = counts.complete(&name, server);
            if name == GATE {
                seen.gate = Some(server);
            } else if is_standby(&name) {
                seen.standbys.insert(name, server);
            } else if is_pod_name(&name) {
                seen.servers.insert(name, server);
            } else {
                seen.foreign.push(name);
            }
        }
        Ok(seen)
    }

    /// Number of replicas that get new requests.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.servers.values().filter(|server| server.usable()).count()
    }

    /// Held requests: those that wait because no replica can take them.
    #[must_use]
    pub fn held(&self) -> u32 {
        match &self.gate {
            Some(gate) if self.usable() == 0 => gate.active + gate.queued + self.queued,
            _ => 0,
        }
    }
}

/// Servers whose names are valid pod names, from the answer to `show servers state` alone.
///
/// # Errors
/// A field is missing.
pub(super) fn servers(state: &str) -> Result<BTreeMap<String, SeenServer>, Unreadable> {
    states(state)?.filter(|server| server.as_ref().map_or(true, |(name, _)| is_pod_name(name))).collect()
}

/// Parses lines such as `0x557421654fe0 east 30`.
fn shares(map: &str) -> BTreeMap<String, Option<u8>> {
    let mut shares = BTreeMap::new();
    for line in map.lines().filter(|line| line.starts_with("0x")) {
        let mut words = line.split_whitespace().skip(1);
        let Some(key) = words.next() else { continue };
        let value = words.next().and_then(|value| value.parse().ok());
        let one = shares.entry(key.to_owned()).or_insert(value);
        if *one != value {
            *one = None;
        }
    }
    shares
}

/// Whether it is a valid pod name: a DNS subdomain.
fn is_pod_name(name: &str) -> bool {
    let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || ".-".contains(char);
    name.starts_with(|char: char| char != '-' && char != '.') && name.chars().all(fits)
}

/// Column indexes by name, from a header that begins with `#`.
fn columns(header: &str, separator: char) -> HashMap<&str, usize> {
    let header = header.trim_start_matches('#').trim_start();
    header.split(separator).enumerate().map(|(place, name)| (name, place)).collect()
}

/// Maintenance bits of `srv_admin_state` (management.txt of 2.6, 9.3): forced, inherited, by configuration, by name
/// resolution.
const MAINT: u32 = 0x01 | 0x02 | 0x20 | 0x40;
/// Drain bits: forced and inherited.
const DRAIN: u32 = 0x08 | 0x10;
/// `srv_check_state`: the check is on.
const CHECK_ENABLED: u32 = 0x04;

type Named = (String, SeenServer);

/// Rows of `show servers state`.
fn states(text: &str) -> Result<impl Iterator<Item = Result<Named, Unreadable>>, Unreadable> {
    let missing = |missing| Unreadable { command: "show servers state", missing };
    let header = text.lines().find(|line| line.starts_with('#')).ok_or(missing("header"))?;
    let columns = columns(header, ' ');
    let place = move |name: &'static str| columns.get(name).copied().ok_or(missing(name));
    let (name, ip, port) = (place("srv_name")?, place("srv_addr")?, place("srv_port")?);
    let (op, admin) = (place("srv_op_state")?, place("srv_admin_state")?);
    let (weight, check) = (place("srv_uweight")?, place("srv_check_state")?);
    // The first line is the version of the format; after the header each line is a server.
    let rows = text.lines().skip_while(|line| !line.starts_with('#')).skip(1);
    Ok(rows.filter(|line| !line.trim().is_empty()).map(move |line| {
        let fields: Vec<_> = line.split(' ').collect();
        let number = |place: usize, name| -> Result<u32, Unreadable> {
            fields.get(place).and_then(|field| field.parse().ok()).ok_or(missing(name))
        };
        let ip: IpAddr = fields.get(ip).and_then(|field| field.parse().ok()).ok_or(missing("srv_addr"))?;
        let port = u16::try_from(number(port, "srv_port")?).map_err(|_| missing("srv_port"))?;
        let admin = match number(admin, "srv_admin_state")? {
            bits if bits & MAINT != 0 => AdminState::Maint,
            bits if bits & DRAIN != 0 => AdminState::Drain,
            _ => AdminState::Ready,
        };
        let server = SeenServer {
            address: SocketAddr::new(ip, port),
            admin,
            up: number(op, "srv_op_state")? != 0,
            weight: u16::try_from(number(weight, "srv_uweight")?).unwrap_or(u16::MAX),
            checked: number(check, "srv_check_state")? & CHECK_ENABLED != 0,
            maxconn: 0,
            cookie: false,
            active: 0,
            queued: 0,
        };
        let name = fields.get(name).ok_or(missing("srv_name"))?;
        Ok(((*name).to_owned(), server))
    }))
}

/// Counts from `show stat`.
pub(super) struct Counts<'a> {
    servers: HashMap<&'a str, Count>,
    queued: u32,
}

#[derive(Clone, Copy, Default)]
struct Count {
    active: u32,
    queued: u32,
    maxconn: u32,
    cookie: bool,
}

impl<'a> Counts<'a> {
    /// Parses the rows of backends and servers.
    pub(super) fn read(text: &'a str) -> Result<Self, Unreadable> {
        let stat = Stat::read(text)?;
        let (backend, name) = (stat.place("pxname")?, stat.place("svname")?);
        let (active, queued) = (stat.place("scur")?, stat.place("qcur")?);
        let (maxconn, cookie) = (stat.place("slim")?, stat.place("cookie")?);
        let mut counts = Self { servers: HashMap::new(), queued: 0 };
        for fields in stat.rows() {
            let number = |place: usize| fields.get(place).and_then(|field| field.parse().ok()).unwrap_or(0);
            let count = Count {
                active: number(active),
                queued: number(queued),
                maxconn: number(maxconn),
                cookie: fields.get(cookie).is_some_and(|field| !field.is_empty()),
            };
            match fields.get(name).copied() {
                Some("BACKEND") if fields.get(backend).copied().is_some_and(is_standby_backend) => {}
                Some("BACKEND") => counts.queued += count.queued,
                Some(name) => {
                    counts.servers.insert(name, count);
                }
                None => {}
            }
        }
        Ok(counts)
    }

    /// Whether the server has no request; true for an unknown server.
    pub(super) fn idle(&self, server: &str) -> bool {
        self.servers.get(server).is_none_or(|count| count.active == 0 && count.queued == 0)
    }

    fn complete(&self, name: &str, server: SeenServer) -> SeenServer {
        let Count { active, queued, maxconn, cookie } = self.servers.get(name).copied().unwrap_or_default();
        SeenServer { active, queued, maxconn, cookie, ..server }
    }
}

/// The answer to `show stat`: CSV with a header.
pub(super) struct Stat<'a> {
    columns: HashMap<&'a str, usize>,
    text: &'a str,
}

impl<'a> Stat<'a> {
    /// # Errors
    /// The header is missing.
    pub(super) fn read(text: &'a str) -> Result<Self, Unreadable> {
        let header = text.lines().find(|line| line.starts_with('#')).ok_or(Self::missing("header"))?;
        Ok(Self { columns: columns(header, ','), text })
    }

    pub(super) fn missing(missing: &'static str) -> Unreadable {
        Unreadable { command: "show stat", missing }
    }

    /// Index of a column among the fields of a row.
    pub(super) fn place(&self, column: &'static str) -> Result<usize, Unreadable> {
        self.columns.get(column).copied().ok_or(Self::missing(column))
    }

    /// The number in a column of a row.
    pub(super) fn number(&self, fields: &[&str], column: &'static str) -> Result<u64, Unreadable> {
        let field = fields.get(self.place(column)?);
        field.and_then(|field| field.parse().ok()).ok_or(Self::missing(column))
    }

    /// The fields of each row. Messages of health checks come after all columns that are read, so a comma in one does
    /// no harm.
    pub(super) fn rows(&self) -> impl Iterator<Item = Vec<&'a str>> {
        self.text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).map(split)
    }
}

/// Fields of a line of CSV; a quoted field may contain commas.
fn split(line: &str) -> Vec<&str> {
    let mut inside = false;
    line.split(move |char| {
        inside ^= char == '"';
        char == ',' && !inside
    })
    .collect()
}
