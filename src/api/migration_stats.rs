//! `migrationStats`: how many images there are, and where, in all and by source.

use serde::Serialize;

use super::Problem;
use crate::catalog::Statistics;
use crate::migrate::{Count, EMBEDDED, Images, Totals};
use crate::runtime::Timestamp;

/// A base64 text takes four characters for three bytes.
const BASE64_CHARS: u64 = 4;
const BASE64_BYTES: u64 = 3;

/// The totals over the sources that were counted.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct MigrationStats {
    #[serde(flatten)]
    numbers: Numbers,
    /// Images that the latest migration of their source could not move.
    failed_images: u64,
    /// Embedded images that were meant for R2.
    pub fallback_images: u64,
    /// Percent, rounded down to a tenth; 100 when nothing waits, and `null` while a source is missing.
    migration_progress: Option<f64>,
    /// Sources whose images are not in these totals.
    missing_sources: Vec<String>,
    sources: Vec<SourceStats>,
    #[serde(skip)]
    may_be_more: bool,
}

#[derive(Serialize, Clone, Copy, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Numbers {
    total_images: u64,
    migrated_images: u64,
    /// Images in the database only.
    base64_images: u64,
    /// Images in R2 whose original is still in the database; they count as migrated.
    partially_migrated_images: u64,
    /// Bytes of database that the images in the database only take.
    estimated_space_saved: u64,
}

/// How far one source is. Its numbers are `null` while they are not known.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceStats {
    name: String,
    #[cfg_attr(test, schemars(extend("enum" = ["current", "kept", "counting", "unavailable"])))]
    state: &'static str,
    /// When the images were counted; what runs moved since is taken into account.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    counted_at: Option<String>,
    total_images: Option<u64>,
    migrated_images: Option<u64>,
    base64_images: Option<u64>,
    partially_migrated_images: Option<u64>,
    failed_images: Option<u64>,
    migration_progress: Option<f64>,
    estimated_space_saved: Option<u64>,
    /// Entries of the journal whose original is still in the database.
    moved: Option<u64>,
    /// Entries of the journal whose original is not.
    cleaned: Option<u64>,
    /// As `failedImages`.
    failed: Option<u64>,
    /// Why the source cannot be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<SourceProblem>,
    #[serde(skip)]
    numbers: Option<Numbers>,
    #[serde(skip)]
    may_be_more: bool,
}

/// What is wrong with a source, with a code of the errors'.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SourceProblem {
    code: &'static str,
    detail: String,
}

impl MigrationStats {
    /// The totals of one source.
    pub fn new(source: SourceStats) -> Self {
        let mut stats = Self {
            numbers: Numbers::default(),
            failed_images: 0,
            fallback_images: 0,
            migration_progress: None,
            missing_sources: Vec::new(),
            sources: Vec::new(),
            may_be_more: false,
        };
        stats.add(source);
        stats
    }

    /// Adds another source to the totals.
    pub fn add(&mut self, source: SourceStats) {
        match source.numbers {
            Some(numbers) => self.numbers = self.numbers.plus(numbers),
            None => self.missing_sources.push(source.name.clone()),
        }
        self.failed_images += source.failed.unwrap_or(0);
        self.may_be_more |= source.may_be_more;
        let is_known = self.missing_sources.is_empty();
        self.migration_progress = is_known.then(|| self.numbers.progress(self.may_be_more));
        self.sources.push(source);
    }

    /// Images in R2.
    pub const fn migrated_images(&self) -> u64 {
        self.numbers.migrated_images
    }

    /// The names of the sources, the catalogue's own first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|source| source.name.as_str())
    }

    /// The names of those that can be read.
    pub fn readable(&self) -> impl Iterator<Item = &str> {
        let readable = self.sources.iter().filter(|source| source.problem.is_none());
        readable.map(|source| source.name.as_str())
    }
}

impl SourceStats {
    /// The catalogue's own images.
    pub fn embedded(statistics: &Statistics, journal: Totals, now: Timestamp) -> Self {
        let numbers = Numbers {
            total_images: statistics.total_images(),
            migrated_images: statistics.r2_images,
            base64_images: statistics.d1_images,
            partially_migrated_images: journal.moved,
            estimated_space_saved: statistics.d1_bytes.div_ceil(BASE64_BYTES) * BASE64_CHARS,
        };
        Self::unknown(EMBEDDED.to_owned(), Some(journal)).with("current", numbers, false, now)
    }

    /// An application's table.
    pub fn of_table(name: String, journal: Option<Totals>, count: Result<Count, Problem>, now: Timestamp) -> Self {
        let unknown = Self::unknown(name, journal);
        match count {
            Ok(Count::Now(images)) => unknown.with("current", images.into(), images.may_be_more, now),
            Ok(Count::Kept { images, counted_at }) => {
                unknown.with("kept", images.into(), images.may_be_more, counted_at)
            }
            Ok(Count::UnderWay) => Self { state: "counting", ..unknown },
            Err(Problem { code, detail, .. }) => {
                let problem = SourceProblem { code: code.as_str(), detail };
                Self { problem: Some(problem), ..unknown }
            }
        }
    }

    fn unknown(name: String, journal: Option<Totals>) -> Self {
        let failed = journal.map(|journal| journal.failed);
        Self {
            name,
            state: "unavailable",
            counted_at: None,
            total_images: None,
            migrated_images: None,
            base64_images: None,
            partially_migrated_images: None,
            failed_images: failed,
            migration_progress: None,
            estimated_space_saved: None,
            moved: journal.map(|journal| journal.moved),
            cleaned: journal.map(|journal| journal.cleaned),
            failed,
            problem: None,
            numbers: None,
            may_be_more: false,
        }
    }

    fn with(self, state: &'static str, numbers: Numbers, may_be_more: bool, counted_at: Timestamp) -> Self {
        Self {
            state,
            counted_at: Some(counted_at.to_iso8601()),
            total_images: Some(numbers.total_images),
            migrated_images: Some(numbers.migrated_images),
            base64_images: Some(numbers.base64_images),
            partially_migrated_images: Some(numbers.partially_migrated_images),
            migration_progress: Some(numbers.progress(may_be_more)),
            estimated_space_saved: Some(numbers.estimated_space_saved),
            numbers: Some(numbers),
            may_be_more,
            ..self
        }
    }
}

impl Numbers {
    const fn plus(self, other: Self) -> Self {
        Self {
            total_images: self.total_images.saturating_add(other.total_images),
            migrated_images: self.migrated_images.saturating_add(other.migrated_images),
            base64_images: self.base64_images.saturating_add(other.base64_images),
            partially_migrated_images: self.partially_migrated_images.saturating_add(other.partially_migrated_images),
            estimated_space_saved: self.estimated_space_saved.saturating_add(other.estimated_space_saved),
        }
    }

    /// How much of the images is migrated, in percent, rounded down to a tenth. 100 only when it is known that nothing waits.
    fn progress(self, may_be_more: bool) -> f64 {
        let tenths = (u128::from(self.migrated_images) * 1000).checked_div(self.total_images.into()).unwrap_or(1000);
        let most = if self.base64_images > 0 || may_be_more { 999 } else { 1000 };
        u16::try_from(tenths.min(most)).map_or(0.0, |tenths| f64::from(tenths) / 10.0)
    }
}

impl From<Images> for Numbers {
    fn from(images: Images) -> Self {
        Self {
            total_images: images.migrated().saturating_add(images.waiting),
            migrated_images: images.migrated(),
            base64_images: images.waiting,
            partially_migrated_images: images.moved,
            estimated_space_saved: images.waiting_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(migrated_images: u64, base64_images: u64, may_be_more: bool) -> f64 {
        let total_images = migrated_images + base64_images;
        Numbers { total_images, migrated_images, base64_images, ..Numbers::default() }.progress(may_be_more)
    }

    #[test]
    fn progress_is_rounded_down_and_is_100_only_when_nothing_waits() {
        for (migrated, waiting, expected) in [
            (0, 0, 100.0),
            (12, 0, 100.0),
            (12, 1, 92.3),
            (0, 1, 0.0),
            (1, 1_999, 0.0),
            (2, 1, 66.6),
            (999_999, 1, 99.9),
            (u64::MAX / 2, 1, 99.9),
        ] {
            assert!((progress(migrated, waiting, false) - expected).abs() < 1e-9, "{migrated} and {waiting}");
        }
        assert!((progress(12, 0, true) - 99.9).abs() < 1e-9, "more may wait");
        assert!((progress(0, 0, true) - 99.9).abs() < 1e-9);
    }
}
