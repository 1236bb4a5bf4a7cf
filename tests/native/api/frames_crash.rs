//! Every call of every flow over frames and shoots fails, before it happens and after, and as a crash; then cron runs.

use stillstore::catalog::{Committed, Frame};
use stillstore::image::ShootId;
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use super::frames::{form, post_until_crash, svg};
use super::world::{Answer, TOKEN, World};
use crate::catalog_database::{content, description, plain_commit};
use crate::runtime::block_on;

/// Longer than any flow has calls.
const MOST_CALLS: usize = 30;
const HOURS_2_MS: i64 = 2 * 60 * 60 * 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Add,
    Replace,
    Delete,
    DeleteShoot,
    Tick,
}

impl Flow {
    const ALL: [Self; 5] = [Self::Add, Self::Replace, Self::Delete, Self::DeleteShoot, Self::Tick];

    /// Runs the flow; `None` when it hangs, or is no request.
    fn run(self, world: &World, shoot: &str) -> Option<Answer> {
        let frames = form(&[("1", svg(1)), ("7", svg(7)), ("file", svg(8))]);
        let bearer = format!("Bearer {TOKEN}");
        let token = [("authorization", bearer.as_str())];
        match self {
            Self::Add => post_until_crash(world, "/sessions/s/frames", frames),
            Self::Replace => {
                let other = form(&[("5", svg(50)), ("1", svg(10)), ("2", svg(2))]);
                post_until_crash(world, "/sessions/s/frames?replace=true", other)
            }
            Self::Delete => world.send_until_crash("DELETE", "/sessions/s/frames", &token, None),
            Self::DeleteShoot => world.send_until_crash("DELETE", &format!("/shoots/{shoot}"), &token, None),
            Self::Tick => {
                crate::runtime::run_until_stalled(world.app.tick());
                None
            }
        }
    }
}

/// A session with two frames, the left-overs of a killed upload, and a shoot with an asset.
fn world(r2_enabled: bool) -> (World, String) {
    let world = World::new(r2_enabled);
    world.database.plan.fail_nth(None::<DatabaseCall>, 2, Fault::HangBefore);
    assert!(post_until_crash(&world, "/sessions/s/frames", form(&[("9", svg(9))])).is_none());
    world.database.plan.heal();
    world.runtime.advance(HOURS_2_MS);
    let answer = post_until_crash(&world, "/sessions/s/frames", form(&[("1", svg(1)), ("2", svg(2))]));
    assert_eq!(answer.unwrap().status, 201);
    world.runtime.advance(HOURS_2_MS);
    let shoot = world.post_json("/shoots", &serde_json::json!({"name": "a"}), &[]).json();
    let shoot = shoot["id"].as_str().unwrap().to_owned();
    store_asset(&world, &shoot);
    (world, shoot)
}

/// Gives an uploaded image to the shoot, past the routes.
fn store_asset(world: &World, shoot: &str) {
    let shoot: ShootId = shoot.parse().unwrap();
    let mut image = description(1);
    image.frame = Some(Frame::of_shoot(&shoot, image.created_at));
    image.parent_id = None;
    image.moved_from = None;
    let bytes = svg(77);
    let mut content = content();
    content.sha256 = stillstore::image::Sha256Digest::of(&bytes);
    content.size_bytes = bytes.len() as u64;
    world.put_foreign_object(image.key.as_str(), &bytes);
    let committed = block_on(world.app.services.catalog.commit(plain_commit(&image, &content)));
    assert!(matches!(committed, Ok(Committed::Done(_))), "{committed:?}");
}

fn heal(world: &World) {
    world.database.plan.heal();
    world.bucket.plan.heal();
}

/// How many calls went wrong so far.
fn faults(world: &World) -> usize {
    let database = world.database.plan.calls().iter().filter(|call| call.fault.is_some()).count();
    database + world.bucket.plan.calls().iter().filter(|call| call.fault.is_some()).count()
}

#[test]
fn a_failure_loses_nothing_and_leaves_nothing_behind() {
    let mut cases = 0;
    for r2_enabled in [true, false] {
        for flow in Flow::ALL {
            for is_database in [true, false] {
                for fault in Fault::ALL {
                    for nth in 1..=MOST_CALLS {
                        let (world, shoot) = world(r2_enabled);
                        let before = faults(&world);
                        if is_database {
                            world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault);
                        } else {
                            world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault);
                        }
                        let case = format!("r2 {r2_enabled}, {flow:?}, database {is_database}, call {nth}, {fault:?}");
                        let answer = flow.run(&world, &shoot);
                        let has_failed = faults(&world) > before;
                        heal(&world);
                        check(&world, flow, &shoot, answer.as_ref(), &case);
                        if !has_failed {
                            break;
                        }
                        cases += 1;
                        assert!(nth < MOST_CALLS, "{case}: raise MOST_CALLS");
                    }
                }
            }
        }
    }
    assert!(cases > 60, "{cases} cases");
}

fn check(world: &World, flow: Flow, shoot: &str, answer: Option<&Answer>, case: &str) {
    world.assert_invariants();
    if let Some(answer) = answer {
        assert!(answer.status < 300 || [409, 503].contains(&answer.status), "{case}: {answer:?}");
    }
    // A killed worker's lease ends.
    world.runtime.advance(HOURS_2_MS);
    world.assert_invariants();
    if !matches!(flow, Flow::Tick) {
        block_on(world.app.tick());
        let again = flow.run(world, shoot).expect("nothing hangs any more");
        let is_gone = flow == Flow::DeleteShoot && again.status == 404;
        assert!(again.status < 300 || is_gone, "{case}: the same request works once the failure is over: {again:?}");
    }
    let frame = |number: u32| {
        let answer = world.call("GET", &format!("/sessions/s/frames/{number}"), None);
        (answer.status == 200).then_some(answer.body)
    };
    match flow {
        Flow::Add => assert_eq!((frame(1), frame(2), frame(7)), (Some(svg(1)), Some(svg(2)), Some(svg(7))), "{case}"),
        Flow::Replace => {
            assert_eq!((frame(1), frame(2), frame(5)), (Some(svg(10)), Some(svg(2)), Some(svg(50))), "{case}");
        }
        Flow::Delete => assert_eq!((frame(1), frame(2)), (None, None), "{case}"),
        Flow::DeleteShoot => {
            assert_eq!(world.call("GET", &format!("/shoots/{shoot}"), None).status, 404, "{case}");
        }
        Flow::Tick => assert_eq!((frame(1), frame(2)), (Some(svg(1)), Some(svg(2))), "{case}"),
    }
    world.assert_invariants();
    for _ in 0..3 {
        world.runtime.advance(HOURS_2_MS);
        block_on(world.app.tick());
    }
    world.assert_invariants();
    world.assert_swept();
}
