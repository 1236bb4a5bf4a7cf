//! URLs in the one spelling that every parser reads alike.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use percent_encoding::percent_decode_str;

use super::address::ipv4_of_host;
use super::refusal::{MAX_URL_BYTES, Refusal};

/// Longest name and longest label of a host in bytes (RFC 1035).
const MAX_HOST_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// An absolute `http` or `https` URL, without user and fragment. Its query may be a secret, so that it has no debug form.
#[derive(Clone, PartialEq, Eq)]
pub struct OutsideUrl {
    pub(super) is_https: bool,
    pub(super) host: Host,
    pub(super) port: u16,
    /// The path and the query as given, starting with a slash.
    target: String,
}

/// Where a URL leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// In lower case, without a dot at its end.
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// Reads a host, without its port.
    ///
    /// # Errors
    /// [`Refusal::NotAUrl`] when it is none, or URL parsers would change it.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if let Some(address) = text.strip_prefix('[') {
            let address = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
            return address.map(|address| Self::Address(address.into())).ok_or(Refusal::NotAUrl);
        }
        if let Some(address) = ipv4_of_host(text) {
            return address.map(|address| Self::Address(address.into())).map_err(|_| Refusal::NotAUrl);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=MAX_LABEL_BYTES).contains(&label.len())
                && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        };
        let is_name = name.len() <= MAX_HOST_BYTES && name.split('.').all(is_label);
        if is_name { Ok(Self::Name(name)) } else { Err(Refusal::NotAUrl) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(formatter),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
        }
    }
}

impl OutsideUrl {
    /// Reads an absolute URL. Characters that URL parsers drop, decode or take for others are refused, so that what is fetched is what
    /// was judged.
    ///
    /// # Errors
    /// [`Refusal`]: the rule that it breaks.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_URL_BYTES {
            return Err(Refusal::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(Refusal::NotAUrl);
        }
        let (scheme, rest) = text.split_once("://").ok_or(Refusal::NotAUrl)?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(Refusal::Scheme),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(Refusal::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        let host = Host::parse(host)?;
        let port = port.unwrap_or(if is_https { 443 } else { 80 });
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { is_https, host, port, target: format!("{slash}{target}") })
    }

    /// The URL that a `Location` of this one's answer names, not judged yet.
    #[must_use]
    pub fn redirected(&self, location: &str) -> String {
        let location = location.trim_matches([' ', '\t']).split('#').next().unwrap_or_default();
        let scheme = if self.is_https { "https" } else { "http" };
        let has_scheme = location.split_once(':').is_some_and(|(scheme, _)| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        });
        if has_scheme {
            return location.to_owned();
        }
        if location.starts_with("//") {
            return format!("{scheme}:{location}");
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let base = match location.chars().next() {
            Some('/') => "",
            Some('?') => path,
            None => &self.target,
            Some(_) => &path[..=path.rfind('/').unwrap_or(0)],
        };
        format!("{}{base}{location}", self.origin())
    }

    /// The last segment of the path, which may be a file's name; percent-encoded as it was.
    #[must_use]
    pub fn last_segment(&self) -> &str {
        self.target.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default()
    }

    /// The host, with the port where it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        let own_port = if self.is_https { 443 } else { 80 };
        let host = &self.host;
        if self.port == own_port { host.to_string() } else { format!("{host}:{}", self.port) }
    }

    /// The value of the query's parameter `name`, decoded. Services spell their own names in one way.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(given, _)| *given == name);
        found.and_then(|(_, value)| percent_decode_str(value).decode_utf8().ok()).map(Cow::into_owned)
    }

    /// Scheme, host and port; no port where it is the scheme's own.
    #[must_use]
    pub fn origin(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }
}

/// The whole URL, as it is fetched.
impl From<&OutsideUrl> for String {
    fn from(url: &OutsideUrl) -> Self {
        format!("{}{}", url.origin(), url.target)
    }
}

impl fmt::Debug for OutsideUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OutsideUrl({}/..)", self.origin())
    }
}

/// The host and the port of an authority without user.
pub(super) fn split_port(authority: &str) -> Result<(&str, Option<u16>), Refusal> {
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[after_address..].rfind(':') {
        Some(colon) => authority.split_at(after_address + colon),
        None => return Ok((authority, None)),
    };
    let digits = &port[1..];
    let is_port = (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = is_port.then(|| digits.parse::<u16>().ok()).flatten();
    port.map(|port| (host, Some(port))).ok_or(Refusal::NotAUrl)
}
