//! An application's table, for the tests of its migration.

use std::fmt::Write as _;
use std::rc::Rc;

use base64_simd::STANDARD;
use serde_json::{Value as Json, json};
use stillstore::sql::{Database, Statement, Value};

use crate::api::world::{TOKEN, World};
use crate::image_fixtures;
use crate::runtime::block_on;
use crate::sqlite::Sqlite;

/// The table that the built-in source is for. Its collation is a trap: it takes `QUJD` and `qujd` for equal.
pub const IMAGES: &str = "CREATE TABLE images (id text PRIMARY KEY NOT NULL, session_id text, participant_id text, \
    table_id text, persona_id text, persona_title text, image_url text COLLATE NOCASE, image_data text COLLATE NOCASE, image_mime_type text, prompt text, \
    provider text, status text, r2_key text, migration_status text, migrated_at text, created_at text, updated_at text)";

pub fn execute(database: &Sqlite, sql: &str, params: Vec<Value>) {
    block_on(database.run(Statement { params, ..Statement::new(sql.to_owned()) })).expect(sql);
}

pub fn query(database: &Sqlite, sql: &str) -> Vec<Json> {
    block_on(database.run(Statement::new(sql.to_owned()))).expect(sql).rows().expect("rows")
}

/// The journal's counters are what a count of its entries says.
pub fn assert_counted(database: &Sqlite, case: &str) {
    let counted = "SELECT stage, items FROM stillstore_move_counters WHERE items <> 0 ORDER BY 1";
    let actual = "SELECT stage, count(*) AS items FROM stillstore_moves GROUP BY 1 ORDER BY 1";
    assert_eq!(query(database, counted), query(database, actual), "{case}");
}

/// A deployment without embedded images and with a table [`IMAGES`].
pub fn world() -> World {
    let world = World::new(true);
    execute(&world.sqlite, IMAGES, Vec::new());
    world
}

pub fn world_with(sources: &Json, databases: Vec<(String, Rc<dyn Database>)>) -> World {
    let sources = sources.to_string();
    World::with_databases(
        &[("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN), ("MIGRATION_SOURCES", &sources)],
        databases,
    )
}

pub fn insert(database: &Sqlite, id: &str, data: &str) {
    let sql = "INSERT INTO images (id, image_data, image_mime_type, prompt, status) VALUES (?1, ?2, 'image/png', 'a cat', 'done')";
    execute(database, sql, vec![id.into(), data.into()]);
}

pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode_to_string(bytes)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02X}").expect("write");
        text
    })
}

/// A JPEG of about so many bytes, most of which are comments.
pub fn large_jpeg(size_bytes: usize) -> Vec<u8> {
    let small = image_fixtures::bytes("baseline.jpg");
    let mut jpeg = small[..2].to_vec();
    while jpeg.len() + small.len() < size_bytes {
        jpeg.extend([0xFF, 0xFE, 0xFF, 0xFF]);
        jpeg.extend((0..0xFFFD_u32).map(|at| at.wrapping_mul(31).to_le_bytes()[0]));
    }
    jpeg.extend(&small[2..]);
    jpeg
}

pub fn act(world: &World, body: &Json) -> Json {
    let answer = world.post_json("/api/migrate-images", body, &[]);
    assert!(answer.status < 300, "{body}: {answer:?}");
    answer.json()
}

/// Waits until originals may go, and lets them go.
pub fn clean(world: &World, source: &str) -> Json {
    world.runtime.advance(31 * 24 * 60 * 60 * 1000);
    act(world, &json!({"action": "cleanup", "source": source}))
}

/// The images in the bucket, without receipts.
pub fn objects(world: &World) -> Vec<(String, Vec<u8>)> {
    world.bucket.inner.contents().into_iter().filter(|(key, _)| !key.starts_with("stillstore/")).collect()
}

/// What a client gets under the public URL of a row.
pub fn fetch(world: &World, url: &Json) -> Vec<u8> {
    let path = url.as_str().and_then(|url| url.strip_prefix("https://images.example")).expect("a URL of the Worker");
    let answer = world.send("GET", path, &[], None);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
    answer.body
}

/// A line of a run's receipt for each item.
pub fn lines(world: &World, run: &Json) -> Vec<Json> {
    let path = format!("/api/migrate-images/runs/{}/receipt", run["runId"].as_str().expect("a run"));
    let receipt = String::from_utf8(world.call("GET", &path, None).body).expect("text");
    let lines = receipt.lines().map(|line| serde_json::from_str::<Json>(line).expect("JSON"));
    lines.filter(|line| line.get("verdict").is_some()).collect()
}
