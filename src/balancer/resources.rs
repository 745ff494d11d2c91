//! Capacity for clients, from the resources of the balancer's pod. Pure.

use std::num::NonZeroU32;

/// Memory of one TLS client connection (33 KiB: OpenSSL and an incomplete HTTP/2 frame) with one request whose response
/// the client does not read (36 KiB: two 16 KiB buffers in HAProxy, headers and buffers in NGINX).
const EACH: u64 = 72 << 10;
/// Memory of a process without clients.
const BASE: u64 = 20 << 20;
/// Memory per HAProxy thread or NGINX worker.
const PER_THREAD: u64 = 128 << 20;
/// Fewest connections, whatever the memory limit.
const CONNECTIONS_MIN: u32 = 64;
/// Most connections; beyond that, more balancers are better.
const CONNECTIONS_MAX: u32 = 30_000;
/// Open files for [`CONNECTIONS_MAX`], including connections to replicas and the reserve.
const DESCRIPTORS_MAX: u32 = 65_536;
/// Most threads that HAProxy supports.
const THREADS_MAX: u32 = 64;
/// Number of HTTP/2 connections that use the whole capacity when all their streams are in use.
const FULL_CONNECTIONS: u32 = 128;
/// Fewest streams of an HTTP/2 connection, enough to load a page with its images in parallel.
const STREAMS_MIN: u32 = 10;
/// Most streams of an HTTP/2 connection; RFC 9113 (6.5.2) recommends at least this value where memory does not matter.
const STREAMS_MAX: u32 = 100;

/// Resources of the HAProxy or NGINX container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Memory limit in bytes.
    pub memory: u64,
    /// CPU limit, rounded up; without a limit, the CPUs of the node.
    pub cpus: NonZeroU32,
    /// Limit of open files (`RLIMIT_NOFILE`). HAProxy does not start if it could need more.
    pub descriptors: u32,
}

impl Default for Resources {
    /// 512 MiB, two CPUs, and all descriptors that a balancer can use.
    fn default() -> Self {
        Self { memory: 512 << 20, cpus: NonZeroU32::MIN.saturating_add(1), descriptors: DESCRIPTORS_MAX }
    }
}

/// What clients may use at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Threads of HAProxy, or workers of NGINX.
    pub threads: u32,
    /// Limit of client connections, and of concurrent requests (an HTTP/2 connection has several).
    pub connections: u32,
    /// Concurrent requests of one HTTP/2 connection (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    pub streams: u32,
}

impl Capacity {
    /// Reserved sockets: for the kubelet, Prometheus, the agent, and health checks of replicas.
    pub const RESERVED: u32 = 256;
}

impl Resources {
    /// Uses this process's hard limit of open files, which the container runtime sets alike for all containers of a pod.
    #[must_use]
    pub fn with_own_descriptors(self) -> Self {
        let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let hard = hard.map_or(u32::MAX, |hard| u32::try_from(hard).unwrap_or(u32::MAX));
        Self { descriptors: hard.min(DESCRIPTORS_MAX), ..self }
    }

    /// The capacity for clients. A process may use half of the memory; a process from before a reload may use the rest.
    #[must_use]
    pub fn capacity(self) -> Capacity {
        let of_process = (self.memory / 2).saturating_sub(BASE);
        let fitting = u32::try_from(of_process / EACH).unwrap_or(u32::MAX);
        // A request uses two, for its client and its replica.
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
    fn connections_and_streams_depend_on_memory_and_threads_on_cpus() {
        assert_eq!(Resources::default().capacity(), of(512, 2));
        assert_eq!(of(512, 2), Capacity { threads: 2, connections: 3356, streams: 26 });
        assert_eq!(of(64, 64), Capacity { threads: 1, connections: 170, streams: 10 });
        assert_eq!(of(2048, 1), Capacity { threads: 1, connections: 14_279, streams: 100 });
    }

    #[test]
    fn connections_fit_into_the_limit_of_open_files() {
        let few = Resources { memory: 1 << 40, descriptors: 20_000, ..Resources::default() };
        assert_eq!(few.capacity().connections, 9488);
        assert_eq!(Resources { descriptors: 0, ..few }.capacity().connections, CONNECTIONS_MIN);
    }

    #[test]
    fn connections_fit_into_the_memory_limit_and_are_never_0() {
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
