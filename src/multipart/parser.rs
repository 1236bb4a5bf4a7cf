//! A form's bytes, as far as they were read, and where in them one is.

use memchr::memmem;

use super::delimiters::Delimiters;
use super::head::PartHead;
use super::{Boundary, FormError, FormLimits};
use crate::bytes::{Blob, Body, BodyError, ByteQueue};

/// A delimiter begins with a line break, which the first one need not have. It is added.
const LINE_BREAK: &[u8] = b"\r\n";
/// After the last delimiter.
const CLOSING: &[u8] = b"--";
const AFTER_DELIMITER: FormError = FormError::Malformed("a boundary of the form must end its line");
const PREAMBLE: FormError = FormError::Malformed("the form must begin with its boundary");
const HEAD_END: FormError = FormError::Malformed("the headers of a part must end with an empty line");

pub(super) struct Parser {
    body: Body,
    promised_bytes: Option<u64>,
    limits: FormLimits,
    delimiters: Delimiters,
    /// What was read and not taken yet.
    queue: ByteQueue,
    /// Where `queue` begins. Offsets count from the line break that was added.
    offset: u64,
    /// Parts begun. The current one is the last.
    pub parts: usize,
    is_closed: bool,
}

impl Parser {
    pub fn new(body: Body, boundary: &Boundary, limits: FormLimits) -> Self {
        let mut parser = Self {
            promised_bytes: body.promised_bytes().map(|bytes| bytes + LINE_BREAK.len() as u64),
            body,
            limits,
            delimiters: Delimiters::new(boundary.delimiter()),
            queue: ByteQueue::default(),
            offset: 0,
            parts: 0,
            is_closed: false,
        };
        parser.push(LINE_BREAK.to_vec().into());
        parser
    }

    /// Goes to the next part and reads its headers; `None` when the form ended.
    pub async fn next_head(&mut self) -> Result<Option<PartHead>, FormError> {
        if self.is_closed {
            return Ok(None);
        }
        self.skip_to_delimiter().await?;
        self.take(self.delimiters.length_bytes());
        while self.queue.size_bytes() < CLOSING.len() {
            self.read_on().await?;
        }
        if self.queue.peek(CLOSING.len()) == CLOSING {
            self.is_closed = true;
            return Ok(None);
        }
        if self.parts == self.limits.max_parts {
            return Err(FormError::TooManyParts { limit: self.limits.max_parts });
        }
        self.parts += 1;
        loop {
            let start = self.queue.peek(self.limits.max_head_bytes);
            if let Some((lines, end)) = head_lines(&start)? {
                // What begins with the empty line's own line break is no delimiter: it may not be known yet.
                let last_line = self.offset + (end - LINE_BREAK.len()) as u64;
                if self.delimiters.first_from(self.offset).is_some_and(|at| at < last_line) {
                    return Err(HEAD_END);
                }
                let head = PartHead::parse(lines)?;
                self.take(end);
                return Ok(Some(head));
            }
            if start.len() == self.limits.max_head_bytes {
                return Err(FormError::HeadTooLong { limit_bytes: self.limits.max_head_bytes });
            }
            if self.delimiters.first_from(self.offset).is_some() {
                return Err(HEAD_END);
            }
            self.read_on().await?;
        }
    }

    /// The next bytes of the current part without consuming them: `max_bytes` of them unless its end is nearer.
    pub async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        let at_hand = self.part_bytes_at_hand(max_bytes).await?;
        Ok(self.queue.peek(at_hand))
    }

    /// The next run of the current part: `max_bytes` long unless its end is nearer, `None` at its end.
    pub async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        match self.part_bytes_at_hand(max_bytes).await? {
            0 => Ok(None),
            at_hand => Ok(self.take(at_hand)),
        }
    }

    /// Length in bytes of the rest of the current part, when its end was read.
    pub fn known_rest_bytes(&mut self) -> Option<u64> {
        self.delimiters.first_from(self.offset).map(|end| end - self.offset)
    }

    /// Length in bytes of the rest of the current part, when nothing but the end of the form follows, with a line break.
    pub fn rest_if_last_bytes(&self) -> Option<u64> {
        let end_bytes = self.delimiters.length_bytes() + CLOSING.len() + LINE_BREAK.len();
        self.promised_bytes?.checked_sub(self.offset)?.checked_sub(end_bytes as u64)
    }

    /// Reads on until `max_bytes` of the current part are at hand, or all of it. Says how many.
    async fn part_bytes_at_hand(&mut self, max_bytes: usize) -> Result<usize, BodyError> {
        loop {
            let end = self.delimiters.first_from(self.offset);
            let until = end.unwrap_or_else(|| self.delimiters.known_until());
            let at_hand = usize::try_from(until.saturating_sub(self.offset)).unwrap_or(usize::MAX);
            if end.is_some() || at_hand >= max_bytes {
                return Ok(at_hand.min(max_bytes));
            }
            self.read_on().await?;
        }
    }

    async fn skip_to_delimiter(&mut self) -> Result<(), FormError> {
        loop {
            match self.part_bytes_at_hand(self.limits.run_bytes).await? {
                0 => return Ok(()),
                skipped if self.parts > 0 || self.offset + skipped as u64 <= self.limits.max_head_bytes as u64 => {
                    self.take(skipped);
                }
                _ => return Err(PREAMBLE),
            }
        }
    }

    /// Reads another run of the body.
    async fn read_on(&mut self) -> Result<(), BodyError> {
        let Some(run) = self.body.next(self.limits.run_bytes).await? else {
            return Err(BodyError::Interrupted("the form ended before its last boundary".to_owned()));
        };
        self.push(run);
        Ok(())
    }

    fn push(&mut self, run: Blob) {
        match run.as_local() {
            Some(bytes) => self.delimiters.scan(bytes),
            None => self.delimiters.scan(&run.to_vec()),
        }
        self.queue.push(run);
    }

    fn take(&mut self, bytes: usize) -> Option<Blob> {
        let run = self.queue.take(bytes)?;
        self.offset += run.size_bytes() as u64;
        Some(run)
    }
}

/// The header lines after a delimiter, and where the empty line after them ends; `None` when more must be read.
fn head_lines(after_delimiter: &[u8]) -> Result<Option<(&[u8], usize)>, FormError> {
    let padding = after_delimiter.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let line = &after_delimiter[padding..];
    if line.len() < LINE_BREAK.len() {
        return Ok(None);
    }
    let lines = line.strip_prefix(LINE_BREAK).ok_or(AFTER_DELIMITER)?;
    let start = padding + LINE_BREAK.len();
    if lines.starts_with(LINE_BREAK) {
        return Ok(Some((&[], start + LINE_BREAK.len())));
    }
    let end = memmem::find(lines, b"\r\n\r\n");
    Ok(end.map(|end| (&lines[..end + LINE_BREAK.len()], start + end + 2 * LINE_BREAK.len())))
}
