//! The contract of [`ImageStore`] as functions, one a rule, to run on any store natively and inside the Workers runtime.
//!
//! Keys carry a prefix of the run and the case, and a case removes what it stored, so that a shared bucket can be used.

mod arriving;
mod concurrent;
mod listing;
mod multipart;
mod refusals;
mod round_trips;
mod trial;

pub use arriving::{ArrivingBytes, Gate, gate};
pub use multipart::{MULTIPART_CASES, MultipartCase, run as run_multipart};
pub use trial::Outcome;

use futures::future::LocalBoxFuture;

use super::ImageStore;
use trial::Trial;

/// One rule of the contract.
pub struct Case {
    /// Unique; also the name in test output.
    pub name: &'static str,
    /// Whether it stores bodies that are still arriving, which a [`super::Fallback`] cannot send twice.
    pub streams: bool,
    check: for<'trial> fn(&'trial Trial<'trial>) -> LocalBoxFuture<'trial, Outcome>,
}

macro_rules! cases {
    ($($module:ident::$name:ident $bodies:ident),* $(,)?) => {
        &[$(Case {
            name: stringify!($name),
            streams: cases!(@ $bodies),
            check: |trial| Box::pin($module::$name(trial)),
        }),*]
    };
    (@ blobs) => { false };
    (@ streams) => { true };
}

/// The whole contract.
pub const CASES: &[Case] = cases![
    round_trips::an_empty_object_round_trips blobs,
    round_trips::sizes_around_chunk_boundaries_round_trip blobs,
    round_trips::large_objects_round_trip blobs,
    round_trips::streamed_bodies_round_trip streams,
    round_trips::a_body_without_a_promised_length_round_trips streams,
    round_trips::a_body_that_was_peeked_at_round_trips streams,
    round_trips::every_content_type_comes_back blobs,
    round_trips::metadata_comes_back blobs,
    round_trips::ranges_are_exact blobs,
    round_trips::bodies_can_be_read_in_runs_of_any_length blobs,
    round_trips::reading_what_is_not_there_is_none blobs,
    round_trips::deleted_objects_are_gone_and_their_keys_free blobs,
    refusals::the_same_bytes_again_change_nothing blobs,
    refusals::other_bytes_under_a_taken_key_are_refused blobs,
    refusals::a_right_digest_is_accepted streams,
    refusals::a_wrong_digest_stores_nothing blobs,
    refusals::a_wrong_digest_of_a_stream_stores_nothing streams,
    refusals::a_short_body_stores_nothing streams,
    refusals::a_long_body_stores_nothing streams,
    refusals::an_interrupted_body_stores_nothing streams,
    concurrent::equal_puts_at_once_all_succeed blobs,
    concurrent::of_unequal_puts_at_once_one_succeeds blobs,
    concurrent::of_unequal_streamed_puts_at_once_one_succeeds streams,
    concurrent::a_half_written_object_is_invisible streams,
    listing::lists_are_in_byte_order blobs,
    listing::lists_keep_to_their_prefix blobs,
    listing::lists_start_after_any_key blobs,
    listing::pages_of_any_size_cover_everything_once blobs,
    listing::more_objects_than_one_page_holds_are_listed blobs,
    listing::listed_objects_are_described_as_head_does blobs,
];

/// Checks one rule on `store`. `run_id`, made of characters that keys may have, keeps runs on a shared store apart.
///
/// # Errors
/// In words, which expectation did not hold.
pub async fn run(case: &Case, store: &dyn ImageStore, run_id: &str) -> Outcome {
    let trial = Trial { store, prefix: format!("conformance/{run_id}/{}/", case.name) };
    let outcome = (case.check)(&trial).await;
    let removed = trial.remove_everything().await;
    outcome.and(removed)
}
