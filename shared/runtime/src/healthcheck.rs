//! The `--healthcheck` flag: readiness of a running program, for containers without a shell and `curl`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction};

use crate::http::host_and_port;

/// Name of the flag.
pub(crate) const FLAG: &str = "healthcheck";

/// How long connecting, each read and each write may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of an answer that are read. Every answer of `/readyz` is shorter.
const MAX_ANSWER: u64 = 64 * 1024;

pub(crate) fn flag() -> Arg {
    Arg::new(FLAG).long(FLAG).action(ArgAction::SetTrue).help(
        "Check whether the running process with the same settings is ready; exit with an error if it is not",
    )
}

/// Asks the program that listens on `listen` (a port, or `host:port`) for its readiness. Blocks for a few seconds at most.
///
/// Fails if the program cannot be reached or is not ready; the error then contains the answer of `/readyz`.
pub fn check(listen: &str) -> anyhow::Result<()> {
    let address = address_to_connect_to(listen)?;
    let asking = || format!("requesting http://{address}/readyz: is the program running?");
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).with_context(asking)?;
    stream
        .set_read_timeout(Some(TIMEOUT))
        .and(stream.set_write_timeout(Some(TIMEOUT)))
        .with_context(asking)?;
    // An HTTP/1.0 answer is not chunked and ends with the connection.
    write!(stream, "GET /readyz HTTP/1.0\r\nHost: {address}\r\n\r\n").with_context(asking)?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer).with_context(asking)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, _)) if head.split_whitespace().nth(1) == Some("200") => Ok(()),
        Some((_, body)) => bail!("not ready: {}", body.trim()),
        None => bail!("{address} does not speak HTTP"),
    }
}

/// The address to reach a listener at: the loopback address if it listens on all interfaces.
fn address_to_connect_to(listen: &str) -> anyhow::Result<SocketAddr> {
    let listen = host_and_port(listen);
    let mut addresses = listen.to_socket_addrs().with_context(|| format!("looking up {listen}"))?;
    let mut address = addresses.next().with_context(|| format!("{listen} has no address"))?;
    if address.ip().is_unspecified() {
        let is_v4 = address.is_ipv4();
        address.set_ip(if is_v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::health::Health;
    use crate::http;

    #[test]
    fn a_listener_on_all_interfaces_is_checked_on_the_loopback_address() {
        for (listen, expected) in [
            ("8080", "127.0.0.1:8080"),
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("127.0.0.2:80", "127.0.0.2:80"),
        ] {
            assert_eq!(address_to_connect_to(listen).unwrap().to_string(), expected);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_check_fails_until_every_condition_holds_and_names_those_that_do_not() {
        let bound = http::bind("127.0.0.1:0").await.unwrap();
        let address = bound.address().to_string();
        let health = Health::waiting_for(&["nats"]);
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(bound.serve(http::operations(&health), shutdown.clone()));
        let ask = |address: String| async {
            tokio::task::spawn_blocking(move || check(&address))
                .await
                .unwrap()
                .map_err(|error| format!("{error:#}"))
        };

        let error = ask(address.clone()).await.unwrap_err();
        assert!(error.contains("not ready") && error.contains("nats"), "{error}");
        health.ok("nats");
        assert_eq!(ask(address.clone()).await, Ok(()));

        shutdown.cancel();
        serving.await.unwrap().unwrap();
        let error = ask(address).await.unwrap_err();
        assert!(error.contains("is the program running?"), "{error}");
    }
}
