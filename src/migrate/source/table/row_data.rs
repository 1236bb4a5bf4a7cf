//! The value of a row's data column as it is, read piece by piece.

use std::rc::Rc;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;

use super::datum::Datum;
use super::definition::Table;
use super::found::Found;
use super::sql::PIECE_BYTES;
use crate::bytes::Blob;
use crate::migrate::archive::backup::{Data, Split, Survey};
use crate::migrate::archive::record::Extent;
use crate::migrate::archive::{PieceError, Pieces, refusal};
use crate::migrate::runs::ItemId;
use crate::migrate::task::{Refusal, SLICE_BYTES};
use crate::sql::{Database, DatabaseError};

/// Bytes of a character in UTF-8 but its first, at most: read behind a piece, so that a piece ends with a whole character.
const MAX_CONTINUATION_BYTES: usize = 3;

/// The value of one row, a text or a BLOB, which is read from the database unless it is short.
pub(super) struct RowData {
    pub database: Rc<dyn Database>,
    pub table: Rc<Table>,
    pub item: String,
    is_text: bool,
    pub size_bytes: u64,
    /// The first pieces, which need not be read again. Outside wasm memory where the database is.
    kept: Vec<Blob>,
}

impl RowData {
    pub fn new(database: &Rc<dyn Database>, table: &Rc<Table>, found: Found) -> Self {
        let kept = match found.datum {
            Some(Datum::Bytes { bytes, .. }) => vec![bytes],
            _ => Vec::new(),
        };
        Self {
            database: Rc::clone(database),
            table: Rc::clone(table),
            item: found.row.item,
            is_text: found.row.data_type == "text",
            size_bytes: found.row.data_bytes.unwrap_or(0),
            kept,
        }
    }

    /// Statements that reading takes.
    pub fn reads(&self) -> u64 {
        self.size_bytes.div_ceil(PIECE_BYTES).saturating_sub(self.kept.len() as u64)
    }

    /// Says what the value is, and the extent of its lines, by reading all of it; with `keep` it is held if it fits into a slice.
    pub fn survey<'call>(
        &'call mut self,
        id: &'call ItemId,
        keep: bool,
    ) -> LocalBoxFuture<'call, Result<(Data, Extent), PieceError>> {
        Box::pin(self.survey_now(id, keep))
    }

    async fn survey_now(&mut self, id: &ItemId, keep: bool) -> Result<(Data, Extent), PieceError> {
        let mut survey = Survey::of(id.clone());
        for index in 0.. {
            let Some(piece) = self.piece(index).await? else { break };
            let bytes = piece.to_vec();
            let own = self.own_part(&bytes, index);
            if self.is_text {
                survey.text(text(own)?);
            } else {
                survey.blob(own);
            }
            if keep && self.size_bytes <= SLICE_BYTES && self.kept.len() as u64 == index {
                self.kept.push(piece);
            }
        }
        Ok(if self.is_text { survey.finish_text() } else { survey.finish_blob() })
    }

    /// The piece `index`, with the bytes that [`RowData::own_part`] wants behind it; `None` behind the last.
    fn piece(&self, index: u64) -> LocalBoxFuture<'_, Result<Option<Blob>, PieceError>> {
        Box::pin(self.piece_now(index))
    }

    async fn piece_now(&self, index: u64) -> Result<Option<Blob>, PieceError> {
        let offset = index * PIECE_BYTES;
        if offset >= self.size_bytes {
            return Ok(None);
        }
        if let Some(piece) = usize::try_from(index).ok().and_then(|index| self.kept.get(index)) {
            return Ok(Some(piece.clone()));
        }
        let length = PIECE_BYTES + MAX_CONTINUATION_BYTES as u64;
        let load = self.table.load_piece(&self.item, self.size_bytes, offset, length);
        let answer = self.database.run(load).await?;
        let changed = || PieceError::Item(Refusal::skipped("changed-meanwhile", "somebody else changed the row"));
        match Datum::from_pieces(&[answer], true)? {
            Some(Datum::Bytes { bytes, .. }) => Ok(Some(bytes)),
            _ => Err(changed()),
        }
    }

    /// What belongs to the piece `index` of the bytes that were read for it: of a text the characters that begin in it.
    fn own_part<'bytes>(&self, bytes: &'bytes [u8], index: u64) -> &'bytes [u8] {
        let end = bytes.len().min(usize::try_from(PIECE_BYTES).unwrap_or(usize::MAX));
        let (own, behind) = bytes.split_at(end);
        if !self.is_text {
            return own;
        }
        let start = if index == 0 { 0 } else { continuation_bytes(own) };
        bytes.get(start..end + continuation_bytes(behind)).unwrap_or_default()
    }
}

#[async_trait(?Send)]
impl Pieces for RowData {
    async fn lines(&self, index: u32, split: &mut Split) -> Result<Option<String>, PieceError> {
        let Some(piece) = self.piece(u64::from(index)).await? else { return Ok(None) };
        let bytes = piece.to_vec();
        let own = self.own_part(&bytes, u64::from(index));
        let changed = |error| PieceError::Item(refusal(error));
        Ok(Some(if self.is_text {
            split.text(text(own)?).map_err(changed)?.collect()
        } else {
            split.blob(own).map_err(changed)?.collect()
        }))
    }
}

impl From<DatabaseError> for PieceError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

/// How many bytes at the start belong to the character before.
fn continuation_bytes(bytes: &[u8]) -> usize {
    bytes.iter().take(MAX_CONTINUATION_BYTES).take_while(|byte| **byte & 0xC0 == 0x80).count()
}

fn text(bytes: &[u8]) -> Result<&str, PieceError> {
    let refused = |_| PieceError::Item(Refusal::failed("not-utf8", "the data column's text is not UTF-8"));
    std::str::from_utf8(bytes).map_err(refused)
}
