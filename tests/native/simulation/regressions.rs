//! What the simulation found, shrunk.

use super::gate::{Trouble, When};
use super::live;
use super::ops::{Case, EMBEDDED, Image, Op, Step, begin, op, troubled};

const SMALL: Image = Image { size: 70, private: false, fell_back: false };

fn lives(images: usize, steps: Vec<Step>) {
    live(&Case { images: vec![SMALL; images], table: None, bucket_is_public: false, short_invocations: false, steps });
}

#[test]
fn a_second_move_of_a_restored_image_is_counted_once() {
    lives(1, vec![op(begin("migrate", false)), op(begin("rollback", false)), op(begin("migrate", false))]);
}

#[test]
fn deleting_a_restored_image_deletes_the_copy_that_the_rollback_left() {
    lives(1, vec![op(begin("migrate", false)), op(begin("rollback", false)), op(Op::Delete(0))]);
}

#[test]
fn cancelling_a_run_whose_worker_died_removes_what_it_was_putting() {
    for nth in 1..12 {
        let crash = troubled(begin("migrate", false), nth, Trouble::Hangs(When::After));
        lives(2, vec![crash, op(Op::Advance(super::stage::LEASE_MS)), op(Op::Control("cancel")), op(Op::Delete(0))]);
    }
}

#[test]
fn a_pause_forgets_nothing_that_is_in_flight() {
    for nth in 1..12 {
        let pause =
            Step { meanwhile: vec![Op::Control("pause")], ..troubled(Op::TakeUp, nth, Trouble::Waits(When::Before)) };
        for crash in 1..12 {
            let crash = troubled(begin("rollback", true), crash, Trouble::Hangs(When::Before));
            let wait = op(Op::Advance(super::stage::LEASE_MS));
            lives(1, vec![op(begin("migrate", false)), crash, wait, pause.clone(), op(Op::Control("cancel"))]);
        }
    }
}

#[test]
fn a_stalled_slice_forgets_nothing_that_the_bucket_may_have_taken() {
    let outage = |when| op(Op::Outage(when));
    lives(1, vec![outage(Some(When::After)), op(begin("migrate", false)), outage(None), op(Op::Delete(0))]);
}

#[test]
fn a_check_raises_no_false_alarm_over_an_image_whose_deletion_is_not_done() {
    let outage = op(Op::Outage(Some(When::After)));
    lives(1, vec![op(begin("migrate", false)), outage, op(begin("validate", false)), op(Op::Delete(0))]);
}

#[test]
fn a_crash_between_items_that_are_written_down_one_by_one_repeats_and_forgets_none() {
    // A deletion makes the slice's commit fail; then each call from there on is the last of its worker.
    for nth in 1..14 {
        let all = Op::Begin {
            source: EMBEDDED,
            action: "migrate",
            flag: false,
            batch_size: 3,
            concurrency: 1,
            only: Some(vec![0, 1, 2]),
        };
        for held in 4..7 {
            let delete = Step {
                meanwhile: vec![Op::Delete(1), Op::CrashLater(nth)],
                ..troubled(all.clone(), held, Trouble::Waits(When::Before))
            };
            lives(3, vec![delete]);
        }
    }
}

#[test]
fn a_run_may_begin_when_the_one_in_its_way_has_just_ended() {
    let migrate =
        Op::Begin { source: EMBEDDED, action: "migrate", flag: false, batch_size: 2, concurrency: 1, only: None };
    // The first call was refused; while the second asks by whom, the cron event ends that run.
    let waits = troubled(begin("rollback", false), 2, Trouble::Waits(When::Before));
    let steps = vec![op(migrate), Step { meanwhile: vec![Op::TakeUp], ..waits }];
    live(&Case { images: vec![SMALL; 4], table: None, bucket_is_public: false, short_invocations: true, steps });
}

#[test]
fn what_a_worker_does_after_its_lease_does_no_harm() {
    for action in [begin("migrate", false), begin("rollback", true), begin("rollback", false)] {
        for when in [When::Before, When::After] {
            for nth in 1..12 {
                let late = troubled(action.clone(), nth, Trouble::Lags(when));
                let late = Step { meanwhile: vec![Op::TakeUp, Op::Delete(0), begin("migrate", false)], ..late };
                lives(2, vec![op(begin("migrate", false)), op(begin("rollback", false)), late.clone()]);
                lives(2, vec![op(begin("migrate", false)), late]);
            }
        }
    }
}
