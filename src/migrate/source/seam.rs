//! A source of images, as runs see it. Each kind of source is a folder beside this file; no action names one.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;

use super::error::SourceError;
use super::part_sizes::InPartsSettings;
use super::references::References;
use super::status::SourceStatus;
use crate::bytes::Body;
use crate::image::{Format, ImageId, KeySecrets, ObjectKey, Sha256Digest, Visibility};
use crate::migrate::archive::Saving;
use crate::migrate::archive::backup::BackupItem;
use crate::migrate::destination::{Destination, NewCopy, PutError};
use crate::migrate::runs::{Entry, Forecast, IdType, InFlight, ItemId, Run, Stage};
use crate::migrate::task::{Bounds, Counted, Interruption, ItemError, Outcome, Page, Refusal, SliceContext};
use crate::runtime::{Runtime, Timestamp};
use crate::sql::{Database, DatabaseError, QueryResult, Statement};
use crate::store::{EmbeddedStore, ObjectInfo, PutReceipt};

/// What a kind of source may use.
#[derive(Clone)]
pub struct Surroundings {
    pub destination: Destination,
    /// The store of images that the database holds.
    pub embedded: Rc<EmbeddedStore>,
    /// Whoever knows a key can read the object.
    pub bucket_is_public: bool,
    /// Takes objects in parts, when it is bound.
    pub in_parts: Option<InPartsSettings>,
    /// Makes the secret part of private images' keys; they have none without it.
    pub key_secrets: Option<KeySecrets>,
    /// Whether a generated image's object carries its prompt.
    pub prompt_in_metadata: bool,
}

/// One kind of source.
#[async_trait(?Send)]
pub trait Kind {
    /// The sources of this kind.
    ///
    /// # Errors
    /// When the database fails.
    async fn names(&self) -> Result<Vec<String>, DatabaseError>;

    /// The binding of the database that the source, its runs and its journal are in; `None` when the kind has no such source.
    fn binding(&self, name: &str) -> Option<String>;

    /// Whether a source can be used, found out without opening it.
    ///
    /// # Errors
    /// When the database fails; inside, when it cannot be used.
    async fn check(&self, name: &str) -> Result<Result<(), SourceError>, DatabaseError>;

    /// A source, for a run.
    ///
    /// # Errors
    /// As [`Kind::check`].
    async fn open(&self, run: &Run, surroundings: &Surroundings) -> Result<Result<Source, SourceError>, DatabaseError>;

    /// Asks what an item's row says at this moment, by the source's configuration alone; answered with a [`RowNow`] if there is such a row.
    /// `None` for kinds that may not be read through, or whose items are no rows.
    fn row_now(&self, _name: &str, _item: &str) -> Option<Statement> {
        None
    }

    /// Finds an item of the run's source that somebody waits for who reads its image, and begins to read it; refuses one that is no image. For
    /// the kinds that may be read through.
    ///
    /// # Errors
    /// As [`Kind::check`].
    async fn reach(
        &self,
        run: &Run,
        _item: &str,
        _surroundings: &Surroundings,
    ) -> Result<Result<Result<Reached, Refusal>, SourceError>, DatabaseError> {
        Ok(Err(SourceError::Unknown { name: run.source.clone() }))
    }

    /// Whether its originals stay in a database until their cleanup.
    fn holds_originals(&self) -> bool {
        true
    }

    /// Whether the row of an item still shows the image that was moved out of it.
    ///
    /// # Errors
    /// As [`Kind::check`].
    async fn shows(&self, source: &str, item: &str, image: ImageId)
    -> Result<Result<bool, SourceError>, DatabaseError>;

    /// How far each source is, for those kinds whose images nobody else counts. A source that cannot be read says why; the others are
    /// counted all the same.
    ///
    /// # Errors
    /// When the database cannot say which sources there are.
    async fn statuses(&self, runtime: &Rc<dyn Runtime>) -> Result<Vec<SourceStatus>, DatabaseError>;

    /// Goes on with the counts that have begun, as far as one invocation goes.
    ///
    /// # Errors
    /// When a database fails.
    async fn count_on(&self, runtime: &Rc<dyn Runtime>) -> Result<(), DatabaseError>;
}

/// A source that a run has opened.
pub struct Source {
    pub ids: IdType,
    /// What receipts call the place of its originals.
    pub place: String,
    pub items: Box<dyn Items>,
    pub originals: Box<dyn Originals>,
    pub objects: Box<dyn Objects>,
    /// For sources whose rows can be saved and brought back.
    pub archive: Option<Archive>,
    /// For sources whose old URLs are in texts of the application.
    pub references: Option<References>,
}

/// The rows of a source, for backup and restore.
pub struct Archive {
    pub saved: Box<dyn SavedRows>,
    pub returned: Box<dyn ReturnedRows>,
}

/// The items of a source that are to be moved.
#[async_trait(?Send)]
pub trait Items {
    /// Statements that read the next items; they run in the batch that writes down the slice before.
    ///
    /// # Errors
    /// When the run's cursor is not this source's.
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError>;

    /// Counts the items that [`Items::select`] finds, or estimates them; its column is `items`.
    fn count(&self, run: &Run) -> Statement;

    /// Makes of what was found a page of items that are ready to be moved, or says of each why it is not.
    ///
    /// # Errors
    /// When the database fails.
    async fn prepare(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Prepared, Interruption>;

    /// Statements that take effect with whatever comes of an item of the last page, such as one that takes it off a list.
    fn settled(&self, _run: &Run, _item: &ItemId) -> Vec<Statement> {
        Vec::new()
    }

    /// A statement that answers with a row when the item is still there: its column `waits` is 0 when the item names the object, 1 when it
    /// may yet come to name it.
    fn names(&self, in_flight: &InFlight) -> Statement;
}

/// A page of items, each ready to be moved or refused.
pub struct Prepared {
    pub page: Page<Result<Box<dyn Movable>, Refusal>>,
    pub warnings: Vec<String>,
    /// Where the next slice begins, for a page without items that is not the last.
    pub cursor: Option<serde_json::Value>,
    /// What fetching all of them will take, when that has become known.
    pub forecast: Option<Forecast>,
}

impl Prepared {
    /// A page, with nothing to say beside.
    #[must_use]
    pub const fn of(page: Page<Result<Box<dyn Movable>, Refusal>>) -> Self {
        Self { page, warnings: Vec::new(), cursor: None, forecast: None }
    }
}

/// An item that is ready to be moved.
#[async_trait(?Send)]
pub trait Movable {
    /// The object that it becomes.
    fn copy(&self) -> NewCopy;

    /// Reads that its bytes wait for. They come in the round trip that announces the put, and [`Movable::take`] gets their answers.
    fn reads(&self) -> Vec<Statement> {
        Vec::new()
    }

    /// Takes the answers to [`Movable::reads`].
    fn take(&mut self, _answers: Vec<QueryResult>) {}

    /// Makes its object where its bytes are in the bucket already, in parts; `None` where they are put.
    async fn finish(&self) -> Option<Result<PutReceipt, PutError>> {
        None
    }

    /// Its bytes, from their start.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn open(&self) -> Result<Body, Refusal>;

    /// What [`Movable::open`] would give, for a dry run.
    ///
    /// # Errors
    /// When the bytes cannot be read or are not what the source says.
    async fn check(&self) -> Result<Contents, Refusal>;

    /// The statements that make its row name the copy, and the journal's entry.
    ///
    /// # Errors
    /// When what the journal says of the item cannot be read.
    fn switch(&self, run: &Run, receipt: &PutReceipt, now: Timestamp) -> Result<Switch, DatabaseError>;
}

/// The row of an item, as somebody finds it who reads the item's image.
#[derive(Debug, Deserialize)]
pub struct RowNow {
    /// What it names; `None` when the row is not one of the source's, or names nothing that could be fetched.
    pub link: Option<String>,
    /// Whether it names the copy that the journal has of it.
    pub is_moved: u8,
}

/// What was found in a source for somebody who reads an item's image.
pub enum Reached {
    /// The image itself.
    Found(Box<ReachedImage>),
    /// The item names an image that is here.
    Here(ImageId),
}

/// An image that was found in its source for somebody who reads it.
pub struct ReachedImage {
    pub image_id: ImageId,
    /// Of the object that it becomes.
    pub key: ObjectKey,
    pub format: Format,
    pub visibility: Visibility,
    pub filename: Option<String>,
    /// Its bytes: all of them, or as they arrive when there are too many to be held.
    pub body: Body,
    pub movable: Box<dyn Movable>,
}

/// What an item's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    pub size_bytes: u64,
    pub sha256: Sha256Digest,
}

/// How an item that was put comes to name its copy.
#[derive(Debug, Default)]
pub struct Switch {
    /// They fail the batch when the item was changed meanwhile.
    pub statements: Vec<Statement>,
    /// As in [`Outcome::staged`].
    pub staged: (Option<Stage>, Option<Stage>),
    pub counted: Option<Counted>,
    /// Objects that nothing names once the statements have taken effect.
    pub remove: Vec<ObjectKey>,
    /// What the receipt is to say beside.
    pub remark: Option<(&'static str, String)>,
}

/// Which objects of the bucket a source answers for.
pub trait Objects {
    /// What their keys start with.
    fn prefix(&self) -> String;

    /// Whether an object is one of the source's: others may share the bucket.
    fn owns(&self, object: &ObjectInfo) -> bool;

    /// What its objects say to be of, where others may have objects under the same keys.
    fn shared_by(&self) -> Option<&str> {
        None
    }

    /// The image that the journal knows an object by, when it is not known by its key.
    fn image_of(&self, object: &ObjectInfo) -> Option<ImageId>;

    /// The catalogue's database, when the run's is another: rows there may name an object too.
    fn catalogue(&self) -> Option<&Rc<dyn Database>> {
        None
    }

    /// Rows that name an object behind `after` and were not all moved, in the order of their keys, at most
    /// [`crate::store::LIST_LIMIT`]. `None` when each object of the source is in the journal.
    fn rows_in_bucket(&self, after: Option<&ObjectKey>) -> Option<Statement>;
}

/// The rows of a source, for a backup.
#[async_trait(?Send)]
pub trait SavedRows {
    /// As [`Items::select`]; reads short data together with their rows, [`crate::migrate::task::SLICE_BYTES`] of them at most.
    ///
    /// # Errors
    /// As [`Items::select`].
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError>;

    /// Counts the items that [`SavedRows::select`] finds; its column is `items`.
    fn count(&self, run: &Run) -> Statement;

    /// What [`SavedRows::select`] found, or the first of it when the rest would take too much memory.
    ///
    /// # Errors
    /// When the database fails.
    async fn read(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Page<Result<Saving, Refusal>>, Interruption>;
}

/// Where the items of a backup go back to.
#[async_trait(?Send)]
pub trait ReturnedRows {
    /// Makes sure that the item's data are in the database again, whole, and says which statements make its row name them; an item
    /// that is there stays as it is. `data` are the bytes that the item describes, a text's in UTF-8, and may be left unread.
    ///
    /// # Errors
    /// [`Interruption::Destination`] when `data` could not be read to their end.
    async fn restore(
        &self,
        run: &Run,
        item: BackupItem,
        data: Body,
        context: &SliceContext<'_>,
    ) -> Result<Outcome, ItemError>;
}

/// The statements that change an item's row, in front of the journal's.
#[derive(Debug, Default)]
pub struct Change {
    /// The last one changes exactly one row, unless the item was changed meanwhile.
    pub statements: Vec<Statement>,
    /// What the journal is to remember from now on.
    pub original: serde_json::Value,
    pub counted: Option<Counted>,
    /// Bytes of database that become free.
    pub freed_bytes: u64,
    /// Objects that nothing names once the statements have taken effect.
    pub remove: Vec<ObjectKey>,
}

/// The originals of one source.
#[async_trait(?Send)]
pub trait Originals {
    /// Reads an entry's row, for [`Originals::restore`] and [`Originals::clean`].
    fn load(&self, entry: &Entry) -> Statement;

    /// Sees to it that the images of entries that are about to be restored leave the catalogue, as far as [`Originals::restore`] cannot.
    ///
    /// # Errors
    /// When a database fails.
    async fn leave_catalogue(&self, _entries: &[&Entry], _context: &SliceContext<'_>) -> Result<(), Interruption> {
        Ok(())
    }

    /// Makes sure that the original is in the database, whole, bringing it back from the copy where it was cleaned, and says which
    /// statements make the row name it.
    async fn restore(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<Change, ItemError>;

    /// Says which statements forget the move of an item that is gone, or that has been given another picture: nothing shows the copy. The
    /// last of them drops the journal's entry, unless something shows it by then. `None` when the item may show the copy, or may be restored.
    async fn forget(
        &self,
        entry: &Entry,
        row: &QueryResult,
        context: &SliceContext<'_>,
    ) -> Result<Option<Change>, ItemError>;

    /// Whether [`Originals::restore`] would succeed, found out without changing anything.
    async fn check(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<(), ItemError>;

    /// Whether the row of an item that was restored still names its original, and that reads back as what was moved.
    async fn holds(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<(), ItemError>;

    /// Says which statements drop the original; the copy was read back and matched.
    async fn clean(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<Change, ItemError>;

    /// Statements and store operations that an item takes at most, as long as its bytes come in one piece. Most are taken by the
    /// rollback of one that was cleaned: reads the row and the copy, writes the original and reads it back, switches the row and the
    /// journal with a guard behind each, and removes the copy.
    fn operations_per_item(&self) -> u64;

    /// As [`Items::names`], while items are restored or cleaned.
    fn names(&self, in_flight: &InFlight) -> Statement;
}
