//! Utilization of a HAProxy, from `show info` and `show stat`.
//!
//! A request counts in its backend from its start to its end, also while it is queued, and the frontend refuses
//! requests above its limit by the same count (`be_conn`). So the queue is a part of the requests, and needs no figure
//! of its own.

use super::{
    frontend::LISTENERS,
    seen::{Stat, Unreadable, field},
};
use crate::balancer::Usage;

impl Usage {
    /// Parses the answers to `show info`, and to `show stat` of frontends and backends.
    ///
    /// # Errors
    /// A field is missing.
    pub(super) fn read(info: &str, stat: &str) -> Result<Self, Unreadable> {
        let idle: u64 = field(info, "Idle_pct")?
            .parse()
            .map_err(|_| Unreadable { command: "show info", missing: "Idle_pct" })?;
        let stat = Stat::read(stat)?;
        let (proxy, row) = (stat.place("pxname")?, stat.place("svname")?);
        let (mut connections, mut requests) = (None, 0_u64);
        for fields in stat.rows() {
            let text = |place: usize| fields.get(place).copied().unwrap_or_default();
            match (text(proxy), text(row)) {
                (LISTENERS, "FRONTEND") => {
                    connections = Some((stat.number(&fields, "scur")?, stat.number(&fields, "slim")?));
                }
                (_, "BACKEND") => requests += stat.number(&fields, "scur")?,
                _ => {}
            }
        }
        let (connections, most) = connections.ok_or(Stat::missing(LISTENERS))?;
        Ok(Self {
            connections: Self::percent(connections, most),
            requests: Self::percent(requests, most),
            cpu: Self::percent(100 - idle.min(100), 100),
        })
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_api::Percent;

    use super::*;

    const INFO: &str = "Name: HAProxy\nIdle_pct: 91\n";
    const STAT: &str = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,
listeners,FRONTEND,,,5,9,426,255,
metrics,FRONTEND,,,7,1,682,1,
checkout,BACKEND,41,50,200,210,43,0,
checkout_east,BACKEND,0,0,13,20,43,0,
";

    #[test]
    fn connections_and_requests_are_percentages_of_the_limit_of_the_frontend() {
        let usage = Usage::read(INFO, STAT).unwrap();
        let [connections, requests, cpu] = [1, 50, 9].map(Percent::new);
        assert_eq!(usage, Usage { connections, requests, cpu });
    }

    #[test]
    fn an_error_names_the_missing_field() {
        let words = |info: &str, stat: &str| Usage::read(info, stat).unwrap_err().to_string();
        assert_eq!(words("Pid: 1\n", STAT), "HAProxy's answer to `show info` has no Idle_pct");
        assert_eq!(
            words(INFO, &STAT.replace("listeners,", "others,")),
            "HAProxy's answer to `show stat` has no listeners"
        );
    }
}
