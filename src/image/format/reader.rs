//! Forward reading of a file that need not be in memory.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use super::Rejection;
use crate::bytes::Blob;

/// How many bytes outside wasm memory are copied in at once.
const WINDOW_BYTES: usize = 128 * 1024;

/// A file whose bytes can be asked for by their place.
pub(super) trait Source {
    /// Length of the whole file.
    fn size_bytes(&self) -> u64;

    /// Bytes from `offset` on, which lies within the file: `wanted_bytes` of them or more, fewer only at the end of the file.
    ///
    /// # Errors
    /// [`Rejection::Truncated`] when they are not at hand.
    fn read(&self, offset: u64, wanted_bytes: usize) -> Result<Cow<'_, [u8]>, Rejection>;
}

impl Source for &[u8] {
    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, _wanted_bytes: usize) -> Result<Cow<'_, [u8]>, Rejection> {
        let offset = usize::try_from(offset).map_err(|_| Rejection::Truncated)?;
        Ok(Cow::Borrowed(self.get(offset..).unwrap_or_default()))
    }
}

impl Source for Blob {
    fn size_bytes(&self) -> u64 {
        Self::size_bytes(self) as u64
    }

    fn read(&self, offset: u64, wanted_bytes: usize) -> Result<Cow<'_, [u8]>, Rejection> {
        let offset = usize::try_from(offset).map_err(|_| Rejection::Truncated)?;
        if let Some(bytes) = self.as_local() {
            return Ok(Cow::Borrowed(bytes.get(offset..).unwrap_or_default()));
        }
        let end = offset.saturating_add(wanted_bytes.max(WINDOW_BYTES));
        Ok(Cow::Owned(self.slice(offset..end).to_vec()))
    }
}

/// Parts of a file, of which more can be added.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    file_bytes: u64,
    by_offset: BTreeMap<u64, Vec<u8>>,
    /// What was asked for last and is not there: a place and a number of bytes.
    missing: Cell<Option<(u64, usize)>>,
}

impl Pieces {
    pub(super) fn new(file_bytes: u64) -> Self {
        Self { file_bytes, ..Self::default() }
    }

    /// Adds bytes that come after all others.
    pub(super) fn insert(&mut self, offset: u64, bytes: Vec<u8>) {
        match self.by_offset.last_entry() {
            Some(mut last) if *last.key() + last.get().len() as u64 == offset => last.get_mut().extend(bytes),
            _ => drop(self.by_offset.insert(offset, bytes)),
        }
    }

    /// Length of what is there without a gap before `offset`, which comes after everything.
    pub(super) fn length_before(&self, offset: u64) -> usize {
        let last = self.by_offset.last_key_value();
        last.filter(|(start, piece)| **start + piece.len() as u64 == offset).map_or(0, |(_, piece)| piece.len())
    }

    /// What a read has failed for since this was asked last.
    pub(super) fn take_missing(&self) -> Option<(u64, usize)> {
        self.missing.take()
    }
}

impl Source for Pieces {
    fn size_bytes(&self) -> u64 {
        self.file_bytes
    }

    fn read(&self, offset: u64, wanted_bytes: usize) -> Result<Cow<'_, [u8]>, Rejection> {
        let there = self.by_offset.range(..=offset).next_back().and_then(|(start, piece)| {
            let from = usize::try_from(offset - start).ok()?;
            piece.get(from..).filter(|bytes| !bytes.is_empty())
        });
        if let Some(bytes) = there {
            return Ok(Cow::Borrowed(bytes));
        }
        self.missing.set(Some((offset, wanted_bytes)));
        Err(Rejection::Truncated)
    }
}

/// A position in a file. Every read advances it, or says that the file ends too early.
pub(super) struct Reader<'file> {
    source: &'file dyn Source,
    window: Cow<'file, [u8]>,
    window_offset: u64,
    position: u64,
}

impl<'file> Reader<'file> {
    pub(super) fn new(source: &'file dyn Source) -> Self {
        Self { source, window: Cow::Borrowed(&[]), window_offset: 0, position: 0 }
    }

    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.source.size_bytes()
    }

    /// Length of what has not been read.
    pub(super) fn rest_bytes(&self) -> u64 {
        self.size_bytes().saturating_sub(self.position)
    }

    /// Some of the bytes that come next: at least one, unless the file ends here.
    fn ahead(&mut self, wanted_bytes: usize) -> Result<&[u8], Rejection> {
        if self.rest_bytes() == 0 {
            return Ok(&[]);
        }
        let is_within = |from: &usize| *from < self.window.len();
        let from = self.position.checked_sub(self.window_offset).and_then(|from| usize::try_from(from).ok());
        if let Some(from) = from.filter(is_within) {
            return Ok(self.window.get(from..).unwrap_or_default());
        }
        let wanted_bytes = usize::try_from(self.rest_bytes()).unwrap_or(usize::MAX).min(wanted_bytes);
        self.window = self.source.read(self.position, wanted_bytes)?;
        self.window_offset = self.position;
        Ok(&self.window)
    }

    /// The next `count` bytes, left in place; fewer at the end of the file.
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8], Rejection> {
        let ahead = self.ahead(count)?;
        Ok(ahead.get(..count).unwrap_or(ahead))
    }

    /// Moves over `count` bytes, which need not be at hand.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), Rejection> {
        if count > self.rest_bytes() {
            return Err(Rejection::Truncated);
        }
        self.position += count;
        Ok(())
    }

    /// Fills `target` with the next bytes.
    fn fill(&mut self, target: &mut [u8]) -> Result<(), Rejection> {
        if target.len() as u64 > self.rest_bytes() {
            return Err(Rejection::Truncated);
        }
        let mut filled = 0;
        while filled < target.len() {
            let open = target.get_mut(filled..).unwrap_or_default();
            let ahead = self.ahead(open.len())?;
            let count = ahead.len().min(open.len());
            if count == 0 {
                return Err(Rejection::Truncated);
            }
            open.iter_mut().zip(ahead).for_each(|(to, from)| *to = *from);
            self.position += count as u64;
            filled += count;
        }
        Ok(())
    }

    /// A copy of the next `count` bytes. Nothing is allocated for more than the file has.
    pub(super) fn take(&mut self, count: u64) -> Result<Vec<u8>, Rejection> {
        if count > self.rest_bytes() {
            return Err(Rejection::Truncated);
        }
        let mut bytes = vec![0; usize::try_from(count).map_err(|_| Rejection::Truncated)?];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Rejection> {
        let mut bytes = [0; N];
        match self.ahead(N)?.first_chunk() {
            Some(ahead) => {
                bytes = *ahead;
                self.position += N as u64;
            }
            None => self.fill(&mut bytes)?,
        }
        Ok(bytes)
    }

    /// Moves past the next byte that equals `wanted`.
    pub(super) fn skip_past(&mut self, wanted: u8) -> Result<(), Rejection> {
        loop {
            let ahead = self.ahead(1)?;
            if ahead.is_empty() {
                return Err(Rejection::Truncated);
            }
            if let Some(found) = memchr::memchr(wanted, ahead) {
                self.position += found as u64 + 1;
                return Ok(());
            }
            self.position += ahead.len() as u64;
        }
    }

    pub(super) fn u8(&mut self) -> Result<u8, Rejection> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16_be(&mut self) -> Result<u16, Rejection> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u16_le(&mut self) -> Result<u16, Rejection> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32_be(&mut self) -> Result<u32, Rejection> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u32_le(&mut self) -> Result<u32, Rejection> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64_be(&mut self) -> Result<u64, Rejection> {
        self.array().map(u64::from_be_bytes)
    }
}
