//! Which images a listing has, and how many a page holds.

use std::fmt;

use super::{OwnerFilter, Status};
use crate::image::{CollectionId, Context, Labels};
use crate::runtime::Timestamp;
use crate::store::StorageKind;

/// Which images to list: those that match every field that is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFilter {
    pub status: Status,
    pub owner: OwnerFilter,
    /// Stored frames of a collection come in its order, all other images newest first.
    pub collection_id: Option<CollectionId>,
    /// Leaves out what was made from another image.
    pub originals_only: bool,
    pub persona_id: Option<String>,
    pub session_id: Option<String>,
    pub storage: Option<StorageKind>,
    /// Images that were created then, or later.
    pub created_from: Option<Timestamp>,
    /// Images that were created before.
    pub created_to: Option<Timestamp>,
    /// What no index has.
    pub looked_for: LookedFor,
}

/// Filters that no index has: a page looks through [`super::LOOKED_THROUGH`] images that match the others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LookedFor {
    pub context: Option<Context>,
    /// Text in the file name or in the value of a label, with ASCII letters in either case.
    pub text: Option<String>,
    /// Labels with their values.
    pub labels: Labels,
}

/// How many images a page holds at most: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize(pub(super) u8);

/// A number of images outside 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPageSize;

impl Default for ListFilter {
    /// All readable images.
    fn default() -> Self {
        Self {
            status: Status::Stored,
            owner: OwnerFilter::Any,
            collection_id: None,
            originals_only: false,
            persona_id: None,
            session_id: None,
            storage: None,
            created_from: None,
            created_to: None,
            looked_for: LookedFor::default(),
        }
    }
}

impl LookedFor {
    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.context.is_none() && self.text.is_none() && self.labels.iter().next().is_none()
    }
}

impl Default for PageSize {
    /// Half of the largest page.
    fn default() -> Self {
        Self(50)
    }
}

impl PageSize {
    /// The largest page.
    pub const MAX: Self = Self(100);

    /// The number of images.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<u64> for PageSize {
    type Error = InvalidPageSize;

    fn try_from(images: u64) -> Result<Self, InvalidPageSize> {
        match u8::try_from(images) {
            Ok(images @ 1..=100) => Ok(Self(images)),
            _ => Err(InvalidPageSize),
        }
    }
}

impl fmt::Display for InvalidPageSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a page holds 1 to 100 images")
    }
}
