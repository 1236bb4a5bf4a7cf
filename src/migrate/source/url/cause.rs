//! Why a link gave no image.

use crate::fetch::FetchError;
use crate::migrate::task::Refusal;

/// Why a link gave no image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The link or what it names is to blame: the item fails.
    Item(Refusal),
    /// The host is, which may be back.
    Host(HostFailure),
}

/// A failure of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFailure {
    pub cause: HostCause,
    pub detail: String,
    /// When the host wants to be asked again, if it said so.
    pub retry_after_ms: Option<u64>,
}

/// What a host did. The text forms are part of receipts and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostCause {
    Timeout,
    RateLimited,
    Unreachable,
}

impl HostCause {
    const ALL: [Self; 3] = [Self::Timeout, Self::RateLimited, Self::Unreachable];

    /// The text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RateLimited => "rate-limited",
            Self::Unreachable => "unreachable",
        }
    }

    /// What `text` is the text form of.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text)
    }
}

impl HostFailure {
    /// The refusal of an item for which the host is not asked again.
    pub fn refusal(&self) -> Refusal {
        Refusal::failed(self.cause.as_str(), self.detail.as_str())
    }
}

impl Failure {
    /// The refusal of an item for which nobody is asked again.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Item(refusal) => refusal.clone(),
            Self::Host(failure) => failure.refusal(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Item(refusal)
    }
}

/// Of the statuses, those that say that the host itself is in trouble are its failure; the rest are what it says of the link.
impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let of_host =
            |cause, retry_after_ms| Self::Host(HostFailure { cause, detail: error.to_string(), retry_after_ms });
        let of_item = |reason| Self::Item(Refusal::failed(reason, error.to_string()));
        match error {
            FetchError::Refused { .. } => of_item("refused-address"),
            FetchError::Gone { .. } => of_item("gone"),
            FetchError::Forbidden { .. } => of_item("forbidden"),
            FetchError::TooLarge { .. } => of_item("too-large"),
            FetchError::Status { status: 429, retry_after_ms } => of_host(HostCause::RateLimited, retry_after_ms),
            FetchError::Status { status: 500.., retry_after_ms } => of_host(HostCause::Unreachable, retry_after_ms),
            FetchError::Timeout | FetchError::Status { status: 408, .. } => of_host(HostCause::Timeout, None),
            FetchError::Connect | FetchError::Interrupted => of_host(HostCause::Unreachable, None),
            FetchError::Redirects | FetchError::Status { .. } => of_item("unreachable"),
        }
    }
}
