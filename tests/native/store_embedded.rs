//! What the embedded store promises beyond the store contract: its format, its limits, its cost.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use stillstore::bytes::{Blob, Body, BodyError, ByteSource, ForeignBytes};
use stillstore::image::Sha256Digest;
use stillstore::runtime::Timestamp;
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::conformance::ArrivingBytes;
use stillstore::store::{ByteRange, EMBEDDED_MAX_BYTES, ImageStore, LIST_LIMIT, StoreErrorKind};

use crate::runtime::block_on;
use crate::store_database::{Embedded, MIB, image_id, key, object, picture, with_digest};

#[test]
fn a_put_costs_one_call_for_each_four_chunks() {
    for (size_bytes, calls) in [(0, 1), (1, 1), (4 * MIB, 1), (4 * MIB + 1, 2), (8 * MIB, 2), (25 * MIB, 7)] {
        let embedded = Embedded::new();
        assert_eq!(embedded.calls_of(|it| it.put("a", picture(size_bytes, 1)).expect("put")), calls, "{size_bytes}");
        let body = ArrivingBytes::new(&picture(size_bytes, 2)).into_body(None);
        assert_eq!(embedded.calls_of(|it| it.put("b", body).expect("put")), calls, "{size_bytes} streamed");
    }
}

#[test]
fn reading_costs_one_call_a_chunk_and_the_row_comes_with_the_first() {
    let embedded = Embedded::new();
    for (name, size_bytes) in [("empty", 0), ("small", MIB), ("large", 3 * MIB + 1)] {
        embedded.put(name, picture(size_bytes, 1)).expect("put");
    }
    assert_eq!(embedded.calls_of(|it| it.read("empty")), 1);
    assert_eq!(embedded.calls_of(|it| it.read("small")), 1);
    assert_eq!(embedded.calls_of(|it| it.get("large")), 1);
    assert_eq!(embedded.calls_of(|it| it.read("large")), 4);
    let last = ByteRange { offset_bytes: 3 * MIB as u64, length_bytes: 1 };
    assert_eq!(embedded.calls_of(|it| block_on(it.store.get(&key("large"), Some(last)))), 1);
    assert_eq!(embedded.calls_of(|it| block_on(it.store.head(&key("large")))), 1);
    assert_eq!(embedded.calls_of(|it| block_on(it.store.list("", None, LIST_LIMIT))), 1);
    assert_eq!(embedded.calls_of(|it| block_on(it.store.delete(&key("large")))), 1);
}

#[test]
fn a_range_past_the_end_is_cut_to_what_there_is() {
    let embedded = Embedded::new();
    embedded.put("a", picture(MIB + 10, 1)).expect("put");
    for (offset_bytes, length_bytes, expected) in [(MIB as u64, 100, 10), (MIB as u64 + 10, 1, 0), (u64::MAX, 9, 0)] {
        let range = ByteRange { offset_bytes, length_bytes };
        let stored = block_on(embedded.store.get(&key("a"), Some(range))).expect("get").expect("there");
        assert_eq!(stored.body.promised_bytes(), Some(expected));
        assert_eq!(block_on(stored.body.collect(100)).expect("body").size_bytes() as u64, expected);
    }
}

#[test]
fn images_up_to_the_limit_are_stored_and_larger_ones_refused() {
    let embedded = Embedded::new();
    let limit_bytes = usize::try_from(EMBEDDED_MAX_BYTES).expect("small");
    assert_eq!(embedded.put("largest", picture(limit_bytes, 1)).expect("put").size_bytes, EMBEDDED_MAX_BYTES);
    let rows = embedded.rows();

    let too_large = || picture(limit_bytes + 1, 2);
    let expected = StoreErrorKind::TooLarge { limit_bytes: EMBEDDED_MAX_BYTES };
    assert_eq!(embedded.put("blob", too_large()).expect_err("blob").kind, expected);
    let promised = ArrivingBytes::new(&[]).into_body(Some(EMBEDDED_MAX_BYTES + 1));
    assert_eq!(embedded.put("promised", promised).expect_err("promised").kind, expected);
    let unpromised = ArrivingBytes::new(&too_large()).into_body(None);
    assert_eq!(embedded.put("unpromised", unpromised).expect_err("unpromised").kind, expected);
    assert_eq!(embedded.rows(), rows);
}

#[test]
fn the_stored_format_is_pinned() {
    let embedded = Embedded::new();
    let bytes = picture(MIB + 3, 7);
    let mut described = object("generated/a.png", bytes.clone());
    described.metadata.insert("persona".to_owned(), "\u{e9}".to_owned());
    block_on(embedded.store.put(described)).expect("put");

    let blob: serde_json::Value = embedded.query("SELECT * FROM stillstore_blobs").first().expect("row").expect("one");
    assert_eq!(
        blob,
        serde_json::json!({
            "write_id": "01000000000000000000000000000000",
            "object_key": "generated/a.png",
            "content_type": "image/png",
            "metadata_json": "{\"persona\":\"\u{e9}\"}",
            "created_at_ms": 1_800_000_000_000_i64,
            "stored_at_ms": 1_800_000_000_000_i64,
            "size_bytes": 1_048_579,
            "sha256": Sha256Digest::of(&bytes),
            "owner_id": null,
        })
    );
    let chunks =
        "SELECT write_id, chunk_index, length(data) AS length, substr(data, 1, 8) AS start FROM stillstore_chunks";
    let chunks: Vec<serde_json::Value> = embedded.query(chunks).rows().expect("rows");
    assert_eq!(
        chunks,
        [
            serde_json::json!({"write_id": "01000000000000000000000000000000", "chunk_index": 0, "length": 1_398_104, "start": "BwcHBwcH"}),
            serde_json::json!({"write_id": "01000000000000000000000000000000", "chunk_index": 1, "length": 4, "start": "BwcH"}),
        ]
    );
}

#[test]
fn repeated_and_refused_puts_leave_no_rows() {
    for size_bytes in [10, 6 * MIB] {
        let embedded = Embedded::new();
        embedded.put("a", picture(size_bytes, 1)).expect("put");
        let rows = embedded.rows();
        embedded.put("a", picture(size_bytes, 1)).expect("same bytes");
        assert_eq!(embedded.rows(), rows);
        let error = embedded.put("a", picture(size_bytes, 2)).expect_err("other bytes");
        assert_eq!(error.kind, StoreErrorKind::KeyTaken);
        assert_eq!(embedded.rows(), rows);
        let wrong = with_digest(object("b", ArrivingBytes::new(&picture(size_bytes, 1)).into_body(None)), b"other");
        assert_eq!(block_on(embedded.store.put(wrong)).expect_err("digest").kind, StoreErrorKind::ChecksumMismatch);
        assert_eq!(embedded.rows(), rows);
    }
}

#[test]
fn damaged_rows_are_reported_and_never_served() {
    let corrupt = |damage: &str| {
        let embedded = Embedded::new();
        embedded.put("a", picture(2 * MIB, 1)).expect("put");
        embedded.query(damage.to_owned());
        match embedded.get("a") {
            Err(error) => Err(error.kind),
            Ok(stored) => Ok(block_on(stored.expect("there").body.collect(u64::MAX)).map(|_| ())),
        }
    };
    let first = "UPDATE stillstore_chunks SET data = 'AAAA' WHERE chunk_index = 0";
    assert_eq!(corrupt(first), Err(StoreErrorKind::Corrupt));
    assert_eq!(corrupt("DELETE FROM stillstore_chunks WHERE chunk_index = 0"), Err(StoreErrorKind::Corrupt));
    assert_eq!(corrupt("UPDATE stillstore_blobs SET sha256 = 'none'"), Err(StoreErrorKind::Corrupt));
    for damage in [
        "DELETE FROM stillstore_chunks WHERE chunk_index = 1",
        "UPDATE stillstore_chunks SET data = 'AAAA' WHERE chunk_index = 1",
    ] {
        assert!(matches!(corrupt(damage), Ok(Err(BodyError::Interrupted(_)))), "{damage}");
    }
}

#[test]
fn damaged_metadata_is_reported_and_the_bytes_are_read_all_the_same() {
    let embedded = Embedded::new();
    embedded.put("a", picture(2 * MIB, 1)).expect("put");
    embedded.query("UPDATE stillstore_blobs SET metadata_json = '['".to_owned());
    let head = block_on(embedded.store.head(&key("a")));
    assert_eq!(head.map_err(|error| error.kind), Err(StoreErrorKind::Corrupt));
    assert!(embedded.read("a") == Some(picture(2 * MIB, 1)));
}

#[test]
fn an_object_deleted_while_it_is_read_ends_as_interrupted() {
    let embedded = Embedded::new();
    embedded.put("a", picture(2 * MIB, 1)).expect("put");
    let mut body = embedded.get("a").expect("get").expect("there").body;
    assert!(block_on(body.next(MIB)).expect("first chunk").is_some());
    block_on(embedded.store.delete(&key("a"))).expect("delete");
    embedded.put("a", picture(2 * MIB, 2)).expect("other bytes under the same key");
    assert!(matches!(block_on(body.next(MIB)), Err(BodyError::Interrupted(_))));
}

#[test]
fn every_statement_uses_an_index() {
    let embedded = Embedded::new();
    for size_bytes in [10, 6 * MIB] {
        embedded.put(&size_bytes.to_string(), picture(size_bytes, 1)).expect("put");
    }
    embedded.adopt("10", &image_id(1));
    embedded.read(&(6 * MIB).to_string());
    block_on(embedded.store.head(&key("10"))).expect("head");
    block_on(embedded.store.list("1", Some(&key("10")), 5)).expect("list");
    block_on(embedded.store.delete(&key("10"))).expect("delete");
    block_on(embedded.store.sweep(Timestamp::from_millis(0), 5)).expect("sweep");
    embedded.database.plan.fail_nth(DatabaseCall::Write, 2, Fault::FailBefore);
    embedded.put("discarded", picture(6 * MIB, 1)).expect_err("planned");

    let calls = embedded.database.plan.calls();
    let statements: BTreeSet<_> = calls.iter().flat_map(|call| call.subject.lines()).collect();
    assert_eq!(statements.len(), 12, "{statements:#?}");
    for sql in statements {
        let plan = embedded.sqlite.plan(sql);
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
        assert!(plan.contains("USING") || sql.starts_with("INSERT INTO"), "{sql}\n{plan}");
    }
}

#[test]
fn listing_and_sweeping_walk_their_own_indexes() {
    let embedded = Embedded::new();
    block_on(embedded.store.list("a", None, 5)).expect("list");
    block_on(embedded.store.sweep(Timestamp::from_millis(0), 5)).expect("sweep");
    let plans: Vec<_> = embedded.database.plan.calls().iter().map(|call| embedded.sqlite.plan(&call.subject)).collect();
    assert!(plans[0].contains("stillstore_blobs_by_key (object_key>? AND object_key<?)"), "{}", plans[0]);
    assert!(plans[1].contains("stillstore_blobs_unowned (created_at_ms<?)"), "{}", plans[1]);
}

/// Foreign bytes that count what is copied out of them.
struct Counted {
    bytes: Vec<u8>,
    copied_bytes: Rc<Cell<usize>>,
}

impl ForeignBytes for Counted {
    fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn copy_to(&self, range: Range<usize>, target: &mut [u8]) {
        self.copied_bytes.set(self.copied_bytes.get() + range.len());
        target.copy_from_slice(&self.bytes[range]);
    }

    fn view(&self, range: Range<usize>) -> Rc<dyn ForeignBytes> {
        Rc::new(Self { bytes: self.bytes[range].to_vec(), copied_bytes: Rc::clone(&self.copied_bytes) })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[test]
fn bytes_outside_wasm_memory_reach_the_database_without_a_copy() {
    let embedded = Embedded::new();
    let copied_bytes = Rc::new(Cell::new(0));
    let bytes = picture(2 * MIB, 1);
    let blob = Blob::foreign(Rc::new(Counted { bytes: bytes.clone(), copied_bytes: Rc::clone(&copied_bytes) }));
    // The call fails before SQLite encodes the bytes, so that what is counted is the store's own doing.
    embedded.database.plan.fail_nth(None, 1, Fault::FailBefore);
    embedded.put("a", blob).expect_err("planned");
    // The test runtime hashes a copy; the platform's hashes in place.
    assert_eq!(copied_bytes.get(), bytes.len());
}

/// Breaks the promise of `ByteSource::next`: runs are shorter than asked for before the end.
struct ShortRuns(usize);

#[async_trait(?Send)]
impl ByteSource for ShortRuns {
    async fn peek(&mut self, _max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        Ok(Vec::new())
    }

    async fn next(&mut self, _max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        self.0 = self.0.saturating_sub(1);
        Ok((self.0 > 0).then(|| vec![1; 1000].into()))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[test]
fn a_source_with_short_runs_stores_nothing() {
    let embedded = Embedded::new();
    let error = embedded.put("a", Body::from_source(Box::new(ShortRuns(3)), None)).expect_err("short runs");
    assert!(matches!(error.kind, StoreErrorKind::Body(BodyError::Interrupted(_))), "{error}");
    assert_eq!(embedded.rows(), (0, 0));
}
