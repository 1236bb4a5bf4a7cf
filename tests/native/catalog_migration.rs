//! Migration 7 over the rows of the version before.

use serde_json::{Value, json};
use stillstore::sql::{Database, Statement};

use crate::catalog_database::done;
use crate::sqlite::Sqlite;

const IMAGES: i64 = 2_000;

/// Images of every status, home, fallback and version, as the version before wrote them.
const FILL: &str = "INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, filename, context, \
    persona_id, session_id, participant_id, table_id, labels, generation, size_bytes, sha256, width, height, fallback_reason, version, \
    created_at_ms, updated_at_ms, embedded_write_id) \
    WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers LIMIT ?1), \
    images AS (SELECT n, CASE n % 20 WHEN 0 THEN 'pending' WHEN 1 THEN 'deleting' WHEN 2 THEN 'deleted' ELSE 'stored' END AS status, \
      iif(n % 3 = 0, 'd1', 'r2') AS storage FROM numbers) \
    SELECT printf('%08x', n), status, storage, iif(status = 'deleted', 'stillstore/deleted/', 'portraits/2025/11/') || printf('%08x', n), \
      'image/png', 'public', iif(status <> 'deleted', 'jane.png', NULL), iif(status <> 'deleted', 'portraits', NULL), \
      iif(status <> 'deleted', 'p' || (n % 100), NULL), iif(status <> 'deleted', 's' || (n % 1000), NULL), NULL, NULL, '{}', NULL, \
      iif(status = 'pending', NULL, 100000), iif(status = 'pending', NULL, printf('%064d', n)), NULL, NULL, \
      iif(n % 11 = 0 AND status <> 'deleted', 'store-unavailable', NULL), 1 + n % 4, 1700000000000 + n, 1700000000000 + n, \
      iif(status = 'stored' AND (storage = 'd1' OR n % 7 = 0), 'write' || n, NULL) FROM images";

#[test]
fn rows_stay_as_they_are_and_say_whether_they_may_be_in_two_homes() {
    let database = Sqlite::empty();
    database.migrate(|number| number < 7);
    let rows = |sql: &str| done(database.run(Statement::new(sql.to_owned()))).unwrap().rows::<Value>().unwrap();
    done(database.run(Statement::new(FILL).bind(IMAGES))).unwrap();
    let before = rows("SELECT * FROM stillstore_images ORDER BY id");
    let counters = rows("SELECT * FROM stillstore_counters");
    database.migrate(|number| number == 7);

    // Another text: a prepared statement keeps the names of its columns.
    let after = rows("SELECT images.* FROM stillstore_images AS images ORDER BY id");
    assert_eq!((before.len(), after.len()), (2_000, 2_000));
    let mut homes = [0; 3];
    for (old, new) in before.iter().zip(&after) {
        let mut expected = old.clone();
        for column in ["owner_id", "collection_id", "ordinal", "parent_id", "source", "source_item", "orientation"] {
            expected[column] = Value::Null;
        }
        let was_elsewhere = match old["storage"].as_str().unwrap() {
            "r2" => !old["embedded_write_id"].is_null(),
            _ => old["version"].as_u64().unwrap() > 1,
        };
        let may_be_in_two = was_elsewhere || !old["fallback_reason"].is_null();
        expected["two_homes"] = if old["status"] == "stored" { json!(u8::from(may_be_in_two)) } else { Value::Null };
        assert_eq!(new, &expected);
        homes[new["two_homes"].as_u64().map_or(2, |flag| usize::try_from(flag).unwrap())] += 1;
    }
    assert!(homes.iter().all(|images| *images > 100), "{homes:?}");
    assert_eq!(rows("SELECT * FROM stillstore_counters"), counters);
}

#[test]
fn holdings_begin_with_what_is_stored() {
    let database = Sqlite::empty();
    database.migrate(|number| number < 7);
    done(database.run(Statement::new(FILL).bind(IMAGES))).unwrap();
    database.migrate(|number| number >= 7);
    let rows = |sql: &str| done(database.run(Statement::new(sql.to_owned()))).unwrap().rows::<Value>().unwrap();
    let stored = "SELECT count(*) AS images, sum(size_bytes) AS bytes FROM stillstore_images WHERE status = 'stored'";
    let holdings = rows("SELECT kind, context, owner_id, images, bytes FROM stillstore_holdings");
    let expected = rows(stored).remove(0);
    let all = json!({ "kind": "upload", "context": "portraits", "owner_id": "", "images": expected["images"], "bytes": expected["bytes"] });
    assert_eq!(holdings, [all]);
}
