//! Why an attempt came to nothing, and whether another may do better.

use crate::catalog::jobs::JobFailure;
use crate::catalog::{CatalogError, Limit, LimitReached};
use crate::generate::GenerateError;
use crate::library::{OpenError, OutputLeftError};
use crate::runtime::Runtime;
use crate::store::{StoreError, StoreErrorKind};

/// The first wait, in milliseconds; each further one is four times as long.
const FIRST_WAIT_MS: u64 = 5_000;
const WAIT_FACTOR: u64 = 4;
/// The longest wait before its random part: 10 minutes.
const MOST_WAIT_MS: u64 = 10 * 60 * 1000;
/// The longest wait that a provider may ask for: an hour.
const MOST_ASKED_WAIT_MS: u64 = 60 * 60 * 1000;

/// Why an attempt came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Another attempt may do better, not before so many milliseconds if the provider says how long.
    Passing { failure: JobFailure, retry_after_ms: Option<u64> },
    /// No other attempt would do better.
    Lasting(JobFailure),
}

impl Cause {
    /// A cause that passes.
    pub fn passing(code: &str, detail: impl Into<String>) -> Self {
        Self::Passing { failure: JobFailure::new(code, detail), retry_after_ms: None }
    }

    /// A cause that stays.
    pub fn lasting(code: &str, detail: impl Into<String>) -> Self {
        Self::Lasting(JobFailure::new(code, detail))
    }

    /// What is told of it.
    pub const fn failure(&self) -> &JobFailure {
        match self {
            Self::Passing { failure, .. } | Self::Lasting(failure) => failure,
        }
    }
}

/// How long to wait after attempt number `attempt`, in milliseconds: longer each time, and up to half as long again, so that jobs that failed
/// together do not come back together.
pub fn backoff_ms(attempt: u32, retry_after_ms: Option<u64>, runtime: &dyn Runtime) -> u64 {
    let exponent = attempt.saturating_sub(1).min(16);
    let wait_ms = FIRST_WAIT_MS.saturating_mul(WAIT_FACTOR.saturating_pow(exponent)).min(MOST_WAIT_MS);
    let wait_ms = wait_ms.max(retry_after_ms.unwrap_or(0).min(MOST_ASKED_WAIT_MS));
    let [low, high, ..] = runtime.random_bytes();
    let random = u64::from(u16::from_le_bytes([low, high]));
    wait_ms + wait_ms * random / (2 * u64::from(u16::MAX))
}

impl From<GenerateError> for Cause {
    fn from(error: GenerateError) -> Self {
        let failure = JobFailure::new(error.reason(), error.to_string());
        match error {
            GenerateError::RateLimited { retry_after_ms } => Self::Passing { failure, retry_after_ms },
            error if error.is_transient() => Self::Passing { failure, retry_after_ms: None },
            _ => Self::Lasting(failure),
        }
    }
}

impl From<CatalogError> for Cause {
    fn from(_: CatalogError) -> Self {
        Self::passing("database-unavailable", "the database did not answer")
    }
}

impl From<StoreError> for Cause {
    fn from(error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::TooLarge { limit_bytes } => {
                Self::lasting("image-too-large", format!("the picture has more than {limit_bytes} bytes"))
            }
            StoreErrorKind::Unavailable
            | StoreErrorKind::Body(_)
            | StoreErrorKind::ChecksumMismatch
            | StoreErrorKind::KeyTaken
            | StoreErrorKind::NoSuchUpload
            | StoreErrorKind::PartsRefused
            | StoreErrorKind::Corrupt => Self::passing("storage-unavailable", "image storage did not answer"),
        }
    }
}

impl From<OpenError> for Cause {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Store(error) => error.into(),
            OpenError::Catalog(error) => error.into(),
            OpenError::Gone | OpenError::PutBack => gone(),
            OpenError::Unasked => Self::passing("database-unavailable", "too many ask the image's database"),
            OpenError::Missing => Self::lasting("bytes-missing", "the bytes of the image cannot be found"),
        }
    }
}

impl From<OutputLeftError> for Cause {
    fn from(error: OutputLeftError) -> Self {
        match error {
            OutputLeftError::Catalog(error) => error.into(),
            OutputLeftError::Store(error) => error.into(),
        }
    }
}

impl From<LimitReached> for Cause {
    fn from(LimitReached { limit, .. }: LimitReached) -> Self {
        let (code, detail) = match limit {
            Limit::Bytes => ("byte-limit-reached", "the user's images would have more bytes than a user may have"),
            Limit::ImagesADay => ("image-limit-reached", "the user has added as many images today as a user may"),
            Limit::GenerationsADay => (
                "generation-limit-reached",
                "the user has had as many generations and looks of a model today as a user may",
            ),
        };
        Self::lasting(code, detail)
    }
}

/// The image is not there any more.
pub fn gone() -> Cause {
    Cause::lasting("image-deleted", "the image was deleted")
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::bytes::{Blob, Sha256Digest};
    use crate::runtime::Timestamp;

    struct Draws(u8);

    #[async_trait(?Send)]
    impl Runtime for Draws {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }

        fn random_bytes(&self) -> [u8; 16] {
            [self.0; 16]
        }

        async fn sleep(&self, _duration_ms: u64) {}

        async fn sha256(&self, blob: &Blob) -> Sha256Digest {
            Sha256Digest::of(&blob.to_vec())
        }
    }

    #[test]
    fn waits_grow_to_a_bound_and_differ_by_up_to_a_half() {
        let waits = |draw| [1, 2, 3, 4, 5, 40].map(|attempt| backoff_ms(attempt, None, &Draws(draw)));
        assert_eq!(waits(0), [5_000, 20_000, 80_000, 320_000, 600_000, 600_000]);
        assert_eq!(waits(0xff), [7_500, 30_000, 120_000, 480_000, 900_000, 900_000]);
        assert_eq!(backoff_ms(1, Some(60_000), &Draws(0)), 60_000, "as long as the provider asks");
        assert_eq!(backoff_ms(3, Some(1), &Draws(0)), 80_000, "never shorter");
        assert_eq!(backoff_ms(1, Some(u64::MAX), &Draws(0)), MOST_ASKED_WAIT_MS);
    }

    #[test]
    fn what_passes_at_a_provider_passes_for_a_job() {
        let rate_limited = GenerateError::RateLimited { retry_after_ms: Some(7) };
        assert!(matches!(rate_limited.into(), Cause::Passing { retry_after_ms: Some(7), .. }));
        for error in [GenerateError::Timeout, GenerateError::Unavailable { status: Some(503) }] {
            assert!(matches!(error.into(), Cause::Passing { retry_after_ms: None, .. }), "{error}");
        }
        for error in [GenerateError::Moderation, GenerateError::QuotaExhausted, GenerateError::NotAnImage] {
            assert!(matches!(error.into(), Cause::Lasting(_)), "{error}");
        }
    }
}
