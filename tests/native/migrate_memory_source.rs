//! A third kind of source: pictures in memory, in no database. What an action needs of a source is in `migrate::seam`; this is all of it.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use stillstore::bytes::{Blob, Body, BodyError, ByteSource};
use stillstore::catalog::{Associations, Content, Description, ImageRecord, SourceItem, Status, moved};
use stillstore::image::{Format, ImageId, Labels, ObjectKey, Sha256Digest, Visibility};
use stillstore::migrate::seam::{
    Bounds, Catalogued, Change, Contents, Destination, Entry, IdType, InFlight, ItemError, Items, Kind, Movable,
    NewCopy, Objects, Originals, Page, PageItem, Prepared, Refusal, SliceContext, Source, Stage, Surroundings, Switch,
    item_id, record_anew,
};
use stillstore::migrate::{Interruption, OWN_BINDING, Run, SourceError, SourceStatus};
use stillstore::runtime::{Runtime, Timestamp};
use stillstore::sql::{DatabaseCall, DatabaseError, Fault, QueryResult, Statement};
use stillstore::store::{ObjectInfo, PutReceipt, StorageKind, StoreCall};

use crate::api::migrate_crash::{Seam, ask_until_crash, assert_honest, take_up, walk};
use crate::api::world::World;
use crate::image_fixtures::bytes;
use crate::migrate_table::{act, clean};

const NAME: &str = "memory";
const PREFIX: &str = "tables/memory/";

/// The pictures, and why nobody can get at them.
#[derive(Default)]
struct Pictures {
    held: RefCell<BTreeMap<String, Vec<u8>>>,
    outage: RefCell<Option<Outage>>,
}

#[derive(Debug, Clone)]
enum Outage {
    NobodyAnswers,
    EachBodyEnds(BodyError),
}

/// A body that gives an error in place of its bytes.
struct EndsEarly(BodyError);

#[async_trait(?Send)]
impl ByteSource for EndsEarly {
    async fn peek(&mut self, _max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        Err(self.0.clone())
    }

    async fn next(&mut self, _max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        Err(self.0.clone())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

struct MemoryKind(Rc<Pictures>);
struct MemoryItems(Rc<Pictures>);
struct MemoryOriginals(Rc<Pictures>, Destination);
struct MemoryObjects;

/// A picture on its way. Its digest is not known before it was put.
struct Picture {
    item: String,
    pictures: Rc<Pictures>,
}

#[async_trait(?Send)]
impl Kind for MemoryKind {
    async fn names(&self) -> Result<Vec<String>, DatabaseError> {
        Ok(vec![NAME.to_owned()])
    }

    fn binding(&self, name: &str) -> Option<String> {
        (name == NAME).then(|| OWN_BINDING.to_owned())
    }

    async fn check(&self, _name: &str) -> Result<Result<(), SourceError>, DatabaseError> {
        Ok(Ok(()))
    }

    async fn open(&self, _run: &Run, around: &Surroundings) -> Result<Result<Source, SourceError>, DatabaseError> {
        Ok(Ok(Source {
            ids: IdType::Text,
            place: NAME.to_owned(),
            items: Box::new(MemoryItems(Rc::clone(&self.0))),
            originals: Box::new(MemoryOriginals(Rc::clone(&self.0), around.destination.clone())),
            objects: Box::new(MemoryObjects),
            archive: None,
            references: None,
        }))
    }

    async fn shows(&self, _: &str, item: &str, _: ImageId) -> Result<Result<bool, SourceError>, DatabaseError> {
        Ok(Ok(self.0.held.borrow().contains_key(item)))
    }

    async fn statuses(&self, _runtime: &Rc<dyn Runtime>) -> Result<Vec<SourceStatus>, DatabaseError> {
        Ok(Vec::new())
    }

    async fn count_on(&self, _runtime: &Rc<dyn Runtime>) -> Result<(), DatabaseError> {
        Ok(())
    }
}

#[async_trait(?Send)]
impl Items for MemoryItems {
    fn select(&self, _run: &Run, _bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        Ok(Vec::new())
    }

    fn count(&self, _run: &Run) -> Statement {
        Statement::new("SELECT ?1 AS items").bind(i64::try_from(self.0.held.borrow().len()).unwrap())
    }

    async fn prepare(
        &self,
        run: &Run,
        _found: Vec<QueryResult>,
        bounds: Bounds,
        _context: &SliceContext<'_>,
    ) -> Result<Prepared, Interruption> {
        let after = run.cursor.as_ref().and_then(|cursor| cursor["after"].as_str()).unwrap_or_default();
        let held = self.0.held.borrow();
        let behind = held.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        let items: Vec<_> = behind
            .take(usize::from(bounds.limit))
            .map(|(item, _)| {
                let picture = Picture { item: item.clone(), pictures: Rc::clone(&self.0) };
                let found = Some(Ok(Box::new(picture) as Box<dyn Movable>));
                Ok(PageItem { id: item_id(IdType::Text, item)?, found, cursor: json!({ "after": item }) })
            })
            .collect::<Result<_, DatabaseError>>()?;
        let is_last = items.len() < usize::from(bounds.limit);
        Ok(Prepared::of(Page { items, is_last, largest_bytes: 0 }))
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        Statement::new(
            "SELECT 0 AS waits FROM stillstore_moves WHERE source = ?1 AND storage_key = ?2 AND item_id = ?3 \
             AND stage <> 'restored' UNION ALL SELECT 1 AS waits ORDER BY waits LIMIT 1",
        )
        .bind(NAME)
        .bind(in_flight.key.as_str())
        .bind(in_flight.item.to_string())
    }
}

impl Picture {
    fn id(&self) -> ImageId {
        ImageId::from_digest(&Sha256Digest::of(self.item.as_bytes()))
    }
}

#[async_trait(?Send)]
impl Movable for Picture {
    fn copy(&self) -> NewCopy {
        let key = ObjectKey::try_from(format!("{PREFIX}{}.png", self.id())).unwrap();
        NewCopy { key, media: Format::Png.into(), sha256: None, metadata: BTreeMap::new(), headers: None }
    }

    async fn open(&self) -> Result<Body, Refusal> {
        match &*self.pictures.outage.borrow() {
            Some(Outage::NobodyAnswers) => return Err(Refusal::of_source("memory-is-down", "nobody answers")),
            Some(Outage::EachBodyEnds(error)) => {
                return Ok(Body::from_source(Box::new(EndsEarly(error.clone())), Some(1)));
            }
            None => {}
        }
        let held = self.pictures.held.borrow().get(&self.item).cloned();
        held.map(Body::from).ok_or_else(|| Refusal::failed("original-missing", "there is no such picture"))
    }

    async fn check(&self) -> Result<Contents, Refusal> {
        let bytes = self.open().await?.collect(1 << 20).await.unwrap().to_vec();
        Ok(Contents { size_bytes: bytes.len() as u64, sha256: Sha256Digest::of(&bytes) })
    }

    fn switch(&self, run: &Run, receipt: &PutReceipt, now: Timestamp) -> Result<Switch, DatabaseError> {
        let NewCopy { key, .. } = self.copy();
        let entry = Entry {
            item: self.item.clone(),
            stage: Stage::Moved,
            image_id: self.id(),
            key: key.clone(),
            content_type: Format::Png.content_type().to_owned(),
            size_bytes: receipt.size_bytes,
            sha256: receipt.sha256,
            original: json!({}),
            run_id: run.id.clone(),
            moved_at: now,
        };
        let image = ImageRecord {
            description: Description {
                id: self.id(),
                key,
                format: Format::Png,
                visibility: Visibility::Public,
                filename: None,
                context: None,
                associations: Associations::default(),
                labels: Labels::default(),
                owner_id: None,
                frame: None,
                parent_id: None,
                moved_from: Some(SourceItem { source: NAME.to_owned(), item: self.item.clone() }),
                created_at: now,
            },
            version: 1,
            status: Status::Stored,
            storage: StorageKind::R2,
            content: Some(Content {
                size_bytes: receipt.size_bytes,
                sha256: receipt.sha256,
                dimensions: None,
                orientation: None,
            }),
            generation: None,
            fallback_reason: None,
            embedded_write_id: None,
            placeholder: None,
            two_homes: Some(false),
            updated_at: now,
        };
        let statements = vec![
            moved::record_moved(&image)?,
            record_anew(NAME, &entry, Catalogued::Present, &moved::kept_by_journal(&image)?),
        ];
        Ok(Switch { statements, staged: (None, Some(Stage::Moved)), ..Switch::default() })
    }
}

impl MemoryOriginals {
    /// The picture, if it is held and what was moved.
    fn held(&self, entry: &Entry) -> Result<Option<()>, ItemError> {
        match self.0.held.borrow().get(&entry.item) {
            Some(bytes) if Sha256Digest::of(bytes) == entry.sha256 => Ok(Some(())),
            Some(_) => Err(Refusal::failed("source-changed", "the picture is not what was moved").into()),
            None => Ok(None),
        }
    }
}

#[async_trait(?Send)]
impl Originals for MemoryOriginals {
    fn load(&self, _entry: &Entry) -> Statement {
        Statement::new("SELECT 1 AS one")
    }

    async fn restore(&self, entry: &Entry, _: &QueryResult, context: &SliceContext<'_>) -> Result<Change, ItemError> {
        if self.held(entry)?.is_none() {
            let copy = self.1.fetch(entry, context).await?;
            self.0.held.borrow_mut().insert(entry.item.clone(), copy.to_vec());
        }
        let statements = Vec::from(moved::forget_moved(NAME, &[entry.image_id], context.runtime.now())?);
        Ok(Change { statements, original: json!({}), ..Change::default() })
    }

    async fn forget(&self, _: &Entry, _: &QueryResult, _: &SliceContext<'_>) -> Result<Option<Change>, ItemError> {
        // A picture that is not held was cleaned.
        Ok(None)
    }

    async fn check(&self, entry: &Entry, _: &QueryResult, context: &SliceContext<'_>) -> Result<(), ItemError> {
        if self.held(entry)?.is_none() {
            self.1.read_back(entry, context).await?;
        }
        Ok(())
    }

    async fn holds(&self, entry: &Entry, _: &QueryResult, _: &SliceContext<'_>) -> Result<(), ItemError> {
        self.held(entry)?.ok_or_else(|| Refusal::failed("original-missing", "there is no such picture").into())
    }

    async fn clean(&self, entry: &Entry, _: &QueryResult, context: &SliceContext<'_>) -> Result<Change, ItemError> {
        self.held(entry)?;
        self.1.read_back(entry, context).await?;
        if !context.run.is_dry_run() {
            self.0.held.borrow_mut().remove(&entry.item);
        }
        let touch = "UPDATE stillstore_images SET version = version + 1 WHERE id = ?1";
        let statements = vec![Statement::new(touch).bind(entry.image_id.to_string())];
        Ok(Change { statements, original: json!({}), freed_bytes: entry.size_bytes, ..Change::default() })
    }

    fn operations_per_item(&self) -> u64 {
        10
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        MemoryItems(Rc::clone(&self.0)).names(in_flight)
    }
}

impl Objects for MemoryObjects {
    fn prefix(&self) -> String {
        PREFIX.to_owned()
    }

    fn owns(&self, object: &ObjectInfo) -> bool {
        object.key.as_str().starts_with(PREFIX)
    }

    fn image_of(&self, _object: &ObjectInfo) -> Option<ImageId> {
        None
    }

    fn rows_in_bucket(&self, _after: Option<&ObjectKey>) -> Option<Statement> {
        None
    }
}

const ITEMS: [&str; 3] = ["a", "b", "c"];

/// A deployment with pictures in memory.
fn world() -> (World, Rc<Pictures>) {
    let mut world = World::new(true);
    let pictures = Rc::new(Pictures::default());
    pictures
        .held
        .borrow_mut()
        .extend(ITEMS.map(|item| (item.to_owned(), [bytes("rgb.png"), item.as_bytes().to_vec()].concat())));
    world.app.services.more_kinds = vec![Rc::new(MemoryKind(Rc::clone(&pictures)))];
    (world, pictures)
}

fn run(action: &str) -> Json {
    json!({"action": action, "source": NAME, "batchSize": 2})
}

#[test]
fn every_action_does_what_it_does_for_the_built_in_sources() {
    let (world, pictures) = world();
    let all = pictures.held.borrow().clone();
    let done = |body: &Json, count: &str| {
        let run = act(&world, body);
        assert_eq!((&run["result"][count], &run["state"]), (&json!(3), &json!("completed")), "{body} {run}");
    };
    done(&json!({"action": "migrate", "source": NAME, "dryRun": true}), "total");
    assert!(world.bucket.inner.contents().keys().all(|key| !key.starts_with(PREFIX)));
    done(&run("migrate"), "migrated");
    let listed = world.call("GET", "/api/images", None).json();
    assert_eq!(listed["images"].as_array().unwrap().len(), 3);
    done(&json!({"action": "validate", "source": NAME, "checkIntegrity": true}), "valid");
    assert_eq!(clean(&world, NAME)["result"]["cleaned"], 3);
    assert!(pictures.held.borrow().is_empty());
    for (item, bytes) in &all {
        let id = ImageId::from_digest(&Sha256Digest::of(item.as_bytes()));
        assert_eq!(world.call("GET", &format!("/images/{id}"), None).body, *bytes, "{item}");
    }
    done(&json!({"action": "rollback", "source": NAME, "deleteFromR2": true}), "rolledBack");
    assert_eq!(*pictures.held.borrow(), all);
    assert!(world.call("GET", "/api/images", None).json()["images"].as_array().unwrap().is_empty());
    let refused = act(&world, &run("backup"));
    assert_eq!(refused["state"], "failed", "{refused}");
}

#[test]
fn an_outage_of_the_source_lets_the_run_wait_and_not_its_items_fail() {
    let broken = [BodyError::Interrupted("the connection broke".to_owned()), BodyError::TimedOut];
    for outage in broken.map(Outage::EachBodyEnds).into_iter().chain([Outage::NobodyAnswers]) {
        let case = format!("{outage:?}");
        let (world, pictures) = world();
        pictures.outage.replace(Some(outage));
        let answer = world.post_json("/api/migrate-images", &run("migrate"), &[]);
        assert_eq!((answer.status, answer.code().as_str()), (503, "source-unavailable"), "{case}: {answer:?}");
        pictures.outage.replace(None);
        let ended = take_up(&world, &case);
        assert_eq!(
            (&ended["state"], &ended["progress"]["failed"]),
            (&json!("completed"), &json!(0)),
            "{case}: {ended}"
        );
        assert_eq!(ended["progress"]["succeeded"], 3, "{case}: {ended}");
    }
}

#[test]
fn every_action_survives_every_failure() {
    for flow in ["migrate", "cleanup", "rollback", "validate"] {
        walk(flow, &[Seam::Database, Seam::Bucket], |seam, nth, fault| check(flow, seam, nth, fault));
    }
}

/// Runs `flow` with the `nth` call of a seam failing; says whether the failure came.
fn check(flow: &str, seam: Seam, nth: usize, fault: Fault) -> bool {
    let case = format!("{flow}, {seam:?} call {nth}, {fault:?}");
    let (world, pictures) = world();
    let all = pictures.held.borrow().clone();
    if flow != "migrate" {
        act(&world, &run("migrate"));
    }
    if flow == "rollback" {
        clean(&world, NAME);
    }
    world.runtime.advance(31 * 24 * 60 * 60 * 1000);
    match seam {
        Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Bucket | Seam::Other => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
    }
    let answer = ask_until_crash(&world, &run(flow));
    let has_failed = world.database.plan.has_failed() || world.bucket.plan.has_failed();
    world.database.plan.heal();
    world.bucket.plan.heal();
    assert_honest(answer.as_ref(), &case);
    for (item, bytes) in &all {
        let id = ImageId::from_digest(&Sha256Digest::of(item.as_bytes()));
        let is_held = pictures.held.borrow().get(item) == Some(bytes);
        assert!(is_held || world.call("GET", &format!("/images/{id}"), None).body == *bytes, "{case}: {item}");
    }
    if world.call("GET", "/api/migrate-images", None).json()["run"]["state"] == "running" {
        take_up(&world, &case);
    }
    act(&world, &run("migrate"));
    act(&world, &run("rollback"));
    assert_eq!(*pictures.held.borrow(), all, "{case}");
    has_failed
}
