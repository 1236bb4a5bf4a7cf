//! What an upload may come to: its limits, and why nothing was stored.

use crate::api::{Code, Exchange, Problem};
use crate::image::Visibility;
use crate::library::AddError;
use crate::store::{EMBEDDED_MAX_BYTES, StoreErrorKind};

/// Largest upload in bytes: 100 MB, the request body limit of the platform's smaller plans.
const MAX_UPLOAD_BYTES: u64 = 100 * 1000 * 1000;

/// Why nothing was stored.
pub(super) struct Failure {
    pub problem: Problem,
    /// Whether the request is to blame, rather than we or where the image comes from.
    pub is_callers: bool,
}

impl Failure {
    /// A failure of where the image comes from.
    pub fn of_source(problem: Problem) -> Self {
        Self { problem, is_callers: false }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        // A user's limit is neither our failure nor the source's.
        let is_callers = problem.code.status() < 500 || problem.code == Code::ByteLimitReached;
        Self { problem, is_callers }
    }
}

/// The embedded store takes less than R2 does.
pub(super) fn upload_limit_bytes(exchange: &Exchange<'_>, visibility: Visibility) -> u64 {
    if exchange.library.stores.prefers_r2(visibility) { MAX_UPLOAD_BYTES } else { EMBEDDED_MAX_BYTES }
}

pub(super) fn too_large(limit_bytes: u64) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("an image may have at most {limit_bytes} bytes here"))
}

/// The problem that an image that was not added makes.
pub fn add_problem(error: AddError, limit_bytes: u64) -> Problem {
    let error = match error {
        AddError::Catalog(error) => return error.into(),
        AddError::Limit(limit) => return limit.into(),
        AddError::Superseded => return Problem::plain(Code::StorageUnavailable).because(&"superseded by a deletion"),
        AddError::Store(error) => error,
    };
    let problem = match &error.kind {
        StoreErrorKind::Body(error) => Problem::from(error.clone()),
        StoreErrorKind::ChecksumMismatch => {
            Problem { field: Some("sha256".into()), ..Problem::plain(Code::ChecksumMismatch) }
        }
        StoreErrorKind::TooLarge { limit_bytes: limit } => too_large((*limit).min(limit_bytes)),
        StoreErrorKind::Unavailable
        | StoreErrorKind::KeyTaken
        | StoreErrorKind::Corrupt
        | StoreErrorKind::NoSuchUpload
        | StoreErrorKind::PartsRefused => {
            Problem::new(Code::StorageUnavailable, "no store took the image; nothing was stored")
        }
    };
    problem.because(&error)
}
