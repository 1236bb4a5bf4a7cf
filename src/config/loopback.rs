//! Which hosts are this machine.

/// Whether `host` (no port) names this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "[::1]")
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}
