//! What `MIGRATION_SOURCES` may say.

use serde_json::{Value as Json, json};
use stillstore::config::Config;

use crate::migrate_table::{execute, world_with};

fn problem(value: &str) -> Option<String> {
    let (config, problems) = Config::parse(|name| (name == "MIGRATION_SOURCES").then(|| value.to_owned()));
    assert_eq!(problems.is_empty(), !config.migration_sources.is_empty(), "{problems:?}");
    problems.into_iter().next().map(|problem| {
        assert_eq!(problem.variable, "MIGRATION_SOURCES");
        problem.rule
    })
}

fn source(changes: &[(&str, Json)]) -> Json {
    let mut source = json!({"name": "avatars", "table": "avatars", "id": "id", "data": "data", "url": "url"});
    for (field, value) in changes {
        source[*field] = value.clone();
    }
    source
}

#[test]
fn a_problem_names_the_entry_and_the_rule() {
    let long = "x".repeat(65);
    for (field, value, rule) in [
        ("name", json!("Avatars"), "name must be 1 to 32"),
        ("name", json!(""), "name must be 1 to 32"),
        ("name", json!("x".repeat(33)), "name must be 1 to 32"),
        ("name", json!("embedded"), "name must not be embedded"),
        ("table", json!(""), "table must be a name of 1 to 64 bytes"),
        ("table", json!("a\0b"), "table must be a name"),
        ("table", json!("STILLSTORE_images"), "table must be the application's own"),
        ("table", json!("sqlite_master"), "table must be the application's own"),
        ("id", json!(7), "id must be a text"),
        ("data", json!(long), "data must be a name"),
        ("url", json!(null), "url is missing"),
        ("key", json!("URL"), "must name a column of its own"),
        ("binding", json!("my-db"), "binding must be"),
        ("column", json!("x"), "may have no other fields than kind, name, "),
        ("metadata", json!("x"), "metadata must be a list"),
        ("metadata", json!(["a b"]), "metadata must be a list"),
        ("metadata", json!(["a", "A"]), "metadata must be a list"),
        ("filter", json!([]), "filter must be an object"),
        ("filter", json!({"a": true}), "each value of filter"),
        ("filter", json!({"a": 1.5}), "each value of filter"),
        ("filter", json!({"": 1}), "each column of filter"),
    ] {
        let found =
            problem(&json!([source(&[("name", json!("first"))]), source(&[(field, value.clone())])]).to_string());
        assert!(
            found.as_ref().is_some_and(|found| found.starts_with(&format!("entry 2: {rule}"))),
            "{field} {value}: {found:?}"
        );
    }
    assert_eq!(problem("{}").as_deref(), Some("must be a JSON array of objects"));
    assert_eq!(problem("[").as_deref(), Some("must be a JSON array of objects"));
    assert_eq!(problem("[1]").as_deref(), Some("entry 1: must be an object"));
    let twice = json!([source(&[]), source(&[])]).to_string();
    assert_eq!(problem(&twice).as_deref(), Some("entry 2: name must not be another entry's"));
    let many: Vec<_> = (0..17).map(|number| source(&[("name", json!(format!("s{number}")))])).collect();
    assert_eq!(problem(&json!(many).to_string()).as_deref(), Some("must have at most 16 entries"));
    let whole = json!([source(&[
        ("type", json!("type")),
        ("key", json!("key")),
        ("status", json!("status")),
        ("migratedAt", json!("at")),
        ("metadata", json!(["persona_id"])),
        ("filter", json!({"a": "x", "b": -1, "c": null})),
        ("binding", json!("APP_DB")),
    ])]);
    assert_eq!(problem(&whole.to_string()), None);
}

#[test]
fn the_live_schema_is_checked_before_anything_runs() {
    let good = "CREATE TABLE avatars (id TEXT PRIMARY KEY, data TEXT, url TEXT)";
    for (schema, changes, field, rule) in [
        ("CREATE TABLE other (x)", vec![], "table", "must be a table of the database"),
        (
            "CREATE VIEW avatars AS SELECT 1 AS id, 2 AS data, 3 AS url",
            vec![],
            "table",
            "must be a table of the database",
        ),
        ("CREATE TABLE avatars (id TEXT, data TEXT, url TEXT)", vec![], "id", "primary key"),
        ("CREATE TABLE avatars (id TEXT UNIQUE, data TEXT, url TEXT)", vec![], "id", "primary key"),
        (
            "CREATE TABLE avatars (id TEXT NOT NULL, n, data TEXT, url TEXT, UNIQUE (id, n))",
            vec![],
            "id",
            "primary key",
        ),
        ("CREATE TABLE avatars (id TEXT, n, data TEXT, url TEXT, PRIMARY KEY (id, n))", vec![], "id", "primary key"),
        ("CREATE TABLE avatars (id REAL PRIMARY KEY, data TEXT, url TEXT)", vec![], "id", "TEXT or INTEGER"),
        ("CREATE TABLE avatars (id TEXT PRIMARY KEY, url TEXT)", vec![], "data", "must be a column"),
        ("CREATE TABLE avatars (id TEXT PRIMARY KEY, data TEXT, url TEXT AS ('x'))", vec![], "url", "must be a column"),
        (good, vec![("status", json!("state\" = 1; DROP TABLE avatars; --"))], "status", "must be a column"),
        (good, vec![("metadata", json!(["persona"]))], "metadata", "must be a column"),
        (good, vec![("filter", json!({"persona": 1}))], "filter", "must be a column"),
    ] {
        let world = world_with(&json!([source(&changes)]), Vec::new());
        execute(&world.sqlite, schema, Vec::new());
        for action in ["migrate", "rollback", "cleanup", "validate"] {
            let answer = world.post_json("/api/migrate-images", &json!({"action": action, "source": "avatars"}), &[]);
            assert_eq!((answer.status, answer.code().as_str()), (409, "source-unusable"), "{schema}: {answer:?}");
            assert_eq!(answer.json()["field"], field, "{schema}");
            assert!(answer.json()["detail"].as_str().unwrap().contains(rule), "{schema}: {answer:?}");
        }
        assert!(world.rows("SELECT id FROM stillstore_runs").is_empty());
    }
    let unique = "CREATE TABLE avatars (id TEXT NOT NULL UNIQUE, data TEXT, url TEXT)";
    for schema in [good, unique] {
        let world = world_with(&json!([source(&[])]), Vec::new());
        execute(&world.sqlite, schema, Vec::new());
        let answer = world.post_json("/api/migrate-images", &json!({"action": "migrate", "source": "avatars"}), &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[test]
fn an_unknown_source_is_told_which_there_are() {
    let world = world_with(&json!([source(&[])]), Vec::new());
    for name in ["images", "avatar", ""] {
        let answer = world.post_json("/api/migrate-images", &json!({"action": "migrate", "source": name}), &[]);
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some("source")), "{name:?} {answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("embedded, avatars"), "{answer:?}");
    }
}
