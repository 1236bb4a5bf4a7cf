//! The store contract on every store that runs natively.

use std::rc::Rc;

use stillstore::sql::Fault;
use stillstore::store::conformance::{self, CASES, MULTIPART_CASES};
use stillstore::store::{
    EmbeddedStore, Fallback, Faulty, ImageStore, LatePuts, MemoryStore, MultipartStore, StorageKind, StoreCall,
};

use crate::runtime::{TestRuntime, block_on};
use crate::sqlite::Sqlite;

const MEMORY_LIMIT_BYTES: u64 = 100 * 1024 * 1024;

fn memory() -> MemoryStore {
    MemoryStore::new(StorageKind::R2, MEMORY_LIMIT_BYTES, TestRuntime::new())
}

fn embedded() -> EmbeddedStore {
    EmbeddedStore::new(Rc::new(Sqlite::migrated()), TestRuntime::new())
}

/// A primary whose puts all go wrong in one way, and a healthy secondary.
fn fallback_from(fault: Fault) -> Fallback {
    let primary = Faulty::new(memory());
    primary.plan.fail_all(StoreCall::Put, fault);
    Fallback {
        primary: Rc::new(primary),
        secondary: Rc::new(embedded()),
        runtime: TestRuntime::impatient(),
        deadline_ms: 1_000,
    }
}

fn assert_conforms(store: &dyn ImageStore, with_streams: bool) {
    let cases = CASES.iter().filter(|case| with_streams || !case.streams);
    let failures: Vec<_> = cases
        .filter_map(|case| {
            block_on(conformance::run(case, store, "native")).err().map(|reason| format!("{}: {reason}", case.name))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn case_names_are_unique() {
    let mut names: Vec<_> =
        CASES.iter().map(|case| case.name).chain(MULTIPART_CASES.iter().map(|case| case.name)).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CASES.len() + MULTIPART_CASES.len());
}

fn assert_takes_parts<S: ImageStore + MultipartStore>(store: &S) {
    let failures: Vec<_> = MULTIPART_CASES
        .iter()
        .filter_map(|case| {
            let outcome = block_on(conformance::run_multipart(case, store, store, "native"));
            outcome.err().map(|reason| format!("{}: {reason}", case.name))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn memory_store_takes_parts_and_is_left_empty() {
    let store = memory();
    assert_takes_parts(&store);
    assert!(store.contents().is_empty() && store.unfinished_uploads().is_empty());
}

#[test]
fn a_store_that_could_fail_takes_parts() {
    assert_takes_parts(&Faulty::new(memory()));
}

#[test]
fn memory_store_conforms_and_is_left_empty() {
    let store = memory();
    assert_conforms(&store, true);
    assert!(store.contents().is_empty());
}

#[test]
fn embedded_store_conforms() {
    assert_conforms(&embedded(), true);
}

#[test]
fn a_store_that_remembers_late_puts_conforms() {
    assert_conforms(&LatePuts::new(Rc::new(memory())), true);
}

#[test]
fn fallback_with_both_homes_healthy_conforms() {
    let fallback = Fallback {
        primary: Rc::new(memory()),
        secondary: Rc::new(embedded()),
        runtime: TestRuntime::new(),
        deadline_ms: 1_000,
    };
    assert_conforms(&fallback, true);
}

#[test]
fn fallback_with_embedded_first_conforms() {
    let fallback = Fallback {
        primary: Rc::new(embedded()),
        secondary: Rc::new(memory()),
        runtime: TestRuntime::new(),
        deadline_ms: 1_000,
    };
    assert_conforms(&fallback, true);
}

#[test]
fn fallback_with_a_primary_that_refuses_puts_conforms() {
    assert_conforms(&fallback_from(Fault::FailBefore), false);
}

#[test]
fn fallback_with_a_primary_that_loses_its_answers_conforms() {
    assert_conforms(&fallback_from(Fault::FailAfter), false);
}

#[test]
fn fallback_with_a_primary_that_hangs_conforms() {
    assert_conforms(&fallback_from(Fault::HangBefore), false);
}
