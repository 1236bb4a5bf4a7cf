//! Every call of a presigned upload's steps fails, before it happens and after, and as a crash; then the sweep runs.

use serde_json::json;
use stillstore::sql::Fault;

use super::crash::{MOST_CALLS, Seam, failed, heal, plan, sweep_everything};
use super::uploads::{HOUR_MS, Presigned, S3_VARS};
use super::world::{Answer, PNG, TOKEN, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Presign,
    Put,
    Confirm,
    ConfirmWhatIsWrong,
    Delete,
}

impl Step {
    const ALL: [Self; 5] = [Self::Presign, Self::Put, Self::Confirm, Self::ConfirmWhatIsWrong, Self::Delete];

    /// Whether the step's answer, once nothing fails, is a refusal.
    const fn refuses(self) -> bool {
        matches!(self, Self::ConfirmWhatIsWrong)
    }
}

/// Where bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To the bucket's S3 endpoint.
    Bucket,
    /// Through the Worker into R2, or the database when R2 fails.
    Worker,
    /// Through the Worker into the database.
    Embedded,
}

impl Way {
    const ALL: [Self; 3] = [Self::Bucket, Self::Worker, Self::Embedded];

    fn world(self) -> World {
        let enabled = if self == Self::Embedded { "false" } else { "true" };
        let vars = [("ENABLE_R2_STORAGE", enabled), ("API_TOKEN", TOKEN)];
        let s3 = if self == Self::Bucket { &S3_VARS[..] } else { &[] };
        World::with_vars(&[&vars, s3].concat())
    }

    /// Sends the bytes, while nothing fails.
    fn send(self, world: &World, presigned: &Presigned, bytes: &[u8]) {
        if self == Self::Bucket {
            world.put_foreign_object(&presigned.key, bytes);
        } else {
            assert_eq!(presigned.put(world, bytes.to_vec()).status, 200);
        }
    }
}

/// An upload on which the steps before `step` were taken.
struct Case {
    world: World,
    presigned: Presigned,
    step: Step,
}

impl Case {
    fn new(way: Way, step: Step) -> Self {
        let world = way.world();
        let presigned = Presigned::new(&world, &json!({}));
        match step {
            Step::Presign | Step::Put => {}
            Step::Confirm => way.send(&world, &presigned, PNG),
            Step::ConfirmWhatIsWrong => way.send(&world, &presigned, b"no image"),
            Step::Delete => {
                way.send(&world, &presigned, PNG);
                assert_eq!(presigned.confirm(&world).status, 200);
            }
        }
        Self { world, presigned, step }
    }

    /// Takes the step; `None` when it hangs, which stands for a killed isolate.
    fn take(&self) -> Option<Answer> {
        let bearer = format!("Bearer {TOKEN}");
        let token = ("authorization", bearer.as_str());
        let json = [token, ("content-type", "application/json")];
        let send = |method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>| {
            self.world.send_until_crash(method, path, headers, Some(body.into()))
        };
        match self.step {
            Step::Presign => {
                let body = json!({
                    "shoot_id": self.presigned.shoot_id, "filename": "cat.png", "content_type": "image/png"
                });
                send("POST", "/uploads/presign", &json, body.to_string().into_bytes())
            }
            Step::Put => send("PUT", &self.presigned.put_path(), &[("content-type", "image/png")], PNG.to_vec()),
            Step::Confirm | Step::ConfirmWhatIsWrong => {
                send("POST", "/uploads/confirm", &json, self.presigned.claims().to_string().into_bytes())
            }
            Step::Delete => {
                let path = format!("/api/images/{}", self.presigned.asset_id);
                self.world.send_until_crash("DELETE", &path, &[token], None)
            }
        }
    }
}

#[test]
fn a_failure_loses_no_upload_and_leaves_nothing_behind() {
    let mut cases = 0;
    for way in Way::ALL {
        for step in Step::ALL {
            if (way, step) == (Way::Bucket, Step::Put) {
                continue;
            }
            for seam in [Seam::Database, Seam::Bucket] {
                for fault in Fault::ALL {
                    for nth in 1..=MOST_CALLS {
                        let case = Case::new(way, step);
                        let name = format!("{way:?}, {step:?}, {seam:?} call {nth}, {fault:?}");
                        plan(&case.world, seam, nth, fault);
                        check(&case, &name);
                        if !failed(&case.world) {
                            break;
                        }
                        cases += 1;
                        assert!(nth < MOST_CALLS, "{name}: raise MOST_CALLS");
                    }
                }
            }
        }
    }
    assert!(cases > 60, "{cases} cases");
}

fn check(case: &Case, name: &str) {
    let world = &case.world;
    let answer = case.take();
    heal(world);
    world.assert_invariants();
    if let Some(answer) = answer.filter(|answer| answer.status >= 300) {
        let expected = if case.step.refuses() { [503, 422] } else { [503, 503] };
        assert!(expected.contains(&answer.status), "{name}: {answer:?}");
    }
    let again = case.take().expect("nothing hangs any more");
    if case.step.refuses() {
        assert_eq!(again.code(), "upload-type-differs", "{name}");
    } else {
        assert!(again.status < 300, "{name}: the same step works once the failure is over: {again:?}");
    }
    world.assert_invariants();
    if case.step == Step::Confirm {
        let stored = world.rows("SELECT id FROM stillstore_images WHERE status = 'stored'");
        assert_eq!(stored, [json!({"id": case.presigned.asset_id})], "{name}");
    }
    sweep_everything(world);
    world.assert_invariants();
    world.assert_swept();
}

#[test]
fn a_confirmation_that_the_sweep_overtakes_makes_no_image() {
    let world = World::new(true);
    let presigned = Presigned::new(&world, &json!({}));
    assert_eq!(presigned.put(&world, PNG.to_vec()).status, 200);
    world.runtime.advance(2 * HOUR_MS);
    world.sweep();
    let answer = presigned.confirm(&world);
    assert_eq!((answer.status, answer.code().as_str()), (410, "upload-expired"));
    assert!(world.rows("SELECT id FROM stillstore_images").is_empty());
}
