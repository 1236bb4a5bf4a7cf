//! What the simulation found with an application's table, shrunk, and what it would find if this or that went missing.

use super::gate::{Trouble, When};
use super::live;
use super::ops::{Case, EMBEDDED, Image, Op, Step, begin_over, op, troubled};
use super::shop::{Form, Opening, SHOP, Write};
use super::stage::{LEASE_MS, Stage};

/// More calls than a run over one or two rows makes.
const CALLS: usize = 14;

fn case(rows: &[Form], steps: Vec<Step>) -> Case {
    Case {
        images: Vec::new(),
        table: Some(Opening { own_database: true, integer_ids: false, rows: rows.to_vec() }),
        bucket_is_public: false,
        short_invocations: false,
        steps,
    }
}

fn lives(rows: &[Form], steps: Vec<Step>) {
    live(&case(rows, steps));
}

/// As [`live`], without a round trip at the end.
fn ends(case: &Case) {
    let stage = Stage::of(case);
    for step in &case.steps {
        stage.step(step);
    }
    stage.finish();
}

fn run(action: &'static str, flag: bool) -> Step {
    op(begin_over(SHOP, action, flag))
}

fn clean() -> Step {
    op(Op::CleanupByForce(SHOP))
}

fn replace(keeps_url: bool) -> Op {
    Op::Write(0, Write::Picture { form: Form::Base64, keeps_url })
}

/// A migration of the first row by its id, which the application's own URL does not keep from being looked at.
fn move_first() -> Step {
    op(Op::Begin { source: SHOP, action: "migrate", flag: false, batch_size: 10, concurrency: 2, only: Some(vec![0]) })
}

#[test]
fn a_restored_row_that_is_moved_again_is_counted_once() {
    let write = op(replace(false));
    for again in [
        vec![],
        vec![write.clone()],
        vec![op(Op::Write(0, Write::Delete)), op(Op::Write(0, Write::Insert(Form::Blob)))],
    ] {
        for delete in [false, true] {
            let begin = vec![run("migrate", false), run("rollback", delete)];
            let rest = vec![run("migrate", false), clean(), run("rollback", delete), run("migrate", false)];
            lives(&[Form::Base64, Form::Spaced], [begin, again.clone(), rest].concat());
        }
    }
}

#[test]
fn a_new_picture_beside_the_url_of_the_old_one_keeps_the_first_original() {
    // The rollback must not put the old URL back, behind which there is nothing any more.
    lives(&[Form::Base64], vec![run("migrate", false), op(replace(true)), move_first(), run("rollback", true)]);
    lives(
        &[Form::Base64],
        vec![run("migrate", false), clean(), op(replace(true)), move_first(), run("rollback", false)],
    );
}

#[test]
fn the_copy_of_a_replaced_picture_is_reported() {
    for before in [vec![], vec![clean()], vec![run("rollback", false)]] {
        let begin = [vec![run("migrate", false)], before].concat();
        lives(&[Form::Lines], [begin, vec![op(replace(false)), run("migrate", false), run("validate", true)]].concat());
    }
}

#[test]
fn a_saved_value_goes_when_its_row_has_it_again() {
    for delete in [false, true] {
        lives(&[Form::Spaced], vec![run("migrate", false), clean(), run("rollback", delete)]);
    }
    lives(&[Form::Spaced], vec![run("migrate", false), clean(), op(replace(false)), run("migrate", false)]);
}

#[test]
fn a_cleanup_that_dies_leaves_no_saved_value_behind() {
    for trouble in [Trouble::Hangs(When::After), Trouble::Fails(When::After), Trouble::TimesOut(When::After)] {
        for nth in 1..CALLS {
            let dies = troubled(Op::CleanupByForce(SHOP), nth, trouble);
            let delete = op(Op::Write(0, Write::Delete));
            let cancel = vec![op(Op::Advance(LEASE_MS)), op(Op::Control("cancel"))];
            for behind in [vec![], cancel] {
                let steps = [vec![run("migrate", false), dies.clone(), delete.clone()], behind].concat();
                ends(&case(&[Form::Spaced], steps));
            }
        }
    }
}

#[test]
fn a_row_that_changes_while_its_value_is_saved_leaves_none_behind() {
    for nth in 1..CALLS {
        for write in [Write::Delete, Write::Picture { form: Form::Base64, keeps_url: true }, Write::Elsewhere] {
            let changes = Step {
                meanwhile: vec![Op::Write(0, write)],
                ..troubled(Op::CleanupByForce(SHOP), nth, Trouble::Waits(When::Before))
            };
            ends(&case(&[Form::Spaced, Form::Percent], vec![run("migrate", false), changes]));
        }
    }
}

/// While a check stands at its `nth` call, something else happens; that nothing is amiss is asserted of every receipt.
fn check_during(before: &[Step], source: &'static str, meanwhile: &[Op]) {
    for nth in 1..CALLS {
        let check = troubled(begin_over(source, "validate", nth % 2 == 0), nth, Trouble::Waits(When::Before));
        let check = Step { meanwhile: meanwhile.to_vec(), ..check };
        let mut case = case(&[Form::Base64, Form::Blob], [before, &[check]].concat());
        case.images = vec![Image { size: 100, private: false, fell_back: false }];
        ends(&case);
    }
}

#[test]
fn a_check_during_a_rollback_raises_no_false_alarm() {
    check_during(&[run("migrate", false)], SHOP, &[begin_over(SHOP, "rollback", true)]);
    let migrate = op(begin_over(EMBEDDED, "migrate", false));
    check_during(&[migrate], EMBEDDED, &[begin_over(EMBEDDED, "rollback", true)]);
}

#[test]
fn a_check_during_a_migration_raises_no_false_alarm() {
    check_during(&[], SHOP, &[begin_over(SHOP, "migrate", false)]);
    // Its worker dies behind the puts.
    for nth in 1..CALLS {
        let dies = troubled(begin_over(SHOP, "migrate", false), nth, Trouble::Hangs(When::After));
        ends(&case(&[Form::Base64], vec![dies, run("validate", false)]));
    }
}

#[test]
fn a_check_during_a_deletion_raises_no_false_alarm() {
    let migrate = op(begin_over(EMBEDDED, "migrate", false));
    check_during(&[migrate], EMBEDDED, &[Op::Delete(0)]);
    check_during(&[op(Op::Upload { to_r2: true })], EMBEDDED, &[Op::Delete(0), Op::Delete(0)]);
}

#[test]
fn a_check_during_an_upload_raises_no_false_alarm() {
    check_during(&[op(Op::Upload { to_r2: true })], EMBEDDED, &[Op::Upload { to_r2: true }]);
}

#[test]
fn what_an_outage_in_the_middle_of_a_slice_failed_is_tried_again() {
    let migrate = |source| begin_over(source, "migrate", false);
    let flows = |source| {
        [
            vec![migrate(source)],
            vec![migrate(source), begin_over(source, "validate", true)],
            vec![migrate(source), Op::CleanupByForce(source)],
            vec![migrate(source), Op::CleanupByForce(source), begin_over(source, "rollback", false)],
        ]
    };
    for source in [EMBEDDED, SHOP] {
        for mut before in flows(source) {
            let flow = before.pop().unwrap();
            for nth in 1..CALLS {
                let mut case = case(&[Form::Base64; 4], Vec::new());
                case.images = vec![Image { size: 70, private: false, fell_back: false }; 4];
                let stage = Stage::of(&case);
                for done in &before {
                    stage.step(&op(done.clone()));
                }
                let outage = Op::Outage(Some(When::Before));
                let slice = troubled(flow.clone(), nth, Trouble::Waits(When::Before));
                stage.step(&Step { meanwhile: vec![outage], ..slice });
                stage.finish();
                let unwell = stage.rows("SELECT state, progress FROM stillstore_runs WHERE state <> 'completed'");
                assert!(unwell.is_empty(), "call {nth}: {unwell:?}");
            }
        }
    }
}

#[test]
fn a_value_that_was_saved_for_an_item_left_to_the_next_slice_is_kept() {
    for nth in 1..CALLS {
        let fails = troubled(Op::CleanupByForce(SHOP), nth, Trouble::Fails(When::Before));
        lives(&[Form::Spaced, Form::Spaced], vec![run("migrate", false), fails]);
    }
}

#[test]
fn what_was_put_for_an_item_left_to_the_next_slice_goes_with_its_row() {
    for nth in 1..CALLS {
        let cleanup = troubled(Op::CleanupByForce(SHOP), nth, Trouble::Waits(When::Before));
        let cleanup = Step { meanwhile: vec![Op::Outage(Some(When::Before))], ..cleanup };
        let delete = op(Op::Write(1, Write::Delete));
        ends(&case(&[Form::Spaced, Form::Spaced], vec![run("migrate", false), cleanup, delete]));
    }
}
