//! Rows of a table as they were read.

use serde::Deserialize;
use serde_json::json;

use super::datum::Datum;
use super::definition::Table;
use crate::image::ImageId;
use crate::migrate::runs::{Run, Stage};
use crate::migrate::task::{Bounds, Page, PageItem, item_id, listed_page};
use crate::sql::{DatabaseError, QueryResult};

/// What is asked of a row; which of it depends on who asks.
#[derive(Deserialize)]
pub(super) struct Row {
    /// Its id as text.
    #[serde(default)]
    pub item: String,
    /// The type of the value in the data column, as SQLite's `typeof()` calls it.
    pub data_type: String,
    /// The value's length, `None` when it is NULL.
    pub data_bytes: Option<u64>,
    /// The columns that a move writes; `None` when they are too long.
    pub before: Option<String>,
    pub media_type: Option<String>,
    pub metadata: Option<String>,
    /// What the journal says of it.
    pub earlier: Option<String>,
    /// Where the journal says that its move is.
    pub stage: Option<Stage>,
    /// The image that the journal says it is.
    pub image_id: Option<ImageId>,
    /// The url that its move wrote.
    pub moved_url: Option<String>,
    /// Whether it still names the copy.
    pub is_ours: Option<u8>,
    /// Whether it names the moved image in any way.
    pub names_image: Option<u8>,
    /// Every column but the data column, as JSON; `None` when they are too long to come along.
    pub columns: Option<String>,
    /// Their length.
    pub columns_bytes: Option<u64>,
    /// How often U+FFFD is in them; more often in `columns` when not all of them are UTF-8.
    pub replacements: Option<u64>,
    /// A column that JSON does not hold as it is.
    pub inexact: Option<String>,
}

/// A row, and its value when that is short enough to come along.
pub(super) struct Found {
    pub row: Row,
    pub datum: Option<Datum>,
}

/// The rows in an answer. BLOBs come in hexadecimal digits, with `raw` the UTF-8 of texts too.
pub(super) fn read(answer: &QueryResult, raw: bool) -> Result<Vec<Found>, DatabaseError> {
    let found = answer.rows::<Row>()?.into_iter().zip(answer.texts.iter().cloned());
    let found = found.map(|(row, text)| {
        let datum = text.map(|text| Datum::from_inline(raw || row.data_type == "blob", text)).transpose()?;
        Ok(Found { row, datum })
    });
    found.collect()
}

impl Table {
    /// The rows of a slice: those that the caller named, one answer each, or those behind the cursor.
    pub(super) fn page(
        &self,
        run: &Run,
        answers: &[QueryResult],
        bounds: Bounds,
        raw: bool,
    ) -> Result<Page<Found>, DatabaseError> {
        let ids = self.schema.ids;
        if let Some(listed) = listed_page(run, ids, answers, |answer| Ok(read(answer, raw)?.pop()))? {
            return Ok(listed);
        }
        let found = answers.first().map(|answer| read(answer, raw)).transpose()?.unwrap_or_default();
        let is_last = found.len() < usize::from(bounds.limit);
        let items = found.into_iter().map(|found| {
            let cursor = json!({ "after": found.row.item });
            Ok(PageItem { id: item_id(ids, &found.row.item)?, cursor, found: Some(found) })
        });
        Ok(Page { items: items.collect::<Result<_, DatabaseError>>()?, is_last, largest_bytes: 0 })
    }
}
