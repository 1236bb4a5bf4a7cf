//! Images behind links of an application's rows that are read before a run has moved them.

use std::collections::BTreeSet;
use std::rc::Rc;

use futures::future::join_all;
use serde_json::{Value as Json, json};
use stillstore::api::Request;
use stillstore::http::HttpResponse;
use stillstore::sql::Database;

use crate::api::world::{Answer, TOKEN, World};
use crate::image_fixtures::bytes;
use crate::migrate_table::{act, assert_counted, execute, large_jpeg, objects, query};
use crate::migrate_url::{ROWS, insert, migrate, page, post, source, world_with};
use crate::runtime::block_on;
use crate::sqlite::Sqlite;

pub const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
pub const MINUTES_5_MS: i64 = 5 * 60 * 1_000;
pub const LINK: &str = "https://one.example.org/a.png";
const VARS: [(&str, &str); 2] = [("READ_THROUGH", "posts"), ("PUBLIC_ORIGIN", "https://images.example")];

pub fn reading(visibility: &str) -> Json {
    let mut source = source();
    source["visibility"] = json!(visibility);
    source
}

pub fn world() -> World {
    world_with(&reading("public"), &VARS)
}

pub fn get(world: &World, path: &str) -> Answer {
    world.send("GET", path, &[], None)
}

pub fn status(answer: &Answer) -> (u16, String) {
    (answer.status, if answer.status < 400 { String::new() } else { answer.code() })
}

pub fn of(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

pub fn set_link(world: &World, id: &str, link: &str) {
    execute(&world.sqlite, "UPDATE posts SET picture = ?2 WHERE id = ?1", vec![id.into(), link.into()]);
}

pub fn row(world: &World, id: &str) -> Json {
    query(&world.sqlite, &format!("SELECT * FROM posts WHERE id = '{id}'")).remove(0)
}

pub fn claims(world: &World) -> Vec<Json> {
    query(&world.sqlite, "SELECT * FROM stillstore_read_throughs")
}

#[test]
fn a_link_that_no_run_has_moved_is_fetched_served_and_moved() {
    let world = world();
    let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let pictures = [post(&world, "a", LINK), post(&world, uuid, "https://two.example.org/u.png")];
    let before = query(&world.sqlite, ROWS);
    let first = get(&world, "/images/a");
    let fetched = world.database.plan.calls();
    let statements: usize = fetched.iter().map(|call| call.subject.lines().count()).sum();
    assert_eq!((fetched.len(), statements), (9, 22), "what docs/links.md says of a fetch");
    assert_eq!((first.status, &first.body), (200, &pictures[0]));
    assert_eq!(first.header("content-type"), Some("image/png"));
    assert_eq!(first.header("cache-control"), Some("public, max-age=300"), "the row may get another link");
    let moved = row(&world, "a");
    let url = moved["picture"].as_str().unwrap();
    assert_eq!(get(&world, url.strip_prefix("https://images.example").unwrap()).body, pictures[0]);
    assert_eq!(world.bucket.inner.contents()[moved["r2_key"].as_str().unwrap()], pictures[0]);

    let calls = world.database.plan.calls().len();
    let again = get(&world, "/images/a");
    assert_eq!((again.status, &again.body, again.header("etag")), (200, &pictures[0], first.header("etag")));
    assert_eq!(world.database.plan.calls().len() - calls, 2, "one call more than by the id");
    assert_eq!(
        get(&world, &format!("/images/{uuid}")).body,
        pictures[1],
        "an id of the application's may look like ours"
    );
    let part = world.send("GET", "/images/a", &[("range", "bytes=0-3")], None);
    assert_eq!((part.status, &part.body[..]), (206, &pictures[0][..4]));
    assert_eq!(world.outside.asked(), [LINK, "https://two.example.org/u.png"]);

    let listed = world.call("GET", "/api/images", None).json()["images"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    assert_eq!((&listed[1]["context"], &listed[1]["metadata"]), (&json!("chat"), &json!({"author": "jane"})));
    let complete = act(&world, &json!({"action": "complete", "source": "posts"}));
    assert_eq!(complete["result"]["open"], json!(["read-through"]), "{complete}");
    world.runtime.advance(1);
    assert_eq!(migrate(&world)["result"]["total"], 0, "both are in the journal");
    let valid = act(&world, &json!({"action": "validate", "source": "posts", "checkIntegrity": true}));
    assert_eq!((&valid["result"]["isValid"], &valid["result"]["valid"]), (&json!(true), &json!(2)), "{valid}");
    let counted = query(&world.sqlite, "SELECT items, bytes FROM stillstore_read_counters WHERE source = 'posts'");
    assert_eq!(counted, [json!({"items": 2, "bytes": pictures[0].len() + pictures[1].len()})]);
    assert_counted(&world.sqlite, "");
    let back = act(&world, &json!({"action": "rollback", "source": "posts", "deleteFromR2": true}));
    assert_eq!(back["result"]["rolledBack"], 2, "{back}");
    assert_eq!(query(&world.sqlite, ROWS), before);
    assert!(objects(&world).is_empty() && !world.log_text().contains(LINK));
}

#[test]
fn rows_get_the_url_of_the_bucket_where_it_has_one() {
    let world = world_with(&reading("public"), &[("READ_THROUGH", "posts"), ("R2_PUBLIC_URL", "https://cdn.example")]);
    let picture = post(&world, "a", LINK);
    for _ in 0..2 {
        assert_eq!(get(&world, "/images/a").body, picture);
    }
    let moved = row(&world, "a");
    let key = moved["r2_key"].as_str().unwrap();
    assert_eq!(moved["picture"], json!(format!("https://cdn.example/{key}")));
    // Another row that shows the same copy.
    insert(&world.sqlite, "b", moved["picture"].as_str().unwrap());
    assert_eq!(get(&world, "/images/b").body, picture);
    assert_eq!((world.outside.asked().len(), objects(&world).len()), (1, 1));
}

#[test]
fn a_stampede_fetches_once_and_a_page_of_images_waits_for_its_turns() {
    for other_isolates in [false, true] {
        let world = world();
        for n in 0..12 {
            post(&world, &n.to_string(), &format!("https://one.example.org/{n}.png"));
        }
        world.runtime.yields_in_sleeps.set(true);
        world.runtime.sleep_through(10_000);
        if other_isolates {
            let lease = world.runtime.now_ms() + 500;
            query(
                &world.sqlite,
                &format!("INSERT INTO stillstore_read_throughs VALUES ('posts', '0', NULL, 'x', {lease})"),
            );
        }
        let before = world.runtime.now_ms();
        let answers = block_on(join_all((0..48).map(|n| {
            let world = &world;
            let url = format!("https://images.example/images/{}", n % 12);
            async move {
                let mut response = world.app.handle(Request::new("GET", &url, Vec::new(), None)).await;
                if let Some(afterwards) = response.afterwards.take() {
                    afterwards.await;
                }
                response.status
            }
        })));
        assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
        assert_eq!((world.outside.asked().len(), objects(&world).len()), (12, 12));
        assert!(world.runtime.now_ms() - before >= 5_500, "two a second");
        assert!(claims(&world).is_empty());
    }
}

#[test]
fn the_row_says_what_is_read() {
    let world = world();
    let pictures = [post(&world, "a", LINK), post(&world, "b", "https://one.example.org/b.png")];
    assert_eq!(get(&world, "/images/a").body, pictures[0]);
    let former = row(&world, "a")["picture"].as_str().unwrap().replace("https://images.example", "");
    set_link(&world, "a", "https://one.example.org/b.png");
    assert_eq!(get(&world, "/images/a").body, pictures[1], "another link, another image");
    assert_eq!(get(&world, &former).body, pictures[0], "the one before is an image of its own");
    assert_counted(&world.sqlite, "");

    // Its copy is known wherever the application says that it is.
    let moved = row(&world, "a")["picture"].as_str().unwrap().to_owned();
    set_link(&world, "a", &moved.replace("images.example", "other.example"));
    assert_eq!(get(&world, "/images/a").body, pictures[1]);

    let asked = world.outside.asked().len();
    let writes = |world: &World| query(&world.sqlite, "SELECT total_changes() AS n");
    execute(&world.sqlite, "UPDATE posts SET picture = NULL WHERE id = 'a'", Vec::new());
    execute(&world.sqlite, "DELETE FROM posts WHERE id = 'b'", Vec::new());
    let written = writes(&world);
    for path in ["/images/a", "/images/b", "/images/nobody"] {
        assert_eq!(status(&get(&world, path)), of(404, "image-not-found"), "{path}");
    }
    assert_eq!((writes(&world), world.outside.asked().len()), (written, asked), "nothing is fetched or written");
    set_link(&world, "a", LINK);
    assert_eq!(get(&world, "/images/a").body, pictures[0], "nothing was remembered of the row without a link");
}

#[test]
fn rows_that_the_source_does_not_select_are_not_read() {
    let mut selecting = reading("public");
    selecting["filter"] = json!({"author": "joe"});
    selecting["match"] = json!("https://one.%");
    let world = world_with(&selecting, &VARS);
    let picture = post(&world, "a", LINK);
    post(&world, "b", "https://two.example.org/b.png");
    assert_eq!(get(&world, "/images/a").status, 404);
    execute(&world.sqlite, "UPDATE posts SET author = 'joe'", Vec::new());
    assert_eq!((get(&world, "/images/a").body, get(&world, "/images/b").status), (picture.clone(), 404));
    execute(&world.sqlite, "UPDATE posts SET author = 'jane'", Vec::new());
    assert_eq!(get(&world, "/images/a").body, picture, "a move may have changed what the filter looks at");
    assert_eq!(world.outside.asked(), [LINK]);
}

#[test]
fn what_a_link_does_not_give_is_remembered_by_the_link() {
    let world = world();
    insert(&world.sqlite, "a", LINK);
    insert(&world.sqlite, "b", "https://one.example.org/b.txt");
    insert(&world.sqlite, "c", "http://10.0.0.1/c.png");
    world.outside.has(LINK, 404, b"");
    world.outside.has("https://one.example.org/b.txt", 200, b"a text");
    for _ in 0..2 {
        for id in ["a", "b", "c"] {
            assert_eq!(status(&get(&world, &format!("/images/{id}"))), of(404, "image-not-found"), "{id}");
        }
    }
    assert_eq!(world.outside.asked().len(), 2, "one is asked once, the address never");
    let picture = post(&world, "d", "https://one.example.org/d.png");
    set_link(&world, "a", "https://one.example.org/d.png");
    assert_eq!(get(&world, "/images/a").body, picture, "another link is fetched at once");
    set_link(&world, "a", LINK);
    world.outside.has(LINK, 200, &picture);
    assert_eq!(get(&world, "/images/a").status, 404);
    world.runtime.advance(MINUTES_5_MS);
    assert_eq!(get(&world, "/images/a").body, picture);
    assert!(claims(&world).is_empty());
}

#[test]
fn a_host_that_fails_is_left_alone_by_all_isolates() {
    let world = world();
    let pictures = [
        post(&world, "a", LINK),
        post(&world, "b", "https://one.example.org/b.png"),
        post(&world, "c", "https://two.example.org/c.png"),
    ];
    let throttled = HttpResponse { headers: vec![("Retry-After".to_owned(), "60".to_owned())], ..page(429, b"") };
    world.outside.has_first(LINK, Ok(throttled));
    for id in ["a", "b", "a"] {
        let answer = get(&world, &format!("/images/{id}"));
        assert_eq!((status(&answer), answer.header("retry-after").is_some()), (of(503, "source-unavailable"), true));
    }
    assert_eq!(get(&world, "/images/c").body, pictures[2], "only its own links wait");
    assert_eq!(world.outside.asked(), [LINK, "https://two.example.org/c.png"]);
    world.runtime.advance(60_000);
    // What fails without a word about it concerns one link.
    for (fails, pause_ms) in [(page(500, b""), 5_000), (page(408, b""), 60_000)] {
        world.outside.has_first(LINK, Ok(fails));
        assert_eq!(status(&get(&world, "/images/a")), of(503, "source-unavailable"));
        assert_eq!(get(&world, "/images/b").body, pictures[1], "the host is asked for others");
        world.runtime.advance(pause_ms - 1_000);
        assert_eq!(status(&get(&world, "/images/a")), of(503, "source-unavailable"));
        world.runtime.advance(1_000);
    }
    assert_eq!(
        [get(&world, "/images/a").body, get(&world, "/images/b").body],
        [pictures[0].clone(), pictures[1].clone()]
    );
    let metrics = String::from_utf8(world.call("GET", "/metrics", None).body).unwrap();
    for (outcome, times) in [("ok", 3), ("rate-limited", 1), ("host-paused", 1), ("timeout", 1)] {
        let line = format!("read_throughs_total{{outcome=\"{outcome}\"}} {times}");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}

#[test]
fn what_was_deleted_stays_deleted_longer_than_its_tombstone() {
    let world = world();
    let picture = post(&world, "a", LINK);
    get(&world, "/images/a");
    let id = world.call("GET", "/api/images", None).json()["images"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.call("DELETE", &format!("/api/images/{id}"), None).status, 409, "a row shows it");
    assert_eq!(world.call("DELETE", &format!("/api/images/{id}?force=true"), None).status, 204);
    assert_eq!(status(&get(&world, "/images/a")), of(410, "image-deleted"), "the row names what was deleted");
    set_link(&world, "a", LINK);
    for days in [0, 31] {
        world.runtime.advance(days * DAY_MS);
        world.sweep();
        assert_eq!(status(&get(&world, "/images/a")), of(410, "image-deleted"), "after {days} days");
    }
    assert!(objects(&world).is_empty() && claims(&world).is_empty());
    // The application wants it again, and says so with a run.
    assert_eq!(migrate(&world)["result"]["migrated"], 1);
    assert_eq!(get(&world, "/images/a").body, picture);
    assert_counted(&world.sqlite, "");
}

#[test]
fn private_images_are_fetched_for_the_operator_only() {
    let world = world_with(&reading("private"), &VARS);
    let picture = post(&world, "a", LINK);
    assert_eq!(status(&get(&world, "/images/a")), of(404, "image-not-found"));
    assert!(world.outside.asked().is_empty());
    let read = world.call("GET", "/images/a", None);
    assert_eq!((read.status, &read.body, read.header("cache-control")), (200, &picture, Some("private, no-cache")));
    assert_eq!(status(&get(&world, "/images/a")), of(404, "image-not-found"), "also once it is here");
    let path = row(&world, "a")["picture"].as_str().unwrap().replace("https://images.example", "");
    assert_eq!(get(&world, &path).status, 403);
}

#[test]
fn links_that_have_expired_are_renewed_or_not_there() {
    const REFRESH: &str = "https://discord.com/api/v10/attachments/refresh-urls";
    let link = |seconds: i64| {
        let expires = 1_800_000_000 + seconds;
        format!("https://cdn.discordapp.com/attachments/1/2/a.png?ex={expires:x}&is=1&hm=ab")
    };
    let (old, new) = (link(-60), link(86_400));
    for token in [None, Some(("DISCORD_BOT_TOKEN", "bot.token"))] {
        let vars: Vec<_> = VARS.into_iter().chain(token).collect();
        let world = world_with(&reading("public"), &vars);
        insert(&world.sqlite, "a", &old);
        world.outside.has(&new, 200, &bytes("rgb.png"));
        let renewed = json!({"refreshed_urls": [{"original": old, "refreshed": new}]}).to_string();
        world.outside.has(REFRESH, 200, renewed.as_bytes());
        let answer = get(&world, "/images/a");
        if token.is_some() {
            assert_eq!((answer.status, answer.body), (200, bytes("rgb.png")));
            act(&world, &json!({"action": "rollback", "source": "posts"}));
            assert_eq!(row(&world, "a")["picture"], json!(old), "the journal keeps the link that the row had");
        } else {
            assert_eq!((status(&answer), world.outside.asked().len()), (of(404, "image-not-found"), 0));
        }
    }
}

#[test]
fn an_image_that_is_too_long_to_be_held_is_stored_first() {
    let world = world();
    let jpeg = large_jpeg(9 * 1024 * 1024);
    insert(&world.sqlite, "a", LINK);
    world.outside.has(LINK, 200, &jpeg);
    let answer = get(&world, "/images/a");
    assert!(answer.status == 200 && answer.body == jpeg);
    assert_eq!((world.outside.asked().len(), objects(&world).len()), (2, 1), "once for its digest, once to be put");
}

#[test]
fn what_was_moved_is_served_when_the_table_is_gone() {
    let world = world();
    let picture = post(&world, "a", LINK);
    get(&world, "/images/a");
    query(&world.sqlite, "DROP TABLE posts");
    assert_eq!(get(&world, "/images/a").body, picture);
    assert_eq!(status(&get(&world, "/images/b")), of(404, "image-not-found"));
}

#[test]
fn a_table_in_another_database_is_read_through_there() {
    let other = Rc::new(Sqlite::migrated());
    execute(&other, "CREATE TABLE posts (id INTEGER PRIMARY KEY, picture TEXT, r2_key TEXT, author TEXT)", Vec::new());
    let mut source = reading("public");
    source["binding"] = json!("CHAT");
    let sources = json!([source]).to_string();
    let vars = [("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN), ("MIGRATION_SOURCES", &sources), VARS[0], VARS[1]];
    let databases = vec![("CHAT".to_owned(), Rc::clone(&other) as Rc<dyn Database>)];
    let world = World::with_databases(&vars, databases);
    world.runtime.sleep_through(10_000);
    execute(&other, "INSERT INTO posts (id, picture, author) VALUES (7, ?1, 5)", vec![LINK.into()]);
    world.outside.has(LINK, 200, &bytes("rgb.png"));
    for name in ["07", "+7", "7.0", "x", "99999999999999999999"] {
        assert_eq!(get(&world, &format!("/images/{name}")).status, 404, "{name}");
    }
    for _ in 0..2 {
        assert_eq!(get(&world, "/images/7").body, bytes("rgb.png"));
    }
    assert_eq!(world.outside.asked(), [LINK]);
    assert_eq!(world.call("GET", "/api/images", None).json()["images"].as_array().unwrap().len(), 1, "it has a row");
    let count =
        |table: &str| [&other, &world.sqlite].map(|database| query(database, &format!("SELECT 1 FROM {table}")).len());
    assert_eq!(count("stillstore_read_counters"), [1, 0], "beside the journal");

    let claim = "INSERT INTO stillstore_read_throughs VALUES ('posts', '8', 'tables/posts/x.png', 'theirs', 0)";
    query(&other, claim);
    block_on(world.app.tick());
    assert_eq!(count("stillstore_read_throughs"), [0, 0], "cron goes over what was left there");
    // The image is one of its own by now, and its object is named in the catalogue's database only.
    let id = world.call("GET", "/api/images", None).json()["images"][0]["id"].as_str().unwrap().to_owned();
    let key = objects(&world)[0].0.clone();
    query(&other, "DELETE FROM stillstore_moves");
    query(&other, &claim.replace("tables/posts/x.png", &key));
    block_on(world.app.tick());
    assert_eq!(get(&world, &format!("/images/{id}")).body, bytes("rgb.png"));
}

#[test]
fn no_statement_of_a_read_goes_through_a_table() {
    for ids in ["TEXT", "INTEGER", "VARCHAR(36)"] {
        let world = world();
        query(&world.sqlite, "DROP TABLE posts");
        let table =
            format!("CREATE TABLE posts (id {ids} PRIMARY KEY NOT NULL, picture TEXT, r2_key TEXT, author TEXT)");
        query(&world.sqlite, &table);
        insert(&world.sqlite, "7", LINK);
        world.outside.has(LINK, 200, &bytes("rgb.png"));
        for path in ["/images/7", "/images/7", "/images/nobody"] {
            get(&world, path);
        }
        let calls = world.database.plan.calls();
        let is_of_read = |sql: &&str| sql.contains("\"posts\"") || sql.contains("stillstore_read_");
        let statements: BTreeSet<_> = calls.iter().flat_map(|call| call.subject.lines()).filter(is_of_read).collect();
        assert!(statements.len() > 7, "{statements:#?}");
        for sql in statements {
            let plan = world.sqlite.plan(sql);
            let few = ["SCAN json_each", "SCAN CONSTANT ROW"];
            let scans = |step: &str| step.starts_with("SCAN") && !few.iter().any(|few| step.starts_with(few));
            assert!(!plan.lines().any(scans), "{ids}: {sql}\n{plan}");
        }
    }
}
