//! Reading one part of a backup, item by item.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;

use super::backup::{BackupItem, Join, JoinError, Joined};
use super::record::{Integrity, Read, RecordLines};
use crate::bytes::{Blob, Body, BodyError, ByteQueue, ByteSource};
use crate::migrate::runs::ItemId;
use crate::store::StoreError;

/// Why a part cannot be read on.
pub enum PartReadError {
    Store(StoreError),
    Damaged(Option<JoinError>),
}

/// A part. Memory: one line of it, and what that line holds.
pub struct PartReader {
    lines: RecordLines,
    join: Join,
    /// Whether the first line, which says what the part is of, was read.
    begun: bool,
}

/// A reader that the data of one item and the search for the next one take turns at.
#[derive(Clone)]
pub struct SharedReader(Rc<RefCell<Option<PartReader>>>);

impl PartReader {
    async fn next(&mut self) -> Result<Option<Joined>, PartReadError> {
        loop {
            match self.lines.next().await.map_err(PartReadError::Store)? {
                Read::Line(_) if !self.begun => self.begun = true,
                Read::Line(line) => {
                    return self.join.push(&line).map(Some).map_err(|error| PartReadError::Damaged(Some(error)));
                }
                Read::End(Integrity::Whole(_)) => return Ok(None),
                Read::End(Integrity::Damaged(_)) => return Err(PartReadError::Damaged(None)),
            }
        }
    }
}

impl SharedReader {
    pub fn new(lines: RecordLines) -> Self {
        let reader = PartReader { lines, join: Join::default(), begun: false };
        Self(Rc::new(RefCell::new(Some(reader))))
    }

    async fn next(&self) -> Result<Option<Joined>, PartReadError> {
        // A reader that was dropped in the middle of a line is gone.
        let Some(mut reader) = self.0.take() else { return Err(PartReadError::Damaged(None)) };
        let joined = reader.next().await;
        self.0.replace(Some(reader));
        joined
    }

    /// Goes on to the item `id` and gives its data as bytes, a text's as UTF-8; `None` when it is not among those that follow.
    pub async fn find(&self, id: &ItemId) -> Result<Option<(BackupItem, Body)>, PartReadError> {
        while let Some(joined) = self.next().await? {
            if let Joined::Item { item, complete } = joined
                && item.id == *id
            {
                let promised_bytes = item.data.size_bytes();
                let data = ItemData { reader: self.clone(), queue: ByteQueue::default(), complete };
                return Ok(Some((item, Body::from_source(Box::new(data), Some(promised_bytes)))));
            }
        }
        Ok(None)
    }
}

/// The data of the item that was found last.
struct ItemData {
    reader: SharedReader,
    queue: ByteQueue,
    complete: bool,
}

impl ItemData {
    async fn fill(&mut self, max_bytes: usize) -> Result<(), BodyError> {
        while !self.complete && self.queue.size_bytes() < max_bytes {
            let (bytes, complete) = match self.reader.next().await {
                Ok(Some(Joined::Bytes { bytes, complete })) => (bytes, complete),
                Ok(Some(Joined::Text { text, complete })) => (text.into_bytes(), complete),
                Ok(_) | Err(PartReadError::Damaged(_)) => {
                    return Err(BodyError::Interrupted("the part of the backup is damaged".to_owned()));
                }
                Err(PartReadError::Store(error)) => return Err(BodyError::Interrupted(error.code().to_owned())),
            };
            self.queue.push(Blob::from(bytes));
            self.complete = complete;
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl ByteSource for ItemData {
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        self.fill(max_bytes).await?;
        Ok(self.queue.peek(max_bytes))
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        self.fill(max_bytes).await?;
        Ok(self.queue.take(max_bytes))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
