//! Whole lives of a deployment that copies another bucket: objects come, change and go, readers ask, texts name them, and runs meet failures.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use stillstore::image::Sha256Digest;
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use crate::api::migrate_crash::ask_until_crash;
use crate::api::world::World;
use crate::image_fixtures::bytes;
use crate::migrate_bucket::world_of;
use crate::migrate_other_bucket::OtherBucket;
use crate::migrate_table::{act, assert_counted, execute, objects, query};
use crate::runtime::block_on;

/// Lives, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 60;
const MINUTE_MS: i64 = 60 * 1_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
const OLD: &str = "https://old.example.com/";
/// Two of them begin others.
const KEYS: [&str; 6] = ["pics/a.png", "pics/a.png.webp", "pics/b", "pics/b/c.gif", "pics/ü & d.png", THEIRS];
/// Somebody else has an object of this key where the copies go.
const THEIRS: &str = "pics/theirs.png";
const CONTENTS: [&str; 5] = ["rgb.png", "still.gif", "baseline.jpg", "lossy.webp", ""];

#[derive(Debug, Clone)]
enum Step {
    Put {
        key: usize,
        content: usize,
    },
    Lose {
        key: usize,
    },
    Outage(bool),
    Write {
        row: u8,
        key: usize,
    },
    Read {
        key: usize,
        failure: Option<Failure>,
    },
    Delete {
        key: usize,
    },
    Act {
        action: usize,
        batch_size: u8,
        failure: Option<Failure>,
    },
    /// Cron takes up whatever runs.
    Wait {
        minutes: i64,
    },
}

/// A call of the database or the bucket that fails.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    is_of_database: bool,
    nth: usize,
    fault: Fault,
}

pub fn failure() -> impl Strategy<Value = Option<Failure>> {
    let failure = (any::<bool>(), 1..24_usize, proptest::sample::select(Fault::ALL.to_vec()))
        .prop_map(|(is_of_database, nth, fault)| Failure { is_of_database, nth, fault });
    proptest::option::weighted(0.6, failure)
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS.len();
    prop_oneof![
        4 => (key(), 0..CONTENTS.len()).prop_map(|(key, content)| Step::Put { key, content }),
        1 => key().prop_map(|key| Step::Lose { key }),
        1 => any::<bool>().prop_map(Step::Outage),
        2 => (0..4_u8, key()).prop_map(|(row, key)| Step::Write { row, key }),
        3 => (key(), failure()).prop_map(|(key, failure)| Step::Read { key, failure }),
        1 => key().prop_map(|key| Step::Delete { key }),
        6 => (0..5_usize, 1..4_u8, failure())
            .prop_map(|(action, batch_size, failure)| Step::Act { action, batch_size, failure }),
        2 => (1..15_i64).prop_map(|minutes| Step::Wait { minutes }),
    ]
}

pub fn fail(world: &World, failure: Option<Failure>) {
    match failure {
        Some(Failure { is_of_database: true, nth, fault }) => {
            world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault);
        }
        Some(Failure { nth, fault, .. }) => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
        None => {}
    }
}

pub fn heal(world: &World) {
    world.database.plan.heal();
    world.bucket.plan.heal();
}

fn content(content: usize) -> Vec<u8> {
    if CONTENTS[content].is_empty() { b"a text".to_vec() } else { bytes(CONTENTS[content]) }
}

fn encoded(key: &str) -> String {
    percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string().replace("%2F", "/")
}

struct Life {
    world: World,
    bucket: Rc<OtherBucket>,
    /// What the other bucket has.
    has: BTreeMap<usize, usize>,
    /// All that it ever had.
    had: BTreeMap<usize, BTreeSet<usize>>,
    /// Images that were deleted here.
    deleted: BTreeSet<String>,
}

impl Life {
    fn new() -> Self {
        let source = json!({"kind": "bucket", "name": "old", "endpoint": "https://s3.example.org", "region": "eu-west-1",
            "bucket": "photos", "prefix": "pics/", "visibility": "public", "publicUrl": OLD,
            "references": [{"table": "posts", "column": "body"}]});
        let (world, bucket) = world_of(&source, &[], &[("READ_THROUGH", "old")]);
        execute(&world.sqlite, "CREATE TABLE posts (id INTEGER PRIMARY KEY, body TEXT)", Vec::new());
        // Whoever waits for another reader waits until he gives up.
        world.runtime.sleep_through(u64::MAX);
        world.put_foreign_object(THEIRS, THEIRS.as_bytes());
        Self { world, bucket, has: BTreeMap::new(), had: BTreeMap::new(), deleted: BTreeSet::new() }
    }

    fn step(&mut self, step: &Step) {
        self.world.runtime.advance(1_000);
        match step {
            Step::Put { key, content: wanted } => {
                self.bucket.has(KEYS[*key], &content(*wanted));
                self.has.insert(*key, *wanted);
                self.had.entry(*key).or_default().insert(*wanted);
            }
            Step::Lose { key } => {
                self.bucket.loses(KEYS[*key]);
                self.has.remove(key);
            }
            Step::Outage(is_down) => self.bucket.status.set(is_down.then_some(503)),
            Step::Write { row, key } => {
                let body = format!("see {OLD}{} and {OLD}pics/none.png. ", encoded(KEYS[*key]));
                let sql = format!(
                    "INSERT INTO posts VALUES ({row}, '{body}') ON CONFLICT (id) DO UPDATE SET body = body || excluded.body"
                );
                execute(&self.world.sqlite, &sql, Vec::new());
            }
            Step::Read { key, failure } => self.read(*key, *failure),
            Step::Delete { key } => self.delete(*key),
            Step::Act { action, batch_size, failure } => {
                let body = match action {
                    0 | 1 => json!({"action": "migrate", "source": "old", "batchSize": batch_size}),
                    2 => json!({"action": "rollback", "source": "old", "batchSize": batch_size}),
                    3 => json!({"action": "rollback", "source": "old", "batchSize": batch_size, "deleteFromR2": true}),
                    _ => json!({"action": "complete", "source": "old", "batchSize": batch_size}),
                };
                fail(&self.world, *failure);
                let _ = ask_until_crash(&self.world, &body);
                heal(&self.world);
            }
            Step::Wait { minutes } => {
                self.world.runtime.advance(minutes * MINUTE_MS);
                block_on(self.world.app.tick());
            }
        }
        self.check();
    }

    fn read(&self, key: usize, failure: Option<Failure>) {
        fail(&self.world, failure);
        let path = format!("/images/{}", encoded(KEYS[key]));
        let answer = self.world.send_until_crash("GET", &path, &[], None);
        heal(&self.world);
        let Some(answer) = answer.filter(|answer| answer.status == 200) else { return };
        let had = self.had.get(&key).into_iter().flatten();
        assert!(had.into_iter().any(|had| content(*had) == answer.body), "{}: what nobody put", KEYS[key]);
    }

    fn delete(&mut self, key: usize) {
        let sql = "SELECT id FROM stillstore_images WHERE status = 'stored' AND source_item = ";
        let found = query(&self.world.sqlite, &format!("{sql}'{}'", KEYS[key]));
        let Some(id) = found.first().and_then(|row| row["id"].as_str()) else { return };
        assert_eq!(self.world.call("DELETE", &format!("/api/images/{id}"), None).status, 204);
        self.deleted.insert(id.to_owned());
    }

    /// What holds at every moment.
    fn check(&self) {
        let stored =
            query(&self.world.sqlite, "SELECT id, storage_key, sha256 FROM stillstore_images WHERE status = 'stored'");
        let ours: BTreeMap<_, _> = objects(&self.world).into_iter().collect();
        for image in &stored {
            let bytes = ours.get(image["storage_key"].as_str().unwrap());
            let sha256 = bytes.map(|bytes| Sha256Digest::of(bytes).to_string());
            assert_eq!(sha256.as_deref(), image["sha256"].as_str(), "a stored image is there, whole: {image}");
        }
        assert_eq!(ours.get(THEIRS).map(Vec::as_slice), Some(THEIRS.as_bytes()), "nobody removes what is another's");
        for moved in query(&self.world.sqlite, "SELECT storage_key, sha256 FROM stillstore_moves") {
            let bytes = ours.get(moved["storage_key"].as_str().unwrap());
            let sha256 = bytes.map(|bytes| Sha256Digest::of(bytes).to_string());
            assert_eq!(sha256.as_deref(), moved["sha256"].as_str(), "a copy is there, whole: {moved}");
        }
        for text in self.texts() {
            for (at, _) in text.match_indices("/images/") {
                let id = &text[at + 8..at + 44];
                let is_alive = stored.iter().any(|image| image["id"] == id) || self.deleted.contains(id);
                assert!(is_alive, "a text names what is gone: {id} in {text}");
            }
        }
        assert_counted(&self.world.sqlite, "the journal's counters");
    }

    fn texts(&self) -> Vec<String> {
        let rows = query(&self.world.sqlite, "SELECT body FROM posts ORDER BY id");
        rows.iter().map(|row| row["body"].as_str().unwrap().to_owned()).collect()
    }

    fn finish(&self) {
        self.bucket.status.set(None);
        settle(&self.world);
        self.check();
        let run = act(&self.world, &json!({"action": "migrate", "source": "old"}));
        let errors = run["result"]["errors"].as_array().unwrap();
        for error in errors {
            assert!(error["reason"] == "key-taken" && error["id"] == THEIRS, "{run}");
        }
        self.check();
        for (key, wanted) in &self.has {
            let sha256 = Sha256Digest::of(&content(*wanted)).to_string();
            let sql =
                format!("SELECT sha256 FROM stillstore_moves WHERE stage = 'moved' AND item_id = '{}'", KEYS[*key]);
            let found = query(&self.world.sqlite, &sql);
            let is_deleted = run["result"]["skipped"].as_u64().unwrap() > 0 || !errors.is_empty();
            assert!(
                found.first().is_some_and(|row| row["sha256"] == sha256) || is_deleted,
                "{}: {found:?}",
                KEYS[*key]
            );
        }
        assert_eq!(act(&self.world, &json!({"action": "migrate", "source": "old"}))["result"]["migrated"], 0);
        self.world.runtime.advance(2 * DAY_MS);
        let complete = act(&self.world, &json!({"action": "complete", "source": "old"}));
        let has_old = self.texts().iter().any(|text| text.contains(OLD));
        let expected = [(!errors.is_empty(), "left-at-source"), (has_old, "references-left")];
        let expected: Vec<_> = expected.iter().filter(|(is_open, _)| *is_open).map(|(_, why)| *why).collect();
        assert_eq!(complete["result"]["open"], json!(expected), "{complete}");

        act(&self.world, &json!({"action": "rollback", "source": "old", "deleteFromR2": true}));
        self.check();
        let left: Vec<Json> = query(&self.world.sqlite, "SELECT new_url FROM stillstore_references");
        assert!(left.is_empty(), "every text was put back: {left:?}");
        for text in self.texts() {
            assert!(!text.contains("/images/"), "{text}");
        }
    }
}

/// Everybody lets go, and what was begun ends.
pub fn settle(world: &World) {
    heal(world);
    for _ in 0..12 {
        world.runtime.advance(2 * 60 * MINUTE_MS);
        block_on(world.app.tick());
        if query(&world.sqlite, "SELECT id FROM stillstore_runs WHERE state = 'running'").is_empty() {
            return;
        }
    }
    panic!("a run does not end");
}

pub fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_of_another_bucket_is_lost_and_no_text_names_what_is_gone(steps in proptest::collection::vec(step(), 1..25)) {
        let mut life = Life::new();
        for step in &steps {
            life.step(step);
        }
        life.finish();
    }
}
