//! Runs of bytes that are at hand, in order.

use std::any::Any;
use std::collections::VecDeque;

use async_trait::async_trait;

use super::{Blob, BodyError, ByteSource};

/// What a [`super::ByteSource`] has and has not handed out yet: runs as they came, taken off in runs of any length.
#[derive(Default)]
pub struct ByteQueue {
    runs: VecDeque<Blob>,
    size_bytes: usize,
}

impl ByteQueue {
    /// Adds a run at the end.
    pub fn push(&mut self, run: Blob) {
        // An empty run taken off would look like the end.
        if !run.is_empty() {
            self.size_bytes += run.size_bytes();
            self.runs.push_back(run);
        }
    }

    /// Length of all runs in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// A copy of the first `max_bytes`, or of all when there are fewer.
    #[must_use]
    pub fn peek(&self, max_bytes: usize) -> Vec<u8> {
        let mut copy = Vec::new();
        for run in &self.runs {
            copy.extend(run.prefix(max_bytes - copy.len()));
        }
        copy
    }

    /// Takes off the first `max_bytes`, or all when there are fewer; `None` when there are none. `max_bytes` is not zero.
    ///
    /// Only a run across several is copied, where [`Blob::joined`] does it.
    pub fn take(&mut self, max_bytes: usize) -> Option<Blob> {
        let first = self.take_within_run(max_bytes)?;
        let mut taken_bytes = first.size_bytes();
        let mut runs = vec![first];
        while taken_bytes < max_bytes
            && let Some(run) = self.take_within_run(max_bytes - taken_bytes)
        {
            taken_bytes += run.size_bytes();
            runs.push(run);
        }
        Some(Blob::joined(&runs))
    }

    /// Takes off the first run, or its first `max_bytes`.
    fn take_within_run(&mut self, max_bytes: usize) -> Option<Blob> {
        let run = self.runs.pop_front()?;
        let taken = run.slice(0..max_bytes);
        self.size_bytes -= taken.size_bytes();
        if run.size_bytes() > max_bytes {
            self.runs.push_front(run.slice(max_bytes..run.size_bytes()));
        }
        Some(taken)
    }
}

impl FromIterator<Blob> for ByteQueue {
    fn from_iter<I: IntoIterator<Item = Blob>>(runs: I) -> Self {
        let mut queue = Self::default();
        runs.into_iter().for_each(|run| queue.push(run));
        queue
    }
}

/// A body of runs that are all there.
#[async_trait(?Send)]
impl ByteSource for ByteQueue {
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        Ok(Self::peek(self, max_bytes))
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        Ok(self.take(max_bytes))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue_of(runs: &[&[u8]]) -> ByteQueue {
        let mut queue = ByteQueue::default();
        for run in runs {
            queue.push(run.to_vec().into());
        }
        queue
    }

    #[test]
    fn runs_of_any_length_come_off_in_order() {
        for max_bytes in 1..=8 {
            let mut queue = queue_of(&[b"", b"ab", b"", b"cde", b"f", b""]);
            let mut left: &[u8] = b"abcdef";
            while !left.is_empty() {
                let (expected, rest) = left.split_at(max_bytes.min(left.len()));
                assert_eq!((queue.size_bytes(), queue.peek(max_bytes)), (left.len(), expected.to_vec()));
                assert_eq!(queue.take(max_bytes).map(|run| run.to_vec()), Some(expected.to_vec()));
                left = rest;
            }
            assert!(queue.take(max_bytes).is_none() && queue.peek(max_bytes).is_empty());
        }
    }
}
