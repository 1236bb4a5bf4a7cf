//! Every call of every action over links fails, before it happens and after, and as a crash; then the run is taken up.

use serde_json::{Value as Json, json};
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use crate::api::migrate_crash::{Seam, ask_until_crash, assert_honest, take_up, walk};
use crate::api::world::World;
use crate::migrate_table::{act, assert_counted, objects, query};
use crate::migrate_url::{post, source, world_with};

const ROWS: &str = "SELECT id, picture FROM posts ORDER BY id";
const IDS: [&str; 3] = ["a", "b", "c"];

/// A row shows the link, or a copy that can be read.
fn assert_readable(world: &World, before: &[Json], pictures: &[Vec<u8>], case: &str) {
    for ((row, before), picture) in query(&world.sqlite, ROWS).iter().zip(before).zip(pictures) {
        match row["picture"].as_str().and_then(|url| url.strip_prefix("https://images.example")) {
            Some(path) => assert_eq!(world.send("GET", path, &[], None).body, *picture, "{case}"),
            None => assert_eq!(row, before, "{case}"),
        }
    }
    assert_counted(&world.sqlite, case);
}

fn check(body: &Json, seam: Seam, nth: usize, fault: Fault) -> bool {
    let case = format!("{body}, {seam:?} call {nth}, {fault:?}");
    let world = world_with(&source(), &[]);
    let pictures: Vec<_> =
        IDS.map(|id| post(&world, id, &format!("https://{id}.example.org/{id}.png"))).into_iter().collect();
    let before = query(&world.sqlite, ROWS);
    if body["action"] != "migrate" {
        act(&world, &json!({"action": "migrate", "source": "posts"}));
        world.runtime.advance(1);
    }
    match seam {
        Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Bucket | Seam::Other => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
    }
    let answer = ask_until_crash(&world, body);
    let has_failed = world.database.plan.has_failed() || world.bucket.plan.has_failed();
    world.database.plan.heal();
    world.bucket.plan.heal();
    assert_readable(&world, &before, &pictures, &case);
    assert_honest(answer.as_ref(), &case);
    let latest = world.call("GET", "/api/migrate-images", None).json()["run"].clone();
    if latest["action"] != body["action"] {
        act(&world, body);
    }
    let run = take_up(&world, &case);
    assert_readable(&world, &before, &pictures, &case);
    assert_eq!((&run["progress"]["done"], &run["progress"]["failed"]), (&json!(3), &json!(0)), "{case}: {run}");
    let is_back = query(&world.sqlite, ROWS) == before;
    assert_eq!(is_back, body["action"] == "rollback", "{case}");
    let keys = query(&world.sqlite, "SELECT storage_key FROM stillstore_moves");
    assert_eq!(keys.len(), objects(&world).len(), "{case}: an object an entry");
    assert!(query(&world.sqlite, "SELECT * FROM stillstore_links").is_empty(), "{case}");
    assert!(query(&world.sqlite, "SELECT * FROM stillstore_runs WHERE in_flight <> '[]'").is_empty(), "{case}");
    has_failed
}

#[test]
fn a_migration_of_links_survives_every_failure() {
    let body = json!({"action": "migrate", "source": "posts", "batchSize": 2});
    walk("migrate", &[Seam::Database, Seam::Bucket], |seam, nth, fault| check(&body, seam, nth, fault));
}

#[test]
fn a_rollback_to_links_survives_every_failure() {
    for delete in [false, true] {
        let body = json!({"action": "rollback", "source": "posts", "batchSize": 2, "deleteFromR2": delete});
        walk("rollback", &[Seam::Database, Seam::Bucket], |seam, nth, fault| check(&body, seam, nth, fault));
    }
}
