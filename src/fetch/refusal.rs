//! Why a URL is not fetched.

use std::fmt;

/// Longest URL in bytes: links that are signed have one to two thousand.
pub const MAX_URL_BYTES: usize = 4096;

/// Why a URL is not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Over [`MAX_URL_BYTES`].
    TooLong,
    /// It is no absolute URL, or has characters that URL parsers read in more than one way.
    NotAUrl,
    /// Neither `https`, nor `http` of a `host:port` that is allowed by name.
    Scheme,
    /// It names a user.
    UserInfo,
    /// A port other than 443 that is not allowed by name.
    Port,
    /// An address of a private or special network.
    SpecialAddress,
    /// A name that the public DNS does not have.
    LocalName,
    /// The Worker itself.
    OwnHost,
    /// The operator's list does not name the host.
    NotAllowed,
    /// This machine, which only a Worker on this machine fetches from, and only where the list names it.
    Loopback,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(formatter, "is longer than {MAX_URL_BYTES} bytes"),
            Self::NotAUrl => formatter.write_str(
                "must be an absolute URL of printable ASCII characters: other characters percent-encoded, the host's as xn--",
            ),
            Self::Scheme => formatter.write_str("must begin with https://, unless FETCH_ALLOWED_HOSTS names its host and port"),
            Self::UserInfo => formatter.write_str("must not name a user"),
            Self::Port => formatter.write_str("must have the port 443, unless FETCH_ALLOWED_HOSTS names its host and port"),
            Self::SpecialAddress => formatter.write_str("names an address of a private or special network"),
            Self::LocalName => formatter.write_str("names a host that the public DNS does not have"),
            Self::OwnHost => formatter.write_str("names this Worker itself"),
            Self::NotAllowed => formatter.write_str("names a host that FETCH_ALLOWED_HOSTS does not name"),
            Self::Loopback => formatter.write_str(
                "names the machine that it is fetched from, which needs a Worker on that machine and FETCH_ALLOWED_HOSTS to name host and port",
            ),
        }
    }
}
