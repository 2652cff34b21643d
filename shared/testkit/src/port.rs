//! Ports for processes that must know theirs before they listen.

use std::net::TcpListener;

/// Below the ports that outgoing connections take: a server that is restarted finds its own free.
const FIRST: u16 = 15_000;
const COUNT: u128 = 17_000;

/// A port that is free now, for a process that listens on it again and again.
pub fn free_port() -> u16 {
    let random = || u16::try_from(runtime::clock::new_id().as_u128() % COUNT).expect("a number below COUNT");
    let mut candidates = std::iter::repeat_with(|| FIRST + random()).take(1000);
    candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}
