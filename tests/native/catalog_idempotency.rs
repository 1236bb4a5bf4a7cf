//! One image a key, whoever asks, and however often.

use proptest::prelude::*;
use stillstore::catalog::{
    CachePurge, Claim, Commit, Committed, IDEMPOTENCY_RETENTION_MS, IdempotencyKey, Lease, MovedImages, OwnerFilter,
    Reservation, Status,
};
use stillstore::image::{ImageId, Sha256Digest};
use stillstore::runtime::Timestamp;
use stillstore::store::StorageKind;

use crate::catalog_database::{Shelf, at, content, description, done, id, plain_commit};

const LEASE_MS: u32 = 60_000;

fn idempotency_key() -> IdempotencyKey {
    "order-1".parse().unwrap()
}

fn claim(shelf: &Shelf, body: &str, image: ImageId, now: Timestamp) -> Claim {
    let body = Sha256Digest::of(body.as_bytes());
    done(shelf.catalog.claim(&idempotency_key(), body, image, now, LEASE_MS)).unwrap()
}

fn lease(shelf: &Shelf, image: ImageId, now: Timestamp) -> Lease {
    match claim(shelf, "body", image, now) {
        Claim::Claimed(lease) => lease,
        other => panic!("not claimed: {other:?}"),
    }
}

/// Stores the image that the key stands for.
fn complete(shelf: &Shelf, number: u64) {
    let (description, content, key) = (description(number), content(), idempotency_key());
    let commit = Commit { idempotency: Some(&key), ..plain_commit(&description, &content) };
    assert!(matches!(done(shelf.catalog.commit(commit)).unwrap(), Committed::Done(_)));
}

#[test]
fn of_two_claims_one_does_the_work_and_the_other_waits() {
    let shelf = Shelf::new();
    let (first, second) = (id(1), id(2));
    let expected = Lease { image_id: first, created_at: at(0), expires_at: at(60) };
    assert_eq!(claim(&shelf, "body", first, at(0)), Claim::Claimed(expected));
    assert_eq!(claim(&shelf, "body", second, at(0)), Claim::InProgress { retry_after_ms: 60_000 });
    assert_eq!(claim(&shelf, "body", second, at(59)), Claim::InProgress { retry_after_ms: 1000 });
    assert_eq!(claim(&shelf, "body", first, at(1)), Claim::Claimed(expected), "its own claim, made again");
}

#[test]
fn another_key_is_another_image() {
    let shelf = Shelf::new();
    lease(&shelf, id(1), at(0));
    let other = "order-2".parse().unwrap();
    let claim = done(shelf.catalog.claim(&other, Sha256Digest::of(b"body"), id(2), at(0), LEASE_MS)).unwrap();
    assert!(matches!(claim, Claim::Claimed(lease) if lease.image_id == id(2)));
}

#[test]
fn further_images_have_keys_of_their_own_that_hang_on_the_first() {
    let key = idempotency_key();
    let other: IdempotencyKey = "order-2".parse().unwrap();
    let digests = [
        key,
        key.of_further_image(id(1), 1),
        key.of_further_image(id(1), 2),
        key.of_further_image(id(2), 1),
        other.of_further_image(id(1), 1),
    ]
    .map(|key| key.digest().to_string());
    assert_eq!(digests.iter().collect::<std::collections::BTreeSet<_>>().len(), digests.len());
    assert_eq!(key.of_further_image(id(1), 1), key.of_further_image(id(1), 1));

    // Both are claimed, completed and given up apart from each other.
    let shelf = Shelf::new();
    lease(&shelf, id(1), at(0));
    complete(&shelf, 1);
    let further = key.of_further_image(id(1), 1);
    let claim_further =
        |image, now| done(shelf.catalog.claim(&further, Sha256Digest::of(b"body"), image, now, LEASE_MS)).unwrap();
    let Claim::Claimed(second) = claim_further(id(2), at(1)) else { panic!("not claimed") };
    assert!(matches!(claim_further(id(3), at(2)), Claim::InProgress { .. }));
    done(shelf.catalog.release(&further, &second)).unwrap();
    assert!(matches!(claim_further(id(3), at(3)), Claim::Claimed(lease) if lease.image_id == id(3)));
    assert_eq!(claim(&shelf, "body", id(4), at(4)), Claim::Completed { image_id: id(1) });
}

#[test]
fn the_same_key_with_another_body_is_refused_in_every_state() {
    let shelf = Shelf::new();
    lease(&shelf, id(1), at(0));
    assert_eq!(claim(&shelf, "other", id(2), at(0)), Claim::BodyMismatch);
    assert_eq!(claim(&shelf, "other", id(2), at(61)), Claim::BodyMismatch, "also when the lease has expired");
    complete(&shelf, 1);
    assert_eq!(claim(&shelf, "other", id(2), at(62)), Claim::BodyMismatch);
    assert_eq!(claim(&shelf, "body", id(2), at(62)), Claim::Completed { image_id: id(1) });
}

#[test]
fn an_expired_lease_is_taken_over_with_the_same_image_and_time() {
    let shelf = Shelf::new();
    let first = lease(&shelf, id(1), at(0));
    let taken_over = lease(&shelf, id(2), at(60));
    assert_eq!(taken_over, Lease { expires_at: at(120), ..first });
    assert_eq!(claim(&shelf, "body", id(3), at(61)), Claim::InProgress { retry_after_ms: 59_000 });
}

#[test]
fn a_takeover_starts_anew_when_the_first_image_is_being_deleted() {
    for status in [Status::Deleting, Status::Deleted] {
        let shelf = Shelf::new();
        lease(&shelf, id(1), at(0));
        shelf.image_in(1, status);
        assert_eq!(claim(&shelf, "body", id(2), at(59)), Claim::InProgress { retry_after_ms: 1000 });
        assert_eq!(claim(&shelf, "other", id(2), at(60)), Claim::BodyMismatch);
        let expected = Lease { image_id: id(2), created_at: at(60), expires_at: at(120) };
        assert_eq!(lease(&shelf, id(2), at(60)), expected, "{status:?}");
    }
}

#[test]
fn the_slower_of_two_holders_finds_the_work_done() {
    let shelf = Shelf::new();
    let slow = lease(&shelf, id(1), at(0));
    let description = shelf.image_in(1, Status::Pending);
    lease(&shelf, id(2), at(60));
    assert_eq!(done(shelf.catalog.reserve(&description, StorageKind::R2, 1, at(60))).unwrap(), Reservation::Reserved);
    complete(&shelf, 1);
    let (content, key) = (content(), idempotency_key());
    let commit = Commit { idempotency: Some(&key), ..plain_commit(&description, &content) };
    assert!(matches!(done(shelf.catalog.commit(commit)).unwrap(), Committed::AlreadyStored(_)));
    done(shelf.catalog.release(&key, &slow)).unwrap();
    assert_eq!(claim(&shelf, "body", id(3), at(62)), Claim::Completed { image_id: id(1) });
}

#[test]
fn a_released_key_is_free_at_once() {
    let shelf = Shelf::new();
    let first = lease(&shelf, id(1), at(0));
    done(shelf.catalog.release(&idempotency_key(), &first)).unwrap();
    assert_eq!(lease(&shelf, id(2), at(1)).image_id, id(2));
}

#[test]
fn only_the_holder_of_the_lease_releases_it() {
    let shelf = Shelf::new();
    let first = lease(&shelf, id(1), at(0));
    let second = lease(&shelf, id(2), at(60));
    done(shelf.catalog.release(&idempotency_key(), &first)).unwrap();
    done(shelf.catalog.release(&idempotency_key(), &Lease { image_id: id(9), ..second })).unwrap();
    done(shelf.catalog.release(&"order-2".parse().unwrap(), &second)).unwrap();
    assert!(matches!(claim(&shelf, "body", id(3), at(61)), Claim::InProgress { .. }));
}

#[test]
fn a_commit_completes_only_its_own_key() {
    let shelf = Shelf::new();
    lease(&shelf, id(1), at(0));
    complete(&shelf, 2);
    assert!(matches!(claim(&shelf, "body", id(3), at(1)), Claim::InProgress { .. }));
}

#[test]
fn a_lost_commit_leaves_the_key_claimed() {
    let shelf = Shelf::new();
    lease(&shelf, id(1), at(0));
    let description = shelf.image_in(1, Status::Deleting);
    let (content, key) = (content(), idempotency_key());
    let commit = Commit { idempotency: Some(&key), ..plain_commit(&description, &content) };
    assert_eq!(done(shelf.catalog.commit(commit)).unwrap(), Committed::Lost);
    assert!(matches!(claim(&shelf, "body", id(3), at(1)), Claim::InProgress { .. }));
}

#[test]
fn a_completed_key_says_when_its_image_was_deleted_since() {
    let shelf = Shelf::new();
    lease(&shelf, id(1), at(0));
    complete(&shelf, 1);
    let deleted = Claim::CompletedThenDeleted { image_id: id(1) };
    done(shelf.catalog.begin_delete(id(1), &OwnerFilter::Any, MovedImages::Go, at(2))).unwrap();
    assert_eq!(claim(&shelf, "body", id(2), at(3)), deleted);
    done(shelf.catalog.finish_delete(id(1), shelf.version(id(1)), &CachePurge::Needless, at(4))).unwrap();
    assert_eq!(claim(&shelf, "body", id(2), at(70)), deleted);
    done(shelf.catalog.purge_tombstones(at(80), 1)).unwrap();
    assert_eq!(claim(&shelf, "body", id(2), at(90)), deleted);
}

#[test]
fn a_key_is_forgotten_after_its_retention() {
    let shelf = Shelf::new();
    lease(&shelf, id(1), at(0));
    complete(&shelf, 1);
    let forgotten_at = at(0).plus_millis(IDEMPOTENCY_RETENTION_MS);
    let last = forgotten_at.plus_millis(-1);
    assert_eq!(claim(&shelf, "body", id(2), last), Claim::Completed { image_id: id(1) });
    assert_eq!(done(shelf.catalog.purge_idempotency(last, 10)).unwrap(), 0);
    let claimed = claim(&shelf, "another body", id(2), forgotten_at);
    assert!(matches!(claimed, Claim::Claimed(lease) if lease.image_id == id(2) && lease.created_at == forgotten_at));
}

#[test]
fn a_purge_removes_forgotten_keys_up_to_its_limit() {
    let shelf = Shelf::new();
    for number in 0..5 {
        let key = format!("order-{number}").parse().unwrap();
        let now = at(i64::from(number == 4));
        done(shelf.catalog.claim(&key, Sha256Digest::of(b""), id(number), now, LEASE_MS)).unwrap();
    }
    let now = at(0).plus_millis(IDEMPOTENCY_RETENTION_MS);
    let purged = [(); 3].map(|()| done(shelf.catalog.purge_idempotency(now, 3)).unwrap());
    assert_eq!(purged, [3, 1, 0]);
    assert_eq!(shelf.sql("SELECT * FROM stillstore_idempotency").unwrap().len(), 1);
}

#[test]
fn the_database_never_holds_the_key_itself() {
    let shelf = Shelf::new();
    lease(&shelf, id(1), at(0));
    let rows = shelf.sql("SELECT * FROM stillstore_idempotency").unwrap();
    assert_eq!(rows[0]["key_digest"], Sha256Digest::of(b"order-1").to_string());
    assert!(!rows[0].to_string().contains("order"));
    assert!(!format!("{:?}", idempotency_key()).contains("order"));
}

#[test]
fn header_values_become_keys() {
    let long = "k".repeat(255);
    let same = [
        ("order-1", "order-1"),
        ("\"order-1\"", "order-1"),
        (r#""a\"b\\c""#, r#"a"b\c"#),
        (r"a\b", r"a\b"),
        ("!~", "!~"),
        (&long, &long),
        (&format!("\"{long}\""), &long),
    ];
    for (header, key) in same {
        let parsed: IdempotencyKey = header.parse().expect(header);
        assert_eq!(parsed.digest(), Sha256Digest::of(key.as_bytes()), "{header}");
    }
    let too_long = "k".repeat(256);
    let invalid = [
        "", "\"", "\"\"", "a b", "\"a b\"", "\"a", "\"a\"b\"", r#""a\b""#, r#""a\""#, "clé", "a\n", "a\u{7f}",
        &too_long,
    ];
    for header in invalid {
        assert!(header.parse::<IdempotencyKey>().is_err(), "{header:?}");
    }
}

proptest! {
    #[test]
    fn no_header_value_makes_the_parser_panic(header in "\\PC{0,300}", quoted: bool) {
        let header = if quoted { format!("\"{header}\"") } else { header };
        let valid = header.parse::<IdempotencyKey>().is_ok();
        prop_assert!(!valid || header.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
