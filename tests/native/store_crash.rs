//! Every database call of a put, a delete and a sweep goes wrong in every way; then a retry and a sweep put things right.

use stillstore::bytes::Body;
use stillstore::runtime::Runtime;
use stillstore::sql::Fault;
use stillstore::store::conformance::ArrivingBytes;
use stillstore::store::{ImageStore, LIST_LIMIT};

use crate::runtime::{block_on, run_until_stalled};
use crate::store_database::{Embedded, MIB, image_id, key, object, picture};

const NAME: &str = "generated/a.png";

/// Runs `operation` on a fresh `prepared` store with the nth call failing, for each n and each fault, until n is past its last
/// call; after each, the plan is healed and `check` looks. A hanging operation is dropped where it hangs.
fn for_each_failing_call(
    prepare: impl Fn(&Embedded),
    operation: &impl AsyncFn(&Embedded) -> bool,
    check: impl Fn(&Embedded, &str),
) -> usize {
    let mut calls = 0;
    for fault in Fault::ALL {
        for nth in 1.. {
            let embedded = Embedded::new();
            prepare(&embedded);
            let prepared_calls = embedded.database.plan.calls().len();
            embedded.database.plan.fail_nth(None, nth, fault);
            let succeeded = run_until_stalled(operation(&embedded)).unwrap_or(false);
            if !embedded.database.plan.has_failed() {
                assert!(succeeded, "the operation works when nothing fails");
                calls = embedded.database.plan.calls().len() - prepared_calls;
                break;
            }
            embedded.database.plan.heal();
            check(&embedded, &format!("call {nth}: {fault:?}, reported as success: {succeeded}"));
        }
    }
    calls
}

/// The object is whole or absent, and head, get and list agree; says whether it is there.
fn is_whole(embedded: &Embedded, bytes: &[u8], case: &str) -> bool {
    let read = embedded.read(NAME);
    let head = block_on(embedded.store.head(&key(NAME))).expect("head");
    let listed = block_on(embedded.store.list("", None, LIST_LIMIT)).expect("list").objects;
    assert_eq!(head.is_some(), read.is_some(), "{case}");
    assert_eq!(listed, head.into_iter().collect::<Vec<_>>(), "{case}");
    assert!(read.is_none() || read.as_deref() == Some(bytes), "{case}: half an object");
    read.is_some()
}

fn sweep_everything(embedded: &Embedded) {
    block_on(embedded.store.sweep(embedded.runtime.now().plus_millis(1), 100)).expect("sweep");
}

fn puts_survive(size_bytes: usize, body: impl Fn(&[u8]) -> Body, expected_calls: usize) {
    let bytes = picture(size_bytes, 1);
    let chunks = size_bytes.div_ceil(MIB);
    let put = async |embedded: &Embedded| embedded.store.put(object(NAME, body(&bytes))).await.is_ok();
    let calls = for_each_failing_call(
        |_| {},
        &put,
        |embedded, case| {
            is_whole(embedded, &bytes, case);
            embedded.put(NAME, body(&bytes)).expect("a retry succeeds");
            assert!(is_whole(embedded, &bytes, case), "{case}");
            embedded.adopt(NAME, &image_id(1));
            sweep_everything(embedded);
            assert!(is_whole(embedded, &bytes, case), "{case}");
            assert_eq!(embedded.rows(), (1, chunks), "{case}: stray rows");
        },
    );
    assert_eq!(calls, expected_calls);
}

#[test]
fn puts_of_one_call_survive_every_failure() {
    puts_survive(2 * MIB + 1, |bytes| bytes.to_vec().into(), 1);
}

#[test]
fn puts_of_several_calls_survive_every_failure() {
    puts_survive(9 * MIB + 1, |bytes| bytes.to_vec().into(), 3);
}

#[test]
fn streamed_puts_survive_every_failure() {
    puts_survive(6 * MIB, |bytes| ArrivingBytes::new(bytes).into_body(Some(bytes.len() as u64)), 2);
}

#[test]
fn failed_puts_that_are_never_retried_are_swept() {
    let bytes = picture(9 * MIB, 1);
    let put = async |embedded: &Embedded| embedded.store.put(object(NAME, bytes.clone())).await.is_ok();
    for_each_failing_call(
        |_| {},
        &put,
        |embedded, case| {
            sweep_everything(embedded);
            assert_eq!(embedded.rows(), (0, 0), "{case}: stray rows");
        },
    );
}

#[test]
fn a_broken_body_whose_removal_fails_is_swept() {
    let bytes = picture(6 * MIB, 1);
    let put = async |embedded: &Embedded| {
        let body = ArrivingBytes::new(&bytes).then_breaks().into_body(None);
        embedded.store.put(object(NAME, body)).await.is_err()
    };
    let calls = for_each_failing_call(
        |_| {},
        &put,
        |embedded, case| {
            assert!(!is_whole(embedded, &bytes, case), "{case}");
            sweep_everything(embedded);
            assert_eq!(embedded.rows(), (0, 0), "{case}: stray rows");
        },
    );
    assert_eq!(calls, 2, "one for the first chunks, one to remove them");
}

#[test]
fn deletes_survive_every_failure() {
    let bytes = picture(6 * MIB, 1);
    let prepare = |embedded: &Embedded| {
        embedded.put(NAME, bytes.clone()).expect("put");
        embedded.adopt(NAME, &image_id(1));
    };
    let delete = async |embedded: &Embedded| embedded.store.delete(&key(NAME)).await.is_ok();
    let calls = for_each_failing_call(prepare, &delete, |embedded, case| {
        is_whole(embedded, &bytes, case);
        block_on(embedded.store.delete(&key(NAME))).expect("a retry succeeds");
        assert!(!is_whole(embedded, &bytes, case), "{case}");
        assert_eq!(embedded.rows(), (0, 0), "{case}: stray rows");
    });
    assert_eq!(calls, 1);
}

#[test]
fn sweeps_survive_every_failure() {
    let bytes = picture(2 * MIB, 1);
    let prepare = |embedded: &Embedded| {
        embedded.put("abandoned", picture(MIB, 2)).expect("put");
        embedded.put(NAME, bytes.clone()).expect("put");
        embedded.adopt(NAME, &image_id(1));
    };
    let sweep =
        async |embedded: &Embedded| embedded.store.sweep(embedded.runtime.now().plus_millis(1), 100).await.is_ok();
    for_each_failing_call(prepare, &sweep, |embedded, case| {
        sweep_everything(embedded);
        assert!(is_whole(embedded, &bytes, case), "{case}");
        assert_eq!(embedded.rows(), (1, 2), "{case}: stray rows");
    });
}
