//! Writing a record as it is read from its pages.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use async_trait::async_trait;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Extent, LINE_MAX_BYTES, LastLine, Written};
use crate::bytes::{Blob, Body, BodyError, ByteQueue, ByteSource};
use crate::image::{ObjectKey, Sha256Digest};
use crate::sql::DatabaseError;
use crate::store::{ImageStore, Media, ObjectMetadata, PutObject, StoreError, StoreErrorKind};

/// Where the content of a record comes from: text in pages of any length, cut anywhere. Together they are whole lines.
#[async_trait(?Send)]
pub trait Pages: 'static {
    /// The next page, `None` after the last.
    async fn next(&mut self) -> Result<Option<String>, DatabaseError>;
}

/// Why there is no record, or none that is known of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteError {
    /// The header is not a JSON object of at most [`LINE_MAX_BYTES`]. Nothing was stored.
    Header,
    /// A page could not be read. Nothing was stored.
    Pages(DatabaseError),
    /// The pages have another extent than was promised: `actual`, when they were not read to their end because they had more.
    /// Nothing was stored.
    Extent { promised: Extent, actual: Extent },
    /// A line is longer than [`LINE_MAX_BYTES`], or the last one has no line feed. Nothing was stored.
    Lines,
    /// Something else is stored under the key, and stays. [`super::check`] says whether it is a whole record, such as one that an
    /// earlier attempt wrote from another state.
    KeyTaken,
    /// The store failed; [`StoreError::stored_nothing`] says whether the record may be there. Writing it again is safe: the same
    /// bytes under the same key are one record.
    Store(StoreError),
}

/// Stores a record under `key`: `header`, then `pages`, then the line that proves them.
///
/// `content` is the extent of all pages, known before they are read, since R2 wants an object's length before its bytes. The same
/// record again is `Ok` and changes nothing. Memory: one page, and runs of the length that the store reads in.
///
/// # Errors
/// [`WriteError`]; only [`WriteError::Store`] leaves open whether the record is stored.
pub async fn write(
    store: &dyn ImageStore,
    key: ObjectKey,
    header: &impl Serialize,
    content: Extent,
    pages: impl Pages,
) -> Result<Written, WriteError> {
    let header = header_line(header)?;
    let end_bytes = LastLine::line(content.lines, Sha256Digest::from_bytes([0; 32])).len();
    let size_bytes = (header.len() as u64).saturating_add(content.bytes).saturating_add(end_bytes as u64);
    let failure = Rc::new(RefCell::new(None));
    let source = RecordSource::new(header, content, Box::new(pages), Rc::clone(&failure));
    let object = PutObject {
        key: key.clone(),
        body: Body::from_source(Box::new(source), Some(size_bytes)),
        media: Media::Ndjson,
        sha256: None,
        metadata: ObjectMetadata::new(),
    };
    let outcome = store.put(object).await;
    // Without its last line the object is shorter than promised, so that no store keeps it.
    if let Some(failure) = failure.take() {
        return Err(failure);
    }
    match outcome {
        Ok(receipt) => {
            Ok(Written { key, size_bytes: receipt.size_bytes, sha256: receipt.sha256, lines: content.lines })
        }
        Err(error) if error.kind == StoreErrorKind::KeyTaken => Err(WriteError::KeyTaken),
        Err(error) => Err(WriteError::Store(error)),
    }
}

fn header_line(header: &impl Serialize) -> Result<String, WriteError> {
    let mut line = serde_json::to_string(header).map_err(|_| WriteError::Header)?;
    if !line.starts_with('{') || line.contains('\n') || line.len() > LINE_MAX_BYTES {
        return Err(WriteError::Header);
    }
    line.push('\n');
    Ok(line)
}

/// The bytes of a record.
struct RecordSource {
    /// `None` once the last line is queued.
    pages: Option<Box<dyn Pages>>,
    promised: Extent,
    actual: Extent,
    /// Length of the line that the pages read so far end in.
    open_line_bytes: usize,
    hasher: Sha256,
    queue: ByteQueue,
    /// For the writer, to whom the store passes on no more than a body's error.
    failure: Rc<RefCell<Option<WriteError>>>,
}

impl RecordSource {
    fn new(header: String, promised: Extent, pages: Box<dyn Pages>, failure: Rc<RefCell<Option<WriteError>>>) -> Self {
        let mut source = Self {
            pages: Some(pages),
            promised,
            actual: Extent::default(),
            open_line_bytes: 0,
            hasher: Sha256::new(),
            queue: ByteQueue::default(),
            failure,
        };
        source.queue_text(header);
        source
    }

    /// Queues until `max_bytes` or the end are there.
    async fn fill(&mut self, max_bytes: usize) -> Result<(), BodyError> {
        while self.queue.size_bytes() < max_bytes {
            let Some(pages) = &mut self.pages else { return Ok(()) };
            let read = pages.next().await.map_err(WriteError::Pages);
            let accepted = match read {
                Ok(Some(page)) => self.accept(page),
                Ok(None) => self.finish(),
                Err(error) => Err(error),
            };
            if let Err(error) = accepted {
                let words = BodyError::Interrupted(error.to_string());
                self.failure.replace(Some(error));
                return Err(words);
            }
        }
        Ok(())
    }

    fn accept(&mut self, page: String) -> Result<(), WriteError> {
        self.actual += Extent::of(&page);
        if self.actual.bytes > self.promised.bytes || self.actual.lines > self.promised.lines {
            return Err(WriteError::Extent { promised: self.promised, actual: self.actual });
        }
        for piece in page.split_inclusive('\n') {
            self.open_line_bytes += piece.trim_end_matches('\n').len();
            if self.open_line_bytes > LINE_MAX_BYTES {
                return Err(WriteError::Lines);
            }
            if piece.ends_with('\n') {
                self.open_line_bytes = 0;
            }
        }
        self.queue_text(page);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        if self.actual != self.promised {
            return Err(WriteError::Extent { promised: self.promised, actual: self.actual });
        }
        if self.open_line_bytes > 0 {
            return Err(WriteError::Lines);
        }
        self.pages = None;
        let sha256 = Sha256Digest::from_bytes(self.hasher.finalize_reset().into());
        self.queue.push(LastLine::line(self.actual.lines, sha256).into_bytes().into());
        Ok(())
    }

    fn queue_text(&mut self, text: String) {
        self.hasher.update(&text);
        self.queue.push(text.into_bytes().into());
    }
}

#[async_trait(?Send)]
impl ByteSource for RecordSource {
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

impl fmt::Display for WriteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => formatter.write_str("the header of a record is not a JSON object of one line"),
            Self::Pages(error) => write!(formatter, "the pages of a record could not be read: {error}"),
            Self::Extent { promised, actual } => {
                write!(formatter, "the pages of a record have {actual}, and {promised} were promised")
            }
            Self::Lines => write!(formatter, "a line of a record is over {LINE_MAX_BYTES} bytes or has no line feed"),
            Self::KeyTaken => formatter.write_str("something else is stored under the key of the record"),
            Self::Store(error) => write!(formatter, "the record could not be stored: {error}"),
        }
    }
}

impl std::error::Error for WriteError {}
