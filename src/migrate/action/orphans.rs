//! The bucket's objects against the rows, a page at a time: an object of ours that nothing names is an orphan, and an image in R2 that
//! was never moved there must have its object. Nothing stands still meanwhile, so that whatever does not match is looked at again.

use serde::Deserialize;

use crate::image::ObjectKey;
use crate::migrate::runs::{IdType, Line, Run, Verdict};
use crate::migrate::source::Objects;
use crate::migrate::task::{Interruption, Outcome, SliceContext, item_id};
use crate::sql::{DatabaseError, QueryResult, Statement, to_json};
use crate::store::{ImageStore, LIST_LIMIT, ListPage, ObjectInfo};

/// Objects asked about in one statement; their keys, at most 688 bytes each, are one parameter.
const KEYS_PER_STATEMENT: usize = 200;

/// What came of a page.
pub struct Checked {
    pub outcomes: Vec<Outcome>,
    /// The last key that was checked; `None` when nothing is left.
    pub until: Option<ObjectKey>,
}

/// What does not match at one moment.
struct Look {
    /// Objects that nothing names.
    unnamed: Vec<ObjectInfo>,
    /// Rows without their object.
    bereft: Vec<ImageRow>,
    /// The last key that both the objects and the rows have reached; `None` when both have reached their end.
    until: Option<ObjectKey>,
}

/// Checks the objects and rows behind `after`.
pub async fn check(
    bucket: &dyn ImageStore,
    scope: &dyn Objects,
    run: &Run,
    after: Option<&ObjectKey>,
    context: &SliceContext<'_>,
) -> Result<Checked, Interruption> {
    let mut first: Option<Look> = None;
    // A loop of two, so that the look is compiled once.
    let look = loop {
        let look = Look::at(bucket, scope, run, after, context).await?;
        match first.take() {
            Some(first) => break first.confirmed_by(look),
            None if look.unnamed.is_empty() && look.bereft.is_empty() => break look,
            None => first = Some(look),
        }
    };
    let mut outcomes = look.unnamed.into_iter().map(orphaned).collect::<Result<Vec<_>, _>>()?;
    for row in &look.bereft {
        outcomes.push(lost(row)?);
    }
    Ok(Checked { outcomes, until: look.until })
}

impl Look {
    async fn at(
        bucket: &dyn ImageStore,
        scope: &dyn Objects,
        run: &Run,
        after: Option<&ObjectKey>,
        context: &SliceContext<'_>,
    ) -> Result<Self, Interruption> {
        context.count(|operations| operations.r2_class_a += 1);
        let page = bucket.list(&scope.prefix(), after, LIST_LIMIT).await;
        let page = page.map_err(|error| Interruption::Destination { detail: error.code().to_owned() })?;
        let rows = match scope.rows_in_bucket(after) {
            Some(rows) => context.announce(&[], vec![rows]).await?,
            None => Vec::new(),
        };
        let rows = rows.first().map(QueryResult::rows::<ImageRow>).transpose()?.unwrap_or_default();
        let until = reach(&page, &rows);
        let holds = |key: &ObjectKey| until.as_ref().is_none_or(|until| key <= until);

        // Both are in the order of their keys.
        let is_named = |key: &ObjectKey| rows.binary_search_by(|row| row.storage_key.cmp(key)).is_ok();
        let is_present = |key: &ObjectKey| page.objects.binary_search_by(|object| object.key.cmp(key)).is_ok();
        let is_unmatched = |object: &&ObjectInfo| holds(&object.key) && scope.owns(object) && !is_named(&object.key);
        let mut unnamed: Vec<_> = page.objects.iter().filter(is_unmatched).cloned().collect();
        let mut questions = unnamed
            .chunks(KEYS_PER_STATEMENT)
            .map(|objects| otherwise_named(objects, scope))
            .collect::<Result<Vec<_>, _>>()?;
        if !questions.is_empty() {
            let mut answers = match scope.catalogue() {
                Some(catalogue) => {
                    context.count(|operations| operations.count_database(1, questions.len() as u64));
                    catalogue.batch(questions.clone()).await?
                }
                None => Vec::new(),
            };
            questions.push(being_put(&run.source));
            answers.extend(context.read(questions).await?);
            for answer in answers {
                let known: Vec<_> = answer.rows::<KeyRow>()?.into_iter().map(|row| row.storage_key).collect();
                unnamed.retain(|object| !known.contains(&object.key));
            }
        }
        let is_bereft = |row: &ImageRow| holds(&row.storage_key) && !is_present(&row.storage_key) && row.was_moved == 0;
        let bereft = rows.iter().filter(|row| is_bereft(row)).cloned().collect();
        Ok(Self { unnamed, bereft, until })
    }

    /// What did not match either time, as far as both looks reached.
    fn confirmed_by(self, again: Self) -> Self {
        let until = earlier(self.until, again.until);
        let holds = |key: &ObjectKey| until.as_ref().is_none_or(|until| key <= until);
        let is_again = |object: &ObjectInfo| again.unnamed.iter().any(|other| other.key == object.key);
        let is_bereft_again = |row: &ImageRow| again.bereft.iter().any(|other| other.storage_key == row.storage_key);
        let (mut unnamed, mut bereft) = (self.unnamed, self.bereft);
        unnamed.retain(|object| holds(&object.key) && is_again(object));
        bereft.retain(|row| holds(&row.storage_key) && is_bereft_again(row));
        Self { unnamed, bereft, until }
    }
}

fn reach(page: &ListPage, rows: &[ImageRow]) -> Option<ObjectKey> {
    let objects = page.objects.last().filter(|_| page.truncated).map(|object| object.key.clone());
    let rows = rows.last().filter(|_| rows.len() == usize::from(LIST_LIMIT)).map(|row| row.storage_key.clone());
    earlier(objects, rows)
}

/// The earlier of two keys; `None` is the end.
fn earlier(one: Option<ObjectKey>, other: Option<ObjectKey>) -> Option<ObjectKey> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[derive(Deserialize)]
struct KeyRow {
    storage_key: ObjectKey,
}

#[derive(Clone, Deserialize)]
struct ImageRow {
    id: String,
    storage_key: ObjectKey,
    /// Moved images are checked as items.
    was_moved: u8,
}

/// Asks which of the objects another row names: an image on its way in or out, one that is embedded, an upload, or a move of a
/// table's row.
fn otherwise_named(objects: &[ObjectInfo], scope: &dyn Objects) -> Result<Statement, DatabaseError> {
    let keys: Vec<_> = objects.iter().map(|object| &object.key).collect();
    let images: Vec<_> = objects.iter().filter_map(|object| scope.image_of(object)).collect();
    Ok(Statement::new(
        "SELECT storage_key FROM stillstore_images WHERE storage_key IN (SELECT value FROM json_each(?1)) UNION ALL \
         SELECT storage_key FROM stillstore_uploads WHERE storage_key IN (SELECT value FROM json_each(?1)) UNION ALL \
         SELECT storage_key FROM stillstore_moves WHERE source <> 'embedded' \
         AND image_id IN (SELECT value FROM json_each(?2))",
    )
    .bind(to_json(&keys)?)
    .bind(to_json(&images)?))
}

/// Asks which objects a run over `source`, or a reader, is putting or removing: they answer for them.
fn being_put(source: &str) -> Statement {
    Statement::new(
        "SELECT value ->> 'key' AS storage_key FROM stillstore_runs INDEXED BY stillstore_runs_exclusive, json_each(in_flight) \
         WHERE source = ?1 AND exclusive = 1 AND state IN ('running', 'paused') UNION ALL \
         SELECT storage_key FROM stillstore_read_throughs WHERE source = ?1 AND storage_key IS NOT NULL",
    )
    .bind(source)
}

/// An image that its row says is in R2, and is not.
fn lost(row: &ImageRow) -> Result<Outcome, DatabaseError> {
    let line = Line::new(item_id(IdType::Text, &row.id)?, Verdict::Missing).to_object(&row.storage_key);
    Ok(Outcome::only(
        line.because("object-missing", "the row says that the image is in R2, and the bucket does not have it"),
    ))
}

fn orphaned(object: ObjectInfo) -> Result<Outcome, DatabaseError> {
    let line = Line::new(item_id(IdType::Text, object.key.as_str())?, Verdict::Orphaned);
    let line = match object.sha256 {
        Some(sha256) => line.with_bytes(sha256, object.size_bytes, object.content_type),
        None => line,
    };
    Ok(Outcome::only(line.because("no-row", "no row names the object")))
}
