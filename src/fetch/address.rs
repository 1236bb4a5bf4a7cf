//! Addresses that are written as numbers, and which of them are public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that a host of digits stands for, as URL parsers read it (WHATWG URL, "ends in a number"); `None` when the host is a name.
///
/// An address may have one to four numbers, each decimal, octal (`0177`) or hexadecimal (`0x7f`); the last fills the rest.
pub(super) fn ipv4_of_host(host: &str) -> Option<Result<Ipv4Addr, NotAnAddress>> {
    let mut parts: Vec<&str> = host.split('.').collect();
    if parts.len() > 1 && parts.last() == Some(&"") {
        parts.pop();
    }
    let last = parts.last()?;
    let is_numeric = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) || number(last).is_some();
    is_numeric.then(|| ipv4_of_parts(&parts).ok_or(NotAnAddress))
}

/// It ends in a number and is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAnAddress;

fn ipv4_of_parts(parts: &[&str]) -> Option<Ipv4Addr> {
    let numbers: Vec<u64> = parts.iter().map(|part| number(part)).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    if first.len() > 3 || first.iter().any(|number| *number > 255) || *last >= 1 << (8 * (4 - first.len())) {
        return None;
    }
    let high = first.iter().enumerate().map(|(at, number)| number << (8 * (3 - at))).sum::<u64>();
    u32::try_from(high + last).ok().map(Ipv4Addr::from_bits)
}

/// A number as URL parsers read it; one that is too large for an address stays too large.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    if text.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    if digits.is_empty() {
        return Some(0);
    }
    Some(u64::from_str_radix(digits, radix).unwrap_or(u64::MAX >> 1).min(u64::MAX >> 1))
}

/// Whether the address is one of the public internet's: none of a special-purpose registry (RFC 6890 and later), and none that carries
/// another address within it.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|(network, bits)| is_within_v4(address, *network, *bits)),
        IpAddr::V6(address) => {
            let is_global = is_within_v6(address, Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
            is_global && !SPECIAL_V6.iter().any(|(network, bits)| is_within_v6(address, *network, *bits))
        }
    }
}

/// Networks of IPv4 that are not public.
const SPECIAL_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::UNSPECIFIED, 8),           // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared by a provider's customers
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local, cloud metadata
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // relays of 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, broadcast
];

/// Networks within `2000::/3` that are not public. Outside of it are loopback, private and link-local addresses, multicast, those of
/// IPv4 (`::ffff:0:0/96`, `::/96`) and of NAT64 (`64:ff9b::/96`, `64:ff9b:1::/48`).
const SPECIAL_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

fn is_within_v4(address: Ipv4Addr, network: Ipv4Addr, bits: u32) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0
}

fn is_within_v6(address: Ipv6Addr, network: Ipv6Addr, bits: u32) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (128 - bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_many_spellings() {
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7F.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "0x7f.0x0.0x0.0x1",
            "00000177.1",
        ] {
            assert_eq!(ipv4_of_host(host), Some(Ok(Ipv4Addr::LOCALHOST)), "{host}");
        }
        for host in ["0", "0x", "0.0", "0x0.0x"] {
            assert_eq!(ipv4_of_host(host), Some(Ok(Ipv4Addr::UNSPECIFIED)), "{host}");
        }
        assert_eq!(ipv4_of_host("0251.0376.43518"), Some(Ok(Ipv4Addr::new(169, 254, 169, 254))));
        for host in [
            "256.1.1.1",
            "1.2.3.4.5",
            "4294967296",
            "1.2.3.256",
            "a.1",
            "09",
            "1..2",
            "99999999999999999999999",
            "x.0x",
        ] {
            assert_eq!(ipv4_of_host(host), Some(Err(NotAnAddress)), "{host}");
        }
        for host in ["a.example", "1.a", "0xg", "0x7f.x1", "", "1..", "-1"] {
            assert_eq!(ipv4_of_host(host), None, "{host}");
        }
    }

    #[test]
    fn the_edges_of_special_networks() {
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.88.99.0", "192.88.99.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "255.255.255.255"),
        ] {
            let [first, last] = [first, last].map(|text| text.parse::<Ipv4Addr>().expect("an address").to_bits());
            for address in [first, last] {
                assert!(!is_public(Ipv4Addr::from_bits(address).into()), "{}", Ipv4Addr::from_bits(address));
            }
            for beyond in [first.checked_sub(1), last.checked_add(1)].into_iter().flatten().map(Ipv4Addr::from_bits) {
                assert!(is_public(beyond.into()), "{beyond}");
            }
        }
    }

    #[test]
    fn only_global_unicast_of_ipv6_is_public() {
        for (address, public) in [
            ("2606:4700::1111", true),
            ("2a00::1", true),
            ("2001:200::", true),
            ("2001:1ff:ffff::", false),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::", false),
            ("3fff:fff::", false),
            ("3fff:1000::", true),
            ("::", false),
            ("::1", false),
            ("::ffff:1.1.1.1", false),
            ("::1.1.1.1", false),
            ("64:ff9b::1.1.1.1", false),
            ("64:ff9b:1::1", false),
            ("fc00::1", false),
            ("fdff::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
            ("100::1", false),
            ("5f00::1", false),
        ] {
            assert_eq!(is_public(address.parse().expect("an address")), public, "{address}");
        }
    }
}
