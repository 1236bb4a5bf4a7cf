//! Checking what was moved against the bucket, and the bucket against the rows.
//!
//! Three legs, one behind the other: which items (only for a sample), the items, the objects of the bucket. A run over named items or
//! over a sample leaves the objects out.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::embedded::EMBEDDED;
use super::item::{IdType, ItemId};
use super::journal::{self, Entry, Stage};
use super::ledger::{from_json, to_json};
use super::line::{Line, Verdict};
use super::originals::{Copies, Refusal, missing};
use super::run::{InFlight, Run};
use super::slice::{Bounds, Candidate, Candidates, Hand, Interruption, Outcome, Slice, Work, item_id};
use super::{table_key, walk};
use crate::image::{ObjectKey, ParsedKey, Sha256Digest};
use crate::sql::{DatabaseError, QueryResult, Statement};
use crate::store::{LIST_LIMIT, ListPage, ObjectInfo};

/// Items looked at for a sample in one slice: rows only, no bytes.
const DRAW_LIMIT: u16 = 1_000;

/// Objects asked about in one statement; their keys, at most 151 bytes each, are one parameter.
const KEYS_PER_STATEMENT: usize = 200;

/// Checks moves and objects; changes nothing.
pub(super) struct Validate {
    pub copies: Copies,
    pub ids: IdType,
}

/// Where the next slice begins.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Cursor {
    /// Choosing a sample: the items with the smallest hashes so far.
    Draw { after: String, drawn: Vec<(String, String)> },
    /// Checking a sample.
    Sample { drawn: Vec<String>, index: usize },
    /// Checking items.
    Items { after: String },
    /// Looking through the bucket.
    Objects { after: Option<ObjectKey> },
}

impl Validate {
    fn cursor(run: &Run) -> Result<Cursor, DatabaseError> {
        match &run.cursor {
            Some(cursor) if cursor.get("after").is_none() && cursor.get("index").is_none() => {
                from_json(&cursor.to_string())
            }
            Some(cursor) => {
                let after = cursor.get("after").and_then(|after| after.as_str()).unwrap_or_default();
                Ok(Cursor::Items { after: after.to_owned() })
            }
            None if run.parameters.item_ids.is_none() && run.parameters.sample_size.is_some() => {
                Ok(Cursor::Draw { after: String::new(), drawn: Vec::new() })
            }
            None => Ok(Cursor::Items { after: String::new() }),
        }
    }

    /// Keeps the items whose hash, salted with the run's id, is among the smallest: each set of that many items is as likely as any
    /// other.
    fn draw(
        run: &Run,
        after: String,
        drawn: Vec<(String, String)>,
        answer: &QueryResult,
    ) -> Result<Slice, Interruption> {
        let size = run.parameters.sample_size.unwrap_or(1) as usize;
        let entries = journal::entries(answer)?;
        let is_last = entries.len() < usize::from(DRAW_LIMIT);
        let after = entries.last().map_or(after, |entry| entry.item.clone());
        let mut drawn = drawn;
        for entry in entries.into_iter().filter(|entry| entry.stage != Stage::Restored) {
            let hash = Sha256Digest::of(format!("{}/{}", run.id, entry.item).as_bytes()).to_string();
            drawn.push((hash, entry.item));
        }
        drawn.sort_unstable();
        drawn.truncate(size);
        let cursor = if is_last {
            Cursor::Sample { drawn: drawn.into_iter().map(|(_, item)| item).collect(), index: 0 }
        } else {
            Cursor::Draw { after, drawn }
        };
        Ok(Slice { cursor: Some(to_value(&cursor)?), ..Slice::default() })
    }

    async fn check(&self, run: &Run, id: ItemId, found: Option<Entry>, hand: &Hand<'_>) -> Outcome {
        let Some(entry) = found else {
            return Refusal::failed("not-moved", "the journal has no such item").into_outcome(id);
        };
        if entry.stage == Stage::Restored {
            return Refusal::skipped("restored", "the row names its original").into_outcome(id);
        }
        hand.count(|operations| operations.r2_class_b += 1);
        let checked = if run.parameters.check_integrity {
            self.copies.read_back(&entry).await
        } else {
            self.copies.head(&entry).await.and_then(|info| match info {
                None => Err(Refusal { verdict: Verdict::Missing, reason: "copy-missing", detail: missing(&entry) }),
                Some(info) => compare(&entry, &info),
            })
        };
        match checked {
            Ok(()) => {
                let line = Line::new(id, Verdict::Valid);
                Outcome::only(line.with_bytes(entry.sha256, entry.size_bytes, entry.content_type))
            }
            Err(refusal) => refusal.into_outcome(id),
        }
    }

    /// A page of the bucket's objects against the rows: those of ours that no row names are orphans, and images in R2 that were never
    /// moved there must have theirs.
    async fn objects(&self, run: &Run, after: Option<ObjectKey>, hand: &Hand<'_>) -> Result<Slice, Interruption> {
        let scope = Scope::of(run);
        hand.count(|operations| operations.r2_class_a += 1);
        let page = self.copies.bucket.list(&scope.prefix(), after.as_ref(), LIST_LIMIT).await;
        let page = page.map_err(|error| Interruption::Bucket { detail: error.code().to_owned() })?;
        let rows = match scope {
            Scope::Images => hand.intend(&[], vec![images_in_r2(after.as_ref())]).await?,
            Scope::Table(_) => Vec::new(),
        };
        let rows = rows.first().map(QueryResult::rows::<ImageRow>).transpose()?.unwrap_or_default();
        let window = Window::of(&page, &rows);

        // Both are in the order of their keys.
        let is_named = |key: &ObjectKey| rows.binary_search_by(|row| row.storage_key.cmp(key)).is_ok();
        let is_present = |key: &ObjectKey| page.objects.binary_search_by(|object| object.key.cmp(key)).is_ok();
        let unmatched: Vec<_> = page
            .objects
            .iter()
            .filter(|object| window.holds(&object.key) && scope.has(&object.key) && !is_named(&object.key))
            .cloned()
            .collect();
        let questions = unmatched.chunks(KEYS_PER_STATEMENT).map(otherwise_named).collect::<Result<Vec<_>, _>>()?;
        let answers = if questions.is_empty() { Vec::new() } else { hand.read(questions).await? };
        let mut known = Vec::new();
        for answer in &answers {
            known.extend(answer.rows::<KeyRow>()?.into_iter().map(|row| row.storage_key));
        }
        let mut outcomes = Vec::new();
        for object in unmatched.into_iter().filter(|object| !known.contains(&object.key)) {
            outcomes.push(orphaned(object)?);
        }
        for row in rows.iter().filter(|row| window.holds(&row.storage_key) && !is_present(&row.storage_key)) {
            if row.was_moved == 0 {
                outcomes.push(lost(row)?);
            }
        }
        let exhausted = window.until.is_none();
        let cursor = to_value(&Cursor::Objects { after: window.until.or(after) })?;
        Ok(Slice { outcomes, cursor: Some(cursor), exhausted, ..Slice::default() })
    }
}

/// Which objects of the bucket a run answers for.
enum Scope<'run> {
    /// Those of catalogued images.
    Images,
    /// Those of a table source.
    Table(&'run str),
}

impl<'run> Scope<'run> {
    fn of(run: &'run Run) -> Self {
        if run.source == EMBEDDED { Self::Images } else { Self::Table(&run.source) }
    }

    fn prefix(&self) -> String {
        match self {
            Self::Images => String::new(),
            Self::Table(source) => table_key::prefix(source),
        }
    }

    /// Others may share the bucket.
    fn has(&self, key: &ObjectKey) -> bool {
        match self {
            Self::Images => ParsedKey::parse(key).is_some(),
            Self::Table(_) => table_key::image_id(key).is_some(),
        }
    }
}

/// How far both the objects and the rows of a page reach.
struct Window {
    /// The last key that both sides have reached; `None` when both have reached their end.
    until: Option<ObjectKey>,
}

impl Window {
    fn of(page: &ListPage, rows: &[ImageRow]) -> Self {
        let objects_until = page.objects.last().filter(|_| page.truncated).map(|object| &object.key);
        let rows_until = rows.last().filter(|_| rows.len() == usize::from(LIST_LIMIT)).map(|row| &row.storage_key);
        let until = match (objects_until, rows_until) {
            (Some(objects), Some(rows)) => Some(objects.min(rows)),
            (one, other) => one.or(other),
        };
        Self { until: until.cloned() }
    }

    fn holds(&self, key: &ObjectKey) -> bool {
        self.until.as_ref().is_none_or(|until| key <= until)
    }
}

#[async_trait(?Send)]
impl Work for Validate {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        Ok(match Self::cursor(run)? {
            Cursor::Draw { after, .. } => vec![journal::after(&run.source, &after, DRAW_LIMIT)],
            Cursor::Sample { drawn, index } => {
                let chosen = drawn.iter().skip(index).take(usize::from(bounds.limit));
                chosen.map(|item| journal::one(&run.source, item)).collect()
            }
            Cursor::Items { .. } => walk::select(run, bounds.limit),
            Cursor::Objects { .. } => Vec::new(),
        })
    }

    async fn perform(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        hand: &Hand<'_>,
    ) -> Result<Slice, Interruption> {
        let check = async |id, entry| Ok(self.check(run, id, entry, hand).await);
        match Self::cursor(run)? {
            Cursor::Draw { after, drawn } => match found.first() {
                Some(answer) => Self::draw(run, after, drawn, answer),
                None => Ok(Slice { exhausted: true, ..Slice::default() }),
            },
            Cursor::Sample { drawn, index } => {
                let mut items = Vec::new();
                for (offset, (item, answer)) in drawn.iter().skip(index).zip(&found).enumerate() {
                    let cursor = to_value(&Cursor::Sample { drawn: drawn.clone(), index: index + offset + 1 })?;
                    let found = journal::entries(answer)?.pop();
                    items.push(Candidate { id: item_id(self.ids, item)?, found, cursor });
                }
                let is_last = index + items.len() >= drawn.len();
                let mut slice = Candidates { items, is_last, largest_bytes: 0 }.handle(hand, check).await?;
                if slice.exhausted {
                    slice.warnings.push(proof(drawn.len(), run.progress.total));
                }
                Ok(slice)
            }
            Cursor::Items { .. } => {
                let candidates = walk::candidates(run, self.ids, &found, bounds.limit)?;
                let mut slice = candidates.handle(hand, check).await?;
                if slice.exhausted && run.parameters.item_ids.is_none() {
                    slice.exhausted = false;
                    slice.cursor = Some(to_value(&Cursor::Objects { after: None })?);
                }
                Ok(slice)
            }
            Cursor::Objects { after } => self.objects(run, after, hand).await,
        }
    }

    fn count(&self, run: &Run) -> Option<Statement> {
        Some(walk::count(run))
    }

    fn names(&self, _in_flight: &InFlight) -> Statement {
        // Nothing is ever put.
        Statement::new("SELECT 0 AS waits")
    }
}

#[derive(Deserialize)]
struct KeyRow {
    storage_key: ObjectKey,
}

#[derive(Deserialize)]
struct ImageRow {
    id: String,
    storage_key: ObjectKey,
    /// Moved images are checked as items.
    was_moved: u8,
}

/// Images whose row says R2, in the order of their keys.
fn images_in_r2(after: Option<&ObjectKey>) -> Statement {
    Statement::new(
        "SELECT id, storage_key, EXISTS (SELECT 1 FROM stillstore_moves WHERE source = 'embedded' AND item_id = id) AS was_moved \
         FROM stillstore_images WHERE storage_key > ?1 AND +status = 'stored' AND +storage = 'r2' ORDER BY storage_key LIMIT ?2",
    )
    .bind(after.map_or("", ObjectKey::as_str))
    .bind(i64::from(LIST_LIMIT))
}

/// Asks which of the objects another row names: an image on its way in or out, one that is embedded, or a move of a table's row.
fn otherwise_named(objects: &[ObjectInfo]) -> Result<Statement, DatabaseError> {
    let keys: Vec<_> = objects.iter().map(|object| &object.key).collect();
    let images: Vec<_> = keys.iter().filter_map(|key| table_key::image_id(key)).collect();
    Ok(Statement::new(
        "SELECT storage_key FROM stillstore_images WHERE storage_key IN (SELECT value FROM json_each(?1)) UNION ALL \
         SELECT storage_key FROM stillstore_moves WHERE source <> 'embedded' \
         AND image_id IN (SELECT value FROM json_each(?2))",
    )
    .bind(to_json(&keys)?)
    .bind(to_json(&images)?))
}

/// An image that its row says is in R2, and is not.
fn lost(row: &ImageRow) -> Result<Outcome, DatabaseError> {
    let line = Line::new(item_id(IdType::Text, &row.id)?, Verdict::Missing).to_object(&row.storage_key);
    Ok(Outcome::only(
        line.because("object-missing", "the row says that the image is in R2, and the bucket does not have it"),
    ))
}

fn compare(entry: &Entry, info: &ObjectInfo) -> Result<(), Refusal> {
    let differs = |reason, detail: String| Err(Refusal { verdict: Verdict::Corrupted, reason, detail });
    if info.size_bytes != entry.size_bytes {
        return differs("size-differs", format!("{} bytes instead of {}", info.size_bytes, entry.size_bytes));
    }
    match info.sha256 {
        Some(sha256) if sha256 == entry.sha256 => {}
        Some(sha256) => return differs("digest-differs", format!("{sha256} instead of {}", entry.sha256)),
        None => return differs("digest-unknown", "the object carries no SHA-256".to_owned()),
    }
    if info.content_type != entry.content_type {
        return differs("type-differs", format!("{} instead of {}", info.content_type, entry.content_type));
    }
    Ok(())
}

fn orphaned(object: ObjectInfo) -> Result<Outcome, DatabaseError> {
    let line = Line::new(item_id(IdType::Text, object.key.as_str())?, Verdict::Orphaned);
    let line = match object.sha256 {
        Some(sha256) => line.with_bytes(sha256, object.size_bytes, object.content_type),
        None => line,
    };
    Ok(Outcome::only(line.because("no-row", "no row names the object")))
}

/// What a sample says of the rest, by the rule of three: of n sound items, with 95 % confidence, at most 3/n are not.
fn proof(checked: usize, total: Option<u64>) -> String {
    // In tenths of a percent, rounded up.
    let share = 3_000_usize.div_ceil(checked.max(1)).min(1_000);
    let (percent, tenth) = (share / 10, share % 10);
    let of = total.map_or_else(String::new, |total| format!(" of {total}"));
    format!(
        "{checked} items{of} were chosen evenly at random; if none of them is bad, at most {percent}.{tenth} % of all are, with 95 % confidence"
    )
}

fn to_value(cursor: &Cursor) -> Result<serde_json::Value, DatabaseError> {
    from_json(&to_json(cursor)?).map(|value: serde_json::Value| if value.is_null() { json!({}) } else { value })
}
