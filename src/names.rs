//! Asynchronous name resolution. `getaddrinfo` blocks one of the runtime's threads until the name server answers, so a few
//! hundred names with silent name servers would starve all other blocking work.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::{TokioResolver, config::LookupIpStrategy, net::NetError};

/// All addresses of a host, IPv4 first and each family sorted; the host itself if it is an address. Results are not cached;
/// sources are `/etc/hosts` and the name servers of `/etc/resolv.conf`. The caller must set a timeout.
///
/// # Errors
/// The reason why there is no address. The text stays the same while the cause does.
pub async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let resolver = system().map_err(|error| format!("/etc/resolv.conf can't be used: {error}"))?;
    by(&resolver, host, port).await
}

fn system() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

async fn by(resolver: &TokioResolver, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = resolver.lookup_ip(host).await.map_err(|error| {
        if error.is_no_records_found() { "no DNS record found".to_owned() } else { error.to_string() }
    })?;
    let mut addresses: Vec<SocketAddr> = found.iter().map(|address| SocketAddr::new(address, port)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        time::{Duration, Instant},
    };

    use hickory_resolver::{
        config::{ConnectionConfig, NameServerConfig, ResolverConfig},
        net::runtime::TokioRuntimeProvider,
    };
    use tokio::{net::UdpSocket, runtime, time::timeout};

    use super::*;

    /// A resolver that queries the name server at this port of the loopback.
    fn asking(port: u16) -> TokioResolver {
        let mut connection = ConnectionConfig::udp();
        connection.port = port;
        let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build().unwrap()
    }

    /// Answers queries of type A with these addresses, and all others with no records.
    async fn answer(server: UdpSocket, addresses: Vec<[u8; 4]>) {
        let mut buffer = [0; 512];
        loop {
            let (length, client) = server.recv_from(&mut buffer).await.unwrap();
            // RFC 1035, section 4.1: a header of 12 bytes, the name up to a zero, type and class.
            let name = buffer[12..length].iter().position(|byte| *byte == 0).unwrap();
            let question = buffer[12..12 + name + 5].to_vec();
            let of_type_a = question[name + 1..name + 3] == [0, 1];
            let found: &[[u8; 4]] = if of_type_a { &addresses } else { &[] };
            let mut reply = [&buffer[..2], &[0x81, 0x80, 0, 1, 0], &[found.len() as u8], &[0; 4]].concat();
            reply.extend(question);
            for address in found {
                reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                reply.extend(address);
            }
            server.send_to(&reply, client).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_name_resolves_to_all_its_addresses_and_an_address_to_itself() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        tokio::spawn(answer(server, vec![[192, 0, 2, 9], [192, 0, 2, 1]]));
        let found = by(&asking(port), "shop.example.", 80).await.unwrap();
        assert_eq!(found, ["192.0.2.1:80".parse().unwrap(), "192.0.2.9:80".parse().unwrap()]);
        assert_eq!(look_up("2001:db8::1", 80).await, Ok(vec!["[2001:db8::1]:80".parse().unwrap()]));
        let error = look_up("no-such-host.invalid.", 80).await.unwrap_err();
        assert_eq!(error, "no DNS record found");
    }

    #[test]
    fn silent_name_servers_do_not_block_a_thread() {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let resolver = asking(silent.local_addr().unwrap().port());
            let pending: Vec<_> = (0..100)
                .map(|index| {
                    let resolver = resolver.clone();
                    tokio::spawn(async move {
                        let name = format!("shop-{index}.example.");
                        timeout(Duration::from_secs(1), by(&resolver, &name, 80)).await.is_err()
                    })
                })
                .collect();
            tokio::time::sleep(Duration::from_millis(100)).await;
            let begun = Instant::now();
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            assert!(begun.elapsed() < Duration::from_millis(500), "a thread was blocked");
            assert!(futures::future::join_all(pending).await.into_iter().all(|late| late.unwrap()));
        });
    }
}
