//! Reading a record line by line, and telling whether it is whole.

use sha2::{Digest as _, Sha256};

use super::{LINE_MAX_BYTES, LastLine, Written};
use crate::bytes::{Body, BodyError};
use crate::image::{ObjectKey, Sha256Digest};
use crate::store::{ImageStore, StoreError, StoreErrorKind};

/// Bytes asked of the store at a time.
const RUN_BYTES: usize = 256 * 1024;

/// Whether a record is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integrity {
    /// Every byte is.
    Whole(Written),
    /// It is not: nothing in it is to be believed.
    Damaged(Damage),
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// It does not end in the line that proves the others: it was cut off, or is no record.
    NoEnd,
    /// A line is longer than [`LINE_MAX_BYTES`].
    LongLine,
    /// A line is not UTF-8.
    NotText,
    /// The bytes have another digest than the last line says.
    Digest { expected: Sha256Digest, actual: Sha256Digest },
    /// There are other lines of content than the last line says.
    LineCount { expected: u64, actual: u64 },
}

/// What comes next in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The first line, or a line of content, without its line feed.
    Line(String),
    /// The lines are over, or damage ends them.
    End(Integrity),
}

/// A record that is being read. Memory: one line of at most [`LINE_MAX_BYTES`], and a run of 256 KiB.
pub struct RecordLines {
    key: ObjectKey,
    body: Body,
    run: Vec<u8>,
    /// How much of `run` was taken.
    taken_bytes: usize,
    hasher: Sha256,
    size_bytes: u64,
    /// Lines handed out, the first included.
    handed_out: u64,
    integrity: Option<Integrity>,
}

/// Begins to read the record under `key`; `None` when nothing is there.
///
/// The lines are proved only at their end: who acts on them calls [`check`] first.
///
/// # Errors
/// When the store fails.
pub async fn read(store: &dyn ImageStore, key: &ObjectKey) -> Result<Option<RecordLines>, StoreError> {
    Ok(store.get(key, None).await?.map(|stored| RecordLines {
        key: key.clone(),
        body: stored.body,
        run: Vec::new(),
        taken_bytes: 0,
        hasher: Sha256::new(),
        size_bytes: 0,
        handed_out: 0,
        integrity: None,
    }))
}

/// Reads the record under `key` from its first byte to its last and says whether it is whole; `None` when nothing is there.
///
/// # Errors
/// When the store fails; that says nothing about the record.
pub async fn check(store: &dyn ImageStore, key: &ObjectKey) -> Result<Option<Integrity>, StoreError> {
    let Some(mut lines) = read(store, key).await? else { return Ok(None) };
    loop {
        if let Read::End(integrity) = lines.next().await? {
            return Ok(Some(integrity));
        }
    }
}

impl RecordLines {
    /// The next line, or the integrity of all of them, which stays the answer from then on.
    ///
    /// # Errors
    /// When the store fails in the middle; that says nothing about the record.
    pub async fn next(&mut self) -> Result<Read, StoreError> {
        if let Some(integrity) = &self.integrity {
            return Ok(Read::End(integrity.clone()));
        }
        let read = self.advance().await?;
        if let Read::End(integrity) = &read {
            self.integrity = Some(integrity.clone());
        }
        Ok(read)
    }

    async fn advance(&mut self) -> Result<Read, StoreError> {
        let line = match self.next_line().await? {
            Ok(line) => line,
            Err(damage) => return Ok(Read::End(Integrity::Damaged(damage))),
        };
        if self.is_at_end().await? {
            return Ok(Read::End(self.judge(&line)));
        }
        self.hasher.update(&line);
        self.hasher.update(b"\n");
        self.handed_out += 1;
        Ok(Read::Line(line))
    }

    /// The bytes up to the next line feed.
    async fn next_line(&mut self) -> Result<Result<String, Damage>, StoreError> {
        let mut line = Vec::new();
        loop {
            if self.is_at_end().await? {
                return Ok(Err(Damage::NoEnd));
            }
            let rest = self.run.get(self.taken_bytes..).unwrap_or_default();
            let feed = rest.iter().position(|byte| *byte == b'\n');
            let piece = rest.get(..feed.unwrap_or(rest.len())).unwrap_or_default();
            if line.len() + piece.len() > LINE_MAX_BYTES {
                return Ok(Err(Damage::LongLine));
            }
            line.extend_from_slice(piece);
            self.taken_bytes += piece.len() + usize::from(feed.is_some());
            if feed.is_some() {
                self.size_bytes += line.len() as u64 + 1;
                return Ok(String::from_utf8(line).map_err(|_| Damage::NotText));
            }
        }
    }

    /// Whether no byte is left; fetches the next run when the last is used up.
    async fn is_at_end(&mut self) -> Result<bool, StoreError> {
        if self.taken_bytes < self.run.len() {
            return Ok(false);
        }
        // Freed before the next is fetched, so that there is one run at a time.
        self.run = Vec::new();
        self.taken_bytes = 0;
        match self.body.next(RUN_BYTES).await.map_err(|error| interrupted(&error))? {
            Some(run) => {
                self.run = run.to_vec();
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// The integrity, by the last line.
    fn judge(&mut self, last_line: &str) -> Integrity {
        // A record has a first line before its last.
        let (Some(end), Some(actual)) = (LastLine::parse(last_line), self.handed_out.checked_sub(1)) else {
            return Integrity::Damaged(Damage::NoEnd);
        };
        let sha256 = digest(self.hasher.clone());
        if sha256 != end.sha256 {
            return Integrity::Damaged(Damage::Digest { expected: end.sha256, actual: sha256 });
        }
        if actual != end.lines {
            return Integrity::Damaged(Damage::LineCount { expected: end.lines, actual });
        }
        let whole = self.hasher.clone().chain_update(last_line).chain_update(b"\n");
        Integrity::Whole(Written {
            key: self.key.clone(),
            size_bytes: self.size_bytes,
            sha256: digest(whole),
            lines: actual,
        })
    }
}

fn digest(hasher: Sha256) -> Sha256Digest {
    Sha256Digest::from_bytes(hasher.finalize().into())
}

/// A body that breaks off while it is read is the store's failure: what it holds is not known.
fn interrupted(error: &BodyError) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, error.to_string())
}
