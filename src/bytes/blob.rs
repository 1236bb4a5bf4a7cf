//! A run of bytes that is all there, here or outside wasm memory.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use super::foreign::ForeignBytes;

/// A run of bytes. Cloning and slicing are cheap; [`Blob::to_vec`] copies into wasm memory.
#[derive(Clone)]
pub struct Blob(Repr);

#[derive(Clone)]
enum Repr {
    Owned { bytes: Rc<Vec<u8>>, range: Range<usize> },
    Foreign(Rc<dyn ForeignBytes>),
}

impl Blob {
    /// Wraps bytes that live outside wasm memory.
    #[must_use]
    pub fn foreign(bytes: Rc<dyn ForeignBytes>) -> Self {
        Self(Repr::Foreign(bytes))
    }

    /// Length in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match &self.0 {
            Repr::Owned { range, .. } => range.len(),
            Repr::Foreign(bytes) => bytes.size_bytes(),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size_bytes() == 0
    }

    /// The part of the blob in `range`, cut to what there is, without copying.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let end = range.end.min(self.size_bytes());
        let start = range.start.min(end);
        Self(match &self.0 {
            Repr::Owned { bytes, range } => {
                Repr::Owned { bytes: Rc::clone(bytes), range: range.start + start..range.start + end }
            }
            Repr::Foreign(bytes) => Repr::Foreign(bytes.view(start..end)),
        })
    }

    /// The runs as one, in order. They are joined outside wasm memory when all of them are there.
    #[must_use]
    pub fn joined(runs: &[Self]) -> Self {
        if let [run] = runs {
            return run.clone();
        }
        let foreign: Option<Vec<_>> = runs.iter().map(Self::as_foreign_bytes).collect();
        let joined = foreign.as_deref().and_then(<[_]>::split_first).and_then(|(first, rest)| first.join(rest));
        joined.map_or_else(|| runs.iter().map(Self::to_vec).collect::<Vec<_>>().concat().into(), Self::foreign)
    }

    /// A copy of the whole in wasm memory. For foreign bytes this costs their size in memory.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        match &self.0 {
            Repr::Owned { bytes, range } => bytes.get(range.clone()).unwrap_or_default().to_vec(),
            Repr::Foreign(bytes) => {
                let mut copy = vec![0; bytes.size_bytes()];
                bytes.copy_to(0..copy.len(), &mut copy);
                copy
            }
        }
    }

    /// A copy of at most the first `max_bytes`.
    #[must_use]
    pub fn prefix(&self, max_bytes: usize) -> Vec<u8> {
        self.slice(0..max_bytes).to_vec()
    }

    /// The bytes, when they are in wasm memory.
    #[must_use]
    pub fn as_local(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Owned { bytes, range } => bytes.get(range.clone()),
            Repr::Foreign(_) => None,
        }
    }

    /// The adapter's own type, when the bytes are outside wasm memory.
    #[must_use]
    pub fn as_foreign(&self) -> Option<&dyn Any> {
        self.as_foreign_bytes().map(ForeignBytes::as_any)
    }

    pub(super) fn as_foreign_bytes(&self) -> Option<&dyn ForeignBytes> {
        match &self.0 {
            Repr::Owned { .. } => None,
            Repr::Foreign(bytes) => Some(&**bytes),
        }
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self(Repr::Owned { bytes: Rc::new(bytes), range })
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Blob({} bytes)", self.size_bytes())
    }
}
