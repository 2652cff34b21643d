//! Whether the program that runs with the same settings is ready: what a container asks that has no shell and no `curl`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction};

use crate::http::host_and_port;

/// Name of the flag that asks.
pub(crate) const FLAG: &str = "healthcheck";

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Longer than any answer of `/readyz`.
const MAX_ANSWER: u64 = 64 * 1024;

pub(crate) fn flag() -> Arg {
    Arg::new(FLAG).long(FLAG).action(ArgAction::SetTrue).help(
        "Ask the process that runs with the same settings whether it is ready, and fail where it is not",
    )
}

/// Fails where what listens there is not ready; the error says what `/readyz` says.
pub fn check(listen: &str) -> anyhow::Result<()> {
    let address = reachable(listen)?;
    let asking = || format!("asking http://{address}/readyz: is it running?");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(asking)?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .and(stream.set_write_timeout(Some(PATIENCE)))
        .with_context(asking)?;
    // HTTP/1.0: the answer is in one piece, and ends with the connection.
    write!(stream, "GET /readyz HTTP/1.0\r\nHost: {address}\r\n\r\n").with_context(asking)?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer).with_context(asking)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, _)) if head.split_whitespace().nth(1) == Some("200") => Ok(()),
        Some((_, body)) => bail!("not ready: {}", body.trim()),
        None => bail!("{address} does not speak HTTP"),
    }
}

/// Who listens on all interfaces is asked on the loopback one.
fn reachable(listen: &str) -> anyhow::Result<SocketAddr> {
    let listen = host_and_port(listen);
    let mut addresses = listen.to_socket_addrs().with_context(|| format!("looking up {listen}"))?;
    let mut address = addresses.next().with_context(|| format!("{listen} names no address"))?;
    if address.ip().is_unspecified() {
        let is_v4 = address.is_ipv4();
        address.set_ip(if is_v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CancellationToken;
    use crate::health::Health;
    use crate::http;

    #[test]
    fn what_listens_on_all_interfaces_is_asked_on_the_loopback_one() {
        for (listen, expected) in [
            ("8080", "127.0.0.1:8080"),
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("127.0.0.2:80", "127.0.0.2:80"),
        ] {
            assert_eq!(reachable(listen).unwrap().to_string(), expected);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_fails_until_everything_is_ready_and_says_what_is_not() {
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
        assert!(error.contains("is it running?"), "{error}");
    }
}
