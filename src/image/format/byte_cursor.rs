//! Forward reading that cannot leave the bytes it was given.

use super::Rejection;

/// A position in some bytes. Every read advances it, or says that the bytes end too early and leaves it where it was.
#[derive(Clone, Copy)]
pub(super) struct ByteCursor<'bytes> {
    rest: &'bytes [u8],
}

impl<'bytes> ByteCursor<'bytes> {
    pub(super) const fn new(bytes: &'bytes [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub(super) const fn rest(self) -> &'bytes [u8] {
        self.rest
    }

    pub(super) const fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes. `count` may be any number that a file claims: nothing is allocated.
    pub(super) fn take(&mut self, count: u64) -> Result<&'bytes [u8], Rejection> {
        let count = usize::try_from(count).map_err(|_| Rejection::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Rejection::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Rejection> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Rejection::Truncated)?;
        self.rest = rest;
        Ok(*taken)
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

    pub(super) fn u24_le(&mut self) -> Result<u32, Rejection> {
        self.array().map(|[low, middle, high]| u32::from_le_bytes([low, middle, high, 0]))
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
