//! An application that goes on writing while its rows move.

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::json;
use stillstore::sql::{Database, DatabaseError, QueryResult, Statement};

use crate::api::world::World;
use crate::image_fixtures::bytes;
use crate::migrate_table::{IMAGES, act, base64, clean, execute, fetch, insert, lines, objects, query, world_with};
use crate::sqlite::Sqlite;

/// A database in which the application writes in front of the next batch that has a certain SQL.
struct Meddled {
    inner: Rc<Sqlite>,
    plan: RefCell<Option<(&'static str, &'static str)>>,
}

#[async_trait(?Send)]
impl Database for Meddled {
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<QueryResult>, DatabaseError> {
        let planned = *self.plan.borrow();
        if let Some((marker, sql)) = planned
            && statements.iter().any(|statement| statement.sql.contains(marker))
        {
            self.plan.take();
            self.inner.batch(vec![Statement::new(sql)]).await?;
        }
        self.inner.batch(statements).await
    }
}

const SWITCH: &str = "INSERT INTO stillstore_moves";

struct Shop {
    world: World,
    sqlite: Rc<Sqlite>,
    meddled: Rc<Meddled>,
}

/// Five rows, `a` to `e`, in a database of the application's own.
fn shop() -> Shop {
    let sqlite = Rc::new(Sqlite::migrated());
    execute(&sqlite, IMAGES, Vec::new());
    for (id, name) in
        [("a", "rgb.png"), ("b", "gray16.png"), ("c", "interlaced.png"), ("d", "rgb.png"), ("e", "still.gif")]
    {
        insert(&sqlite, id, &base64(&bytes(name)));
    }
    let meddled = Rc::new(Meddled { inner: Rc::clone(&sqlite), plan: RefCell::default() });
    let source = json!([{"name": "shop", "binding": "SHOP", "table": "images", "id": "id", "data": "image_data",
        "url": "image_url", "key": "r2_key", "status": "migration_status", "migratedAt": "migrated_at"}]);
    let world = world_with(&source, vec![("SHOP".to_owned(), Rc::clone(&meddled) as Rc<dyn Database>)]);
    Shop { world, sqlite, meddled }
}

impl Shop {
    fn meddle(&self, marker: &'static str, sql: &'static str) {
        self.meddled.plan.replace(Some((marker, sql)));
    }

    fn row(&self, id: &str) -> Option<serde_json::Value> {
        query(&self.sqlite, &format!("SELECT * FROM images WHERE id = '{id}'")).pop()
    }

    /// Each object is named by a row, and each row's URL gives its object.
    fn assert_consistent(&self) {
        let rows = query(
            &self.sqlite,
            "SELECT image_url, r2_key FROM images WHERE migration_status = 'completed' ORDER BY r2_key",
        );
        let named: Vec<_> = rows.iter().map(|row| row["r2_key"].as_str().unwrap().to_owned()).collect();
        let stored: Vec<_> = objects(&self.world).into_iter().map(|(key, _)| key).collect();
        assert_eq!(stored, named);
        for (row, (_, bytes)) in rows.iter().zip(objects(&self.world)) {
            assert_eq!(fetch(&self.world, &row["image_url"]), bytes);
        }
    }
}

#[test]
fn a_row_that_is_written_to_between_reading_and_switching_is_skipped() {
    for write in [
        "UPDATE images SET image_data = 'R0lGODlh' WHERE id = 'c'",
        "UPDATE images SET image_data = lower(image_data) WHERE id = 'c'",
        "UPDATE images SET image_data = CAST(image_data AS BLOB) WHERE id = 'c'",
        "UPDATE images SET image_data = NULL WHERE id = 'c'",
        "UPDATE images SET image_url = 'https://elsewhere.example/c.png' WHERE id = 'c'",
        "UPDATE images SET image_url = 'x' WHERE id = 'c'",
        "UPDATE images SET r2_key = '' WHERE id = 'c'",
        "UPDATE images SET migration_status = 'failed' WHERE id = 'c'",
        "DELETE FROM images WHERE id = 'c'",
    ] {
        let shop = shop();
        shop.meddle(SWITCH, write);
        let run = act(&shop.world, &json!({"action": "migrate"}));
        assert_eq!(
            (&run["source"], &run["result"]["migrated"], &run["result"]["skipped"]),
            (&json!("shop"), &json!(4), &json!(1)),
            "{write}"
        );
        let skipped: Vec<_> =
            lines(&shop.world, &run).into_iter().filter(|line| line["verdict"] == "skipped").collect();
        assert_eq!(
            (skipped.len(), &skipped[0]["id"], &skipped[0]["reason"]),
            (1, &json!("c"), &json!("changed-meanwhile")),
            "{write}"
        );
        assert_ne!(shop.row("c").map(|row| row["migration_status"].clone()), Some(json!("completed")), "{write}");
        shop.assert_consistent();
    }
}

#[test]
fn a_write_to_another_column_is_no_reason_to_skip() {
    let shop = shop();
    shop.meddle(SWITCH, "UPDATE images SET prompt = 'a dog' WHERE id = 'c'");
    assert_eq!(act(&shop.world, &json!({"action": "migrate"}))["result"]["migrated"], 5);
    assert_eq!(shop.row("c").unwrap()["prompt"], "a dog");
    act(&shop.world, &json!({"action": "rollback"}));
    let row = shop.row("c").unwrap();
    assert_eq!(
        (&row["prompt"], &row["image_url"], &row["migration_status"]),
        (&json!("a dog"), &json!(null), &json!(null))
    );
    shop.assert_consistent_after_rollback();
}

impl Shop {
    fn assert_consistent_after_rollback(&self) {
        assert_eq!(
            query(&self.sqlite, "SELECT id FROM images WHERE image_url IS NOT NULL"),
            Vec::<serde_json::Value>::new()
        );
        for (_, bytes) in objects(&self.world) {
            let count = format!("SELECT count(*) AS n FROM images WHERE image_data = '{}'", base64(&bytes));
            assert!(query(&self.sqlite, &count)[0]["n"].as_u64() > Some(0));
        }
    }
}

#[test]
fn an_original_that_changed_since_its_move_is_neither_dropped_nor_undone() {
    let shop = shop();
    act(&shop.world, &json!({"action": "migrate"}));
    let gif = base64(&bytes("animated.gif"));
    execute(&shop.sqlite, "UPDATE images SET image_data = ?1 WHERE id = 'b'", vec![gif.as_str().into()]);
    execute(&shop.sqlite, "UPDATE images SET image_url = 'https://elsewhere.example' WHERE id = 'c'", Vec::new());
    execute(&shop.sqlite, "DELETE FROM images WHERE id = 'd'", Vec::new());
    let before = (shop.row("b"), shop.row("c"));
    let cleaned = (clean(&shop.world, "shop"), "deleted");
    let rolled_back = (act(&shop.world, &json!({"action": "rollback", "deleteFromR2": true})), "copy-removed");
    for (run, said_of_d) in [cleaned, rolled_back] {
        let said: Vec<_> = lines(&shop.world, &run)
            .into_iter()
            .filter(|line| line.get("reason").is_some())
            .map(|line| (line["id"].clone(), line["verdict"].clone(), line["reason"].clone()))
            .collect();
        let expected =
            [("b", "failed", "source-changed"), ("c", "skipped", "url-changed"), ("d", "skipped", said_of_d)];
        assert_eq!(said, expected.map(|(id, verdict, reason)| (json!(id), json!(verdict), json!(reason))));
        assert_eq!((shop.row("b"), shop.row("c")), before);
    }
    assert_eq!(shop.row("a").unwrap()["image_data"], base64(&bytes("rgb.png")));
    assert_eq!(objects(&shop.world).len(), 2, "what was not restored keeps its copy, but for a row that is gone");
}

#[test]
fn writes_during_cleanup_and_rollback_win() {
    for write in [
        "UPDATE images SET image_data = 'R0lGODlh' WHERE id = 'c'",
        "UPDATE images SET image_url = NULL WHERE id = 'c'",
        "DELETE FROM images WHERE id = 'c'",
    ] {
        let shop = shop();
        act(&shop.world, &json!({"action": "migrate"}));
        shop.meddle("SET stage", write);
        let cleaned = clean(&shop.world, "shop");
        assert_eq!(
            (&cleaned["result"]["cleaned"], &cleaned["result"]["skipped"]),
            (&json!(4), &json!(1)),
            "{write}: {cleaned}"
        );
        let row = shop.row("c");
        assert!(row.is_none_or(|row| !row["image_data"].is_null()), "{write}");
        assert_eq!(objects(&shop.world).len(), 5);
    }
    for write in ["UPDATE images SET image_url = NULL WHERE id = 'c'", "DELETE FROM images WHERE id = 'c'"] {
        let shop = shop();
        act(&shop.world, &json!({"action": "migrate"}));
        clean(&shop.world, "shop");
        shop.meddle("DELETE FROM stillstore_moves", write);
        let back = act(&shop.world, &json!({"action": "rollback", "deleteFromR2": true}));
        assert_eq!(
            (&back["result"]["rolledBack"], &back["result"]["skipped"]),
            (&json!(4), &json!(1)),
            "{write}: {back}"
        );
        assert_eq!(objects(&shop.world).len(), 1, "its copy stays");
    }
}

#[test]
fn a_copy_that_is_not_what_was_moved_keeps_its_original() {
    let shop = shop();
    act(&shop.world, &json!({"action": "migrate"}));
    let key = shop.row("b").unwrap()["r2_key"].as_str().unwrap().to_owned();
    shop.world.lose_object(&key);
    shop.world.put_foreign_object(&key, &bytes("rgb.png"));
    let lost = shop.row("e").unwrap()["r2_key"].as_str().unwrap().to_owned();
    shop.world.lose_object(&lost);
    let path = |id: &str| shop.row(id).unwrap()["image_url"].as_str().unwrap().replace("https://images.example", "");
    assert_eq!(shop.world.send("GET", &path("b"), &[], None).status, 503, "other bytes are never served");
    assert_eq!(shop.world.send("GET", &path("e"), &[], None).code(), "bytes-missing");
    let cleaned = clean(&shop.world, "shop");
    assert_eq!((&cleaned["result"]["cleaned"], &cleaned["result"]["failed"]), (&json!(3), &json!(2)), "{cleaned}");
    assert!(!shop.row("b").unwrap()["image_data"].is_null() && !shop.row("e").unwrap()["image_data"].is_null());
    let back = act(&shop.world, &json!({"action": "rollback"}));
    assert_eq!(back["result"]["rolledBack"], 5, "the originals are there: {back}");
}
