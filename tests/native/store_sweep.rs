//! Who owns an embedded object, and what the sweep may take.

use futures::future::join;
use stillstore::runtime::Runtime;
use stillstore::sql::{Database, DatabaseErrorKind, Statement};
use stillstore::store::conformance::{ArrivingBytes, gate};
use stillstore::store::{ImageStore, StoreErrorKind, adopt_statement};

use crate::runtime::block_on;
use crate::store_database::{Embedded, MIB, image_id, key, object, picture};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Embedded {
    /// Sweeps what is older than a day.
    fn sweep(&self, limit: u16) -> u64 {
        block_on(self.store.sweep(self.runtime.now().plus_millis(-DAY_MS), limit)).expect("sweep")
    }
}

#[test]
fn the_sweep_takes_unowned_objects_of_a_certain_age_with_their_chunks() {
    let embedded = Embedded::new();
    embedded.put("owned", picture(2 * MIB, 1)).expect("put");
    embedded.adopt("owned", &image_id(1));
    embedded.put("abandoned", picture(2 * MIB, 2)).expect("put");
    assert_eq!(embedded.sweep(10), 0, "too young");
    embedded.runtime.advance(DAY_MS + 1);
    embedded.put("young", picture(10, 3)).expect("put");

    assert_eq!(embedded.sweep(10), 1);
    assert!(embedded.read("abandoned").is_none());
    assert!(embedded.read("owned").is_some() && embedded.read("young").is_some());
    assert_eq!(embedded.rows(), (2, 3));
}

#[test]
fn the_sweep_takes_the_oldest_first_and_no_more_than_its_limit() {
    let embedded = Embedded::new();
    for name in ["1", "2", "3"] {
        embedded.put(name, picture(10, 1)).expect("put");
        embedded.runtime.advance(1);
    }
    embedded.runtime.advance(DAY_MS);
    assert_eq!(embedded.calls_of(|it| assert_eq!(it.sweep(2), 2)), 1);
    assert!(embedded.read("1").is_none() && embedded.read("2").is_none() && embedded.read("3").is_some());
    assert_eq!(embedded.sweep(2), 1);
    assert_eq!(embedded.sweep(2), 0);
}

#[test]
fn adopting_twice_is_fine_and_adopting_what_is_not_there_undoes_the_transaction() {
    let embedded = Embedded::new();
    embedded.put("a", picture(10, 1)).expect("put");
    embedded.adopt("a", &image_id(1));
    embedded.adopt("a", &image_id(1));
    for (name, image) in [("missing", 1), ("a", 2)] {
        let transaction = vec![
            Statement::new("UPDATE stillstore_blobs SET content_type = 'changed'"),
            adopt_statement(&key(name), &image_id(image)),
        ];
        let error = block_on(embedded.database.batch(transaction)).expect_err("refused");
        assert_eq!(error.kind, DatabaseErrorKind::Constraint, "{name}: {error}");
    }
    let head = block_on(embedded.store.head(&key("a"))).expect("head").expect("there");
    assert_eq!(head.content_type, "image/png");
    assert_eq!(embedded.rows(), (1, 1));
}

#[test]
fn repeating_a_put_restarts_the_age_of_an_unowned_object() {
    let embedded = Embedded::new();
    embedded.put("a", picture(10, 1)).expect("put");
    let first_stored_at = block_on(embedded.store.head(&key("a"))).expect("head").expect("there").stored_at;
    embedded.runtime.advance(DAY_MS + 1);
    embedded.put("a", picture(10, 2)).expect_err("other bytes restart nothing");
    embedded.put("a", picture(10, 1)).expect("the same bytes do");
    assert_eq!(embedded.sweep(10), 0);
    let stored_at = block_on(embedded.store.head(&key("a"))).expect("head").expect("there").stored_at;
    assert_eq!(stored_at, first_stored_at);
    embedded.runtime.advance(DAY_MS + 1);
    embedded.put("a", picture(10, 2)).expect_err("other bytes");
    assert_eq!(embedded.sweep(10), 1);
}

/// A put of `size_bytes` whose last `held_bytes` wait until the sweep has passed a day later.
fn put_over_a_sweep(embedded: &Embedded, size_bytes: usize, held_bytes: usize) -> StoreErrorKind {
    let (gate, reached, open) = gate();
    let body = ArrivingBytes::new(&picture(size_bytes, 1)).held_at(held_bytes, gate).into_body(None);
    let sweep = async {
        reached.await.expect("the body is read");
        embedded.runtime.advance(DAY_MS + 1);
        let older_than = embedded.runtime.now().plus_millis(-DAY_MS);
        assert_eq!(embedded.store.sweep(older_than, 10).await.expect("sweep"), 1);
        open.send(()).expect("the put is waiting");
    };
    let (outcome, ()) = block_on(join(embedded.store.put(object("a", body)), sweep));
    outcome.expect_err("its write was swept").kind
}

#[test]
fn a_put_whose_write_was_swept_fails_and_leaves_nothing() {
    // Swept before a call in the middle, and before the call that publishes.
    for held_bytes in [4 * MIB, 10] {
        let embedded = Embedded::new();
        let kind = put_over_a_sweep(&embedded, 9 * MIB, held_bytes);
        assert_eq!(kind, StoreErrorKind::Unavailable);
        assert_eq!(embedded.rows(), (0, 0));
        embedded.put("a", picture(9 * MIB, 1)).expect("another try");
    }
}

#[test]
fn a_write_without_all_its_chunks_is_not_published() {
    let embedded = Embedded::new();
    let (gate, reached, open) = gate();
    let body = ArrivingBytes::new(&picture(6 * MIB, 1)).held_at(10, gate).into_body(None);
    let damage = async {
        reached.await.expect("the body is read");
        embedded.query("DELETE FROM stillstore_chunks WHERE chunk_index = 2");
        open.send(()).expect("the put is waiting");
    };
    let (outcome, ()) = block_on(join(embedded.store.put(object("a", body)), damage));
    assert_eq!(outcome.expect_err("a chunk is missing").kind, StoreErrorKind::Unavailable);
    assert_eq!(embedded.rows(), (0, 0));
}

#[test]
fn an_unfinished_write_can_be_neither_read_nor_adopted() {
    let embedded = Embedded::new();
    embedded.query(
        "INSERT INTO stillstore_blobs (write_id, object_key, content_type, metadata_json, created_at_ms) \
         VALUES ('w', 'a', 'image/png', '{}', 1)",
    );
    assert!(embedded.read("a").is_none());
    block_on(embedded.store.delete(&key("a"))).expect("delete");
    assert_eq!(embedded.rows().0, 1, "a delete does not reach into a write");
    let adopted = block_on(embedded.database.run(adopt_statement(&key("a"), &image_id(1))));
    assert_eq!(adopted.expect_err("unfinished").kind, DatabaseErrorKind::Constraint);
    assert_eq!(embedded.sweep(10), 1);
}
