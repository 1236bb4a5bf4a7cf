//! `FETCH_ALLOWED_HOSTS`.

use super::outside_url::{Host, split_port};

/// Hosts that may be fetched from; when empty, any public one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<(Host, Option<u16>)>);

impl AllowedHosts {
    /// Reads a list of `host` and `host:port`, separated by commas.
    ///
    /// # Errors
    /// The rule, when an entry is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let entry = |entry: &str| {
            let (host, port) = split_port(entry).ok()?;
            Some((Host::parse(host).ok()?, port))
        };
        let entries = text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(entry);
        entries.collect::<Option<Vec<_>>>().map(Self).ok_or_else(|| "must be a list of host or host:port".to_owned())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an entry names the host, with the port or without one.
    pub(super) fn names(&self, host: &Host, port: Option<u16>) -> bool {
        self.0.iter().any(|(allowed, allowed_port)| allowed == host && *allowed_port == port)
    }
}
