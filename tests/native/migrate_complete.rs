//! Whether a source can be switched off.

use serde_json::{Value as Json, json};
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use crate::api::migrate_crash::{Seam, ask_until_crash, take_up, walk};
use crate::api::world::World;
use crate::image_fixtures::bytes;
use crate::migrate_bucket::{migrate, reasons, world_of};
use crate::migrate_table::{act, insert, query};

const HOUR_MS: i64 = 60 * 60 * 1_000;

fn bucket_world(objects: &[(&str, &[u8])]) -> (World, std::rc::Rc<crate::migrate_other_bucket::OtherBucket>) {
    let source = json!({"kind": "bucket", "name": "old", "endpoint": "https://s3.example.org", "region": "eu-west-1",
        "bucket": "photos", "prefix": "pics/", "visibility": "public"});
    world_of(&source, objects, &[("READ_THROUGH", "old")])
}

fn complete(world: &World) -> Json {
    world.runtime.advance(1);
    act(world, &json!({"action": "complete", "source": "old", "batchSize": 2}))
}

fn open(run: &Json) -> &Json {
    &run["result"]["open"]
}

#[test]
fn a_bucket_can_go_once_all_of_it_is_copied_and_nobody_reads_it() {
    let objects: [(&str, &[u8]); 3] =
        [("pics/a.png", &bytes("rgb.png")), ("pics/b.txt", b"a text"), ("pics/c.gif", &bytes("still.gif"))];
    let (world, bucket) = bucket_world(&objects);
    let run = complete(&world);
    assert_eq!(
        (open(&run), &run["success"], &run["state"]),
        (&json!(["left-at-source"]), &json!(false), &json!("completed_with_errors"))
    );
    assert_eq!((&run["result"]["left"], bucket.reads.get()), (&json!(3), 0), "{run}");
    assert_eq!(reasons(&world, &run)[0], (json!("pics/a.png"), json!("not-read")));

    migrate(&world);
    let run = complete(&world);
    let result = &run["result"];
    assert_eq!((&result["isComplete"], open(&run), &run["success"]), (&json!(true), &json!([]), &json!(true)), "{run}");
    assert_eq!((&result["left"], &result["verified"], &result["wrong"]), (&json!(0), &json!(3), &json!(0)), "{run}");
    for time in ["listedFrom", "listedUntil", "verifiedFrom", "verifiedUntil"] {
        assert!(result[time].is_string(), "{time}: {run}");
    }
    assert_eq!(result["lastReadThrough"], Json::Null);
    let id = run["runId"].as_str().unwrap();
    let receipt = world.call("GET", &format!("/api/migrate-images/runs/{id}/receipt"), None);
    let header: Json = serde_json::from_slice(receipt.body.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!((&header["action"], &header["completion"]["verified"]), (&json!("complete"), &json!(3)), "{header}");
    assert_eq!(header["completion"]["open"], json!([]));

    bucket.has("pics/d.png", &bytes("baseline.jpg"));
    assert_eq!(open(&complete(&world)), &json!(["left-at-source"]), "an object that came later");
    assert_eq!(world.send("GET", "/images/pics/d.png", &[], None).status, 200);
    let run = complete(&world);
    assert_eq!(open(&run), &json!(["read-through"]));
    assert!(run["result"]["lastReadThrough"].is_string() && run["success"] == false, "{run}");
    world.runtime.advance(2 * HOUR_MS);
    let soon = json!({"action": "complete", "source": "old", "quietHours": 2});
    assert_eq!(act(&world, &soon)["result"]["isComplete"], true);
    assert_eq!(complete(&world)["result"]["isComplete"], false, "a day is what is asked for otherwise");
    world.runtime.advance(24 * HOUR_MS);

    world.lose_object("pics/a.png");
    bucket.has("pics/c.gif", b"other");
    let run = complete(&world);
    assert_eq!(open(&run), &json!(["left-at-source", "not-verified"]));
    assert_eq!(
        (&run["result"]["left"], &run["result"]["wrong"], &run["result"]["verified"]),
        (&json!(1), &json!(1), &json!(3))
    );
    let run = act(&world, &json!({"action": "rollback", "source": "old", "imageIds": ["pics/b.txt"]}));
    assert_eq!(run["result"]["rolledBack"], 1, "{run}");
    assert_eq!(complete(&world)["result"]["left"], 2, "what was rolled back is at its source");
}

#[test]
fn what_was_deleted_here_is_not_left_there() {
    let (world, _) = bucket_world(&[("pics/a.png", &bytes("rgb.png"))]);
    migrate(&world);
    let id = world.call("GET", "/api/images", None).json()["images"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.call("DELETE", &format!("/api/images/{id}"), None).status, 204);
    let run = complete(&world);
    assert_eq!((&run["result"]["isComplete"], &run["result"]["left"]), (&json!(true), &json!(0)), "{run}");
}

#[test]
fn a_table_can_be_asked_about_too() {
    let world = crate::migrate_table::world();
    for id in ["a", "b", "c"] {
        insert(&world.sqlite, id, &crate::migrate_table::base64(&bytes("rgb.png")));
    }
    insert(&world.sqlite, "d", "%");
    let ask = json!({"action": "complete", "source": "images", "batchSize": 2});
    assert_eq!(act(&world, &ask)["result"]["left"], 4);
    act(&world, &json!({"action": "migrate", "source": "images"}));
    world.runtime.advance(1);
    let run = act(&world, &ask);
    assert_eq!(
        (&run["result"]["left"], &run["result"]["verified"], open(&run)),
        (&json!(1), &json!(3), &json!(["left-at-source"])),
        "{run}"
    );
    assert_eq!(reasons(&world, &run)[0], (json!("d"), json!("not-base64")));
    query(&world.sqlite, "DELETE FROM images WHERE id = 'd'");
    world.runtime.advance(1);
    assert_eq!(act(&world, &ask)["result"]["isComplete"], true);
}

#[test]
fn fields_of_other_actions_are_refused() {
    let (world, _) = bucket_world(&[]);
    for (body, field) in [
        (json!({"action": "complete", "source": "old", "imageIds": ["a"]}), "imageIds"),
        (json!({"action": "complete", "source": "old", "quietHours": 0}), "quietHours"),
        (json!({"action": "complete", "source": "old", "quietHours": 8_761}), "quietHours"),
        (json!({"action": "migrate", "source": "old", "quietHours": 1}), "quietHours"),
        (json!({"action": "complete", "source": "old", "dryRun": true}), "dryRun"),
    ] {
        let answer = world.post_json("/api/migrate-images", &body, &[]);
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!(field)), "{answer:?}");
    }
}

fn check(seam: Seam, nth: usize, fault: Fault) -> bool {
    let case = format!("{seam:?} call {nth}, {fault:?}");
    let (world, bucket) = bucket_world(&[("pics/a.png", &bytes("rgb.png")), ("pics/b.txt", b"a text")]);
    migrate(&world);
    bucket.has("pics/c.gif", &bytes("still.gif"));
    world.runtime.advance(1);
    match seam {
        Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Bucket | Seam::Other => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
    }
    let body = json!({"action": "complete", "source": "old", "batchSize": 1});
    let _ = ask_until_crash(&world, &body);
    let has_failed = world.database.plan.has_failed() || world.bucket.plan.has_failed();
    world.database.plan.heal();
    world.bucket.plan.heal();
    if world.call("GET", "/api/migrate-images", None).json()["run"]["action"] != "complete" {
        act(&world, &body);
    }
    let run = take_up(&world, &case);
    assert_eq!((&run["result"]["left"], &run["result"]["verified"]), (&json!(1), &json!(2)), "{case}: {run}");
    assert_eq!(run["result"]["open"], json!(["left-at-source"]), "{case}: {run}");
    has_failed
}

#[test]
fn it_survives_every_failure() {
    walk("complete", &[Seam::Database, Seam::Bucket], check);
}
