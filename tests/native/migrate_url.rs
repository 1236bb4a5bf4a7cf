//! Links in a table of an application: fetched while that is possible, and put back.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::{Value as Json, json};
use stillstore::bytes::Body;
use stillstore::config::Config;
use stillstore::http::{HttpError, HttpResponse};
use stillstore::image::Sha256Digest;
use stillstore::sql::Database;

use crate::api::world::{TOKEN, World};
use crate::image_fixtures::bytes;
use crate::migrate_table::{act, clean, execute, fetch, lines, objects, query};
use crate::runtime::block_on;
use crate::sqlite::Sqlite;

const TABLE: &str = "CREATE TABLE posts (id TEXT PRIMARY KEY, picture TEXT, r2_key TEXT, author TEXT)";
pub const ROWS: &str = "SELECT * FROM posts ORDER BY id";
/// The clock of a test starts at 1,800,000,000 s.
const NOW_S: i64 = 1_800_000_000;

pub fn source() -> Json {
    json!({"kind": "url", "name": "posts", "table": "posts", "id": "id", "url": "picture", "key": "r2_key",
        "metadata": ["author"], "context": "chat"})
}

pub fn world_with(source: &Json, vars: &[(&str, &str)]) -> World {
    let sources = json!([source]).to_string();
    let mut all = vec![("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN), ("MIGRATION_SOURCES", &sources)];
    all.extend_from_slice(vars);
    let world = World::with_vars(&all);
    execute(&world.sqlite, TABLE, Vec::new());
    world.runtime.sleep_through(10_000);
    world
}

pub fn world() -> World {
    world_with(&source(), &[])
}

/// A row with a link, behind which is a picture of its own.
pub fn post(world: &World, id: &str, link: &str) -> Vec<u8> {
    insert(&world.sqlite, id, link);
    let picture = [bytes("rgb.png"), id.as_bytes().to_vec()].concat();
    world.outside.has(link, 200, &picture);
    picture
}

pub fn insert(database: &Sqlite, id: &str, link: &str) {
    let sql = "INSERT INTO posts (id, picture, author) VALUES (?1, ?2, 'jane')";
    execute(database, sql, vec![id.into(), link.into()]);
}

/// A link of Discord that expires so many seconds after the start.
fn discord(name: &str, seconds: i64) -> String {
    format!("https://cdn.discordapp.com/attachments/1/2/{name}.png?ex={:x}&is=1&hm=ab", NOW_S + seconds)
}

pub fn page(status: u16, body: &[u8]) -> HttpResponse {
    HttpResponse { status, headers: Vec::new(), body: body.to_vec() }
}

pub fn migrate(world: &World) -> Json {
    act(world, &json!({"action": "migrate", "source": "posts"}))
}

pub fn reasons(world: &World, run: &Json) -> Vec<(Json, Json)> {
    lines(world, run).into_iter().map(|line| (line["id"].clone(), line["reason"].clone())).collect()
}

#[test]
fn links_become_copies_and_copies_links_again() {
    let world = world();
    let pictures = [post(&world, "a", "https://one.example.org/a.png"), post(&world, "b", "https://two.example.org/b")];
    let before = query(&world.sqlite, ROWS);
    let moved = migrate(&world);
    assert_eq!((&moved["result"]["migrated"], &moved["state"]), (&json!(2), &json!("completed")), "{moved}");
    for (row, picture) in query(&world.sqlite, ROWS).iter().zip(&pictures) {
        assert_eq!(fetch(&world, &row["picture"]), *picture);
        let key = row["r2_key"].as_str().unwrap();
        assert_eq!(world.bucket.inner.contents()[key], *picture);
        let metadata = world.metadata(key);
        let of = |name: &str| metadata.get(name).map(String::as_str);
        assert_eq!((of("meta-author"), of("context"), of("source")), (Some("jane"), Some("chat"), Some("posts")));
    }
    let line = &lines(&world, &moved)[0];
    assert_eq!((&line["from"], &line["sha256"]), (&json!("d1:posts"), &json!(Sha256Digest::of(&pictures[0]))));
    let listed = world.call("GET", "/api/images", None).json();
    assert_eq!(listed["images"].as_array().unwrap().len(), 2, "{listed}");
    assert_eq!((&listed["images"][0]["source"], &listed["images"][0]["context"]), (&json!("posts"), &json!("chat")));

    let valid = act(&world, &json!({"action": "validate", "source": "posts", "checkIntegrity": true}));
    assert_eq!((&valid["result"]["isValid"], &valid["result"]["valid"]), (&json!(true), &json!(2)), "{valid}");
    let again = migrate(&world);
    assert_eq!(again["result"]["total"], 0, "nothing is left: {again}");
    let cleaned = clean(&world, "posts");
    let expected = [("a", "nothing-to-clean"), ("b", "nothing-to-clean")].map(|(id, why)| (json!(id), json!(why)));
    assert_eq!(reasons(&world, &cleaned), expected);

    let dry = act(&world, &json!({"action": "rollback", "source": "posts", "dryRun": true}));
    assert_eq!(dry["result"]["rolledBack"], 2, "{dry}");
    let back = act(&world, &json!({"action": "rollback", "source": "posts"}));
    assert_eq!((&back["result"]["rolledBack"], &back["state"]), (&json!(2), &json!("completed")), "{back}");
    assert_eq!(query(&world.sqlite, ROWS), before);
    assert_eq!(objects(&world).len(), 2, "the copies stay");
    let moved = migrate(&world);
    assert_eq!(moved["result"]["migrated"], 2, "{moved}");
    assert!(query(&world.sqlite, "SELECT * FROM stillstore_links").is_empty());
}

#[test]
fn links_that_were_moved_stay_moved_when_the_worker_gets_another_address() {
    let world = world();
    post(&world, "a", "https://one.example.org/a.png");
    post(&world, "b", "https://one.example.org/b.png");
    let links = query(&world.sqlite, "SELECT id, picture FROM posts ORDER BY id");
    let body = Body::from(json!({"action": "migrate", "source": "posts"}).to_string().into_bytes());
    let json = [("content-type", "application/json"), ("authorization", &*format!("Bearer {TOKEN}"))];
    let first = world.send_at("https://old.example.org", "POST", "/api/migrate-images", &json, Some(body)).json();
    assert_eq!(first["result"]["migrated"], 2, "{first}");
    let moved = query(&world.sqlite, ROWS);
    assert!(moved[0]["picture"].as_str().unwrap().starts_with("https://old.example.org/images/"), "{moved:?}");

    // A row whose link is new is moved as ever.
    execute(&world.sqlite, "UPDATE posts SET picture = 'https://one.example.org/a.png' WHERE id = 'a'", Vec::new());
    let again = migrate(&world);
    assert_eq!((&again["result"]["total"], &again["result"]["migrated"]), (&json!(1), &json!(1)), "{again}");
    assert_eq!(again["state"], "completed", "{again}");
    assert_eq!(query(&world.sqlite, ROWS)[1], moved[1], "the row names the copy where it was");
    let named = act(&world, &json!({"action": "migrate", "source": "posts", "imageIds": ["b"]}));
    assert_eq!(reasons(&world, &named), [(json!("b"), json!("already-moved"))]);

    let back = act(&world, &json!({"action": "rollback", "source": "posts"}));
    assert_eq!(back["result"]["rolledBack"], 2, "{back}");
    assert_eq!(query(&world.sqlite, "SELECT id, picture FROM posts ORDER BY id"), links);
}

#[test]
fn a_copy_goes_only_when_its_link_still_gives_the_picture() {
    let world = world();
    post(&world, "a", "https://one.example.org/a.png");
    post(&world, "b", "https://one.example.org/b.png");
    post(&world, "c", "https://one.example.org/c.png");
    migrate(&world);
    world.outside.has("https://one.example.org/a.png", 404, b"");
    world.outside.has("https://one.example.org/b.png", 200, &bytes("still.gif"));
    let back = act(&world, &json!({"action": "rollback", "source": "posts", "deleteFromR2": true}));
    let expected = [("a", json!("original-gone")), ("b", json!("source-changed")), ("c", Json::Null)];
    assert_eq!(reasons(&world, &back), expected.map(|(id, why)| (json!(id), why)), "{back}");
    assert_eq!(objects(&world).len(), 2);
    // Without the copies' removal a link comes back, whatever it gives.
    let back = act(&world, &json!({"action": "rollback", "source": "posts"}));
    assert_eq!(back["result"]["rolledBack"], 2, "{back}");
    let back = act(&world, &json!({"action": "rollback", "source": "posts", "deleteFromR2": true}));
    let expected = [("a", json!("original-gone")), ("b", json!("source-changed"))];
    assert_eq!(reasons(&world, &back), expected.map(|(id, why)| (json!(id), why)), "{back}");
    // A row that is gone, or that has another picture, needs its copy no more.
    execute(&world.sqlite, "DELETE FROM posts WHERE id = 'a'", Vec::new());
    execute(&world.sqlite, "UPDATE posts SET picture = 'https://one.example.org/new.png' WHERE id = 'b'", Vec::new());
    act(&world, &json!({"action": "rollback", "source": "posts", "deleteFromR2": true}));
    assert!(objects(&world).is_empty());
}

#[test]
fn the_soonest_to_expire_is_fetched_first_and_what_has_expired_not_at_all() {
    let source = json!({"kind": "url", "name": "posts", "table": "posts", "id": "id", "url": "picture", "match": "%cdn.DISCORD%",
        "hosts": {"cdn.discordapp.com": {"perSecond": 1, "concurrency": 1}}});
    let world = world_with(&source, &[]);
    let links = [("a", 9_000), ("b", 100), ("c", -5), ("d", 3_600), ("e", 1)].map(|(id, seconds)| {
        let link = discord(id, seconds);
        post(&world, id, &link);
        link
    });
    let endless = "https://cdn.discordapp.com/embed/avatars/f.png";
    post(&world, "f", endless);
    post(&world, "g", "https://elsewhere.example.org/g.png");
    let dry = act(&world, &json!({"action": "migrate", "source": "posts", "dryRun": true}));
    assert_eq!((&dry["result"]["migrated"], &dry["result"]["failed"]), (&json!(5), &json!(1)), "{dry}");
    assert_eq!(dry["result"]["links"], json!({"expired": 1, "willExpire": 0, "requests": 5, "seconds": 4}), "{dry}");
    assert!(world.outside.asked().is_empty(), "a dry run fetches nothing");
    let order: Vec<_> = lines(&world, &dry).iter().map(|line| line["id"].clone()).collect();
    assert_eq!(json!(order), json!(["c", "e", "b", "d", "a", "f"]));

    let moved = act(&world, &json!({"action": "migrate", "source": "posts", "concurrency": 1}));
    assert_eq!((&moved["result"]["migrated"], &moved["result"]["failed"]), (&json!(5), &json!(1)), "{moved}");
    let asked = world.outside.asked();
    assert_eq!(asked, [&links[4], &links[1], &links[3], &links[0], &endless.to_owned()].map(String::as_str));
    assert_eq!(reasons(&world, &moved)[0], (json!("c"), json!("expired")));
    let row = &query(&world.sqlite, "SELECT picture FROM posts WHERE id = 'g'")[0];
    assert_eq!(row["picture"], "https://elsewhere.example.org/g.png", "the pattern does not select it");
}

#[test]
fn a_dry_run_counts_the_links_that_expire_before_their_turn() {
    let world = world();
    // Two a second: the turn of the link `n` comes after n / 2 seconds.
    for n in 0..40 {
        post(&world, &format!("{n:02}"), &discord(&n.to_string(), 10 + n / 20));
    }
    let dry = act(&world, &json!({"action": "migrate", "source": "posts", "dryRun": true, "batchSize": 100}));
    assert_eq!(dry["result"]["links"], json!({"expired": 0, "willExpire": 17, "requests": 40, "seconds": 20}), "{dry}");
}

#[test]
fn each_cause_has_its_word() {
    let html = b"<html></html>";
    let jpeg = bytes("rotated.jpg");
    let redirect =
        HttpResponse { headers: vec![("location".to_owned(), "https://10.0.0.1/".to_owned())], ..page(302, b"") };
    let causes: [(&str, Result<HttpResponse, HttpError>); 9] = [
        ("gone", Ok(page(404, b""))),
        ("gone", Ok(page(410, b""))),
        ("forbidden", Ok(page(403, b""))),
        ("forbidden", Ok(page(401, b""))),
        ("refused-address", Ok(redirect)),
        ("not-an-image", Ok(page(200, html))),
        ("truncated", Ok(page(200, &jpeg[..jpeg.len() - 1]))),
        ("too-large", Err(HttpError::ResponseTooLarge { limit_bytes: 100_000_000 })),
        ("unreachable", Ok(page(418, b""))),
    ];
    for (cause, answer) in causes {
        let world = world();
        let link = "https://one.example.org/a.png";
        insert(&world.sqlite, "a", link);
        world.outside.has_first(link, answer);
        let run = migrate(&world);
        assert_eq!(reasons(&world, &run), [(json!("a"), json!(cause))]);
        assert_eq!((&run["state"], world.outside.asked().len()), (&json!("completed_with_errors"), 1), "{cause}");
        assert_eq!(query(&world.sqlite, "SELECT picture FROM posts")[0]["picture"], link, "{cause}");
        assert!(objects(&world).is_empty() && query(&world.sqlite, "SELECT * FROM stillstore_links").is_empty());
    }
    for (link, cause) in [
        ("https://10.0.0.1/a.png", "refused-address"),
        ("https://images.example/other.png", "refused-address"),
        ("not a link", "refused-address"),
        (&"x".repeat(4097), "refused-address"),
        ("https://a.blob.core.windows.net/c/b?se=2026-11-21&sig=1", "expired"),
    ] {
        let world = world();
        insert(&world.sqlite, "a", link);
        let run = migrate(&world);
        assert_eq!(reasons(&world, &run), [(json!("a"), json!(cause))], "{link}");
        assert!(world.outside.asked().is_empty(), "{link}");
    }
}

#[test]
fn discord_renews_links_that_have_expired() {
    const REFRESH: &str = "https://discord.com/api/v10/attachments/refresh-urls";
    let world = world_with(&source(), &[("DISCORD_BOT_TOKEN", "bot-token-of-the-test")]);
    let (old, bare, lost) = (discord("a", -60), "https://cdn.discordapp.com/attachments/1/2/b.png", discord("c", -60));
    for (id, link) in [("a", old.as_str()), ("b", bare), ("c", &lost)] {
        insert(&world.sqlite, id, link);
    }
    let renewed = [discord("a", 86_400), discord("b", 86_400)];
    for link in &renewed {
        world.outside.has(link, 200, &bytes("rgb.png"));
    }
    let answer = json!({"refreshed_urls": [
        {"original": bare, "refreshed": renewed[1]}, {"original": old, "refreshed": renewed[0]}, {"original": lost, "refreshed": null}
    ]});
    world.outside.has_first(REFRESH, Ok(page(429, b"{}")));
    world.outside.has(REFRESH, 200, answer.to_string().as_bytes());
    let before = query(&world.sqlite, ROWS);
    let run = migrate(&world);
    assert_eq!((&run["result"]["migrated"], &run["result"]["failed"]), (&json!(2), &json!(1)), "{run}");
    assert!(reasons(&world, &run).contains(&(json!("c"), json!("expired"))));
    {
        let requests = world.outside.requests.borrow();
        let refresh = requests.iter().find(|request| request.url == REFRESH).unwrap();
        assert!(refresh.headers.contains(&("authorization", "Bot bot-token-of-the-test".to_owned())));
        let body: Json = serde_json::from_slice(&refresh.body).unwrap();
        assert_eq!(body["attachment_urls"].as_array().unwrap().len(), 3);
        let others = requests.iter().filter(|request| request.url != REFRESH);
        assert!(
            others.flat_map(|request| &request.headers).all(|(name, _)| *name == "accept"),
            "the token is Discord's"
        );
    }
    assert!(!world.log_text().contains("bot-token-of-the-test"));
    act(&world, &json!({"action": "rollback", "source": "posts"}));
    assert_eq!(query(&world.sqlite, ROWS), before, "the row gets its own link back, not the renewed one");

    world.outside.has(REFRESH, 401, b"{}");
    let run = migrate(&world);
    assert_eq!(run["result"]["failed"], 3, "a token that is not accepted renews nothing: {run}");
}

#[test]
fn a_row_that_somebody_changes_meanwhile_is_left_alone() {
    let world = world();
    post(&world, "a", "https://one.example.org/a.png");
    post(&world, "b", "https://one.example.org/b.png");
    let trigger = "CREATE TRIGGER meddle BEFORE UPDATE ON posts WHEN NEW.id = 'a' AND NEW.picture LIKE '%images%' BEGIN \
        SELECT RAISE(IGNORE); END";
    execute(&world.sqlite, trigger, Vec::new());
    let run = migrate(&world);
    assert_eq!((&run["result"]["migrated"], &run["result"]["skipped"]), (&json!(1), &json!(1)), "{run}");
    assert_eq!(reasons(&world, &run)[0], (json!("a"), json!("changed-meanwhile")));
    assert_eq!(objects(&world).len(), 1);
    assert!(query(&world.sqlite, "SELECT * FROM stillstore_links").is_empty());
}

#[test]
fn items_that_are_named_are_fetched_in_the_order_of_their_names() {
    let world = world();
    for id in ["a", "b", "c"] {
        post(&world, id, &format!("https://one.example.org/{id}.png"));
    }
    insert(&world.sqlite, "d", "https://down.example.org/d.png");
    let named = json!({"action": "migrate", "source": "posts", "imageIds": ["d", "c", "x", "a"], "batchSize": 3});
    let run = act(&world, &named);
    let expected = [("d", json!("unreachable")), ("c", Json::Null), ("x", json!("not-found")), ("a", Json::Null)];
    assert_eq!(reasons(&world, &run), expected.map(|(id, why)| (json!(id), why)), "{run}");
    let again = act(&world, &json!({"action": "migrate", "source": "posts", "imageIds": ["a"]}));
    assert_eq!(reasons(&world, &again), [(json!("a"), json!("already-moved"))]);
}

#[test]
fn a_table_of_links_may_be_in_a_database_of_its_own() {
    let other = Rc::new(Sqlite::migrated());
    execute(&other, "CREATE TABLE posts (id INTEGER PRIMARY KEY, picture TEXT, r2_key TEXT, author TEXT)", Vec::new());
    let mut source = source();
    source["binding"] = json!("CHAT");
    let sources = json!([source]).to_string();
    let world = World::with_databases(
        &[("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN), ("MIGRATION_SOURCES", &sources)],
        vec![("CHAT".to_owned(), Rc::clone(&other) as Rc<dyn Database>)],
    );
    world.runtime.sleep_through(10_000);
    for id in [-3, 7] {
        let link = format!("https://one.example.org/{id}.png");
        execute(
            &other,
            "INSERT INTO posts (id, picture, author) VALUES (?1, ?2, 7)",
            vec![id.into(), link.as_str().into()],
        );
        world.outside.has(&link, 200, &bytes("rgb.png"));
    }
    let before = query(&other, ROWS);
    let run = migrate(&world);
    assert_eq!(run["result"]["migrated"], 2, "{run}");
    let listed = world.call("GET", "/api/images", None).json();
    assert_eq!(listed["images"].as_array().unwrap().len(), 2, "{listed}");
    let image = &listed["images"][0];
    assert_eq!((&image["context"], &image["metadata"]), (&json!("chat"), &json!({"author": "7"})));
    let status = world.call("GET", "/api/migrate-images", None).json();
    let said =
        status["migrationStats"]["sources"].as_array().unwrap().iter().find(|said| said["name"] == "posts").cloned();
    assert_eq!(said.unwrap()["moved"], 2, "{status}");
    act(&world, &json!({"action": "rollback", "source": "posts", "deleteFromR2": true}));
    assert_eq!(query(&other, ROWS), before);
    assert!(objects(&world).is_empty());
}

#[test]
fn links_of_a_run_that_was_cancelled_are_forgotten() {
    let world = world();
    for n in 0..30 {
        post(&world, &format!("{n:02}"), &format!("https://one.example.org/{n}.png"));
    }
    let run = act(&world, &json!({"action": "migrate", "source": "posts", "batchSize": 5}));
    assert_eq!(run["state"], "running", "two a second: {run}");
    assert!(!query(&world.sqlite, "SELECT * FROM stillstore_links").is_empty());
    act(&world, &json!({"action": "cancel", "runId": run["runId"]}));
    block_on(world.app.tick());
    assert!(
        query(&world.sqlite, "SELECT run_id FROM stillstore_links UNION ALL SELECT run_id FROM stillstore_link_hosts")
            .is_empty()
    );
}

#[test]
fn a_problem_of_the_configuration_names_the_entry_and_the_rule() {
    let problem = |field: &str, value: Json| {
        let mut source = source();
        source[field] = value;
        let text = json!([source]).to_string();
        let (_, problems) = Config::parse(|name| (name == "MIGRATION_SOURCES").then(|| text.clone()));
        problems.into_iter().next().map(|problem| problem.rule)
    };
    for (field, value, rule) in [
        ("kind", json!("ftp"), "kind must be"),
        ("data", json!("x"), "may have no other fields than kind, name, "),
        ("match", json!(""), "match must be a pattern"),
        ("match", json!("x".repeat(51)), "match must be a pattern"),
        ("context", json!("NO"), "context must be 1 to 64"),
        ("key", json!("PICTURE"), "must name a column of its own"),
        ("hosts", json!([]), "hosts must be an object"),
        ("hosts", json!({"a": {"rate": 1}}), "each host of hosts must have"),
        ("hosts", json!({"a": {"perSecond": 0}}), "each host of hosts must have"),
        ("hosts", json!({"a": {"concurrency": 17}}), "each host of hosts must have"),
    ] {
        let found = problem(field, value.clone());
        assert!(
            found.as_ref().is_some_and(|found| found.starts_with(&format!("entry 1: {rule}"))),
            "{field} {value}: {found:?}"
        );
    }
    assert_eq!(problem("hosts", json!({"*": {"perSecond": 0.5}, "A.example.org": {"concurrency": 1}})), None);
}

#[test]
fn no_statement_over_links_reads_more_than_it_needs() {
    /// The hosts of runs that go on, which are few beside their links; and the rows that a step before has found.
    const ALLOWED: [&str; 6] = [
        "SEARCH hosts USING PRIMARY KEY (run_id=?)",
        "SCAN stillstore_link_hosts",
        "SCAN links",
        "SCAN (subquery",
        "SCAN json_each VIRTUAL TABLE",
        "USE TEMP B-TREE FOR ORDER BY",
    ];
    let world = world();
    for id in ["a", "b"] {
        post(&world, id, &format!("https://{id}.example.org/{id}.png"));
    }
    insert(&world.sqlite, "c", "https://down.example.org/c.png");
    migrate(&world);
    block_on(world.app.tick());
    let calls = world.database.plan.calls();
    let statements: BTreeSet<_> =
        calls.iter().flat_map(|call| call.subject.lines()).filter(|sql| sql.contains("stillstore_link")).collect();
    assert!(statements.len() > 8, "{statements:#?}");
    for sql in statements {
        for step in world.sqlite.plan(sql).lines() {
            let is_allowed = ALLOWED.iter().any(|allowed| step.starts_with(allowed));
            assert!(is_allowed || !(step.starts_with("SCAN") || step.contains("TEMP B-TREE")), "{sql}\n{step}");
        }
    }
}
