//! The fakes do as they are told.

use stillstore::bytes::Body;
use stillstore::sql::{Fault, FaultPlan};
use stillstore::store::conformance::ArrivingBytes;
use stillstore::store::{ImageStore, MemoryStore, StorageKind, StoreCall, StoreErrorKind};

use crate::runtime::{TestRuntime, block_on, run_until_stalled};
use crate::store_database::object;

/// Makes a call of `kind`; says whether it had an effect, and its answer unless it hangs.
fn call(plan: &FaultPlan<StoreCall>, kind: StoreCall) -> (bool, Option<Result<(), &'static str>>) {
    let mut happened = false;
    let work = async {
        happened = true;
        Ok(())
    };
    let answer = run_until_stalled(plan.run(kind, String::new(), |detail| detail, work));
    (happened, answer)
}

#[test]
fn each_fault_has_its_shape() {
    for (fault, happens, answers) in [
        (Fault::FailBefore, false, true),
        (Fault::FailAfter, true, true),
        (Fault::HangBefore, false, false),
        (Fault::HangAfter, true, false),
    ] {
        let plan = FaultPlan::default();
        plan.fail_nth(None, 1, fault);
        let (happened, answer) = call(&plan, StoreCall::Put);
        assert_eq!((happened, answer.is_some()), (happens, answers), "{fault:?}");
        assert!(answer.is_none_or(|answer| answer.is_err()));
        assert_eq!(call(&plan, StoreCall::Put), (true, Some(Ok(()))), "only once");
    }
}

#[test]
fn a_plan_counts_the_calls_of_its_kind_and_heals() {
    let plan = FaultPlan::default();
    plan.fail_nth(StoreCall::Put, 2, Fault::FailBefore);
    let kinds = [StoreCall::Put, StoreCall::Get, StoreCall::Get, StoreCall::Put, StoreCall::Put];
    let happened: Vec<_> = kinds.into_iter().map(|kind| call(&plan, kind).0).collect();
    assert_eq!(happened, [true, true, true, false, true]);
    plan.fail_all(StoreCall::Get, Fault::FailBefore);
    let happened: Vec<_> = kinds.into_iter().map(|kind| call(&plan, kind).0).collect();
    assert_eq!(happened, [true, false, false, true, true]);
    plan.heal();
    assert!(call(&plan, StoreCall::Get).0);
    let failed = plan.calls().into_iter().filter(|call| call.fault.is_some()).count();
    assert_eq!((plan.calls().len(), failed), (11, 3));
}

#[test]
fn the_memory_store_keeps_its_limit() {
    let store = MemoryStore::new(StorageKind::R2, 10, TestRuntime::new());
    let put = |name: &str, body: Body| block_on(store.put(object(name, body)));
    put("blob", vec![1; 10].into()).expect("fits");
    put("stream", ArrivingBytes::new(&[1; 10]).into_body(None)).expect("fits");
    let before = store.contents();
    for body in [vec![1; 11].into(), ArrivingBytes::new(&[1; 11]).into_body(None)] {
        assert_eq!(put("more", body).expect_err("too large").kind, StoreErrorKind::TooLarge { limit_bytes: 10 });
    }
    assert_eq!(store.contents(), before);
}
