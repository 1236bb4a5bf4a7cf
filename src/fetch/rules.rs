//! Which URLs are fetched.

use std::net::{IpAddr, Ipv6Addr};

use super::AllowedHosts;
use super::address::is_public;
use super::outside_url::{Host, OutsideUrl, split_port};
use super::refusal::Refusal;

/// Last labels of names that are not the public DNS's: reserved ones (RFC 2606, 6761, 7686, 8375, 9476, and `internal` of ICANN), and those
/// that private networks are known to use.
const LOCAL_SUFFIXES: [&str; 17] = [
    "alt",
    "arpa",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "mail",
    "onion",
    "private",
    "test",
    "workgroup",
];

/// Where the Worker itself answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnHost {
    host: Option<Host>,
    port: u16,
}

/// The rules, with what the operator allows.
#[derive(Debug, Clone)]
pub struct Rules {
    pub allowed: AllowedHosts,
    pub own: OwnHost,
}

impl OwnHost {
    /// Of an origin such as `https://images.example.com`.
    #[must_use]
    pub fn of_origin(origin: &str) -> Self {
        let (scheme, authority) = origin.split_once("://").unwrap_or_default();
        let (host, port) = split_port(authority).unwrap_or_default();
        Self { host: Host::parse(host).ok(), port: port.unwrap_or(if scheme == "https" { 443 } else { 80 }) }
    }

    fn is_loopback(&self) -> bool {
        self.host.as_ref().is_some_and(is_loopback)
    }
}

impl Rules {
    /// The URL in `text`, when it may be fetched. Each redirect is judged anew.
    ///
    /// # Errors
    /// [`Refusal`]: the first rule that it breaks, in the order of docs/fetching.md.
    pub fn admit(&self, text: &str) -> Result<OutsideUrl, Refusal> {
        let url = OutsideUrl::parse(text)?;
        let is_port_named = self.allowed.names(&url.host, Some(url.port));
        let own_port = if url.is_https { 443 } else { 80 };
        let is_named = is_port_named || (url.port == own_port && self.allowed.names(&url.host, None));
        if is_loopback(&url.host) {
            self.require_loopback(&url, is_port_named)?;
            return Ok(url);
        }
        match &url.host {
            Host::Address(address) if !is_public(*address) => return Err(Refusal::SpecialAddress),
            Host::Name(name) if is_local(name) => return Err(Refusal::LocalName),
            _ => {}
        }
        if self.own.host.as_ref() == Some(&url.host) {
            return Err(Refusal::OwnHost);
        }
        if !url.is_https && !is_port_named {
            return Err(Refusal::Scheme);
        }
        if url.port != 443 && !is_port_named {
            return Err(Refusal::Port);
        }
        if self.allowed.is_empty() || is_named { Ok(url) } else { Err(Refusal::NotAllowed) }
    }

    fn require_loopback(&self, url: &OutsideUrl, is_port_named: bool) -> Result<(), Refusal> {
        match () {
            () if !self.own.is_loopback() || !is_port_named => Err(Refusal::Loopback),
            () if self.own.port == url.port => Err(Refusal::OwnHost),
            () => Ok(()),
        }
    }
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Name(name) => name == "localhost",
        Host::Address(IpAddr::V4(address)) => address.is_loopback(),
        Host::Address(IpAddr::V6(address)) => *address == Ipv6Addr::LOCALHOST,
    }
}

/// A name of one label, or below one of [`LOCAL_SUFFIXES`].
fn is_local(name: &str) -> bool {
    name.rsplit_once('.').is_none_or(|(_, last)| LOCAL_SUFFIXES.contains(&last))
}
