//! How much of an image a backup holds at once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::json;
use stillstore::bytes::{Blob, ByteRange};
use stillstore::image::ObjectKey;
use stillstore::store::{
    Faulty, ImageStore, ListPage, MemoryStore, ObjectInfo, PutObject, PutReceipt, StorageKind, StoreError, StoredObject,
};

use super::migrate::embedded_world;
use super::migrate_backup_run::back_up;
use super::world::World;
use crate::migrate_table;
use crate::migrate_table_backup::{literals, restore};
use crate::sqlite::Sqlite;

const MIB: usize = 1024 * 1024;

/// Reads what is put in runs of 256 KiB, and looks how far ahead of it the database was read.
struct Watching {
    inner: Rc<Faulty<MemoryStore>>,
    sqlite: Rc<Sqlite>,
    /// Bytes of the part that a call to the database brings.
    call_bytes: u64,
    most_ahead: Cell<u64>,
    /// Calls to the database while parts are put.
    calls: Cell<u64>,
    longest_run: Cell<usize>,
    put: RefCell<Vec<String>>,
}

#[async_trait(?Send)]
impl ImageStore for Watching {
    fn kind(&self) -> StorageKind {
        self.inner.kind()
    }

    async fn put(&self, mut object: PutObject) -> Result<PutReceipt, StoreError> {
        let began = self.sqlite.calls.get();
        let mut whole = Vec::new();
        while let Some(run) = object.body.next(MIB / 4).await? {
            self.longest_run.set(self.longest_run.get().max(run.size_bytes()));
            whole.extend(run.to_vec());
            let passed = whole.len() as u64 / self.call_bytes;
            self.most_ahead.set(self.most_ahead.get().max((self.sqlite.calls.get() - began).saturating_sub(passed)));
        }
        if object.key.as_str().contains("/backups/") {
            self.calls.set(self.calls.get() + self.sqlite.calls.get() - began);
        }
        self.put.borrow_mut().push(object.key.to_string());
        self.inner.put(PutObject { body: Blob::from(whole).into(), ..object }).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<StoredObject>, StoreError> {
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.inner.head(key).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &str, start_after: Option<&ObjectKey>, limit: u16) -> Result<ListPage, StoreError> {
        self.inner.list(prefix, start_after, limit).await
    }
}

fn watch(world: &mut World, call_bytes: u64) -> Rc<Watching> {
    let watching = Rc::new(Watching {
        inner: Rc::clone(&world.bucket),
        sqlite: Rc::clone(&world.sqlite),
        call_bytes,
        most_ahead: Cell::default(),
        calls: Cell::default(),
        longest_run: Cell::default(),
        put: RefCell::default(),
    });
    world.app.services.r2 = Some(Rc::clone(&watching) as Rc<dyn ImageStore>);
    watching
}

#[test]
fn a_huge_image_passes_chunk_by_chunk() {
    let (mut world, _) = embedded_world(&[25 * MIB, 9 * MIB, 9 * MIB]);
    // A chunk is 4/3 MiB as base64.
    let watching = watch(&mut world, MIB as u64 * 4 / 3);
    back_up(&world, &json!({"action": "backup"}));
    assert_eq!(watching.put.borrow().iter().filter(|key| key.contains("/backups/")).count(), 3);
    assert!(watching.most_ahead.get() <= 2, "{} chunks are read ahead", watching.most_ahead.get());
    assert_eq!(watching.longest_run.get(), MIB / 4);
}

#[test]
fn a_huge_value_of_a_table_passes_piece_by_piece() {
    let mut world = migrate_table::world();
    let value = "data:image/png;base64,".to_owned() + &"A".repeat(17 * MIB);
    for (id, data) in [("a", value.as_str()), ("b", "AAAA")] {
        migrate_table::insert(&world.sqlite, id, data);
    }
    let before = literals(&world.sqlite, "images", "id");
    let watching = watch(&mut world, 500_000);
    let saved = migrate_table::act(&world, &json!({"action": "backup", "source": "images"}));
    assert_eq!((&saved["result"]["saved"], &saved["success"]), (&json!(2), &json!(true)), "{saved}");
    assert_eq!(watching.put.borrow().iter().filter(|key| key.contains("/backups/")).count(), 2);
    assert!(watching.most_ahead.get() <= 2, "{} pieces are read ahead", watching.most_ahead.get());
    assert_eq!(watching.calls.get(), value.len().div_ceil(500_000) as u64, "all are read while they are put");

    migrate_table::execute(&world.sqlite, "DELETE FROM images", Vec::new());
    assert_eq!(restore(&world, &saved)["result"]["restored"], 2);
    assert!(literals(&world.sqlite, "images", "id") == before);
}
