//! Every call of every flow fails, before it happens and after, and as a crash; then the sweep runs.

use std::collections::BTreeSet;

use stillstore::sql::DatabaseCall;
use stillstore::sql::Fault;
use stillstore::store::StoreCall;

use super::world::{Answer, PNG, TOKEN, World};

/// Longer than any flow has calls.
pub const MOST_CALLS: usize = 14;
const HOURS_2_MS: i64 = 2 * 60 * 60 * 1000;

#[derive(Debug, Clone, Copy)]
pub enum Seam {
    Database,
    Bucket,
}

#[derive(Debug, Clone, Copy)]
enum Flow {
    Generate,
    GenerateTwo,
    Upload,
    UploadPrivate,
    Serve,
    Variant,
    KeptVariant,
    Delete,
}

impl Flow {
    const ALL: [Self; 8] = [
        Self::Generate,
        Self::GenerateTwo,
        Self::Upload,
        Self::UploadPrivate,
        Self::Serve,
        Self::Variant,
        Self::KeptVariant,
        Self::Delete,
    ];

    /// How many images the flow generates.
    const fn generates(self) -> usize {
        match self {
            Self::Generate => 1,
            Self::GenerateTwo => 2,
            Self::Upload | Self::UploadPrivate | Self::Serve | Self::Variant | Self::KeptVariant | Self::Delete => 0,
        }
    }

    /// Runs the flow; `None` when it hangs, which stands for a killed isolate.
    fn run(self, world: &World, existing: &str) -> Option<Answer> {
        let bearer = format!("Bearer {TOKEN}");
        let token = ("authorization", bearer.as_str());
        let image = || Some(PNG.to_vec().into());
        match self {
            Self::Generate | Self::GenerateTwo => {
                let headers = [token, ("content-type", "application/json"), ("idempotency-key", "crash")];
                let body = format!(r#"{{"prompt": "a lighthouse", "personaId": "p1", "n": {}}}"#, self.generates());
                world.send_until_crash("POST", "/api/generate-image", &headers, Some(body.into_bytes().into()))
            }
            Self::Upload => world.send_until_crash("POST", "/api/images?filename=new.png", &[token], image()),
            Self::UploadPrivate => world.send_until_crash("POST", "/api/images?visibility=private", &[token], image()),
            Self::Serve => world.send_until_crash("GET", &format!("/images/{existing}"), &[token], None),
            Self::Variant => world.send_until_crash("GET", &format!("/images/{existing}?w=64"), &[token], None),
            Self::KeptVariant => world.send_until_crash("GET", &format!("/images/{existing}?w=32"), &[token], None),
            Self::Delete => world.send_until_crash("DELETE", &format!("/api/images/{existing}"), &[token], None),
        }
    }
}

fn world_with_image(r2_enabled: bool) -> (World, String) {
    let world = World::new(r2_enabled);
    let uploaded = world.upload("filename=old.png", PNG);
    assert_eq!(uploaded.status, 201, "{uploaded:?}");
    let id = uploaded.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(world.call("GET", &format!("/images/{id}?w=32"), None).status, 200);
    (world, id)
}

/// The ids of the images that an answer names, in order.
fn generated_ids(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let images = body["images"].as_array().cloned().unwrap_or_default();
    images.iter().map(|image| image["image"]["id"].as_str().unwrap().to_owned()).collect()
}

pub fn plan(world: &World, seam: Seam, nth: usize, fault: Fault) {
    match seam {
        Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Bucket => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
    }
}

pub fn failed(world: &World) -> bool {
    world.database.plan.has_failed() || world.bucket.plan.has_failed()
}

pub fn heal(world: &World) {
    world.database.plan.heal();
    world.bucket.plan.heal();
}

pub fn sweep_everything(world: &World) {
    for _ in 0..3 {
        world.runtime.advance(HOURS_2_MS);
        world.sweep();
    }
}

/// Runs `check` for each flow with each call of each seam failing in each of `faults`; says how many cases there were.
fn for_each_failure(faults: &[Fault], mut check: impl FnMut(&World, Flow, &str, &str)) -> usize {
    let mut cases = 0;
    for r2_enabled in [true, false] {
        for flow in Flow::ALL {
            for seam in [Seam::Database, Seam::Bucket] {
                for fault in faults {
                    for nth in 1..=MOST_CALLS {
                        let (world, existing) = world_with_image(r2_enabled);
                        plan(&world, seam, nth, *fault);
                        let case = format!("r2 {r2_enabled}, {flow:?}, {seam:?} call {nth}, {fault:?}");
                        check(&world, flow, &existing, &case);
                        if !failed(&world) {
                            break;
                        }
                        cases += 1;
                        assert!(nth < MOST_CALLS, "{case}: raise MOST_CALLS");
                    }
                }
            }
        }
    }
    cases
}

#[test]
fn a_failure_loses_nothing_and_leaves_nothing_behind() {
    let cases = for_each_failure(&Fault::ALL, |world, flow, existing, case| {
        let answer = flow.run(world, existing);
        heal(world);
        world.assert_invariants();
        match &answer {
            Some(answer) if answer.status >= 300 => {
                assert_eq!(answer.status, 503, "{case}: {answer:?}");
                let code = answer.code();
                assert!(["storage-unavailable", "database-unavailable"].contains(&code.as_str()), "{case}: {code}");
                assert!(answer.header("retry-after").is_some(), "{case}");
            }
            Some(_) => {}
            // The key of a killed request is free again when its lease ends.
            None => world.runtime.advance(HOURS_2_MS),
        }

        let again = flow.run(world, existing).expect("nothing hangs any more");
        assert!(again.status < 300, "{case}: the same request works once the failure is over: {again:?}");
        if flow.generates() > 0 {
            let named = generated_ids(&again);
            assert_eq!(named.len(), flow.generates(), "{case}");
            if let Some(answer) = &answer {
                // Whether it made all of them or says which ones it did.
                let first = generated_ids(answer);
                assert_eq!(first, named[..first.len()], "{case}: one key, the same images");
                assert!(answer.status != 200 || first.len() == named.len(), "{case}");
            }
            let rows =
                world.rows("SELECT id FROM stillstore_images WHERE status = 'stored' AND generation IS NOT NULL");
            let stored: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
            assert_eq!(stored, named.iter().map(String::as_str).collect(), "{case}: no image twice, none lost");
        }
        world.assert_invariants();

        sweep_everything(world);
        world.assert_invariants();
        world.assert_swept();
    });
    assert!(cases > 60, "{cases} cases");
}

#[test]
fn a_deleted_image_stays_unreadable_through_every_failure() {
    for_each_failure(&Fault::ALL, |world, flow, existing, case| {
        if !matches!(flow, Flow::Delete) {
            return;
        }
        let answer = flow.run(world, existing);
        heal(world);
        let path = format!("/images/{existing}");
        let readable = world.call("GET", &path, None).status == 200;
        if answer.is_some_and(|answer| answer.status == 204) {
            assert!(!readable, "{case}: gone when the caller was told so");
            assert!(world.cache.forgot(existing), "{case}: from the cache too");
        }
        sweep_everything(world);
        assert_eq!(world.call("GET", &path, None).status == 200, readable, "{case}: never readable again");
        assert!(readable || world.cache.forgot(existing), "{case}: nor to be had from the cache");
        assert!(world.rows("SELECT image_id FROM stillstore_purges").is_empty(), "{case}: nothing is purged for ever");
    });
}

#[test]
fn both_stores_failing_is_a_503_and_nothing_half_stored() {
    for fault in [Fault::FailBefore, Fault::FailAfter] {
        let world = World::new(true);
        world.bucket.plan.fail_all(StoreCall::Put, fault);
        // Call 1 reserves, call 2 is the fallback's put.
        world.database.plan.fail_nth(None::<DatabaseCall>, 2, fault);
        world.database.plan.fail_nth(None::<DatabaseCall>, 3, fault);
        let answer = world.upload("filename=a.png", PNG);
        assert_eq!((answer.status, answer.code().as_str()), (503, "storage-unavailable"), "{fault:?}");
        assert!(answer.header("retry-after").is_some());
        heal(&world);
        assert!(world.call("GET", "/api/images", None).json()["images"].as_array().unwrap().is_empty());
        sweep_everything(&world);
        world.assert_swept();
        assert!(world.bucket.inner.contents().is_empty());
    }
}

#[test]
fn an_image_that_is_made_anew_once_r2_is_switched_off_leaves_nothing_in_the_bucket() {
    let mut was_in_both = false;
    for fault in Fault::ALL {
        for nth in 1..=MOST_CALLS {
            let mut world = World::new(true);
            world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault);
            let _ = Flow::Generate.run(&world, "");
            heal(&world);
            world.runtime.advance(HOURS_2_MS);
            world.app.services.config.r2_enabled = false;

            let made = Flow::Generate.run(&world, "").expect("nothing hangs any more").json();
            was_in_both |= made["image"]["storage"] == "d1" && !world.bucket.inner.contents().is_empty();
            let path = format!("/api/images/{}", made["image"]["id"].as_str().unwrap());
            assert_eq!(world.call("DELETE", &path, None).status, 204);
            world.assert_invariants();
            sweep_everything(&world);
            world.assert_invariants();
            world.assert_swept();
        }
    }
    assert!(was_in_both);
}
