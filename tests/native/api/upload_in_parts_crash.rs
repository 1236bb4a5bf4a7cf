//! Every call of the steps of an upload in parts fails, before it happens and after, and as a crash; then the sweep runs.

use serde_json::json;
use stillstore::sql::Fault;

use super::crash::{MOST_CALLS, Seam, failed, heal, plan};
use super::upload_in_parts::Begun;
use super::uploads::HOUR_MS;
use super::world::{Answer, PNG, TOKEN, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Begin,
    Put,
    List,
    Complete,
    CompleteWhatIsWrong,
    Abort,
}

impl Step {
    const ALL: [Self; 6] = [Self::Begin, Self::Put, Self::List, Self::Complete, Self::CompleteWhatIsWrong, Self::Abort];
}

struct Case {
    world: World,
    begun: Begun,
    step: Step,
}

impl Case {
    fn new(step: Step) -> Self {
        let world = World::new(true);
        let bytes = if step == Step::CompleteWhatIsWrong { b"no image" } else { PNG };
        let begun = Begun::new(&world, "image/png", bytes.len(), &json!({}));
        if !matches!(step, Step::Begin | Step::Put) {
            assert_eq!(begun.put(&world, 1, bytes.to_vec()).status, 200);
        }
        Self { world, begun, step }
    }

    /// Takes the step; `None` when it hangs, which stands for a killed isolate.
    fn take(&self) -> Option<Answer> {
        let bearer = format!("Bearer {TOKEN}");
        let token = ("authorization", bearer.as_str());
        let json = [token, ("content-type", "application/json")];
        let path = self.begun.path();
        let send = |method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>| {
            self.world.send_until_crash(method, path, headers, Some(body.into()))
        };
        match self.step {
            Step::Begin => {
                let body = json!({
                    "shoot_id": self.begun.shoot_id, "filename": "a.png", "content_type": "image/png", "file_size": 10
                });
                send("POST", "/uploads/multipart", &json, body.to_string().into_bytes())
            }
            Step::Put => {
                let headers = [token, ("content-type", "application/octet-stream")];
                send("PUT", &format!("{path}/1"), &headers, PNG.to_vec())
            }
            Step::List => self.world.send_until_crash("GET", &path, &[token], None),
            Step::Complete | Step::CompleteWhatIsWrong => send("POST", &path, &json, b"{}".to_vec()),
            Step::Abort => self.world.send_until_crash("DELETE", &path, &[token], None),
        }
    }
}

#[test]
fn a_failure_loses_no_upload_and_leaves_nothing_behind() {
    let mut cases = 0;
    for step in Step::ALL {
        for seam in [Seam::Database, Seam::Bucket] {
            for fault in Fault::ALL {
                for nth in 1..=MOST_CALLS {
                    let case = Case::new(step);
                    let name = format!("{step:?}, {seam:?} call {nth}, {fault:?}");
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
    assert!(cases > 60, "{cases} cases");
}

fn check(case: &Case, name: &str) {
    let world = &case.world;
    let answer = case.take();
    heal(world);
    world.assert_invariants();
    let is_refused = case.step == Step::CompleteWhatIsWrong;
    if let Some(answer) = answer.filter(|answer| answer.status >= 300) {
        assert!(answer.status == 503 || is_refused && answer.status == 422, "{name}: {answer:?}");
    }
    let again = case.take().expect("nothing hangs any more");
    if is_refused {
        assert_eq!(again.code(), "upload-type-differs", "{name}");
    } else {
        assert!(again.status < 300, "{name}: the same step works once the failure is over: {again:?}");
    }
    world.assert_invariants();
    if case.step == Step::Put {
        assert_eq!(case.begun.complete(world, &json!({})).status, 200, "{name}");
    }
    if matches!(case.step, Step::Put | Step::Complete) {
        let stored = world.rows("SELECT id FROM stillstore_images WHERE status = 'stored'");
        assert_eq!(stored, [json!({"id": case.begun.asset_id})], "{name}");
    }
    world.runtime.advance(24 * HOUR_MS);
    for _ in 0..4 {
        world.runtime.advance(2 * HOUR_MS);
        world.sweep();
    }
    world.assert_invariants();
    world.assert_swept();
}
