//! How much memory the work of one isolate takes at once.
//!
//! An isolate has 128 MB, 122 MiB, for every request that it serves, and wasm memory that was once taken stays taken. Given out here are
//! [`UPLOADS_BYTES`] + [`ANSWERS_BYTES`] + [`WAITING_BYTES`] + [`SPARE_BYTES`] = 41 + 54 + 8 + 4 = 107 MiB. The rest is for the runtime,
//! for wasm memory at rest (1.4 MiB), and for streams. Each kind of work has a part of its own, so that slow uploads do not keep pictures
//! from being stored.

use std::cell::{Cell, RefCell};

use crate::runtime::{Runtime, Timestamp};
use crate::store::{CHUNK_BYTES, CHUNKS_PER_CALL, EMBEDDED_MAX_BYTES};

const MIB: u64 = 1024 * 1024;
/// Uploads that are held whole: the largest of them, 25 + 4 * 4 MiB.
const UPLOADS_BYTES: u64 = 41 * MIB;
/// Answers of providers and the images in them: the longest answer, 28,027,564 bytes, twice.
const ANSWERS_BYTES: u64 = 54 * MIB;
/// What the first long answer takes beyond its own: the place that it leaves in wasm memory is then large enough for the next, although
/// small things were put into it. Without it, eight long answers took 58,654,720 bytes of wasm memory.
const SPARE_BYTES: u64 = 4 * MIB;
/// Generations that wait for their provider: 128 with short prompts, 10 with the longest.
const WAITING_BYTES: u64 = 8 * MIB;
/// What a generation takes while it waits, without its prompt: headers, promises, the call.
const WAITING_BASE_BYTES: u64 = 64 * 1024;
/// A prompt as JSON, as a text, in the request to the provider, which is kept for a retry, and as its copy outside wasm memory; and in the
/// row.
const PROMPT_COPIES: u64 = 6;
/// Bytes of an image that one call to the embedded store sends.
const STORE_CALL_BYTES: u64 = (CHUNKS_PER_CALL * CHUNK_BYTES) as u64;
/// What such a call makes of each byte: 4/3 as base64, as JSON, and as the request's bytes.
const STORE_CALL_COPIES: u64 = 4;
/// How often a generation looks whether there is room for its provider's answer. It is told by nobody: a promise that one request waits
/// for must not be another's to resolve.
const LOOK_AGAIN_MS: u64 = 50;
/// How often an upload looks before it does without a share: for 5 seconds.
const UPLOAD_LOOKS: u64 = 5_000 / LOOK_AGAIN_MS;
/// An upload that vanished (its client left, its isolate's turn was cancelled) never returns its share; it is taken back after this.
const UPLOAD_LIFETIME_MS: u64 = 10 * 60 * 1000;

const _: () = assert!(upload_peak_bytes(EMBEDDED_MAX_BYTES) == UPLOADS_BYTES);

/// An isolate's memory, as far as it is given out.
#[derive(Debug)]
pub struct MemoryBudget {
    uploads: Pool,
    answers: Pool,
    waiting: Pool,
    has_held_long_answer: Cell<bool>,
}

/// Bytes that shares are taken of.
#[derive(Debug)]
struct Pool {
    capacity_bytes: u64,
    shares: RefCell<Shares>,
}

#[derive(Debug, Default)]
struct Shares {
    next: u64,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    number: u64,
    size_bytes: u64,
    until: Timestamp,
}

/// A share, given back when dropped.
#[derive(Debug)]
pub struct Share<'budget> {
    pool: &'budget Pool,
    number: u64,
}

/// What one variant takes while it is made.
#[derive(Debug)]
pub struct VariantShare<'budget> {
    of_answers: Share<'budget>,
    of_uploads: Option<Share<'budget>>,
}

/// What one generation takes: a little while it waits for its provider, and what the answer needs from when that begins to arrive until
/// the image is stored.
pub struct GenerationShare<'budget> {
    budget: &'budget MemoryBudget,
    runtime: &'budget dyn Runtime,
    lifetime_ms: u64,
    answer: RefCell<Option<Share<'budget>>>,
    /// Of what a picture is made of, or the part of uploads that codecs have.
    originals: RefCell<Option<Share<'budget>>>,
    _waiting: Share<'budget>,
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self {
            uploads: Pool::new(UPLOADS_BYTES),
            answers: Pool::new(ANSWERS_BYTES),
            waiting: Pool::new(WAITING_BYTES),
            has_held_long_answer: Cell::new(false),
        }
    }
}

impl MemoryBudget {
    /// The most that one variant may take, in bytes: what is given out for answers and for uploads.
    pub const MAX_VARIANT_BYTES: u64 = ANSWERS_BYTES + UPLOADS_BYTES;

    /// The longest answer of a provider that there can ever be room for, in bytes.
    pub const MAX_ANSWER_BYTES: u64 = ANSWERS_BYTES / 2;

    /// A share for an image of `size_bytes` that is held whole until it is stored; `None` when there is no room for it just now, or never.
    pub fn take_for_upload(&self, size_bytes: u64, now: Timestamp) -> Option<Share<'_>> {
        self.uploads.take(upload_peak_bytes(size_bytes), now, UPLOAD_LIFETIME_MS)
    }

    /// [`MemoryBudget::take_for_upload`] for an upload that cannot do without a share: it waits some seconds for one.
    pub async fn wait_for_upload(&self, size_bytes: u64, runtime: &dyn Runtime) -> Option<Share<'_>> {
        for _ in 0..UPLOAD_LOOKS {
            if let Some(share) = self.take_for_upload(size_bytes, runtime.now()) {
                return Some(share);
            }
            runtime.sleep(LOOK_AGAIN_MS).await;
        }
        self.take_for_upload(size_bytes, runtime.now())
    }

    /// A share for a variant that takes `size_bytes` while it is made, of what answers of providers leave, and for a large one of what uploads
    /// leave as well; `None` when there is no room for it just now, or never. It is taken back after `lifetime_ms` if it is not returned by
    /// then.
    pub fn take_for_variant(&self, size_bytes: u64, now: Timestamp, lifetime_ms: u64) -> Option<VariantShare<'_>> {
        let of_answers = self.answers.take(size_bytes.min(ANSWERS_BYTES), now, lifetime_ms)?;
        let rest_bytes = size_bytes.saturating_sub(ANSWERS_BYTES);
        let of_uploads = if rest_bytes == 0 { None } else { Some(self.uploads.take(rest_bytes, now, lifetime_ms)?) };
        Some(VariantShare { of_answers, of_uploads })
    }

    /// A share for a generation from a prompt of `prompt_bytes`; `None` when too many wait for their providers. It is taken back after
    /// `lifetime_ms` if it is not returned by then.
    pub fn take_for_generation<'budget>(
        &'budget self,
        prompt_bytes: usize,
        lifetime_ms: u64,
        runtime: &'budget dyn Runtime,
    ) -> Option<GenerationShare<'budget>> {
        let size_bytes = WAITING_BASE_BYTES + PROMPT_COPIES * prompt_bytes as u64;
        let waiting = self.waiting.take(size_bytes, runtime.now(), lifetime_ms)?;
        Some(GenerationShare {
            budget: self,
            runtime,
            lifetime_ms,
            answer: RefCell::default(),
            originals: RefCell::default(),
            _waiting: waiting,
        })
    }
}

impl GenerationShare<'_> {
    /// Waits until there is room for an answer of `size_bytes`, at most [`MemoryBudget::MAX_ANSWER_BYTES`], in place of the one that was
    /// held before. One that is no longer than that need not wait.
    pub async fn hold_answer(&self, size_bytes: u64) {
        let size_bytes = answer_peak_bytes(size_bytes.min(MemoryBudget::MAX_ANSWER_BYTES));
        self.answer.replace(None);
        loop {
            if let Some(share) = self.budget.answers.take(size_bytes, self.runtime.now(), self.lifetime_ms) {
                self.answer.replace(Some(share));
                return;
            }
            self.runtime.sleep(LOOK_AGAIN_MS).await;
        }
    }

    /// Waits some seconds for room for the pictures that the generation starts from, `size_bytes` together. False when there is none.
    pub async fn hold_originals(&self, size_bytes: u64) -> bool {
        let share = self.budget.wait_for_upload(size_bytes, self.runtime).await;
        let has_room = share.is_some();
        self.originals.replace(share);
        has_room
    }

    /// Waits until there is room for codecs that take `size_bytes`, at most [`MemoryBudget::MAX_VARIANT_BYTES`], the picture that they
    /// work on included.
    pub async fn hold_codecs(&self, size_bytes: u64) {
        self.originals.replace(None);
        self.answer.replace(None);
        let size_bytes = size_bytes.min(MemoryBudget::MAX_VARIANT_BYTES);
        loop {
            if let Some(share) = self.budget.take_for_variant(size_bytes, self.runtime.now(), self.lifetime_ms) {
                self.answer.replace(Some(share.of_answers));
                self.originals.replace(share.of_uploads);
                return;
            }
            self.runtime.sleep(LOOK_AGAIN_MS).await;
        }
    }

    /// Gives back the room of the pictures that the generation starts from.
    pub fn give_originals_back(&self) {
        self.originals.replace(None);
    }

    /// How much of wasm memory to take at once for an answer of more than a few megabytes, at most `limit_bytes` long.
    #[must_use]
    pub fn room_bytes(&self, limit_bytes: u64) -> u64 {
        if self.budget.has_held_long_answer.replace(true) {
            return limit_bytes;
        }
        MemoryBudget::MAX_ANSWER_BYTES + SPARE_BYTES
    }
}

/// What an upload of `size_bytes` takes until it is stored: itself, and what a call to the embedded store makes of a part of it. While it
/// arrives, it takes itself and one run of 1 MiB.
const fn upload_peak_bytes(size_bytes: u64) -> u64 {
    size_bytes.saturating_add(STORE_CALL_COPIES * store_call_bytes(size_bytes))
}

/// What an answer of `size_bytes` takes until its image is stored: itself in wasm memory, where it is decoded in place, and beside it the
/// decoded image once more as the bucket gets it, or what a call to the embedded store makes of it with a copy outside wasm memory.
const fn answer_peak_bytes(size_bytes: u64) -> u64 {
    let call_bytes = (STORE_CALL_COPIES + 1) * store_call_bytes(size_bytes);
    size_bytes.saturating_add(if size_bytes > call_bytes { size_bytes } else { call_bytes })
}

const fn store_call_bytes(size_bytes: u64) -> u64 {
    if size_bytes < STORE_CALL_BYTES { size_bytes } else { STORE_CALL_BYTES }
}

impl Pool {
    fn new(capacity_bytes: u64) -> Self {
        Self { capacity_bytes, shares: RefCell::default() }
    }

    fn take(&self, size_bytes: u64, now: Timestamp, lifetime_ms: u64) -> Option<Share<'_>> {
        let mut shares = self.shares.borrow_mut();
        shares.held.retain(|share| share.until > now);
        let held_bytes: u64 = shares.held.iter().map(|share| share.size_bytes).sum();
        if held_bytes.saturating_add(size_bytes) > self.capacity_bytes {
            return None;
        }
        let number = shares.next;
        shares.next += 1;
        let until = now.plus_millis(i64::try_from(lifetime_ms).unwrap_or(i64::MAX));
        shares.held.push(Held { number, size_bytes, until });
        Some(Share { pool: self, number })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.pool.shares.borrow_mut().held.retain(|share| share.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(0);

    #[test]
    fn shares_run_out_and_come_back() {
        let pool = Pool::new(10);
        let first = pool.take(5, NOW, 1);
        let second = pool.take(5, NOW, 1);
        assert!(first.is_some() && second.is_some());
        assert!(pool.take(1, NOW, 1).is_none());
        drop(first);
        assert!(pool.take(5, NOW, 1).is_some());
        assert!(pool.take(u64::MAX, NOW, 1).is_none());
    }

    #[test]
    fn a_share_that_is_never_returned_is_taken_back() {
        let budget = MemoryBudget::default();
        std::mem::forget(budget.take_for_upload(EMBEDDED_MAX_BYTES, NOW));
        let almost = NOW.plus_millis(10 * 60 * 1000 - 1);
        assert!(budget.take_for_upload(1, almost).is_none());
        assert!(budget.take_for_upload(1, almost.plus_millis(1)).is_some());
    }

    #[test]
    fn uploads_are_charged_what_storing_them_takes() {
        for (size_bytes, peak_bytes) in [(0, 0), (1, 5), (4 * MIB, 20 * MIB), (25 * MIB, 41 * MIB)] {
            assert_eq!(upload_peak_bytes(size_bytes), peak_bytes, "{size_bytes}");
        }
        let budget = MemoryBudget::default();
        let eight: Vec<_> = (0..8).map(|_| budget.take_for_upload(MIB, NOW)).collect();
        assert!(eight.iter().all(Option::is_some));
        assert!(budget.take_for_upload(MIB, NOW).is_none(), "41 MiB / 5");
    }

    #[test]
    fn a_large_variant_takes_roomof_uploads_too() {
        let budget = MemoryBudget::default();
        let small = budget.take_for_variant(ANSWERS_BYTES, NOW, 1);
        assert!(small.is_some() && budget.take_for_variant(1, NOW, 1).is_none());
        assert!(budget.take_for_upload(EMBEDDED_MAX_BYTES, NOW).is_some());
        drop(small);
        let large = budget.take_for_variant(MemoryBudget::MAX_VARIANT_BYTES, NOW, 1);
        assert!(large.is_some() && budget.take_for_upload(1, NOW).is_none());
        drop(large);
        assert!(budget.take_for_variant(MemoryBudget::MAX_VARIANT_BYTES + 1, NOW, 1).is_none());
        assert!(
            budget.take_for_variant(ANSWERS_BYTES, NOW, 1).is_some(),
            "nothing stays taken of one that had no room"
        );
    }

    #[test]
    fn answers_are_charged_at_least_twice() {
        for (size_bytes, peak_bytes) in [(MIB, 6 * MIB), (20 * MIB, 40 * MIB), (27 * MIB, 54 * MIB)] {
            assert_eq!(answer_peak_bytes(size_bytes), peak_bytes, "{size_bytes}");
        }
    }
}
