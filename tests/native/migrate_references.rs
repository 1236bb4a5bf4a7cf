//! Texts of an application that hold URLs of another bucket's objects: rewritten, put back, asked about.

use std::rc::Rc;

use serde_json::{Value as Json, json};
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use crate::api::migrate_crash::{Seam, ask_until_crash, assert_honest, take_up, walk};
use crate::api::world::World;
use crate::image_fixtures::bytes;
use crate::migrate_bucket::{migrate, world_with};
use crate::migrate_other_bucket::OtherBucket;
use crate::migrate_table::{act, execute, lines, objects, query};

const OLD: &str = "https://old.example.com/";

fn world(references: &Json, objects: &[(&str, &[u8])]) -> (World, Rc<OtherBucket>) {
    let changes = [
        ("publicUrl", json!("https://old.example.com")),
        ("references", references.clone()),
        ("visibility", json!("public")),
    ];
    let (world, bucket) = world_with(&changes, objects);
    insert(&world, "CREATE TABLE posts (id INTEGER PRIMARY KEY, body TEXT, head TEXT)");
    insert(&world, "CREATE TABLE users (uid TEXT PRIMARY KEY NOT NULL, avatar TEXT)");
    (world, bucket)
}

fn posts() -> Json {
    json!([{"table": "posts", "column": "body"}, {"table": "users", "column": "avatar", "idColumn": "uid"}])
}

fn insert(world: &World, sql: &str) {
    execute(&world.sqlite, sql, Vec::new());
}

fn texts(world: &World) -> Vec<Json> {
    [
        query(&world.sqlite, "SELECT id, body FROM posts ORDER BY id"),
        query(&world.sqlite, "SELECT * FROM users ORDER BY uid"),
    ]
    .concat()
}

fn fill(world: &World) {
    for (id, body) in [
        (1, format!("<p>two of <img src='{OLD}pics/a.png'> and <img src=\"{OLD}pics/a.png.webp\">.</p>")),
        (2, format!("{{\"cover\":\"{}pics\\/a.png\"}}", OLD.replace('/', "\\/"))),
        (3, "nothing".to_owned()),
        (4, format!("{OLD}pics/gone.png and {OLD}pics/a.png?w=2")),
    ] {
        insert(world, &format!("INSERT INTO posts VALUES ({id}, '{}', NULL)", body.replace('\'', "''")));
    }
    insert(world, "INSERT INTO posts VALUES (5, NULL, NULL)");
    insert(world, &format!("INSERT INTO users VALUES ('jane', '{OLD}pics/c.gif'), ('x', x'00')"));
}

fn contents() -> [(&'static str, Vec<u8>); 4] {
    [
        ("pics/a.png", bytes("rgb.png")),
        ("pics/a.png.webp", bytes("lossy.webp")),
        ("pics/b.txt", b"a text".to_vec()),
        ("pics/c.gif", bytes("still.gif")),
    ]
}

fn full_world() -> (World, Rc<OtherBucket>) {
    let contents = contents();
    let objects: Vec<_> = contents.iter().map(|(key, bytes)| (*key, bytes.as_slice())).collect();
    let (world, bucket) = world(&posts(), &objects);
    fill(&world);
    (world, bucket)
}

fn verdicts(world: &World, run: &Json) -> Vec<(String, Json)> {
    let is_text = |line: &&Json| line["to"].as_str().is_some_and(|to| to.starts_with("d1:"));
    let lines = lines(world, run);
    let verdict = |line: &Json| {
        let to = line["to"].as_str().unwrap_or_default();
        (format!("{to}/{}", line["id"].to_string().trim_matches('"')), line["verdict"].clone())
    };
    lines.iter().filter(is_text).map(verdict).collect()
}

#[test]
fn texts_name_the_copies_behind_a_run_and_the_objects_behind_a_rollback() {
    let (world, _) = full_world();
    let before = texts(&world);
    let dry = act(&world, &json!({"action": "migrate", "source": "old", "dryRun": true}));
    assert_eq!((&dry["result"]["references"], &dry["result"]["migrated"]), (&json!(4), &json!(4)), "{dry}");
    assert_eq!((texts(&world), &dry["result"]["total"]), (before.clone(), &json!(4)));

    let run = migrate(&world);
    assert_eq!((&run["result"]["references"], &run["result"]["migrated"]), (&json!(4), &json!(4)), "{run}");
    assert_eq!(run["state"], "completed");
    let rewritten = json!("rewritten");
    assert_eq!(
        verdicts(&world, &run),
        ["d1:posts.body/1", "d1:posts.body/2", "d1:posts.body/4", "d1:users.avatar/jane"]
            .map(|text| (text.to_owned(), rewritten.clone()))
    );
    let ids = query(&world.sqlite, "SELECT source_item, id FROM stillstore_images");
    let url = |item: &str| {
        let id = ids.iter().find(|row| row["source_item"] == item).unwrap()["id"].as_str().unwrap();
        format!("https://images.example/images/{id}")
    };
    let (a, webp, gif) = (url("pics/a.png"), url("pics/a.png.webp"), url("pics/c.gif"));
    let now = texts(&world);
    assert_eq!(now[0]["body"], format!("<p>two of <img src='{a}'> and <img src=\"{webp}\">.</p>"));
    assert_eq!(now[1]["body"], format!("{{\"cover\":\"{}\"}}", a.replace('/', "\\/")));
    assert_eq!(now[3]["body"], format!("{OLD}pics/gone.png and {a}"), "the Worker knows no such query");
    assert_eq!(now[5]["avatar"], gif);
    let path = a.strip_prefix("https://images.example").unwrap();
    assert_eq!(world.send("GET", path, &[], None).body, bytes("rgb.png"));

    let again = migrate(&world);
    assert_eq!(again["result"]["references"], 0, "{again}");
    let left = act(&world, &json!({"action": "complete", "source": "old"}));
    assert_eq!(
        (&left["result"]["references"], &left["result"]["open"]),
        (&json!(1), &json!(["references-left"])),
        "{left}"
    );

    let dry = act(&world, &json!({"action": "rollback", "source": "old", "dryRun": true}));
    assert_eq!((&dry["result"]["references"], &dry["result"]["rolledBack"]), (&json!(4), &json!(4)), "{dry}");
    let back = act(&world, &json!({"action": "rollback", "source": "old", "deleteFromR2": true}));
    assert_eq!((&back["result"]["references"], &back["result"]["rolledBack"]), (&json!(4), &json!(4)), "{back}");
    assert_eq!(texts(&world), before, "as they were");
    assert!(objects(&world).is_empty());
    assert!(query(&world.sqlite, "SELECT * FROM stillstore_references").is_empty());
}

#[test]
fn a_source_can_go_once_no_text_names_it() {
    let (world, _) = full_world();
    insert(&world, "DELETE FROM posts WHERE id = 4");
    let open =
        |world: &World| act(world, &json!({"action": "complete", "source": "old", "batchSize": 1}))["result"].clone();
    let before = open(&world);
    assert_eq!((&before["open"], &before["references"]), (&json!(["left-at-source", "references-left"]), &json!(3)));
    migrate(&world);
    let result = open(&world);
    assert_eq!((&result["isComplete"], &result["references"]), (&json!(true), &json!(0)), "{result}");
    insert(&world, &format!("INSERT INTO posts VALUES (9, 'a new one: {OLD}pics/c.gif', NULL)"));
    assert_eq!(open(&world)["open"], json!(["references-left"]));
    assert_eq!(migrate(&world)["result"]["references"], 1);
    assert_eq!(open(&world)["isComplete"], true);
}

#[test]
fn a_text_that_was_edited_since_keeps_what_was_edited() {
    let (world, _) = full_world();
    migrate(&world);
    insert(&world, "UPDATE posts SET body = 'An edit. ' || body || ' The end.' WHERE id = 1");
    insert(&world, "UPDATE posts SET body = 'another' WHERE id = 2");
    insert(&world, "DELETE FROM posts WHERE id = 4");
    insert(&world, &format!("UPDATE users SET avatar = avatar || ' {OLD}pics/a.png' WHERE uid = 'jane'"));
    assert_eq!(migrate(&world)["result"]["references"], 1, "the one with an old URL again");
    let back = act(&world, &json!({"action": "rollback", "source": "old"}));
    assert_eq!((&back["result"]["references"], &back["result"]["rolledBack"]), (&json!(2), &json!(4)), "{back}");
    let now = texts(&world);
    let first = format!("<p>two of <img src='{OLD}pics/a.png'> and <img src=\"{OLD}pics/a.png.webp\">.</p>");
    assert_eq!(now[0]["body"], format!("An edit. {first} The end."));
    assert_eq!(now[1]["body"], "another");
    assert_eq!(now[4]["avatar"], format!("{OLD}pics/c.gif {OLD}pics/a.png"));
}

#[test]
fn a_rollback_of_named_objects_puts_back_their_urls_only() {
    let (world, _) = full_world();
    let before = texts(&world);
    migrate(&world);
    let one = json!({"action": "rollback", "source": "old", "imageIds": ["pics/a.png.webp"]});
    assert_eq!(act(&world, &one)["result"]["references"], 1);
    let body = texts(&world)[0]["body"].as_str().unwrap().to_owned();
    assert!(body.contains("/images/") && body.contains(&format!("{OLD}pics/a.png.webp")), "{body}");
    assert_eq!(act(&world, &json!({"action": "rollback", "source": "old"}))["result"]["references"], 4);
    assert_eq!(texts(&world), before);
}

#[test]
fn a_copy_that_a_text_shows_stays() {
    let (world, _) = full_world();
    migrate(&world);
    // A text that the configuration names no more.
    insert(&world, "UPDATE stillstore_references SET place = '\"other\".\"text\"' WHERE place LIKE '%users%'");
    let back = act(&world, &json!({"action": "rollback", "source": "old", "deleteFromR2": true}));
    assert_eq!((&back["result"]["rolledBack"], &back["result"]["failed"]), (&json!(3), &json!(2)), "{back}");
    let reasons: Vec<_> =
        back["result"]["errors"].as_array().unwrap().iter().map(|error| error["reason"].clone()).collect();
    assert_eq!(reasons, ["not-configured", "still-referenced"]);
    assert_eq!(objects(&world).len(), 1);
}

#[test]
fn nothing_names_a_copy_that_is_not_there() {
    let (world, bucket) = full_world();
    act(&world, &json!({"action": "migrate", "source": "old", "imageIds": ["pics/a.png", "pics/c.gif"]}));
    let before = texts(&world);
    world.lose_object("pics/a.png");
    bucket.has("pics/c.gif", &bytes("still.gif"));
    let run = migrate(&world);
    let failed: Vec<_> =
        run["result"]["errors"].as_array().unwrap().iter().map(|error| error["reason"].clone()).collect();
    assert_eq!(failed, ["copy-not-right", "copy-not-right", "copy-not-right"], "{run}");
    assert_eq!(texts(&world)[..4], before[..4]);
}

#[test]
fn a_table_that_is_not_as_configured_is_named_before_anything_is_moved() {
    let (world, _) = world(&json!([{"table": "posts", "column": "nothing"}]), &[("pics/a.png", &bytes("rgb.png"))]);
    let run = migrate(&world);
    assert_eq!(run["state"], "failed", "{run}");
    assert!(
        run["result"]["warnings"][0].as_str().unwrap().contains("references of posts: column must be a column"),
        "{run}"
    );
    assert!(objects(&world).is_empty());
}

#[test]
fn long_texts_and_many_rows_go_slice_by_slice() {
    let (world, _) = world(&posts(), &[("pics/a.png", &bytes("rgb.png"))]);
    insert(
        &world,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1203) INSERT INTO posts SELECT i, 'none', NULL FROM n",
    );
    for id in [1, 500, 501, 777, 1_203] {
        insert(
            &world,
            &format!("UPDATE posts SET body = '{OLD}pics/a.png' || printf('%.*c', 900000, ' ') WHERE id = {id}"),
        );
    }
    insert(&world, &format!("UPDATE posts SET body = '{OLD}pics/a.png' || printf('%.*c', 1000000, ' ') WHERE id = 2"));
    let many = format!("{OLD}pics/a.png ").repeat(1_001);
    insert(&world, &format!("UPDATE posts SET body = '{many}' WHERE id = 3"));
    let run = migrate(&world);
    assert_eq!((&run["result"]["references"], &run["result"]["failed"]), (&json!(5), &json!(2)), "{run}");
    let reasons: Vec<_> =
        run["result"]["errors"].as_array().unwrap().iter().map(|error| error["reason"].clone()).collect();
    assert_eq!(reasons, ["text-too-long", "too-many-urls"]);
    let left = act(&world, &json!({"action": "complete", "source": "old"}));
    assert_eq!(left["result"]["references"], 2, "{left}");
    let back = act(&world, &json!({"action": "rollback", "source": "old"}));
    assert_eq!(back["result"]["references"], 5, "{back}");
}

fn check(body: &Json, seam: Seam, nth: usize, fault: Fault) -> bool {
    let case = format!("{body}, {seam:?} call {nth}, {fault:?}");
    let (world, _) = full_world();
    let before = texts(&world);
    if body["action"] != "migrate" {
        migrate(&world);
        world.runtime.advance(1);
    }
    match seam {
        Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Bucket | Seam::Other => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
    }
    let answer = ask_until_crash(&world, body);
    let has_failed = world.database.plan.has_failed() || world.bucket.plan.has_failed();
    // Wherever it stopped, no text names what is not there.
    assert_no_dead_url(&world, &case);
    world.database.plan.heal();
    world.bucket.plan.heal();
    assert_honest(answer.as_ref(), &case);
    let latest = world.call("GET", "/api/migrate-images", None).json()["run"].clone();
    if latest["action"] != body["action"] {
        act(&world, body);
    }
    let run = take_up(&world, &case);
    assert_eq!((&run["result"]["references"], &run["progress"]["failed"]), (&json!(4), &json!(0)), "{case}: {run}");
    assert_eq!(run["progress"]["done"], 8, "{case}: {run}");
    assert_no_dead_url(&world, &case);
    let counted = query(&world.sqlite, "SELECT count(*) AS urls FROM stillstore_references");
    if body["action"] == "migrate" {
        assert_eq!(counted, [json!({"urls": 5})], "{case}");
    } else {
        assert_eq!((counted, texts(&world)), (vec![json!({"urls": 0})], before), "{case}");
    }
    has_failed
}

fn assert_no_dead_url(world: &World, case: &str) {
    let known = query(&world.sqlite, "SELECT id FROM stillstore_images WHERE status = 'stored'");
    let text = serde_json::to_string(&texts(world)).unwrap().replace("\\\\/", "/");
    for (at, _) in text.match_indices("/images/") {
        let id = &text[at + 8..at + 44];
        assert!(known.iter().any(|row| row["id"] == id), "{case}: {id} in {text}");
    }
}

#[test]
fn rewriting_and_putting_back_survive_every_failure() {
    for body in [
        json!({"action": "migrate", "source": "old", "batchSize": 2}),
        json!({"action": "rollback", "source": "old", "batchSize": 2}),
        json!({"action": "rollback", "source": "old", "batchSize": 2, "deleteFromR2": true}),
    ] {
        walk(&body.to_string(), &[Seam::Database, Seam::Bucket], |seam, nth, fault| check(&body, seam, nth, fault));
    }
}

#[test]
fn no_statement_about_references_scans_a_table_of_ours() {
    let (world, _) = full_world();
    migrate(&world);
    act(&world, &json!({"action": "complete", "source": "old"}));
    act(&world, &json!({"action": "rollback", "source": "old", "imageIds": ["pics/a.png"]}));
    act(&world, &json!({"action": "rollback", "source": "old"}));
    let calls = world.database.plan.calls();
    let about: std::collections::BTreeSet<_> = calls
        .iter()
        .flat_map(|call| call.subject.lines())
        .filter(|sql| sql.contains("stillstore_references") || sql.contains("WITH seen") || sql.contains("AS wanted"))
        .collect();
    assert!(about.len() >= 8, "{about:#?}");
    for sql in about {
        for step in world.sqlite.plan(sql).lines() {
            let is_allowed = ["SCAN CONSTANT ROW", "SCAN seen", "SCAN json_each", "SCAN wanted"]
                .iter()
                .any(|start| step.starts_with(start));
            assert!(is_allowed || !step.starts_with("SCAN"), "{sql}\n{step}");
        }
    }
}
