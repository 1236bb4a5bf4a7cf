//! Services that give a new link for one that has expired.

use std::fmt;

use async_trait::async_trait;

use crate::fetch::OutsideUrl;

/// Gives new links for old ones.
#[async_trait(?Send)]
pub trait LinkRefresher: 'static {
    /// Whether the link is one of the service's.
    fn knows(&self, link: &OutsideUrl) -> bool;

    /// The most links that one call takes.
    fn at_once(&self) -> usize;

    /// A new link for each of `links`, in their order; `None` for one that the service does not renew.
    ///
    /// # Errors
    /// When the service renews none.
    async fn refresh(&self, links: &[String]) -> Result<Vec<Option<String>>, RefreshError>;
}

/// Why no link was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshError {
    /// The service does not accept the credentials.
    Refused { status: u16 },
    /// It may be back, at the moment that it said.
    Unavailable { status: Option<u16>, retry_after_ms: Option<u64> },
}

impl fmt::Display for RefreshError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status } => {
                write!(formatter, "the service that renews the link answered with the status {status}")
            }
            Self::Unavailable { status: Some(status), .. } => {
                write!(formatter, "the service that renews the link is not available: status {status}")
            }
            Self::Unavailable { status: None, .. } => {
                formatter.write_str("the service that renews the link cannot be reached")
            }
        }
    }
}
