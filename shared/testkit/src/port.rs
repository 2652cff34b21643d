//! Ports for processes that must know their port before they listen.

use std::net::TcpListener;

/// Below the ports of outgoing connections, so that the port is still free when a server restarts.
const FIRST: u16 = 15_000;
const COUNT: u128 = 17_000;

/// A port that is free now, for a process that is restarted on the same port.
pub fn free_port() -> u16 {
    let random = || u16::try_from(runtime::clock::new_id().as_u128() % COUNT).expect("a number below COUNT");
    let mut candidates = std::iter::repeat_with(|| FIRST + random()).take(1000);
    candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}
