//! The names of jobs, and of those that one request made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ImageId, InvalidImageId, Sha256Digest};

/// A job's id: a UUID, in the one text form that image ids have too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(ImageId);

/// The id of jobs that one request made, in the same form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(ImageId);

/// The text is not a UUID in its 36-character form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidJobId;

impl JobId {
    /// An id from sixteen random bytes.
    #[must_use]
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(ImageId::from_random_bytes(bytes))
    }

    /// The id of the job that works on `image` in a batch: the same, however often the request is sent.
    #[must_use]
    pub fn of_batch(batch: BatchId, image: ImageId) -> Self {
        Self(ImageId::from_digest(&Sha256Digest::of(format!("stillstore job of {batch} on {image}").as_bytes())))
    }
}

impl BatchId {
    /// An id from sixteen random bytes.
    #[must_use]
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(ImageId::from_random_bytes(bytes))
    }

    /// The id that the first sixteen bytes of a digest make.
    #[must_use]
    pub fn from_digest(digest: &Sha256Digest) -> Self {
        Self(ImageId::from_digest(digest))
    }
}

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        text.parse().map(Self).map_err(|InvalidImageId| InvalidJobId)
    }
}

impl FromStr for BatchId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        text.parse().map(Self).map_err(|InvalidImageId| InvalidJobId)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for InvalidJobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the id of a job or batch is a UUID of 36 lower-case characters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_one_job_for_an_image() {
        let [first, second] = [1, 2].map(|byte| BatchId::from_random_bytes([byte; 16]));
        let [one, other] = [3, 4].map(|byte| ImageId::from_random_bytes([byte; 16]));
        assert_eq!(JobId::of_batch(first, one), JobId::of_batch(first, one));
        assert_ne!(JobId::of_batch(first, one), JobId::of_batch(first, other));
        assert_ne!(JobId::of_batch(first, one), JobId::of_batch(second, one));
        let id = JobId::of_batch(first, one);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse::<JobId>(), Err(InvalidJobId));
    }
}
