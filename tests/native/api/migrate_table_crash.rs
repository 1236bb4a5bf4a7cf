//! Every call of every migration action over an application's table in a database of its own fails, before it happens and after, and as a
//! crash; then the run is taken up.

use std::rc::Rc;

use serde_json::{Value, json};
use stillstore::sql::{Database, DatabaseCall, Fault, FaultyDatabase};
use stillstore::store::StoreCall;

use super::migrate_crash::{Seam, ask_until_crash, assert_honest, column, take_up, walk};
use super::world::World;
use crate::image_fixtures::bytes;
use crate::migrate_table::{IMAGES, act, assert_counted, base64, execute, hex, insert, query, world_with};
use crate::sqlite::Sqlite;

const DAYS_31_MS: i64 = 31 * 24 * 60 * 60 * 1000;
const ROWS: &str = "SELECT *, hex(image_data) AS data FROM images ORDER BY id";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Migrate,
    Cleanup,
    Rollback { delete: bool, cleaned: bool },
}

/// A deployment, and an application with rows whose value is base64, a BLOB, and what cannot be had from its image.
struct Shop {
    world: World,
    sqlite: Rc<Sqlite>,
    database: Rc<FaultyDatabase>,
    /// The rows before anything happened, and the image of each.
    before: Vec<Value>,
    images: Vec<Vec<u8>>,
}

impl Flow {
    /// A deployment in which everything before the flow is done.
    fn shop(self) -> Shop {
        let sqlite = Rc::new(Sqlite::migrated());
        execute(&sqlite, IMAGES, Vec::new());
        let images: Vec<_> = ["rgb.png", "still.gif", "baseline.jpg"].into_iter().map(bytes).collect();
        insert(&sqlite, "a", &base64(&images[0]));
        insert(&sqlite, "b", &format!(" {} {}", &base64(&images[1])[..8], &base64(&images[1])[8..]));
        insert(&sqlite, "c", "");
        execute(&sqlite, "UPDATE images SET image_data = unhex(?1) WHERE id = 'c'", vec![hex(&images[2]).into()]);
        execute(&sqlite, "UPDATE images SET image_url = '/old', migration_status = 7 WHERE id = 'c'", Vec::new());
        let before = query(&sqlite, ROWS);
        let database = Rc::new(FaultyDatabase::new(Rc::clone(&sqlite) as Rc<dyn Database>));
        let source = json!([{"name": "shop", "binding": "SHOP", "table": "images", "id": "id", "data": "image_data",
            "url": "image_url", "key": "r2_key", "status": "migration_status", "migratedAt": "migrated_at"}]);
        let world = world_with(&source, vec![("SHOP".to_owned(), Rc::clone(&database) as Rc<dyn Database>)]);
        if self != Self::Migrate {
            act(&world, &json!({"action": "migrate", "source": "shop"}));
        }
        world.runtime.advance(DAYS_31_MS);
        if matches!(self, Self::Rollback { cleaned: true, .. }) {
            act(&world, &json!({"action": "cleanup", "source": "shop"}));
        }
        world.runtime.advance(1);
        Shop { world, sqlite, database, before, images }
    }

    fn body(self) -> Value {
        match self {
            Self::Migrate => json!({"action": "migrate", "source": "shop", "batchSize": 2}),
            Self::Cleanup => json!({"action": "cleanup", "source": "shop", "batchSize": 2}),
            Self::Rollback { delete, .. } => {
                json!({"action": "rollback", "source": "shop", "batchSize": 2, "deleteFromR2": delete})
            }
        }
    }

    /// The verdict of a success, and the journal's stage behind it.
    const fn outcome(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Migrate => ("moved", Some("moved")),
            Self::Cleanup => ("cleaned", Some("cleaned")),
            Self::Rollback { delete: false, .. } => ("restored", Some("restored")),
            Self::Rollback { delete: true, .. } => ("restored", None),
        }
    }
}

impl Shop {
    /// An application that shows the url when it is a copy's, else the data, shows the image; the data is the application's, or none.
    fn assert_readable(&self, case: &str) {
        for ((row, before), image) in query(&self.sqlite, ROWS).iter().zip(&self.before).zip(&self.images) {
            let path = row["image_url"].as_str().and_then(|url| url.strip_prefix("https://images.example"));
            if let Some(path) = path {
                let answer = self.world.send("GET", path, &[], None);
                assert!(answer.status == 200 && answer.body == *image, "{case}: {row} {answer:?}");
            } else {
                assert_eq!(row, before, "{case}");
            }
            assert!(row["image_data"].is_null() || row["data"] == before["data"], "{case}: {row}");
        }
        assert_counted(&self.sqlite, case);
    }

    fn assert_ended(&self, flow: Flow, run: &Value, case: &str) {
        let (verdict, stage) = flow.outcome();
        let path = format!("/api/migrate-images/runs/{}/receipt", run["id"].as_str().unwrap());
        let text = String::from_utf8(self.world.call("GET", &path, None).body).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let lines = &lines[1..lines.len() - 1];
        assert_eq!(lines.len(), self.before.len(), "{case}: a line an item: {text}");
        let failed = lines.iter().filter(|line| line["verdict"] == "failed").count();
        assert_eq!(run["progress"]["failed"], json!(failed), "{case}: {run}");
        assert_eq!(run["state"], if failed == 0 { "completed" } else { "completed_with_errors" }, "{case}");
        for ((line, row), before) in lines.iter().zip(query(&self.sqlite, ROWS)).zip(&self.before) {
            let sql = format!("SELECT stage FROM stillstore_moves WHERE item_id = '{}'", line["id"].as_str().unwrap());
            let entry = query(&self.sqlite, &sql).pop().map(|entry| entry["stage"].clone());
            if line["verdict"] == "failed" {
                continue;
            }
            assert_eq!(line["verdict"], verdict, "{case}: {text}");
            assert_eq!(entry, stage.map(Value::from), "{case}");
            match flow {
                Flow::Migrate => {
                    assert!(row["data"] == before["data"] && row["migration_status"] == "completed", "{case}");
                }
                Flow::Cleanup => assert!(row["image_data"].is_null(), "{case}"),
                Flow::Rollback { .. } => assert_eq!(row, *before, "{case}: every value is back"),
            }
        }
        let own = |sql| query(&self.sqlite, sql).into_iter().filter_map(|row| Some(row["v"].as_str()?.to_owned()));
        let mut reasons: Vec<_> = own("SELECT storage_key AS v FROM stillstore_moves").collect();
        reasons.extend(own("SELECT original ->> '$.saved.key' AS v FROM stillstore_moves"));
        reasons.extend(own("SELECT receipt ->> 'key' AS v FROM stillstore_runs"));
        for key in self.world.bucket.inner.contents().keys() {
            assert!(reasons.contains(key), "{case}: {key} is an orphan");
        }
        assert!(own("SELECT in_flight AS v FROM stillstore_runs").all(|keys| keys == "[]"), "{case}");
        assert_eq!(own("SELECT run_id AS v FROM stillstore_run_lines").count(), 0, "{case}");
        assert!(
            column(&self.world, "SELECT id AS v FROM stillstore_runs").is_empty(),
            "{case}: ours has no part in it"
        );
    }
}

fn check(flow: Flow, seam: Seam, nth: usize, fault: Fault) -> bool {
    let case = format!("{flow:?}, {seam:?} call {nth}, {fault:?}");
    let shop = flow.shop();
    let world = &shop.world;
    match seam {
        Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Other => shop.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Bucket => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
    }
    let answer = ask_until_crash(world, &flow.body());
    let failed = world.database.plan.has_failed() || shop.database.plan.has_failed() || world.bucket.plan.has_failed();
    world.database.plan.heal();
    shop.database.plan.heal();
    world.bucket.plan.heal();
    shop.assert_readable(&case);
    assert_honest(answer.as_ref(), &case);
    // A run that was never written down is begun again.
    if world.call("GET", "/api/migrate-images", None).json()["run"]["action"] != flow.body()["action"] {
        act(world, &flow.body());
    }
    let run = take_up(world, &case);
    shop.assert_readable(&case);
    shop.assert_ended(flow, &run, &case);
    failed
}

fn survives(flow: Flow) {
    walk(&format!("{flow:?}"), &[Seam::Other, Seam::Database, Seam::Bucket], |seam, nth, fault| {
        check(flow, seam, nth, fault)
    });
}

#[test]
fn a_migration_of_a_table_survives_every_failure() {
    survives(Flow::Migrate);
}

#[test]
fn a_cleanup_of_a_table_survives_every_failure() {
    survives(Flow::Cleanup);
}

#[test]
fn a_rollback_of_a_table_survives_every_failure() {
    for cleaned in [false, true] {
        for delete in [false, true] {
            survives(Flow::Rollback { delete, cleaned });
        }
    }
}
