//! Writing one part of a backup: an object with some items.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use async_trait::async_trait;
use serde::Serialize;

use super::backup::Split;
use super::record::{self, Extent, Pages, WriteError};
use super::saving::{PieceError, Saving, refusal};
use crate::image::ObjectKey;
use crate::migrate::destination::{ATTEMPTS, Destination, PAUSE_MS};
use crate::migrate::runs::RunId;
use crate::migrate::task::{Interruption, Refusal, bucket_was_late};
use crate::runtime::within;
use crate::sql::{DatabaseError, DatabaseErrorKind};
use crate::store::StoreErrorKind;

/// Why a part was not written.
pub enum PartError {
    /// For the item at `index`; without it, the others can be saved.
    Item {
        index: usize,
        refusal: Refusal,
    },
    Database(DatabaseError),
    /// The part may be stored all the same, or may yet come to be.
    Bucket(Refusal),
}

/// The first line of a part.
#[derive(Serialize)]
pub struct PartHeader<'run> {
    pub run: &'run RunId,
    pub source: &'run str,
    pub part: u64,
}

/// Writes parts into the bucket.
pub struct PartWriter {
    pub destination: Destination,
}

impl PartWriter {
    /// Removes a part that no line names.
    pub async fn remove(&self, key: &ObjectKey) -> Result<(), Interruption> {
        let bucket = &self.destination;
        let detail = match within(&bucket.runtime, bucket.timeout_ms, bucket.bucket.delete(key)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.code().to_owned(),
            Err(late) => bucket_was_late(late),
        };
        Err(Interruption::Destination { detail })
    }

    /// Writes a part. What an earlier attempt wrote under its key from another state of the rows is replaced: no line names it yet.
    pub async fn write(
        &self,
        key: &ObjectKey,
        header: &PartHeader<'_>,
        savings: &[Rc<Saving>],
    ) -> Result<(), PartError> {
        let bucket = &self.destination;
        let mut content = Extent::default();
        for (index, saving) in savings.iter().enumerate() {
            content += saving.extent().map_err(|refusal| PartError::Item { index, refusal })?;
        }
        let mut failure = unavailable("");
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                bucket.runtime.sleep(PAUSE_MS).await;
            }
            let culprit = Rc::new(RefCell::new(None));
            let pages = PartPages {
                waiting: savings.iter().cloned().enumerate().collect(),
                open: None,
                culprit: Rc::clone(&culprit),
            };
            let write = record::write(bucket.bucket.as_ref(), key.clone(), header, content, pages);
            let error = match within(&bucket.runtime, bucket.timeout_ms, write).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => error,
                Err(late) => return Err(PartError::Bucket(Refusal::of_late_bucket(late))),
            };
            if let Some((index, refusal)) = culprit.take() {
                return Err(PartError::Item { index, refusal });
            }
            failure = match error {
                WriteError::KeyTaken => match self.remove(key).await {
                    Ok(()) => unavailable("an earlier part was under the key"),
                    Err(error) => unavailable(error.code()),
                },
                WriteError::Store(error) if error.kind != StoreErrorKind::Corrupt => unavailable(error.code()),
                WriteError::Pages(error) => return Err(PartError::Database(error)),
                other => {
                    let error = DatabaseError::new(DatabaseErrorKind::Corrupt, other.to_string());
                    return Err(PartError::Database(error));
                }
            };
        }
        Err(failure)
    }
}

fn unavailable(detail: &str) -> PartError {
    PartError::Bucket(Refusal::of_bucket(detail))
}

/// The items of a part, line by line.
struct PartPages {
    waiting: VecDeque<(usize, Rc<Saving>)>,
    open: Option<Open>,
    /// For the writer, to whom a failed write tells no more than a database's error.
    culprit: Rc<RefCell<Option<(usize, Refusal)>>>,
}

struct Open {
    index: usize,
    saving: Rc<Saving>,
    split: Split,
    next_piece: u32,
}

impl PartPages {
    fn refuse(&self, index: usize, refusal: Refusal) -> DatabaseError {
        let words = DatabaseError::new(DatabaseErrorKind::Corrupt, refusal.detail.clone());
        self.culprit.replace(Some((index, refusal)));
        words
    }
}

#[async_trait(?Send)]
impl Pages for PartPages {
    async fn next(&mut self) -> Result<Option<String>, DatabaseError> {
        if let Some(mut open) = self.open.take() {
            match open.saving.pieces.lines(open.next_piece, &mut open.split).await {
                Ok(Some(lines)) => {
                    open.next_piece += 1;
                    self.open = Some(open);
                    return Ok(Some(lines));
                }
                Ok(None) => open.split.finish().map_err(|error| self.refuse(open.index, refusal(error)))?,
                Err(PieceError::Database(error)) => return Err(error),
                Err(PieceError::Item(refusal)) => return Err(self.refuse(open.index, refusal)),
            }
        }
        let Some((index, saving)) = self.waiting.pop_front() else { return Ok(None) };
        let (split, line) = Split::begin(&saving.item).map_err(|error| self.refuse(index, refusal(error)))?;
        self.open = Some(Open { index, saving, split, next_piece: 0 });
        Ok(Some(line))
    }
}
