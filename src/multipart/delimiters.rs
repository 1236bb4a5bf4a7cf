//! Where in a form its delimiters are.

use std::collections::VecDeque;

use memchr::memmem;

/// Looks for the delimiter in bytes that come in runs. Offsets count from the first byte of the first run.
pub(super) struct Delimiters {
    delimiter: Vec<u8>,
    found: VecDeque<u64>,
    /// The last bytes of what was scanned, in which a delimiter may begin.
    carry: Vec<u8>,
    carry_at: u64,
}

impl Delimiters {
    /// `delimiter` begins with a line break and has no other, so that no two overlap.
    pub fn new(delimiter: Vec<u8>) -> Self {
        Self { delimiter, found: VecDeque::new(), carry: Vec::new(), carry_at: 0 }
    }

    /// Length of the delimiter in bytes.
    pub fn length_bytes(&self) -> usize {
        self.delimiter.len()
    }

    /// Looks through the run after those of before, which takes its size of memory.
    pub fn scan(&mut self, run: &[u8]) {
        let mut window = std::mem::take(&mut self.carry);
        window.extend_from_slice(run);
        self.found.extend(memmem::find_iter(&window, &self.delimiter).map(|at| self.carry_at + at as u64));
        let passed = window.len().saturating_sub(self.delimiter.len() - 1);
        self.carry_at += passed as u64;
        self.carry = window.split_off(passed);
    }

    /// The first delimiter that begins at `offset` or later, of those that are known.
    pub fn first_from(&mut self, offset: u64) -> Option<u64> {
        while self.found.front().is_some_and(|at| *at < offset) {
            self.found.pop_front();
        }
        self.found.front().copied()
    }

    /// Every delimiter that begins before this offset is known.
    pub fn known_until(&self) -> u64 {
        self.carry_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_found_however_the_bytes_come() {
        let bytes = b"\r\n--b\r\n--a\r\r\n--b\r\n--\r\n--b";
        for run_bytes in 1..=bytes.len() {
            let mut delimiters = Delimiters::new(b"\r\n--b".to_vec());
            let mut found = Vec::new();
            for run in bytes.chunks(run_bytes) {
                delimiters.scan(run);
                let known_until = delimiters.known_until();
                while let Some(at) = delimiters.first_from(found.last().map_or(0, |last| last + 1)) {
                    found.push(at);
                }
                assert!([0, 11, 20].iter().all(|at| *at >= known_until || found.contains(at)), "{run_bytes}");
            }
            assert_eq!(found, [0, 11, 20], "{run_bytes}");
        }
    }
}
