//! Address ranges in settings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// One address, or all addresses with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    n_bits: u32,
}

impl Network {
    /// Whether the range contains the address. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        first(address.to_canonical(), self.n_bits) == self.first
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected an address like 172.18.0.5, or a network like 172.18.0.0/16";
        let (address, n_bits) = match text.trim().split_once('/') {
            Some((address, n_bits)) => (address, Some(n_bits)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| EXPECTED)?;
        let max_bits = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
        let n_bits = n_bits.map_or(Ok(max_bits), str::parse).map_err(|_| EXPECTED)?;
        if n_bits > max_bits {
            return Err(EXPECTED);
        }
        // 10.0.0.5/8 is ambiguous: it could mean one address or sixteen million.
        if first(address, n_bits) != address {
            return Err("expected a network whose address ends in zero bits, like 172.18.0.0/16");
        }
        Ok(Self { first: address, n_bits })
    }
}

/// The first address with the same first `n_bits` bits.
fn first(address: IpAddr, n_bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let rest = u32::MAX.checked_shr(n_bits).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & !rest).into()
        }
        IpAddr::V6(address) => {
            let rest = u128::MAX.checked_shr(n_bits).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & !rest).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, inside: &[&str], outside: &[&str]) {
        let network: Network = network.parse().unwrap();
        for (addresses, expected) in [(inside, true), (outside, false)] {
            for address in addresses {
                assert_eq!(network.contains(address.parse().unwrap()), expected, "{address} in {network:?}");
            }
        }
    }

    #[test]
    fn a_single_address_contains_only_itself() {
        check("172.18.0.5", &["172.18.0.5", "::ffff:172.18.0.5"], &["172.18.0.4", "172.18.0.6", "::1"]);
        check("::1", &["::1"], &["::", "127.0.0.1", "::2"]);
    }

    #[test]
    fn a_network_contains_the_addresses_with_its_prefix() {
        check("172.18.0.0/16", &["172.18.0.0", "172.18.255.255"], &["172.17.255.255", "172.19.0.0"]);
        check("10.0.0.8/30", &["10.0.0.11"], &["10.0.0.12", "10.0.0.7"]);
        check("fd00::/8", &["fd12:3456::1"], &["fe80::1", "10.0.0.1"]);
    }

    #[test]
    fn a_network_of_all_addresses_covers_one_address_family() {
        check("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::1"]);
        check("::/0", &["::1", "ffff::"], &["127.0.0.1", "::ffff:127.0.0.1"]);
    }

    #[test]
    fn a_malformed_network_is_refused() {
        let texts =
            ["", "proxy", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "::/129", "10.0.0.5/8", "10.0/16"];
        for text in texts {
            assert!(text.parse::<Network>().is_err(), "{text:?}");
        }
    }
}
