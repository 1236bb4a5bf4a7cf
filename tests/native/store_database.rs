//! An embedded store over SQLite whose calls can be watched and made to fail.

use std::borrow::Cow;
use std::rc::Rc;

use stillstore::bytes::Body;
use stillstore::image::{Format, ImageId, ObjectKey, Sha256Digest};
use stillstore::sql::{Database, FaultyDatabase, QueryResult, Statement};
use stillstore::store::{
    EmbeddedStore, ImageStore, ObjectMetadata, PutObject, PutReceipt, StoreError, StoredObject, adopt_statement,
};

use crate::runtime::{TestRuntime, block_on};
use crate::sqlite::Sqlite;

pub const MIB: usize = 1024 * 1024;

pub struct Embedded {
    pub sqlite: Rc<Sqlite>,
    pub database: Rc<FaultyDatabase>,
    pub runtime: Rc<TestRuntime>,
    pub store: EmbeddedStore,
}

impl Embedded {
    pub fn new() -> Self {
        let sqlite = Rc::new(Sqlite::migrated());
        let database = Rc::new(FaultyDatabase::new(Rc::clone(&sqlite) as Rc<dyn Database>));
        let runtime = TestRuntime::new();
        let store = EmbeddedStore::new(Rc::clone(&database) as Rc<dyn Database>, Rc::clone(&runtime) as Rc<_>);
        Self { sqlite, database, runtime, store }
    }

    pub fn put(&self, name: &str, body: impl Into<Body>) -> Result<PutReceipt, StoreError> {
        block_on(self.store.put(object(name, body)))
    }

    pub fn get(&self, name: &str) -> Result<Option<StoredObject>, StoreError> {
        block_on(self.store.get(&key(name), None))
    }

    /// The object, read to its end.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let stored = self.get(name).expect("get")?;
        Some(block_on(stored.body.collect(u64::MAX)).expect("body").to_vec())
    }

    pub fn adopt(&self, name: &str, image_id: &ImageId) {
        block_on(self.database.run(adopt_statement(&key(name), image_id))).expect("adopt");
    }

    /// Runs SQL behind the store's back.
    pub fn query(&self, sql: impl Into<Cow<'static, str>>) -> QueryResult {
        block_on(self.sqlite.run(Statement::new(sql))).expect("query")
    }

    /// Rows of `table`.
    pub fn count(&self, table: &str) -> usize {
        let answer = self.query(format!("SELECT count(*) AS rows FROM {table}"));
        let row: serde_json::Value = answer.first().expect("row").expect("one");
        usize::try_from(row["rows"].as_u64().expect("number")).expect("small")
    }

    /// Rows of blobs and of chunks.
    pub fn rows(&self) -> (usize, usize) {
        (self.count("stillstore_blobs"), self.count("stillstore_chunks"))
    }

    /// Calls to the database that `work` makes.
    pub fn calls_of<T>(&self, work: impl FnOnce(&Self) -> T) -> u64 {
        let before = self.sqlite.calls.get();
        work(self);
        self.sqlite.calls.get() - before
    }
}

pub fn key(name: &str) -> ObjectKey {
    ObjectKey::try_from(name.to_owned()).expect("key")
}

pub fn image_id(number: u8) -> ImageId {
    ImageId::from_random_bytes([number; 16])
}

pub fn object(name: &str, body: impl Into<Body>) -> PutObject {
    PutObject {
        key: key(name),
        body: body.into(),
        media: Format::Png.into(),
        sha256: None,
        metadata: ObjectMetadata::new(),
    }
}

pub fn with_digest(mut object: PutObject, bytes: &[u8]) -> PutObject {
    object.sha256 = Some(Sha256Digest::of(bytes));
    object
}

/// Bytes in which no chunk equals another.
pub fn picture(size_bytes: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![seed; size_bytes];
    for (index, chunk) in bytes.chunks_mut(1000).enumerate() {
        for (byte, value) in chunk.iter_mut().zip(index.to_le_bytes()) {
            *byte = byte.wrapping_add(value);
        }
    }
    bytes
}
