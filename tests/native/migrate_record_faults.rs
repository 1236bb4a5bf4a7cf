//! Records that cannot be written, are lost on the way, or are damaged where they lie.

use std::rc::Rc;

use serde_json::json;
use stillstore::image::Format;
use stillstore::migrate::record::{self, Damage, Extent, Integrity, LINE_MAX_BYTES, Pages, WriteError};
use stillstore::sql::{DatabaseError, DatabaseErrorKind, Fault};
use stillstore::store::conformance::ArrivingBytes;
use stillstore::store::{Faulty, ImageStore, ObjectMetadata, PutObject, StoreCall, StoreErrorKind};

use crate::migrate_record::{Given, memory, read, stored, write};
use crate::runtime::block_on;
use crate::store_database::{Embedded, MIB, key};

fn write_promising(store: &dyn ImageStore, content: Extent, pages: impl Pages) -> Result<record::Written, WriteError> {
    block_on(record::write(store, key("record"), &json!({"run": "r1"}), content, pages))
}

/// Runs `check` on a memory store, and on an embedded store, which must both stay empty.
fn on_empty_stores(check: impl Fn(&dyn ImageStore)) {
    let (store, embedded) = (memory(), Embedded::new());
    check(&store);
    check(&embedded.store);
    assert!(store.contents().is_empty());
    assert_eq!(embedded.rows(), (0, 0));
}

#[test]
fn pages_that_fail_store_nothing() {
    // After a page that the embedded store has sent to the database, and at once.
    for first_page_bytes in [0, 9 * MIB] {
        on_empty_stores(|store| {
            let line = format!("{}\n", "x".repeat(999));
            let page = line.repeat(first_page_bytes / line.len());
            let content = Extent::of(&page) + Extent::of("more\n");
            let error = DatabaseError::new(DatabaseErrorKind::Unavailable, "gone");
            let pages = Given::new([Ok(page), Err(error.clone()), Ok("more\n".to_owned())]);
            assert_eq!(write_promising(store, content, pages), Err(WriteError::Pages(error)));
        });
    }
}

#[test]
fn pages_of_another_extent_than_promised_store_nothing() {
    let text = "a\nbb\n";
    let actual = Extent::of(text);
    for (lines, bytes) in [(2, 4), (2, 6), (1, 5), (3, 5), (0, 0), (4, 10)] {
        let promised = Extent { lines, bytes };
        on_empty_stores(|store| {
            let outcome = write_promising(store, promised, Given::texts(&[text]));
            assert_eq!(outcome, Err(WriteError::Extent { promised, actual }));
        });
    }
    // The right extent, and then one page more.
    on_empty_stores(|store| {
        let outcome = write_promising(store, actual, Given::texts(&[text, "", "\n"]));
        let more = actual + Extent::of("\n");
        assert_eq!(outcome, Err(WriteError::Extent { promised: actual, actual: more }));
    });
}

#[test]
fn lines_that_could_not_be_read_back_store_nothing() {
    on_empty_stores(|store| {
        assert_eq!(write(store, &["a\n", "b"]), Err(WriteError::Lines), "no line feed at the end");
        let (half, rest) = ("x".repeat(LINE_MAX_BYTES / 2), "x".repeat(LINE_MAX_BYTES / 2 + 1));
        assert_eq!(write(store, &[&half, &rest, "\n"]), Err(WriteError::Lines), "too long, over two pages");
    });
    let store = memory();
    let longest = format!("{}\n", "x".repeat(LINE_MAX_BYTES));
    let written = write(&store, &[&longest, &longest]).expect("as long as may be");
    assert_eq!(read(&store).1, Integrity::Whole(written));
}

#[test]
fn a_record_may_be_there_when_the_store_lost_its_answer_and_a_retry_finds_it() {
    for (fault, there) in [(Fault::FailBefore, false), (Fault::FailAfter, true)] {
        let store = Faulty::new(memory());
        store.plan.fail_nth(StoreCall::Put, 1, fault);
        let Err(WriteError::Store(error)) = write(&store, &["a\n"]) else { panic!("the store failed") };
        assert_eq!((error.kind.clone(), error.stored_nothing()), (StoreErrorKind::Unavailable, false));
        assert_eq!(block_on(record::check(&store, &key("record"))).expect("check").is_some(), there);
        let written = write(&store, &["a\n"]).expect("the retry");
        assert_eq!(read(&store).1, Integrity::Whole(written));
    }
}

#[test]
fn a_read_that_breaks_off_is_the_stores_failure_and_not_damage() {
    let embedded = Embedded::new();
    let line = format!("{}\n", "x".repeat(100_000));
    write(&embedded.store, &vec![line.as_str(); 30]).expect("written");
    // The second chunk does not come.
    embedded.database.plan.fail_nth(None, 2, Fault::FailBefore);
    let error = block_on(record::check(&embedded.store, &key("record"))).expect_err("no integrity");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
}

/// The integrity on `bytes` in place of a record; they arrive in pieces.
fn integrity_of(bytes: &[u8]) -> Integrity {
    let store = memory();
    let object = PutObject {
        key: key("record"),
        body: ArrivingBytes::new(bytes).into_body(Some(bytes.len() as u64)),
        media: Format::Png.into(),
        sha256: None,
        metadata: ObjectMetadata::new(),
    };
    block_on(store.put(object)).expect("put");
    block_on(record::check(&store, &key("record"))).expect("check").expect("there")
}

#[test]
fn every_cut_and_every_changed_bit_is_damage() {
    let store = memory();
    write(&store, &["{\"id\":1}\n{\"id\":\"ä\"}\n"]).expect("written");
    let bytes = stored(&store);
    assert!(matches!(integrity_of(&bytes), Integrity::Whole(_)));
    for end in 0..bytes.len() {
        let integrity = integrity_of(&bytes[..end]);
        assert_eq!(integrity, Integrity::Damaged(Damage::NoEnd), "cut at {end}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(integrity_of(&changed), Integrity::Damaged(_)), "bit {bit}");
    }
    let longer = [&bytes[..], b"more\n"].concat();
    assert_eq!(integrity_of(&longer), Integrity::Damaged(Damage::NoEnd));
}

#[test]
fn damage_is_named() {
    let proof = |lines: u64, before: &str| {
        let sha256 = crate::reference_sha256::sha256_hex(before.as_bytes());
        format!("{before}{{\"end\":true,\"lines\":{lines},\"sha256\":\"{sha256}\"}}\n")
    };
    assert!(matches!(integrity_of(proof(1, "{}\na\n").as_bytes()), Integrity::Whole(_)));
    assert_eq!(
        integrity_of(proof(2, "{}\na\n").as_bytes()),
        Integrity::Damaged(Damage::LineCount { expected: 2, actual: 1 })
    );
    assert_eq!(integrity_of(proof(0, "").as_bytes()), Integrity::Damaged(Damage::NoEnd), "no header");
    let swapped = proof(1, "{}\na\n").replace("a\n", "b\n");
    assert!(matches!(integrity_of(swapped.as_bytes()), Integrity::Damaged(Damage::Digest { .. })));
    let spaced = proof(1, "{}\na\n").replace("\"lines\":1", "\"lines\": 1");
    assert_eq!(integrity_of(spaced.as_bytes()), Integrity::Damaged(Damage::NoEnd), "another spelling");
    assert_eq!(integrity_of(b"{}\n\xff\n\n"), Integrity::Damaged(Damage::NotText));
    let long = [vec![b'x'; LINE_MAX_BYTES + 1], b"\n".to_vec()].concat();
    assert_eq!(integrity_of(&long), Integrity::Damaged(Damage::LongLine));
    let longest = proof(1, &format!("{{}}\n{}\n", "x".repeat(LINE_MAX_BYTES)));
    assert!(matches!(integrity_of(longest.as_bytes()), Integrity::Whole(_)));
}

#[test]
fn the_verdict_stays() {
    let store = Rc::new(memory());
    write(&*store, &["a\n"]).expect("written");
    let mut lines = block_on(record::read(&*store, &key("record"))).expect("a store").expect("a record");
    let mut ends = Vec::new();
    for _ in 0..5 {
        if let record::Read::End(integrity) = block_on(lines.next()).expect("a read") {
            ends.push(integrity);
        }
    }
    assert!(matches!(ends[..], [Integrity::Whole(_), Integrity::Whole(_), Integrity::Whole(_)]));
}
