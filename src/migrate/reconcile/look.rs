//! What does not match in a slice of the bucket at one moment.

use serde::Deserialize;

use super::asked::Wanted;
use super::error::ReconcileError;
use super::place::Place;
use crate::catalog::{KeyedRow, Names, Status, Unnamed};
use crate::image::{ImageId, ObjectKey, ParsedKey};
use crate::library::{IMAGE_ID, Library};
use crate::migrate::registry::Sources;
use crate::migrate::source::ledger_answer;
use crate::runtime::Timestamp;
use crate::sql::{Statement, to_json};
use crate::store::{LIST_LIMIT, ListPage, ObjectInfo, StorageKind};

// Moves out of the catalogue itself are of images whose rows have the keys of their copies.
const SELECT_MOVES: &str = "SELECT storage_key FROM stillstore_moves WHERE source <> 'embedded' AND image_id IN (SELECT value FROM json_each(?1))";

const SELECT_IN_FLIGHT: &str = "SELECT value ->> 'key' AS storage_key FROM stillstore_runs INDEXED BY stillstore_runs_exclusive, \
    json_each(in_flight) WHERE exclusive = 1 AND state IN ('running', 'paused')";

/// A row whose object is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub id: ImageId,
    pub key: ObjectKey,
    pub size_bytes: u64,
}

/// Objects of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Foreign {
    pub objects: u64,
    pub bytes: u64,
}

/// A slice at one moment.
pub struct Look {
    pub objects: u64,
    pub rows: u64,
    pub foreign: Foreign,
    pub orphans: Vec<ObjectInfo>,
    pub missing: Vec<Missing>,
    /// The last key that both the objects and the rows have reached; `None` when both have reached their end.
    pub until: Option<ObjectKey>,
}

#[derive(Deserialize)]
struct KeyRow {
    storage_key: ObjectKey,
}

impl Look {
    pub async fn at(library: &Library, sources: &Sources, wanted: &Wanted) -> Result<Self, ReconcileError> {
        let after = wanted.after.as_ref();
        let bucket = library.stores.of_several(StorageKind::R2).ok_or(ReconcileError::NoBucket)?;
        // The rows after the objects: a row is there before its object is, unless a grant or an upload of frames names that.
        let mut page = bucket.list("", after, LIST_LIMIT).await?;
        let mut rows = library.catalog.rows_by_key(after, LIST_LIMIT).await?;
        let until = reach(&page, &rows);
        let holds = |key: &ObjectKey| until.as_ref().is_none_or(|until| key <= until);
        page.objects.retain(|object| holds(&object.key));
        rows.retain(|row| holds(&row.key));

        // Both are in the order of their keys.
        let is_named = |key: &ObjectKey| rows.binary_search_by(|row| row.key.cmp(key)).is_ok();
        let is_present = |key: &ObjectKey| page.objects.binary_search_by(|object| object.key.cmp(key)).is_ok();
        let is_old = |at: Timestamp| at <= wanted.unchanged_since;
        let in_bucket: Vec<_> =
            rows.iter().filter(|row| row.status == Status::Stored && row.storage == StorageKind::R2).collect();
        let missing = in_bucket.iter().filter(|row| is_old(row.updated_at) && !is_present(&row.key));
        let missing = missing.map(|row| Missing {
            id: row.id,
            key: row.key.clone(),
            size_bytes: row.size_bytes.unwrap_or_default(),
        });

        let mut foreign = Foreign::default();
        let mut orphans = Vec::new();
        for object in page.objects.iter().filter(|object| !is_named(&object.key)) {
            match Place::of(&object.key) {
                Place::Foreign => {
                    foreign.objects += 1;
                    foreign.bytes += object.size_bytes;
                }
                Place::Image(_) | Place::Moved(_) | Place::Variant(_) if is_old(object.stored_at) => {
                    orphans.push(object.clone());
                }
                Place::Record | Place::Image(_) | Place::Moved(_) | Place::Variant(_) => {}
            }
        }
        if !orphans.is_empty() {
            let names = names_of(library, sources, &orphans).await?;
            orphans.retain(|object| !names.keys.contains(&object.key) && !is_of_session(&names, &object.key));
        }
        Ok(Self {
            objects: page.objects.len() as u64,
            rows: in_bucket.len() as u64,
            foreign,
            missing: missing.collect(),
            orphans,
            until,
        })
    }

    /// Whether there is nothing to look at again.
    pub const fn matches(&self) -> bool {
        self.orphans.is_empty() && self.missing.is_empty()
    }

    /// What did not match either time, as far as both looks reached.
    pub fn confirmed_by(self, again: Self) -> Self {
        let until = earlier(self.until, again.until);
        let holds = |key: &ObjectKey| until.as_ref().is_none_or(|until| key <= until);
        let is_again = |object: &ObjectInfo| again.orphans.iter().any(|other| other.key == object.key);
        let (mut orphans, mut missing) = (self.orphans, self.missing);
        orphans.retain(|object| holds(&object.key) && is_again(object));
        missing.retain(|row| holds(&row.key) && again.missing.contains(row));
        let (objects, rows, foreign) = (again.objects, again.rows, again.foreign);
        Self { objects, rows, foreign, orphans, missing, until }
    }
}

/// What names the objects beside rows of the catalogue: grants, variants, uploads of frames, and in each database the journal and the
/// runs that are putting or removing them.
async fn names_of(library: &Library, sources: &Sources, objects: &[ObjectInfo]) -> Result<Names, ReconcileError> {
    let mut unnamed = Unnamed { keys: objects.iter().map(|object| object.key.clone()).collect(), ..Unnamed::default() };
    let mut moved: Vec<ImageId> = Vec::new();
    for object in objects {
        moved.extend(object.metadata.get(IMAGE_ID).and_then(|id| id.parse::<ImageId>().ok()));
        match Place::of(&object.key) {
            Place::Variant(image) => unnamed.images.push(image),
            Place::Moved(image) => moved.push(image),
            Place::Image(ParsedKey::Frame { frame, .. }) => unnamed.sessions.push(frame.session),
            Place::Image(_) | Place::Record | Place::Foreign => {}
        }
    }
    let mut names = library.catalog.names_of(&unnamed).await?;
    let moved = to_json(&moved)?;
    for (is_own, ledger) in sources.ledgers() {
        let statements = vec![Statement::new(SELECT_MOVES).bind(moved.as_str()), Statement::new(SELECT_IN_FLIGHT)];
        for answer in ledger_answer(is_own, ledger.database().batch(statements).await)? {
            let rows: Vec<KeyRow> = answer.rows()?;
            names.keys.extend(rows.into_iter().map(|row| row.storage_key));
        }
    }
    Ok(names)
}

fn is_of_session(names: &Names, key: &ObjectKey) -> bool {
    matches!(Place::of(key), Place::Image(ParsedKey::Frame { frame, .. }) if names.sessions.contains(&frame.session))
}

fn reach(page: &ListPage, rows: &[KeyedRow]) -> Option<ObjectKey> {
    let objects = page.objects.last().filter(|_| page.truncated).map(|object| object.key.clone());
    let rows = rows.last().filter(|_| rows.len() == usize::from(LIST_LIMIT)).map(|row| row.key.clone());
    earlier(objects, rows)
}

/// The earlier of two keys; `None` is the end.
fn earlier(one: Option<ObjectKey>, other: Option<ObjectKey>) -> Option<ObjectKey> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
