//! What came of a slice and of its items, whatever the action.

use super::failure::{Blame, Interruption, ItemError, Refusal};
use crate::image::ObjectKey;
use crate::migrate::runs::{Completion, Forecast, InFlight, ItemId, Line, Stage, Verdict};
use crate::sql::Statement;
use crate::store::StorageKind;

/// What came of one item.
#[derive(Debug)]
pub struct Outcome {
    pub line: Line,
    /// Who is to blame, when the item failed.
    pub blame: Blame,
    /// Take effect together with the line. They fail the batch when the item was changed meanwhile.
    pub statements: Vec<Statement>,
    /// Take effect with the line, also when the item was changed meanwhile.
    pub settled: Vec<Statement>,
    /// An object that nothing names when the statements fail.
    pub put: Option<ObjectKey>,
    /// Whether `put` may still take effect after an error.
    pub uncertain: bool,
    /// Objects to remove once the statements have taken effect.
    pub remove: Vec<ObjectKey>,
    /// What the statements change in the image counters.
    pub counted: Option<Counted>,
    /// Bytes of database that become free.
    pub freed_bytes: u64,
    /// What the statements change in the journal: the stage that the item leaves, and the one that it reaches.
    pub staged: (Option<Stage>, Option<Stage>),
    /// Where the next slice begins when this item is the last that was written down; `None` leaves that where it was.
    pub cursor: Option<serde_json::Value>,
}

impl Outcome {
    /// An outcome that changes no row.
    #[must_use]
    pub const fn only(line: Line) -> Self {
        Self {
            line,
            blame: Blame::Item,
            statements: Vec::new(),
            settled: Vec::new(),
            put: None,
            uncertain: false,
            remove: Vec::new(),
            counted: None,
            freed_bytes: 0,
            staged: (None, None),
            cursor: None,
        }
    }

    /// Whether the item did not fail.
    #[must_use]
    pub fn went_well(&self) -> bool {
        self.line.verdict() != Verdict::Failed
    }

    /// The object that was put for the item.
    #[must_use]
    pub fn in_flight(&self) -> Option<InFlight> {
        let key = self.put.clone()?;
        Some(InFlight { item: self.line.id().clone(), key })
    }

    /// Whether it failed because somebody was down.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        self.line.verdict() == Verdict::Failed && self.blame != Blame::Item
    }

    /// The outcome of an item that is left.
    #[must_use]
    pub fn refused(id: ItemId, Refusal { verdict, blame, reason, detail, size_bytes, .. }: Refusal) -> Self {
        let line = Line::new(id, verdict).because(reason, &detail).with_size(size_bytes);
        Self { blame, ..Self::only(line) }
    }

    /// The outcome of an item that is left, or what stops the run.
    ///
    /// # Errors
    /// What stops the run.
    pub fn of_error(id: ItemId, error: ItemError) -> Result<Self, Interruption> {
        match error {
            ItemError::Refusal(refusal) => Ok(Self::refused(id, refusal)),
            ItemError::Interruption(interruption) => Err(interruption),
        }
    }
}

/// A slice that was worked through and is not written down yet.
#[derive(Debug, Default)]
pub struct Slice {
    pub outcomes: Vec<Outcome>,
    /// Where the next slice begins; `None` leaves it where it was.
    pub cursor: Option<serde_json::Value>,
    /// Whether nothing is left.
    pub exhausted: bool,
    /// The largest item seen, for the bounds of the next slice.
    pub largest_bytes: u64,
    pub warnings: Vec<String>,
    /// What was put for items that are left to the next slice.
    pub left: Vec<InFlight>,
    /// What the rest of the run will take, when that has become known.
    pub forecast: Option<Forecast>,
    /// Whether the source can be switched off, as far as that is known.
    pub completion: Option<Completion>,
    /// Whether an outage kept the slice from its first item, which is tried again, but not from others.
    pub stalled: bool,
}

/// A catalogued image that changes its home, for the image counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub to: StorageKind,
    pub size_bytes: u64,
    /// Whether its row has a `fallback_reason`.
    pub fallback: bool,
}
