//! A Worker of the version before goes on working while a deploy is under way: its statements, against the schema of this one.

use serde_json::{Value, json};
use stillstore::catalog::Status;
use stillstore::sql::{Database, DatabaseErrorKind, QueryResult, Statement};
use stillstore::store::StorageKind;

use crate::catalog_database::{Shelf, description, done};

const RESERVE: &str = "INSERT INTO stillstore_images (id, storage_key, content_type, visibility, filename, context, \
    persona_id, session_id, participant_id, table_id, labels, created_at_ms, storage, updated_at_ms, version, status) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 1, 'pending') ON CONFLICT DO NOTHING";

const SELECT: &str = "SELECT id, storage_key, content_type, visibility, filename, context, \
    persona_id, session_id, participant_id, table_id, labels, created_at_ms, \
    version, status, storage, size_bytes, sha256, width, height, \
    generation, fallback_reason, embedded_write_id IS NOT NULL AS has_embedded_bytes, updated_at_ms \
    FROM stillstore_images WHERE id = ?1";

const COMMIT: &str = "INSERT INTO stillstore_images (id, storage_key, content_type, visibility, filename, context, \
    persona_id, session_id, participant_id, table_id, labels, created_at_ms, storage, updated_at_ms, version, status, size_bytes, \
    sha256, width, height, generation, fallback_reason, embedded_write_id) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 1, 'stored', ?15, ?16, ?17, ?18, ?19, ?20, \
    CASE ?13 WHEN 'd1' THEN (SELECT write_id FROM stillstore_blobs WHERE object_key = ?2 AND stored_at_ms IS NOT NULL) END) \
    ON CONFLICT (id) DO UPDATE SET \
    status = CASE WHEN status = 'pending' AND storage_key = excluded.storage_key THEN 'stored' END, \
    storage = excluded.storage, size_bytes = excluded.size_bytes, sha256 = excluded.sha256, \
    width = excluded.width, height = excluded.height, generation = excluded.generation, \
    fallback_reason = excluded.fallback_reason, embedded_write_id = excluded.embedded_write_id, \
    updated_at_ms = excluded.updated_at_ms, version = version + 1 RETURNING \
    id, version, status, embedded_write_id IS NOT NULL AS has_embedded_bytes";

const SWITCH_TO_R2: &str = "INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, labels, \
    version, created_at_ms, updated_at_ms) VALUES (?1, 'pending', 'd1', '', '', 'public', '{}', 1, ?3, ?3) \
    ON CONFLICT (id) DO UPDATE SET storage = 'r2', version = version + 1, updated_at_ms = excluded.updated_at_ms \
    WHERE version = ?2 AND status = 'stored' AND storage = 'd1'";

const SWITCH_TO_D1: &str = "UPDATE stillstore_images SET storage = 'd1', version = version + 1, updated_at_ms = ?3, \
    embedded_write_id = (SELECT write_id FROM stillstore_blobs WHERE object_key = ?4 AND stored_at_ms IS NOT NULL) \
    WHERE id = ?1 AND version = ?2 AND status = 'stored' AND +storage = 'r2'";

const BEGIN_DELETE: &str = "UPDATE stillstore_images \
    SET status = 'deleting', version = version + 1, updated_at_ms = ?2 \
    WHERE id = ?1 AND status IN ('pending', 'stored')";

const ERASE: &str = "UPDATE stillstore_images SET version = version + 1, \
    filename = NULL, context = NULL, persona_id = NULL, session_id = NULL, participant_id = NULL, table_id = NULL, \
    labels = '{}', generation = NULL \
    WHERE id = ?1 AND version = ?2 AND status = 'deleting'";

const FINISH_DELETE: &str = "UPDATE stillstore_images \
    SET status = 'deleted', version = version + 1, updated_at_ms = ?3, \
    storage_key = 'stillstore/deleted/' || id, filename = NULL, context = NULL, \
    persona_id = NULL, session_id = NULL, participant_id = NULL, table_id = NULL, \
    labels = '{}', generation = NULL, fallback_reason = NULL, embedded_write_id = NULL \
    WHERE id = ?1 AND version = ?2 AND status = 'deleting'";

const PURGE_TOMBSTONES: &str = "DELETE FROM stillstore_images WHERE id IN (\
    SELECT id FROM stillstore_images INDEXED BY stillstore_images_tombstones \
    WHERE status = 'deleted' AND updated_at_ms <= ?1 ORDER BY updated_at_ms LIMIT ?2\
    ) RETURNING id";

/// A Worker of the version before, with an image that it describes by as much as it knows.
struct Before<'shelf> {
    shelf: &'shelf Shelf,
    id: String,
    key: String,
}

impl<'shelf> Before<'shelf> {
    fn new(shelf: &'shelf Shelf, number: u64) -> Self {
        let image = description(number);
        Self { shelf, id: image.id.to_string(), key: image.key.as_str().to_owned() }
    }

    fn run(&self, sql: &'static str, params: &[Value]) -> QueryResult {
        let statement = params.iter().fold(Statement::new(sql), |statement, param| match param {
            Value::Null => statement.bind(stillstore::sql::Value::Null),
            Value::Number(number) => statement.bind(number.as_i64().unwrap()),
            text => statement.bind(text.as_str().unwrap()),
        });
        done(self.shelf.database.run(statement)).unwrap()
    }

    fn described(&self, storage: &str) -> Vec<Value> {
        let (id, key) = (&self.id, &self.key);
        let described =
            json!([id, key, "image/png", "public", "jane.png", "portraits", "p", "s", null, null, "{}", 5, storage, 6]);
        described.as_array().unwrap().clone()
    }

    fn reserve(&self) {
        assert_eq!(self.run(RESERVE, &self.described("r2")).changes, 1);
    }

    fn commit(&self, storage: &str, fallback: Option<&str>) {
        let mut params = self.described(storage);
        params.extend([json!(70), json!("ab".repeat(32)), json!(3), json!(4), Value::Null, json!(fallback)]);
        let row = self.run(COMMIT, &params).first::<Value>().unwrap().unwrap();
        assert_eq!(row["status"], "stored");
    }

    fn change(&self, sql: &'static str, rest: &[Value]) {
        let params = [&[json!(self.id)], rest].concat();
        assert_eq!(self.run(sql, &params).changes, 1, "{sql}");
    }

    fn delete(&self) {
        self.change(BEGIN_DELETE, &[json!(9)]);
        self.change(ERASE, &[self.row()["version"].clone()]);
        self.change(FINISH_DELETE, &[self.row()["version"].clone(), json!(9)]);
    }

    /// What it reads of its image.
    fn row(&self) -> Value {
        self.run(SELECT, &[json!(self.id)]).first::<Value>().unwrap().unwrap()
    }

    fn two_homes(&self) -> Option<bool> {
        self.shelf.find(self.id.parse().unwrap()).unwrap().two_homes
    }
}

#[test]
fn an_image_lives_and_dies_by_the_statements_of_before() {
    for fallback in [None, Some("store-unavailable")] {
        let shelf = Shelf::new();
        let before = Before::new(&shelf, 1);
        before.reserve();
        before.commit(if fallback.is_some() { "d1" } else { "r2" }, fallback);
        let row = before.row();
        assert_eq!(
            (&row["version"], &row["filename"], &row["fallback_reason"]),
            (&json!(2), &json!("jane.png"), &json!(fallback))
        );
        assert_eq!(before.two_homes(), None, "its version and fallback tell");
        before.delete();
        assert_eq!(before.row()["status"], "deleted");
        assert_eq!(before.run(PURGE_TOMBSTONES, &[json!(9), json!(10)]).rows::<Value>().unwrap().len(), 1);
    }
}

#[test]
fn either_version_commits_what_the_other_reserved() {
    let shelf = Shelf::new();
    let before = Before::new(&shelf, 1);
    before.reserve();
    assert!(shelf.store(&description(1), StorageKind::R2).two_homes == Some(false));
    let image = shelf.image_in(2, Status::Pending);
    let before = Before::new(&shelf, 2);
    before.commit("d1", Some("store-unavailable"));
    assert_eq!(before.two_homes(), None);
    assert_eq!(shelf.find(image.id).unwrap().description.owner_id, image.owner_id, "what this version wrote stays");
}

#[test]
fn a_move_by_the_version_before_is_not_mistaken_for_an_image_in_one_home() {
    let shelf = Shelf::new();
    shelf.store(&description(1), StorageKind::D1);
    let before = Before::new(&shelf, 1);
    assert_eq!(before.two_homes(), Some(false));
    before.change(SWITCH_TO_R2, &[json!(1), json!(9)]);
    assert_eq!(before.two_homes(), Some(true));

    shelf.image_in(2, Status::Stored);
    let before = Before::new(&shelf, 2);
    assert_eq!(before.two_homes(), Some(false));
    before.change(SWITCH_TO_D1, &[json!(2), json!(9), json!(before.key)]);
    assert_eq!(before.two_homes(), Some(true));
}

#[test]
fn a_deletion_by_the_version_before_erases_what_it_does_not_know_of() {
    let shelf = Shelf::new();
    let image = shelf.image_in(1, Status::Stored);
    assert!(
        image.owner_id.is_some() && image.frame.is_some() && image.parent_id.is_some() && image.moved_from.is_some()
    );
    let hash = "1QcSHQRnh493V4dIh4eXh1h4kJUI";
    shelf.sql(&format!("UPDATE stillstore_images SET thumbhash = '{hash}', dominant_color = '#aabbcc'")).unwrap();
    assert_eq!(shelf.find(image.id).unwrap().placeholder.unwrap().thumbhash.as_str(), hash);
    Before::new(&shelf, 1).delete();
    let tombstone = shelf.find(image.id).unwrap();
    assert_eq!(tombstone.placeholder, None);
    assert_eq!((tombstone.status, tombstone.version), (Status::Deleted, 5));
    let left = tombstone.description;
    assert_eq!((left.owner_id, left.frame, left.parent_id, left.moved_from), (None, None, None, None));
}

#[test]
fn an_item_of_a_source_is_one_image() {
    let shelf = Shelf::new();
    let first = shelf.image_in(1, Status::Stored);
    let sql = "UPDATE stillstore_images SET source = 'rooms', source_item = 'row-1' WHERE id = ";
    let second = shelf.image_in(2, Status::Stored);
    let error = shelf.sql(&format!("{sql}'{}'", second.id)).unwrap_err();
    assert_eq!(error.kind, DatabaseErrorKind::Constraint);
    Before::new(&shelf, 1).delete();
    shelf.sql(&format!("{sql}'{}'", second.id)).unwrap();
    assert_eq!(shelf.find(first.id).unwrap().description.moved_from, None);
}
