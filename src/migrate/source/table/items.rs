//! Moves the images of an application's table into the bucket.

use std::rc::Rc;

use async_trait::async_trait;

use super::catalogue::TableCatalogue;
use super::datum::{Datum, MAX_DATA_BYTES};
use super::definition::Table;
use super::found::{Found, Row};
use super::keys;
use super::ready::{Inspected, Ready, RowAsRead, columns_too_large, of_rejection, private_image_and_public_bucket};
use super::value::ValueProblem;
use crate::catalog::Content;
use crate::image::{Format, KeySecrets, Visibility};
use crate::migrate::runs::{InFlight, ItemId, Run, Stage};
use crate::migrate::source::{Items, Movable, Prepared};
use crate::migrate::task::{Bounds, Interruption, Page, PageItem, Refusal, SLICE_BYTES, SliceContext, listed_ids};
use crate::sql::{DatabaseError, QueryResult, Statement};
use crate::store::EMBEDDED_MAX_BYTES;

/// The rows of a table that are to be moved.
pub struct TableItems {
    pub table: Rc<Table>,
    pub catalogue: TableCatalogue,
    /// Whoever knows a key can read the object.
    pub bucket_is_public: bool,
    pub key_secrets: Option<KeySecrets>,
}

impl TableItems {
    fn own_urls(&self, run: &Run) -> String {
        run.parameters.public_base.prefix(&keys::prefix(&self.table.source.name))
    }

    /// Reads the values that did not come with their rows, all in one round trip.
    async fn load(&self, page: &mut Page<Found>, context: &SliceContext<'_>) -> Result<(), Interruption> {
        let mut statements = Vec::new();
        let mut missing = Vec::new();
        for found in page.items.iter_mut().filter_map(|item| item.found.as_mut()) {
            let row = &found.row;
            let is_blob = row.data_type == "blob";
            let bytes = row.data_bytes.unwrap_or(0);
            if found.datum.is_none() && (is_blob || row.data_type == "text") && bytes <= max_bytes(is_blob) {
                let pieces = self.table.load_pieces(&row.item, bytes, is_blob);
                missing.push((found, is_blob, pieces.len()));
                statements.extend(pieces);
            }
        }
        if statements.is_empty() {
            return Ok(());
        }
        let mut answers = context.read(statements).await?.into_iter();
        for (found, is_blob, pieces) in missing {
            let answers: Vec<_> = answers.by_ref().take(pieces).collect();
            found.datum = if is_blob {
                Datum::from_pieces(&answers, true)?
            } else {
                answers.into_iter().next().and_then(|answer| answer.texts.into_iter().next()?).map(Datum::Text)
            };
        }
        Ok(())
    }

    async fn ready(&self, id: &ItemId, found: Found, context: &SliceContext<'_>) -> Result<Ready, Refusal> {
        let Found { row, datum } = found;
        let Some(before) = row.before.clone() else { return Err(columns_too_large()) };
        let as_read = RowAsRead { before, metadata: row.metadata.clone(), earlier: row.earlier.clone() };
        if row.data_type == "null" && as_read.stage().is_some_and(|stage| stage != Stage::Restored) {
            return Err(Refusal::skipped("already-moved", "the row's image is in R2"));
        }
        if self.bucket_is_public && self.table.source.visibility == Visibility::Private {
            return Err(private_image_and_public_bucket());
        }
        let inspected = inspect(&row, datum, context).await?;
        Ok(Ready::new(&self.table, &self.catalogue, self.key_secrets, id, as_read, inspected))
    }
}

#[async_trait(?Send)]
impl Items for TableItems {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        if let Some(ids) = listed_ids(run, bounds.limit) {
            return Ok(ids.into_iter().map(|id| self.table.select_one(id, bounds.inline_max_bytes)).collect());
        }
        let after = run.cursor.as_ref().and_then(|cursor| cursor.get("after")?.as_str());
        Ok(vec![self.table.select_after(after, bounds.limit, bounds.inline_max_bytes, &self.own_urls(run))])
    }

    fn count(&self, run: &Run) -> Statement {
        // A dry run reads every row in any case.
        if run.is_dry_run() { self.table.count(&self.own_urls(run)) } else { self.table.estimate(&self.own_urls(run)) }
    }

    async fn prepare(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Prepared, Interruption> {
        let mut page = self.table.page(run, &found, bounds, false)?;
        drop(found);
        let sizes = page.items.iter().filter_map(|item| item.found.as_ref()?.row.data_bytes);
        page.largest_bytes = sizes.filter(|bytes| *bytes <= MAX_DATA_BYTES).max().unwrap_or(0);
        cut_to_size(&mut page);
        self.load(&mut page, context).await?;
        let Page { items, is_last, largest_bytes } = page;
        let (mut prepared, mut warnings) = (Vec::with_capacity(items.len()), Vec::new());
        for PageItem { id, found, cursor } in items {
            let said = found.as_ref().and_then(|found| found.row.media_type.clone());
            let ready = match found {
                Some(found) => self.ready(&id, found, context).await,
                None => Err(Refusal::failed("not-found", "the table has no such row")),
            };
            if let (Ok(ready), Some(said)) = (&ready, said) {
                warnings.extend(mistaken_type(&id, &said, ready.format()));
            }
            let found = Some(ready.map(|ready| Box::new(ready) as Box<dyn Movable>));
            prepared.push(PageItem { id, found, cursor });
        }
        Ok(Prepared { warnings, ..Prepared::of(Page { items: prepared, is_last, largest_bytes }) })
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        self.table.names(in_flight)
    }
}

async fn inspect(row: &Row, datum: Option<Datum>, context: &SliceContext<'_>) -> Result<Inspected, Refusal> {
    let of_value = |problem: ValueProblem| Refusal::failed(problem.reason(), problem.to_string());
    match row.data_type.as_str() {
        "null" => return Err(of_value(ValueProblem::Empty)),
        "text" | "blob" => {}
        other => return Err(of_value(ValueProblem::NotText(other.to_owned()))),
    }
    if row.data_bytes.unwrap_or(0) > max_bytes(row.data_type == "blob") {
        return Err(of_value(ValueProblem::TooLarge { limit_bytes: EMBEDDED_MAX_BYTES }));
    }
    let Some(datum) = datum else {
        return Err(Refusal::failed("changed-meanwhile", "somebody else changed the row while it was read"));
    };
    let decoded = datum.decode().map_err(of_value)?;
    let (format, geometry) = Format::inspect_blob(&decoded.bytes).map_err(of_rejection)?;
    let inspected = Content {
        size_bytes: decoded.bytes.size_bytes() as u64,
        sha256: context.runtime.sha256(&decoded.bytes).await,
        dimensions: geometry.map(|geometry| geometry.dimensions),
        orientation: geometry.and_then(|geometry| geometry.orientation),
    };
    Ok(Inspected { datum, bytes: Box::new(decoded.bytes), form: decoded.form, format, content: inspected })
}

/// Leaves rows to the next slice that would not fit into memory beside those in front of them; one always fits.
fn cut_to_size(page: &mut Page<Found>) {
    let mut bytes = 0;
    let fitting = page.items.iter().take_while(|item| {
        let own = item.found.as_ref().and_then(|found| found.row.data_bytes).unwrap_or(0);
        let is_first = bytes == 0;
        bytes += if own > MAX_DATA_BYTES { 0 } else { own };
        is_first || bytes <= SLICE_BYTES
    });
    let fitting = fitting.count();
    if fitting < page.items.len() {
        page.items.truncate(fitting);
        page.is_last = false;
    }
}

const fn max_bytes(is_blob: bool) -> u64 {
    if is_blob { EMBEDDED_MAX_BYTES } else { MAX_DATA_BYTES }
}

/// What is said of the type, when the bytes say another.
fn mistaken_type(id: &ItemId, said: &str, format: Format) -> Option<String> {
    let is_right = Format::from_content_type(said).is_none_or(|said| said == format);
    (!is_right).then(|| ["the row ", &id.as_text(), " says ", said, ", its bytes are ", format.content_type()].concat())
}
