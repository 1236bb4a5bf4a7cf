//! Two homes that act as one, with either failing.

use std::collections::BTreeMap;
use std::rc::Rc;

use stillstore::runtime::Runtime;
use stillstore::sql::Fault;
use stillstore::store::conformance::ArrivingBytes;
use stillstore::store::{
    Fallback, Faulty, ImageStore, LIST_LIMIT, MemoryStore, PutReceipt, StorageKind, StoreCall, StoreError,
    StoreErrorKind,
};

use crate::runtime::{TestRuntime, block_on};
use crate::store_database::{key, object, with_digest};

struct Pair {
    primary: Rc<Faulty<MemoryStore>>,
    secondary: Rc<Faulty<MemoryStore>>,
    store: Fallback,
}

const SECONDARY_LIMIT_BYTES: u64 = 100;

/// An R2 and a D1 in memory; a home that hangs is timed out at once.
fn pair() -> Pair {
    let runtime: Rc<dyn Runtime> = TestRuntime::impatient();
    let home = |kind, limit_bytes| Rc::new(Faulty::new(MemoryStore::new(kind, limit_bytes, Rc::clone(&runtime))));
    let (primary, secondary) = (home(StorageKind::R2, 10_000), home(StorageKind::D1, SECONDARY_LIMIT_BYTES));
    let store = Fallback {
        primary: Rc::clone(&primary) as Rc<dyn ImageStore>,
        secondary: Rc::clone(&secondary) as Rc<dyn ImageStore>,
        runtime,
        deadline_ms: 2_000,
    };
    Pair { primary, secondary, store }
}

impl Pair {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<PutReceipt, StoreError> {
        block_on(self.store.put(object(name, bytes.to_vec())))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(block_on(self.store.get(&key(name), None))?
            .map(|stored| block_on(stored.body.collect(u64::MAX)).expect("body").to_vec()))
    }

    fn contents(&self) -> (BTreeMap<String, Vec<u8>>, BTreeMap<String, Vec<u8>>) {
        (self.primary.inner.contents(), self.secondary.inner.contents())
    }
}

fn holding(names: &[&str]) -> BTreeMap<String, Vec<u8>> {
    names.iter().map(|name| ((*name).to_owned(), b"bytes".to_vec())).collect()
}

#[test]
fn a_healthy_primary_takes_everything() {
    let pair = pair();
    let receipt = pair.put("a", b"bytes").expect("put");
    assert_eq!((receipt.storage, receipt.fallback_reason), (StorageKind::R2, None));
    assert_eq!(pair.contents(), (holding(&["a"]), holding(&[])));
    assert!(pair.secondary.plan.calls().is_empty());
    assert_eq!(pair.store.kind(), StorageKind::R2);
}

#[test]
fn an_unavailable_primary_hands_over_and_the_receipt_says_why() {
    for (fault, reason, in_primary) in [
        (Fault::FailBefore, "store-unavailable", holding(&[])),
        (Fault::FailAfter, "store-unavailable", holding(&["a"])),
        (Fault::HangBefore, "store-timeout", holding(&[])),
        (Fault::HangAfter, "store-timeout", holding(&["a"])),
    ] {
        let pair = pair();
        pair.primary.plan.fail_nth(StoreCall::Put, 1, fault);
        let receipt = pair.put("a", b"bytes").expect("put");
        assert_eq!((receipt.storage, receipt.fallback_reason.as_deref()), (StorageKind::D1, Some(reason)));
        assert_eq!(pair.contents(), (in_primary, holding(&["a"])));
        assert_eq!(pair.read("a").expect("get").as_deref(), Some(&b"bytes"[..]));
        block_on(pair.store.delete(&key("a"))).expect("delete");
        assert_eq!(pair.contents(), (holding(&[]), holding(&[])));
    }
}

#[test]
fn what_the_primary_refuses_is_refused() {
    let pair = pair();
    pair.put("a", b"bytes").expect("put");
    assert_eq!(pair.put("a", b"other").expect_err("taken").kind, StoreErrorKind::KeyTaken);
    let wrong = with_digest(object("b", b"bytes".to_vec()), b"other");
    assert_eq!(block_on(pair.store.put(wrong)).expect_err("digest").kind, StoreErrorKind::ChecksumMismatch);
    let too_large = pair.put("c", &[0; 10_001]).expect_err("too large").kind;
    assert_eq!(too_large, StoreErrorKind::TooLarge { limit_bytes: 10_000 });
    assert!(pair.secondary.plan.calls().is_empty());
}

#[test]
fn a_stream_is_not_sent_twice() {
    let pair = pair();
    pair.primary.plan.fail_nth(StoreCall::Put, 1, Fault::FailBefore);
    let streamed = || object("a", ArrivingBytes::new(b"bytes").into_body(Some(5)));
    assert_eq!(block_on(pair.store.put(streamed())).expect_err("stream").kind, StoreErrorKind::Unavailable);
    assert!(pair.secondary.plan.calls().is_empty());
    // A stream that is slow is not timed out, even by a runtime whose every wait is.
    block_on(pair.store.put(streamed())).expect("put");
    assert_eq!(pair.contents(), (holding(&["a"]), holding(&[])));
}

#[test]
fn when_both_fail_the_error_tells_of_both() {
    for fault in Fault::ALL {
        let pair = pair();
        pair.primary.plan.fail_all(None, fault);
        pair.secondary.plan.fail_all(None, fault);
        let error = pair.put("a", b"bytes").expect_err("both fail");
        assert_eq!(error.kind, StoreErrorKind::Unavailable);
        assert_eq!(error.detail.matches("store-unavailable").count(), 2, "{error}");
        assert_eq!(pair.read("a").expect_err("get").kind, StoreErrorKind::Unavailable);
        assert_eq!(block_on(pair.store.list("", None, 5)).expect_err("list").kind, StoreErrorKind::Unavailable);
        assert_eq!(block_on(pair.store.delete(&key("a"))).expect_err("delete").kind, StoreErrorKind::Unavailable);
    }
}

#[test]
fn the_secondary_judges_the_object_but_not_whether_it_fits() {
    let pair = pair();
    pair.primary.plan.fail_all(StoreCall::Put, Fault::FailBefore);
    pair.put("a", b"bytes").expect("put");
    assert_eq!(pair.put("a", b"other").expect_err("taken").kind, StoreErrorKind::KeyTaken);
    let wrong = with_digest(object("b", b"bytes".to_vec()), b"other");
    assert_eq!(block_on(pair.store.put(wrong)).expect_err("digest").kind, StoreErrorKind::ChecksumMismatch);
    let error = pair.put("c", &[0; 101]).expect_err("over the secondary's limit");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.detail.contains("too-large"), "{error}");
}

#[test]
fn a_failing_primary_hides_only_behind_a_secondary_that_has_the_object() {
    for fault in Fault::ALL {
        let pair = pair();
        block_on(pair.primary.put(object("first", b"bytes".to_vec()))).expect("put");
        block_on(pair.secondary.put(object("second", b"bytes".to_vec()))).expect("put");
        pair.primary.plan.fail_all(None, fault);
        assert_eq!(pair.read("second").expect("get").as_deref(), Some(&b"bytes"[..]));
        assert!(block_on(pair.store.head(&key("second"))).expect("head").is_some());
        assert_eq!(pair.read("first").expect_err("get").kind, StoreErrorKind::Unavailable);
        assert_eq!(block_on(pair.store.head(&key("first"))).expect_err("head").kind, StoreErrorKind::Unavailable);

        pair.primary.plan.heal();
        pair.secondary.plan.fail_all(None, fault);
        assert!(pair.read("first").expect("get").is_some());
        assert_eq!(pair.read("second").expect_err("get").kind, StoreErrorKind::Unavailable);
    }
}

#[test]
fn a_delete_tries_both_homes_and_succeeds_only_if_both_do() {
    for broken_primary in [true, false] {
        let pair = pair();
        for home in [&pair.primary, &pair.secondary] {
            block_on(home.put(object("a", b"bytes".to_vec()))).expect("put");
        }
        let broken = if broken_primary { &pair.primary } else { &pair.secondary };
        broken.plan.fail_nth(StoreCall::Delete, 1, Fault::FailBefore);
        assert_eq!(block_on(pair.store.delete(&key("a"))).expect_err("one fails").kind, StoreErrorKind::Unavailable);
        let (in_primary, in_secondary) = pair.contents();
        assert_eq!((in_primary.len(), in_secondary.len()), if broken_primary { (1, 0) } else { (0, 1) });
        block_on(pair.store.delete(&key("a"))).expect("a retry succeeds");
        assert_eq!(pair.contents(), (holding(&[]), holding(&[])));
    }
}

#[test]
fn listings_merge_both_homes_at_every_page_size() {
    // Runs of keys in one home, in the other and in both, so that either home's page may end first.
    for pattern in ["ppppssss", "sssspppp", "psbpsbpsb", "bbbb", "ppbbss", "p", "s", ""] {
        let pair = pair();
        let names: Vec<_> = (0..pattern.len()).map(|index| format!("k{index}")).collect();
        for (home, name) in pattern.chars().zip(&names) {
            if "pb".contains(home) {
                block_on(pair.primary.put(object(name, b"bytes".to_vec()))).expect("put");
            }
            if "sb".contains(home) {
                block_on(pair.secondary.put(object(name, b"bytes".to_vec()))).expect("put");
            }
        }
        for limit in 1..=10 {
            let mut listed = Vec::new();
            loop {
                let page = block_on(pair.store.list("k", listed.last(), limit)).expect("list");
                assert!(page.objects.len() <= usize::from(limit) && !(page.truncated && page.objects.is_empty()));
                listed.extend(page.objects.into_iter().map(|object| object.key));
                if !page.truncated {
                    break;
                }
            }
            let expected: Vec<_> = names.iter().map(|name| key(name)).collect();
            assert_eq!(listed, expected, "{pattern} by {limit}");
        }
    }
}

#[test]
fn a_listing_that_misses_a_home_is_an_error() {
    for broken_primary in [true, false] {
        let pair = pair();
        let broken = if broken_primary { &pair.primary } else { &pair.secondary };
        broken.plan.fail_nth(StoreCall::List, 1, Fault::FailBefore);
        let error = block_on(pair.store.list("", None, LIST_LIMIT)).expect_err("half a listing");
        assert_eq!(error.kind, StoreErrorKind::Unavailable);
    }
}
