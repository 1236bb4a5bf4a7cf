//! What is fetched from URLs that callers name.

use super::reader::Reader;
use crate::fetch::AllowedHosts;
use crate::generate::InvalidParameter;

/// Longest time to wait for the last byte, in milliseconds, unless `FETCH_TIMEOUT_MS` says otherwise: an upload's 100 MB at 3.4 MB/s.
const DEFAULT_FETCH_TIMEOUT_MS: u64 = 30_000;

/// Limits of what is fetched.
#[derive(Debug, Clone)]
pub struct FetchSettings {
    /// `FETCH_ALLOWED_HOSTS`: hosts that may be fetched from; any public one when empty.
    pub allowed_hosts: AllowedHosts,
    /// `FETCH_TIMEOUT_MS`.
    pub timeout_ms: u64,
}

impl FetchSettings {
    pub(super) fn read(reader: &mut Reader<impl Fn(&str) -> Option<String>>) -> Self {
        let parse = |text: &str| AllowedHosts::parse(text).map_err(InvalidParameter);
        Self {
            allowed_hosts: reader.parsed("FETCH_ALLOWED_HOSTS", parse).unwrap_or_default(),
            timeout_ms: reader.number("FETCH_TIMEOUT_MS", DEFAULT_FETCH_TIMEOUT_MS, 1_000..=300_000),
        }
    }
}
