//! Readers of links beside runs, rollbacks and deletions, and what is left when a call fails.

use serde_json::{Value as Json, json};
use stillstore::api::Request;
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use crate::api::migrate_crash::{Seam, ask_until_crash, take_up, walk};
use crate::api::world::World;
use crate::image_fixtures::bytes;
use crate::migrate_table::{act, assert_counted, objects, query};
use crate::migrate_url::{insert, migrate, post, reasons};
use crate::migrate_url_read_through::{DAY_MS, LINK, MINUTES_5_MS, claims, get, of, row, set_link, status, world};
use crate::runtime::block_on;

#[test]
fn an_image_that_is_deleted_while_it_is_stored_does_not_come_back() {
    for is_same in [true, false] {
        let world = world();
        let picture = post(&world, "a", LINK);
        get(&world, "/images/a");
        let id = world.call("GET", "/api/images", None).json()["images"][0]["id"].as_str().unwrap().to_owned();
        // No put can be under way any more, so that a deletion is done at once.
        world.runtime.advance(DAY_MS);
        let other = "https://one.example.org/other.png";
        let others = if is_same { picture } else { bytes("still.gif") };
        set_link(&world, "a", other);
        world.outside.has(other, 200, &others);
        let mut response =
            block_on(world.app.handle(Request::new("GET", "https://images.example/images/a", Vec::new(), None)));
        assert_eq!(response.status, 200);
        assert_eq!(world.call("DELETE", &format!("/api/images/{id}"), None).status, 204, "no row shows it");
        block_on(response.afterwards.take().unwrap());
        assert_eq!(status(&get(&world, &format!("/images/{id}"))), of(410, "image-deleted"));
        assert_eq!(row(&world, "a")["picture"], other, "what was read of the journal holds no more");
        assert_counted(&world.sqlite, "");
        assert!(objects(&world).is_empty() && claims(&world).is_empty());
        if !is_same {
            assert_eq!(get(&world, "/images/a").body, others);
            assert_counted(&world.sqlite, "");
        }
    }
}

#[test]
fn a_former_image_of_a_row_that_is_deleted_while_it_is_stored_again_does_not_come_back() {
    let world = world();
    let picture = post(&world, "a", LINK);
    let other = "https://one.example.org/other.png";
    world.outside.has(other, 200, &bytes("still.gif"));
    get(&world, "/images/a");
    let former = row(&world, "a")["picture"].as_str().unwrap().replace("https://images.example", "");
    set_link(&world, "a", other);
    get(&world, "/images/a");
    world.runtime.advance(DAY_MS);
    set_link(&world, "a", LINK);
    let mut response =
        block_on(world.app.handle(Request::new("GET", "https://images.example/images/a", Vec::new(), None)));
    assert_eq!(response.status, 200);
    assert_eq!(world.call("DELETE", &former.replace("/images/", "/api/images/"), None).status, 204, "no row shows it");
    block_on(response.afterwards.take().unwrap());
    for days in [0, 31] {
        world.runtime.advance(days * DAY_MS);
        world.sweep();
        assert_eq!(status(&get(&world, "/images/a")), of(410, "image-deleted"), "after {days} days");
        assert_eq!(row(&world, "a")["picture"], LINK);
        assert_counted(&world.sqlite, "");
    }
    assert!(claims(&world).is_empty() && !objects(&world).iter().any(|(_, bytes)| *bytes == picture));
}

#[test]
fn a_run_leaves_an_item_that_a_reader_fetches_and_a_reader_one_that_a_run_moves() {
    let world = world();
    let pictures = [post(&world, "a", LINK), post(&world, "b", "https://two.example.org/b.png")];
    let later = world.runtime.now_ms() + 60_000;
    query(
        &world.sqlite,
        &format!("INSERT INTO stillstore_read_throughs VALUES ('posts', 'a', NULL, 'theirs', {later})"),
    );
    let run = migrate(&world);
    let mut said = reasons(&world, &run);
    said.sort_by_key(|(id, _)| id.to_string());
    assert_eq!(said, [(json!("a"), json!("being-read")), (json!("b"), Json::Null)]);
    assert_eq!(objects(&world).len(), 1);
    world.runtime.advance(2 * DAY_MS);
    block_on(world.app.tick());
    assert!(claims(&world).is_empty(), "cron goes over what was left");

    let in_flight = json!([{"item": "a", "key": "tables/posts/x.png"}]);
    query(&world.sqlite, &format!("UPDATE stillstore_runs SET state = 'paused', in_flight = '{in_flight}'"));
    assert_eq!(status(&get(&world, "/images/a")), of(503, "busy"));
    query(&world.sqlite, "UPDATE stillstore_runs SET state = 'completed', in_flight = '[]'");
    assert_eq!(get(&world, "/images/a").body, pictures[0]);
}

#[test]
fn a_run_that_is_taken_up_leaves_the_object_of_an_item_that_a_reader_fetches() {
    const KEY: &str = "tables/posts/0f8fad5b-d9cb-869f-a165-70867728950e.png";
    for (claimed_key, stays) in [(Some(KEY), true), (Some("tables/posts/another.png"), false), (None, false)] {
        let world = world();
        insert(&world.sqlite, "a", LINK);
        world.outside.has(LINK, 404, b"");
        migrate(&world);
        world.put_foreign_object(KEY, &bytes("rgb.png"));
        if let Some(key) = claimed_key {
            let later = world.runtime.now_ms() + DAY_MS;
            let claim =
                format!("INSERT INTO stillstore_read_throughs VALUES ('posts', 'a', '{key}', 'theirs', {later})");
            query(&world.sqlite, &claim);
        }
        let in_flight = json!([{"item": "a", "key": KEY}]);
        let another = "f".repeat(32);
        let died = format!(
            "UPDATE stillstore_runs SET id = '{another}', state = 'running', in_flight = '{in_flight}', receipt = NULL, \
             progress = json_set(progress, '$.lines', 0, '$.lineBytes', 0), \
             finished_at_ms = NULL, lease_expires_at_ms = 0"
        );
        query(&world.sqlite, &died);
        take_up(&world, "a run that died");
        assert_eq!(objects(&world).iter().any(|(key, _)| key == KEY), stays, "{claimed_key:?}");
    }
}

#[test]
fn a_rollback_leaves_the_copy_of_an_item_that_a_reader_fetches() {
    let world = world();
    let picture = post(&world, "a", LINK);
    get(&world, "/images/a");
    // The same picture at another address: the reader is about to make the same object of it.
    set_link(&world, "a", "https://two.example.org/a.png");
    world.outside.has("https://two.example.org/a.png", 200, &picture);
    let request = Request::new("GET", "https://images.example/images/a", Vec::new(), None);
    let mut response = block_on(world.app.handle(request));
    let back = act(&world, &json!({"action": "rollback", "source": "posts", "deleteFromR2": true}));
    assert_eq!(reasons(&world, &back), [(json!("a"), json!("changed-meanwhile"))], "{back}");
    block_on(response.afterwards.take().unwrap());
    assert_eq!(get(&world, "/images/a").body, picture);
    assert_eq!(objects(&world).len(), 1);
    assert_counted(&world.sqlite, "");
}

fn fail(world: &World, seam: Seam, nth: usize, fault: Fault) {
    match seam {
        Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Bucket | Seam::Other => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
    }
}

fn heal(world: &World) -> bool {
    let has_failed = world.database.plan.has_failed() || world.bucket.plan.has_failed();
    world.database.plan.heal();
    world.bucket.plan.heal();
    has_failed
}

fn check(is_moved_anew: bool, seam: Seam, nth: usize, fault: Fault) -> bool {
    let case = format!("moved before: {is_moved_anew}, {seam:?} call {nth}, {fault:?}");
    let world = world();
    let mut kept = Vec::new();
    if is_moved_anew {
        let former = post(&world, "a", "https://one.example.org/former.png");
        get(&world, "/images/a");
        kept.push((row(&world, "a")["picture"].as_str().unwrap().replace("https://images.example", ""), former));
        query(&world.sqlite, "DELETE FROM posts");
        world.runtime.advance(1);
    }
    insert(&world.sqlite, "a", LINK);
    let picture = bytes("rgb.png");
    world.outside.has(LINK, 200, &picture);
    fail(&world, seam, nth, fault);
    let answer = world.send_until_crash("GET", "/images/a", &[], None);
    let has_failed = heal(&world);
    if let Some(answer) = answer {
        assert!(answer.status == 503 || (answer.status == 200 && answer.body == picture), "{case}: {answer:?}");
    }
    let run = migrate(&world);
    assert_eq!(run["state"], "completed", "{case}: {run}");
    for _ in 0..2 {
        world.runtime.advance(2 * 60 * 60 * 1_000);
        block_on(world.app.tick());
    }
    assert!(claims(&world).is_empty(), "{case}");
    let read = get(&world, "/images/a");
    assert!(read.status == 200 && read.body == picture, "{case}: {read:?}");
    for (path, former) in &kept {
        assert!(get(&world, path).body == *former, "{case}: {path}");
    }
    assert_eq!(objects(&world).len(), 1 + kept.len(), "{case}: an object an image");
    assert_counted(&world.sqlite, &case);
    has_failed
}

#[test]
fn reading_through_survives_every_failure() {
    for is_moved_anew in [false, true] {
        walk("read", &[Seam::Database, Seam::Bucket], |seam, nth, fault| check(is_moved_anew, seam, nth, fault));
    }
}

fn check_beside(action: &str, seam: Seam, nth: usize, fault: Fault) -> bool {
    let case = format!("{action} beside a reader: {seam:?} call {nth}, {fault:?}");
    let world = world();
    let pictures = [post(&world, "a", LINK), post(&world, "b", "https://two.example.org/b.png")];
    let body = json!({"action": action, "source": "posts", "batchSize": 1, "deleteFromR2": (action == "rollback").then_some(true)});
    if action == "rollback" {
        migrate(&world);
        // One row shows the picture by its link again, so that a reader makes the same object of it.
        set_link(&world, "a", LINK);
        world.runtime.advance(1);
    }
    fail(&world, seam, nth, fault);
    let _ = ask_until_crash(&world, &body);
    let has_failed = heal(&world);
    let early = get(&world, "/images/a");
    assert!(early.status == 503 || early.body == pictures[0], "{case}: {early:?}");
    if world.call("GET", "/api/migrate-images", None).json()["run"]["action"] == action {
        take_up(&world, &case);
    }
    world.runtime.advance(MINUTES_5_MS);
    for (id, picture) in ["a", "b"].into_iter().zip(&pictures) {
        let read = get(&world, &format!("/images/{id}"));
        assert!(read.status == 200 && read.body == *picture, "{case}: {read:?}");
    }
    migrate(&world);
    let keys = query(&world.sqlite, "SELECT storage_key FROM stillstore_moves");
    assert_eq!((keys.len(), objects(&world).len()), (2, 2), "{case}: an object an entry");
    assert_counted(&world.sqlite, &case);
    has_failed
}

#[test]
fn a_run_that_died_and_a_reader_lose_nothing() {
    for action in ["migrate", "rollback"] {
        walk(action, &[Seam::Database, Seam::Bucket], |seam, nth, fault| check_beside(action, seam, nth, fault));
    }
}
