//! What the catalogue's tests stand on: a real database that refuses bad plans, counts calls and loses answers.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use async_trait::async_trait;
use futures::FutureExt;
use stillstore::catalog::{
    Associations, CachePurge, Catalog, Commit, Committed, Content, Description, Frame, GenerationRecord, ImageRecord,
    MovedImages, OwnerFilter, SourceItem, Status,
};
use stillstore::image::{
    CollectionId, Context, Dimensions, FailedProvider, Format, ImageId, Labels, ObjectKey, Orientation, Sha256Digest,
    UserId, Visibility,
};
use stillstore::runtime::Timestamp;
use stillstore::sql::{Database, DatabaseError, DatabaseErrorKind, QueryResult, Statement};
use stillstore::store::StorageKind;

use crate::sqlite::Sqlite;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    BeforeEffect,
    AfterEffect,
}

/// SQLite in which every statement must be planned without scanning or sorting a table.
pub struct Watched {
    sqlite: Sqlite,
    calls: Cell<u64>,
    /// The number of the call that fails, and how.
    fault: Cell<Option<(u64, Fault)>>,
    last_sql: RefCell<String>,
    /// Statements whose plan was looked at.
    well_planned: RefCell<HashSet<String>>,
}

impl Watched {
    /// The statement that ran last.
    pub fn last_sql(&self) -> String {
        self.last_sql.borrow().clone()
    }

    pub fn plan(&self, sql: &str) -> String {
        self.sqlite.plan(sql)
    }

    fn refuse_a_bad_plan(&self, sql: &str) {
        // What the operator looks at has a row for each kind, context and owner, and is sorted.
        if sql.contains("FROM stillstore_holdings") {
            return;
        }
        // A row of parameters and a list of ids in a parameter are no tables, and what was walked to a limit is bounded by that.
        let plan = self.plan(sql).replace("SCAN CONSTANT ROW", "").replace("SCAN json_each", "");
        let plan = plan.replace("SCAN walked", "");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
}

#[async_trait(?Send)]
impl Database for Watched {
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<QueryResult>, DatabaseError> {
        self.calls.set(self.calls.get() + 1);
        for statement in &statements {
            let first_time = self.well_planned.borrow_mut().insert(statement.sql.to_string());
            if first_time {
                self.refuse_a_bad_plan(&statement.sql);
            }
            self.last_sql.replace(statement.sql.to_string());
        }
        let lost = || Err(DatabaseError::new(DatabaseErrorKind::Unavailable, "injected"));
        match self.fault.get().filter(|(call, _)| *call == self.calls.get()).map(|(_, fault)| fault) {
            None => self.sqlite.batch(statements).await,
            Some(Fault::BeforeEffect) => lost(),
            Some(Fault::AfterEffect) => {
                drop(self.sqlite.batch(statements).await);
                lost()
            }
        }
    }
}

/// A catalogue over an empty database.
pub struct Shelf {
    pub catalog: Catalog,
    pub database: Rc<Watched>,
}

impl Shelf {
    pub fn new() -> Self {
        let database = Rc::new(Watched {
            sqlite: Sqlite::migrated(),
            calls: Cell::new(0),
            fault: Cell::new(None),
            last_sql: RefCell::default(),
            well_planned: RefCell::default(),
        });
        Self { catalog: Catalog::new(database.clone()), database }
    }

    /// Makes the next call fail.
    pub fn fail_next(&self, fault: Fault) {
        self.fail_after(0, fault);
    }

    /// Makes the call after the next `calls` fail.
    pub fn fail_after(&self, calls: u64, fault: Fault) {
        self.database.fault.set(Some((self.database.calls.get() + calls + 1, fault)));
    }

    /// Round trips that `work` takes.
    pub fn calls_of<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let before = self.database.calls.get();
        let output = done(work);
        (output, self.database.calls.get() - before)
    }

    /// Runs SQL behind the catalogue's back, without the checks.
    pub fn sql(&self, sql: &str) -> Result<Vec<serde_json::Value>, DatabaseError> {
        done(self.database.sqlite.run(Statement::new(sql.to_owned())))?.rows()
    }

    pub fn find(&self, id: ImageId) -> Option<ImageRecord> {
        done(self.catalog.find(id, &OwnerFilter::Any)).expect("find")
    }

    pub fn status(&self, id: ImageId) -> Option<Status> {
        self.find(id).map(|record| record.status)
    }

    pub fn version(&self, id: ImageId) -> i64 {
        self.find(id).expect("a row").version
    }

    /// Brings image `number` into `status` by the ordinary operations.
    pub fn image_in(&self, number: u64, status: Status) -> Description {
        let description = description(number);
        done(self.catalog.reserve(&description, StorageKind::R2, 1, at(0))).expect("reserve");
        if status != Status::Pending {
            self.store(&description, StorageKind::R2);
        }
        if matches!(status, Status::Deleting | Status::Deleted) {
            done(self.catalog.begin_delete(description.id, &OwnerFilter::Any, MovedImages::Go, at(2))).expect("begin");
        }
        if status == Status::Deleted {
            done(self.catalog.finish_delete(
                description.id,
                self.version(description.id),
                &CachePurge::Needless,
                at(3),
            ))
            .expect("finish");
        }
        description
    }

    pub fn store(&self, description: &Description, storage: StorageKind) -> ImageRecord {
        let content = content();
        let commit = Commit { storage, ..plain_commit(description, &content) };
        match done(self.catalog.commit(commit)).expect("commit") {
            Committed::Done(record) => record,
            other => panic!("not stored: {other:?}"),
        }
    }
}

/// The output of work that waits for nothing, as work on an in-memory database does.
pub fn done<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("work that waits for nothing")
}

/// A moment `seconds` into the tests.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000).plus_millis(seconds * 1000)
}

pub fn id(number: u64) -> ImageId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    ImageId::from_random_bytes(bytes)
}

pub fn user(name: &str) -> UserId {
    UserId::try_from(name.to_owned()).expect("user")
}

pub fn collection(name: &str) -> CollectionId {
    CollectionId::try_from(name.to_owned()).expect("collection")
}

pub fn key(path: &str) -> ObjectKey {
    ObjectKey::try_from(path.to_owned()).expect("key")
}

/// A description with every field filled in; all of them tell one image from another.
pub fn description(number: u64) -> Description {
    let labels = [("mood".to_owned(), format!("calm \"{number}\""))];
    Description {
        id: id(number),
        key: key(&format!("portraits/2023/11/{number}_jane-doe.png")),
        format: Format::Png,
        visibility: Visibility::Private,
        filename: Some(format!("Jane Doe {number}.png")),
        context: Some(Context::try_from("portraits".to_owned()).expect("context")),
        associations: Associations {
            persona_id: Some(format!("persona-{number}")),
            session_id: Some(format!("session-{number}")),
            participant_id: Some(format!("participant-{number}")),
            table_id: Some(format!("table-{number}")),
        },
        labels: Labels::try_new(labels.into()).expect("labels"),
        owner_id: Some(user(&format!("user-{number}"))),
        frame: Some(Frame {
            collection_id: collection("collection-1"),
            ordinal: u32::try_from(number % 1000).expect("ordinal"),
        }),
        parent_id: Some(id(1_000_000 + number)),
        moved_from: Some(SourceItem { source: "rooms".to_owned(), item: format!("row-{number}") }),
        created_at: at(0),
    }
}

pub fn content() -> Content {
    Content {
        size_bytes: 70_000,
        sha256: Sha256Digest::of(b"image"),
        dimensions: Some(Dimensions { width: 640, height: 480 }),
        orientation: Orientation::try_from(6).ok(),
    }
}

pub fn generation() -> GenerationRecord {
    GenerationRecord {
        provider: "placeholder".to_owned(),
        model: None,
        prompt: "Jane Doe, by the sea".to_owned(),
        prompt_cut: false,
        size: "640x480".to_owned(),
        quality: Some("hd".to_owned()),
        style: None,
        background: None,
        output_format: None,
        output_compression: None,
        revised_prompt: None,
        total_tokens: Some(1056),
        failed_providers: vec![FailedProvider { provider: "openai".to_owned(), reason: "timeout".to_owned() }],
        original_url: None,
    }
}

/// A commit of bytes in R2, and nothing else.
pub fn plain_commit<'image>(description: &'image Description, content: &'image Content) -> Commit<'image> {
    Commit {
        description,
        storage: StorageKind::R2,
        content,
        generation: None,
        fallback_reason: None,
        idempotency: None,
        extra: Vec::new(),
        now: at(1),
    }
}
