//! How much of its pod's resources a balancer gives to clients. Pure.

use std::num::NonZeroU32;

/// Memory of a client's connection over TLS (33 KiB: OpenSSL and an incomplete HTTP/2 frame) with one request whose answer
/// the client does not read (36 KiB: two buffers of 16 KiB in HAProxy, headers and buffers in NGINX).
const EACH: u64 = 72 << 10;
/// Memory of a process without a client.
const BASE: u64 = 20 << 20;
/// Memory that a thread, or a worker of NGINX, should have.
const PER_THREAD: u64 = 128 << 20;
/// Fewest connections, whatever the limit of memory is.
const CONNECTIONS_MIN: u32 = 64;
/// Most connections: more balancers are better than fuller ones.
const CONNECTIONS_MAX: u32 = 30_000;
/// As many open files as that many connections need, with those to replicas and the reserve.
const DESCRIPTORS_MAX: u32 = 65_536;
/// Most threads that HAProxy has.
const THREADS_MAX: u32 = 64;
/// So many HTTP/2 connections with all their streams take every place.
const FULL_CONNECTIONS: u32 = 128;
/// Fewest streams of an HTTP/2 connection: a page with its images still loads at once.
const STREAMS_MIN: u32 = 10;
/// Most streams of an HTTP/2 connection, which RFC 9113 (6.5.2) names as the least where memory does not matter.
const STREAMS_MAX: u32 = 100;

/// What the container of HAProxy or NGINX has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Limit of memory in bytes.
    pub memory: u64,
    /// Limit of CPUs, rounded up; those of the node where there is none.
    pub cpus: NonZeroU32,
    /// Open files of a process, `RLIMIT_NOFILE`: HAProxy does not start if it could need more.
    pub descriptors: u32,
}

impl Default for Resources {
    /// 512 MiB, two CPUs, and all descriptors that a balancer uses.
    fn default() -> Self {
        Self { memory: 512 << 20, cpus: NonZeroU32::MIN.saturating_add(1), descriptors: DESCRIPTORS_MAX }
    }
}

/// What clients may take at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Threads of HAProxy, or workers of NGINX.
    pub threads: u32,
    /// Connections of clients, and as many requests: with HTTP/2 a connection has several.
    pub connections: u32,
    /// Requests of one HTTP/2 connection (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    pub streams: u32,
}

impl Capacity {
    /// Sockets beside those of clients: for the kubelet, Prometheus, the agent, and checks of replicas.
    pub const RESERVED: u32 = 256;
}

impl Resources {
    /// With the hard limit of open files of this process: all containers of a pod have that of the container runtime.
    #[must_use]
    pub fn with_own_descriptors(self) -> Self {
        let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let hard = hard.map_or(u32::MAX, |hard| u32::try_from(hard).unwrap_or(u32::MAX));
        Self { descriptors: hard.min(DESCRIPTORS_MAX), ..self }
    }

    /// What clients may take. A process has half of the memory: one from before a reload finishes with what it has.
    #[must_use]
    pub fn capacity(self) -> Capacity {
        let of_process = (self.memory / 2).saturating_sub(BASE);
        let fitting = u32::try_from(of_process / EACH).unwrap_or(u32::MAX);
        // A request has two, its client's and its replica's.
        let open = (self.descriptors / 2).saturating_sub(2 * Capacity::RESERVED);
        let connections = fitting.min(open).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
        let most = u32::try_from(self.memory / PER_THREAD).unwrap_or(u32::MAX).clamp(1, THREADS_MAX);
        Capacity {
            threads: self.cpus.get().min(most),
            connections,
            streams: (connections / FULL_CONNECTIONS).clamp(STREAMS_MIN, STREAMS_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mebibytes: u64, cpus: u32) -> Capacity {
        let cpus = NonZeroU32::new(cpus).unwrap();
        Resources { memory: mebibytes << 20, cpus, ..Resources::default() }.capacity()
    }

    #[test]
    fn connections_and_streams_follow_the_memory_and_threads_the_cpus() {
        assert_eq!(Resources::default().capacity(), of(512, 2));
        assert_eq!(of(512, 2), Capacity { threads: 2, connections: 3356, streams: 26 });
        assert_eq!(of(64, 64), Capacity { threads: 1, connections: 170, streams: 10 });
        assert_eq!(of(2048, 1), Capacity { threads: 1, connections: 14_279, streams: 100 });
    }

    #[test]
    fn what_clients_take_fits_into_the_open_files_of_a_process() {
        let few = Resources { memory: 1 << 40, descriptors: 20_000, ..Resources::default() };
        assert_eq!(few.capacity().connections, 9488);
        assert_eq!(Resources { descriptors: 0, ..few }.capacity().connections, CONNECTIONS_MIN);
    }

    #[test]
    fn what_clients_take_fits_into_the_memory_and_no_limit_is_nothing() {
        for mebibytes in [0, 1, 16, 64, 512, 1 << 20, u64::MAX >> 20] {
            let capacity = of(mebibytes, 256);
            assert!(
                capacity.threads >= 1 && capacity.connections >= CONNECTIONS_MIN && capacity.streams >= 10
            );
            let memory = BASE + u64::from(capacity.connections) * EACH;
            assert!(
                memory <= (mebibytes << 20) / 2 || capacity.connections == CONNECTIONS_MIN,
                "{mebibytes}"
            );
            assert!(capacity.threads <= THREADS_MAX && capacity.connections <= CONNECTIONS_MAX);
        }
    }
}
