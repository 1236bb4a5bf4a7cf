//! The objects of the other bucket that are new, or that have changed since they were copied.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::json;

use super::config::{BucketSource, Others};
use super::in_parts::{self, Halt, Progress, WholeInParts};
use super::movable::{BucketMovable, MAX_OBJECT_BYTES, SetAside};
use super::state::{self, Known, ObjectState};
use crate::image::{ImageId, ObjectKey, Visibility};
use crate::migrate::destination::Destination;
use crate::migrate::runs::{IdType, InFlight, ItemId, Run, Stage, Verdict};
use crate::migrate::source::{InPartsSettings, Items, Movable, PartSizes, Prepared, Readers};
use crate::migrate::task::{
    Bounds, Interruption, Page, PageItem, Refusal, SliceContext, item_id, listed_ids, listed_page,
};
use crate::s3::{Client, ListedObject, Listing, ReadError};
use crate::sql::{DatabaseError, QueryResult, Statement};

/// The objects of a bucket.
pub struct BucketItems {
    pub source: Rc<BucketSource>,
    pub client: Rc<Client>,
    /// Whoever knows a key can read the object.
    pub bucket_is_public: bool,
    /// How objects are put that are too long for one put; those are refused without it.
    pub in_parts: Option<InPartsSettings>,
    pub destination: Destination,
    /// What is left of the page that was listed last, and the key behind which it begins.
    pub page: RefCell<Option<(Option<String>, Listing)>>,
    /// Whether an object was found not to be what was listed.
    pub has_changed: Rc<Cell<bool>>,
    /// What the slice found to be no images.
    pub set_aside: SetAside,
}

type Item = PageItem<Result<Box<dyn Movable>, Refusal>>;

impl BucketItems {
    /// The objects behind `after`, from the page that was listed last where it has them.
    async fn behind(&self, after: Option<&str>, context: &SliceContext<'_>) -> Result<Listing, Interruption> {
        if self.has_changed.take() {
            self.page.replace(None);
        }
        if let Some((from, mut listing)) = self.page.take()
            && from.as_deref() <= after
        {
            listing.objects.retain(|object| Some(object.key.as_str()) > after);
            if !listing.objects.is_empty() || !listing.is_truncated {
                return Ok(listing);
            }
        }
        // Listing may take as long as an object; the lease is renewed first.
        context.announce(&[], Vec::new()).await?;
        self.client.list(&self.source.prefix, after).await.map_err(interruption)
    }

    fn keep(&self, after: Option<&str>, listing: Listing) {
        self.page.replace(Some((after.map(str::to_owned), listing)));
    }

    /// What is to be done with an object; `None` when this state of it was copied.
    fn consider(
        &self,
        run: &Run,
        object: &ListedObject,
        known: &Known,
        readers: &Rc<Readers>,
    ) -> Option<Result<Box<dyn Movable>, Refusal>> {
        let movable = match self.copy_of(object, known)? {
            Ok(movable) => movable,
            Err(refusal) => return Some(Err(refusal)),
        };
        let is_set_aside = self.source.others == Others::Skip && known.is_set_aside(&object.key, &movable.state);
        if is_set_aside && run.is_dry_run() {
            return Some(Err(Refusal::withheld(
                "not-an-image",
                "a run has read it, and the source copies images only",
            )));
        }
        if is_set_aside {
            return None;
        }
        if run.is_dry_run() {
            let would_move = Refusal::new(Verdict::WouldMove, "not-read", "a dry run reads no object");
            return Some(Err(Refusal { size_bytes: Some(movable.state.size_bytes), ..would_move }));
        }
        readers.ask_of(&object.key);
        Some(Ok(Box::new(BucketMovable { readers: Some(Rc::clone(readers)), ..movable })))
    }

    /// The copy that an object is to get; `None` when this state of it was copied.
    pub fn copy_of(&self, object: &ListedObject, known: &Known) -> Option<Result<BucketMovable, Refusal>> {
        let copied = known.copied(&object.key);
        let state = ObjectState::of(object);
        let standing = copied.filter(|copied| copied.stage != Stage::Restored);
        if standing.is_some_and(|copied| state.is_copied(copied)) {
            return None;
        }
        let image_id = state.image_id(&self.source.name, &object.key);
        if known.is_deleted(image_id) {
            return Some(Err(Refusal::skipped("deleted", "the copy was deleted here, and stays deleted")));
        }
        if self.bucket_is_public && self.source.visibility == Visibility::Private {
            let detail = "whoever knew its key could read it";
            return Some(Err(Refusal::withheld("private-image-and-public-bucket", detail)));
        }
        let most_bytes = self.in_parts.as_ref().map_or(MAX_OBJECT_BYTES, |_| PartSizes::MOST_BYTES);
        if state.size_bytes > most_bytes {
            let detail = format!("the object has {} bytes, over {most_bytes}", state.size_bytes);
            return Some(Err(Refusal::failed("too-large", detail)));
        }
        if object.key.split('/').any(|segment| matches!(segment, "." | "..")) {
            let detail = "no request can name the object, since its key has a segment . or ..";
            return Some(Err(Refusal::failed("key-not-possible", detail)));
        }
        let Some(key) = self.key_of(object, &state, image_id, known) else {
            let detail = "the copy's key would be reserved, over 1,024 bytes, or have U+0000";
            return Some(Err(Refusal::failed("key-not-possible", detail)));
        };
        Some(Ok(BucketMovable {
            client: Rc::clone(&self.client),
            source: Rc::clone(&self.source),
            object: object.key.clone(),
            state,
            key,
            image_id,
            earlier: copied.map(|copied| (copied.stage, copied.storage_key.clone())),
            set_aside: Rc::clone(&self.set_aside),
            has_changed: Rc::clone(&self.has_changed),
            opened: RefCell::new(None),
            readers: None,
        }))
    }

    /// The key of a state's copy: the one that it has in the catalogue or had before a rollback, else the plain one unless that is of
    /// another state's copy, or anybody's.
    fn key_of(
        &self,
        object: &ListedObject,
        state: &ObjectState,
        image_id: ImageId,
        known: &Known,
    ) -> Option<ObjectKey> {
        if let Some(key) = known.key_of(image_id) {
            return Some(key.clone());
        }
        let copied = known.copied(&object.key);
        if let Some(copied) = copied.filter(|copied| state.is_copied(copied)) {
            return copied.storage_key.clone().try_into().ok();
        }
        let plain = self.source.key_of(&object.key, None);
        if copied.is_some() || plain.as_ref().is_some_and(|plain| known.is_held(plain, image_id)) {
            return self.source.key_of(&object.key, Some(&state.digits()));
        }
        plain
    }

    /// How an object is put in parts, when it is so long.
    fn parts_of(&self, object: &ListedObject) -> Option<&InPartsSettings> {
        self.in_parts.as_ref().filter(|settings| object.size_bytes > settings.sizes.above_bytes)
    }

    /// Comes on with an object that is put in parts, which is the first behind `after`. Once its parts are all there, it is the only item of
    /// the page.
    async fn put_in_parts(
        &self,
        run: &Run,
        movable: BucketMovable,
        settings: &InPartsSettings,
        after: Option<&str>,
        context: &SliceContext<'_>,
    ) -> Result<Prepared, Interruption> {
        let id = item_id(IdType::Text, &movable.object)?;
        let cursor = json!({ "after": movable.object });
        let alone = |found| {
            let items = vec![PageItem { id, found: Some(found), cursor }];
            Prepared::of(Page { items, is_last: false, largest_bytes: 0 })
        };
        let going_on = |cursor| Prepared {
            cursor: Some(cursor),
            ..Prepared::of(Page { items: Vec::new(), is_last: false, largest_bytes: 0 })
        };
        let saved = Progress::of_cursor(run.cursor.as_ref());
        let was_whole = saved.as_ref().is_some_and(|saved| saved.is_whole() && saved.is_of(&movable));
        match in_parts::go_on(&movable, settings, &self.destination, saved, context).await {
            // What the bucket has is written down before the object is made of it.
            Ok(progress) if !was_whole => Ok(going_on(progress.into_cursor(after))),
            Ok(progress) => {
                let whole = WholeInParts::new(movable, progress, settings.clone(), self.destination.clone());
                Ok(alone(Ok(Box::new(whole) as Box<dyn Movable>)))
            }
            Err(Halt::Anew) => Ok(going_on(after.map_or_else(|| json!({}), |after| json!({ "after": after })))),
            Err(Halt::Refused(refusal)) => Ok(alone(Err(refusal))),
            Err(Halt::Run(interruption)) => Err(interruption),
        }
    }

    /// Objects that the caller named.
    async fn named(
        &self,
        run: &Run,
        found: &[QueryResult],
        context: &SliceContext<'_>,
    ) -> Result<Option<Prepared>, Interruption> {
        let Some(page) = listed_page(run, IdType::Text, found, |_| Ok(None::<()>))? else { return Ok(None) };
        let mut items: Vec<Item> = Vec::new();
        let readers = Readers::of(&self.source.name);
        for PageItem { id, cursor, .. } in page.items {
            let object = self.client.find(&id.as_text()).await.map_err(interruption)?;
            let object = object.filter(|object| object.key.starts_with(&self.source.prefix));
            let found = match object {
                None => Err(Refusal::failed("not-found", "the bucket has no such object under the prefix")),
                Some(object) if self.parts_of(&object).is_some() && !run.is_dry_run() => {
                    let detail = "an object of this size is copied in parts, by a run over all objects";
                    Err(Refusal::failed("too-large", detail))
                }
                Some(object) => {
                    let asked = state::known(&self.source, std::slice::from_ref(&object))?;
                    let known = state::known_of(&context.read(Vec::from(asked)).await?)?;
                    self.consider(run, &object, &known, &readers)
                        .unwrap_or_else(|| Err(settled_before(&object, &known)))
                }
            };
            items.push(PageItem { id, found: Some(found), cursor });
        }
        Ok(Some(Prepared::of(Page { items, is_last: page.is_last, largest_bytes: 0 })))
    }
}

/// Why a named object needs nothing done.
fn settled_before(object: &ListedObject, known: &Known) -> Refusal {
    if known.is_set_aside(&object.key, &ObjectState::of(object)) {
        Refusal::skipped("not-an-image", "a run has read it, and the source copies images only")
    } else {
        Refusal::skipped("already-moved", "the object was copied as it is")
    }
}

/// Why a bucket cannot be listed. What only its operator can change ends the run.
fn interruption(error: ReadError) -> Interruption {
    let detail = error.to_string();
    match error {
        ReadError::Unavailable { .. } | ReadError::Timeout => Interruption::Source { detail },
        ReadError::Forbidden { .. } => Interruption::Fatal { reason: "source-forbidden", detail },
        ReadError::Gone | ReadError::Changed | ReadError::TooLarge | ReadError::Unreadable { .. } => {
            Interruption::Fatal { reason: "source-unreadable", detail }
        }
    }
}

#[async_trait(?Send)]
impl Items for BucketItems {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        let named = listed_ids(run, bounds.limit).unwrap_or_default();
        Ok(named.into_iter().map(|_| Statement::new("SELECT 1 AS one")).collect())
    }

    fn count(&self, _run: &Run) -> Statement {
        // Only a listing could say.
        Statement::new("SELECT NULL AS items")
    }

    async fn prepare(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Prepared, Interruption> {
        if let Some(named) = self.named(run, &found, context).await? {
            return Ok(named);
        }
        let after = run.cursor.as_ref().and_then(|cursor| cursor.get("after")?.as_str());
        let listing = self.behind(after, context).await?;
        // The page is asked about as far as a slice of new objects goes. When some of these were copied, all the rest follows at once.
        let (first, rest) = listing.objects.split_at(usize::from(bounds.limit).min(listing.objects.len()));
        let asked = state::known(&self.source, first)?;
        let mut known = state::known_of(&context.read(Vec::from(asked)).await?)?;
        let readers = Readers::of(&self.source.name);
        let mut items: Vec<Item> = Vec::new();
        let mut reached = 0_usize;
        for (at, object) in listing.objects.iter().enumerate() {
            if at == first.len() && items.len() < usize::from(bounds.limit) {
                let asked = state::known(&self.source, rest)?;
                known = state::known_of(&context.read(Vec::from(asked)).await?)?;
            }
            let is_set_aside =
                self.source.others == Others::Skip && known.is_set_aside(&object.key, &ObjectState::of(object));
            let parts = self.parts_of(object).filter(|_| !run.is_dry_run() && !is_set_aside);
            if let Some((settings, Ok(movable))) = parts.zip(parts.and_then(|_| self.copy_of(object, &known))) {
                if !items.is_empty() {
                    break;
                }
                let before = reached.checked_sub(1).and_then(|last| listing.objects.get(last));
                let before = before.map(|object| object.key.clone()).or_else(|| after.map(str::to_owned));
                let movable = BucketMovable { readers: Some(Rc::clone(&readers)), ..movable };
                readers.ask_of(&object.key);
                let prepared = self.put_in_parts(run, movable, settings, before.as_deref(), context).await?;
                self.keep(after, listing);
                return Ok(prepared);
            }
            if let Some(found) = self.consider(run, object, &known, &readers) {
                if items.len() == usize::from(bounds.limit) {
                    break;
                }
                let id = item_id(IdType::Text, &object.key)?;
                items.push(PageItem { id, found: Some(found), cursor: json!({ "after": object.key }) });
            }
            reached += 1;
        }
        let until = reached.checked_sub(1).and_then(|last| listing.objects.get(last)).map(|object| object.key.clone());
        let is_last = !listing.is_truncated && reached == listing.objects.len();
        let cursor = until.map(|until| json!({ "after": until }));
        if let (Some(item), Some(cursor)) = (items.last_mut(), &cursor) {
            // Behind the last item of the slice are only objects that were copied.
            item.cursor = cursor.clone();
        }
        self.keep(after, listing);
        Ok(Prepared { cursor, ..Prepared::of(Page { items, is_last, largest_bytes: 0 }) })
    }

    fn settled(&self, _run: &Run, item: &ItemId) -> Vec<Statement> {
        let found = self.set_aside.borrow_mut().remove(&*item.as_text());
        found.map(|state| state::set_aside(&self.source.name, &item.as_text(), &state)).into_iter().collect()
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        names(&self.source.name, in_flight)
    }
}

/// Answers with `waits` 0 when the journal names the object, which a rollback may have left, or a reader who fetches it answers for it; 1 when the object may yet be copied.
pub fn names(source: &str, in_flight: &InFlight) -> Statement {
    Statement::new(
        "SELECT 0 AS waits FROM stillstore_moves WHERE source = ?1 AND item_id = ?2 AND storage_key = ?3 UNION ALL SELECT 0 AS waits FROM stillstore_read_throughs WHERE source = ?1 AND item_id = ?2 \
         UNION ALL SELECT 1 AS waits ORDER BY waits LIMIT 1",
    )
    .bind(source)
    .bind(&*in_flight.item.as_text())
    .bind(in_flight.key.as_str())
}
