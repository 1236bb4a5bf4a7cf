//! Images of our own that go back into the database from a backup.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;

use super::originals::{PLACE, STATEMENTS_PER_PUT, too_large};
use crate::bytes::Body;
use crate::catalog::{ImageRecord, Status, insert_image, queue_purges, records};
use crate::image::Sha256Digest;
use crate::library::object_metadata;
use crate::migrate::archive::DAMAGED;
use crate::migrate::archive::backup::{BackupItem, Data};
use crate::migrate::destination::digest;
use crate::migrate::runs::ledger::require_one_change;
use crate::migrate::runs::{Line, Run, Stage, Verdict, journal};
use crate::migrate::source::{EMBEDDED, ReturnedRows};
use crate::migrate::task::{Interruption, ItemError, Outcome, Refusal, SliceContext};
use crate::runtime::Runtime;
use crate::sql::{DatabaseError, DatabaseErrorKind, QueryResult, Statement};
use crate::store::{
    CHUNK_BYTES, CHUNKS_PER_CALL, EmbeddedStore, ImageStore, PutObject, StorageKind, StoreErrorKind, adopt_statement,
};

const PRESENT: &str = "SELECT image.status, image.storage, image.version, image.sha256 AS image_sha256, \
    image.embedded_write_id, blob.write_id, blob.size_bytes, blob.sha256 AS blob_sha256, moved.stage, \
    (SELECT count(*) FROM stillstore_chunks AS chunk WHERE chunk.write_id = blob.write_id) AS chunks \
    FROM (SELECT ?1 AS id, ?2 AS object_key) AS wanted \
    LEFT JOIN stillstore_images AS image ON image.id = wanted.id \
    LEFT JOIN stillstore_blobs AS blob ON blob.object_key = wanted.object_key AND blob.stored_at_ms IS NOT NULL \
    LEFT JOIN stillstore_moves AS moved ON moved.source = 'embedded' AND moved.item_id = wanted.id";

const NAME_BYTES: &str = "UPDATE stillstore_images SET version = version + 1, updated_at_ms = ?3, \
    embedded_write_id = (SELECT write_id FROM stillstore_blobs WHERE object_key = ?4 AND stored_at_ms IS NOT NULL) \
    WHERE id = ?1 AND version = ?2 AND status = 'stored' AND +storage = 'd1'";

/// Restores items of [`EMBEDDED`].
pub struct EmbeddedReturnedRows {
    pub embedded: Rc<EmbeddedStore>,
    pub runtime: Rc<dyn Runtime>,
    pub prompt_in_metadata: bool,
}

/// What the database has under the item's id and key.
#[derive(Deserialize)]
struct Present {
    status: Option<Status>,
    storage: Option<StorageKind>,
    version: Option<i64>,
    image_sha256: Option<Sha256Digest>,
    embedded_write_id: Option<String>,
    write_id: Option<String>,
    size_bytes: Option<u64>,
    blob_sha256: Option<Sha256Digest>,
    chunks: u64,
    stage: Option<Stage>,
}

/// An item of a backup, understood.
struct Wanted {
    record: ImageRecord,
    size_bytes: u64,
    sha256: Sha256Digest,
}

/// What is under the item's key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bytes {
    Missing,
    /// They are other bytes than their row says, or some of them are gone.
    Broken,
    Whole,
}

impl Wanted {
    fn new(item: &BackupItem) -> Option<Self> {
        let Data::Blob { bytes: size_bytes, sha256 } = item.data else { return None };
        let rows_json = format!("[{}]", item.columns.get());
        let record = records(&QueryResult { rows_json, ..QueryResult::default() }).ok()?.pop()?;
        let content = record.content.as_ref()?;
        let is_same = content.size_bytes == size_bytes && content.sha256 == sha256;
        (is_same && record.description.id.to_string() == item.id.as_text()).then_some(Self {
            record,
            size_bytes,
            sha256,
        })
    }

    /// The row as it comes back: of an image in the database, also when it had moved to R2. One that was moved may have a copy there.
    fn returned(&self, was_moved: bool) -> ImageRecord {
        ImageRecord {
            status: Status::Stored,
            storage: StorageKind::D1,
            two_homes: if was_moved { Some(true) } else { self.record.two_homes },
            ..self.record.clone()
        }
    }

    fn id(&self) -> String {
        self.record.description.id.to_string()
    }
}

impl Present {
    /// Why an item that has a row is left as it is; its bytes are another matter.
    fn refusal(&self, wanted: &Wanted) -> Option<Refusal> {
        Some(match (self.status?, self.storage?) {
            (Status::Deleting | Status::Deleted, _) => Refusal::skipped("deleted", "the image was deleted"),
            (Status::Pending, _) => Refusal::skipped("changed", "the image is being stored"),
            (Status::Stored, StorageKind::R2) => Refusal::skipped("moved", "the image is in R2"),
            (Status::Stored, StorageKind::D1) if self.image_sha256 != Some(wanted.sha256) => {
                Refusal::skipped("changed", "the row names other bytes than the backup holds")
            }
            (Status::Stored, StorageKind::D1) => return None,
        })
    }

    fn is_named(&self) -> bool {
        self.write_id.is_some() && self.write_id == self.embedded_write_id
    }
}

impl EmbeddedReturnedRows {
    async fn present(wanted: &Wanted, context: &SliceContext<'_>) -> Result<Present, Interruption> {
        let key = wanted.record.description.key.as_str();
        let answers = context.read(vec![Statement::new(PRESENT).bind(wanted.id()).bind(key)]).await?;
        let present = answers.first().map(QueryResult::first).transpose()?.flatten();
        present.ok_or_else(|| DatabaseError::new(DatabaseErrorKind::Corrupt, "no row of one").into())
    }

    /// Reads what is under the item's key.
    async fn bytes(&self, wanted: &Wanted, present: &Present, context: &SliceContext<'_>) -> Result<Bytes, ItemError> {
        let (Some(size_bytes), Some(sha256)) = (present.size_bytes, present.blob_sha256) else {
            return Ok(Bytes::Missing);
        };
        if sha256 != wanted.sha256 {
            return Err(key_taken().into());
        }
        if present.chunks != size_bytes.div_ceil(CHUNK_BYTES as u64) {
            return Ok(Bytes::Broken);
        }
        context.count(|operations| operations.count_database(present.chunks, present.chunks));
        let object = match self.embedded.get(&wanted.record.description.key, None).await {
            Ok(Some(object)) => object,
            Ok(None) => return Ok(Bytes::Missing),
            Err(error) if error.kind == StoreErrorKind::Unavailable => return Err(unavailable(error.code()).into()),
            Err(_) => return Ok(Bytes::Broken),
        };
        match digest(&*self.runtime, object.body, size_bytes).await {
            Ok(actual) if actual == sha256 => Ok(Bytes::Whole),
            Ok(_) => Ok(Bytes::Broken),
            Err(detail) => Err(Refusal::failed("original-unreadable", detail).into()),
        }
    }

    /// Puts the bytes, which belong to nobody until the row names them.
    async fn put(
        &self,
        wanted: &Wanted,
        bytes: Bytes,
        data: Body,
        context: &SliceContext<'_>,
    ) -> Result<(), ItemError> {
        let description = &wanted.record.description;
        let chunks = wanted.size_bytes.div_ceil(CHUNK_BYTES as u64);
        context.count(|operations| {
            operations.d1_calls += chunks.div_ceil(CHUNKS_PER_CALL as u64);
            operations.d1_queries += chunks + STATEMENTS_PER_PUT;
        });
        if bytes == Bytes::Broken {
            self.embedded.delete(&description.key).await.map_err(|error| unavailable(error.code()))?;
        }
        let put = self.embedded.put(PutObject {
            key: description.key.clone(),
            body: data,
            media: description.format.into(),
            sha256: Some(wanted.sha256),
            metadata: object_metadata(description, wanted.record.generation.as_ref(), self.prompt_in_metadata),
        });
        let Err(error) = put.await else { return Ok(()) };
        Err(match error.kind {
            StoreErrorKind::Body(_) => Interruption::Destination { detail: error.code().to_owned() }.into(),
            StoreErrorKind::Unavailable
            | StoreErrorKind::Corrupt
            | StoreErrorKind::NoSuchUpload
            | StoreErrorKind::PartsRefused => unavailable(error.code()).into(),
            StoreErrorKind::KeyTaken => key_taken().into(),
            StoreErrorKind::ChecksumMismatch => other_bytes().into(),
            StoreErrorKind::TooLarge { limit_bytes } => too_large(limit_bytes).into(),
        })
    }

    async fn check(&self, wanted: &Wanted, data: Body) -> Result<(), ItemError> {
        let actual = digest(&*self.runtime, data, wanted.size_bytes)
            .await
            .map_err(|detail| Interruption::Destination { detail })?;
        if actual == wanted.sha256 { Ok(()) } else { Err(other_bytes().into()) }
    }

    fn outcome(
        line: Line,
        wanted: &Wanted,
        present: &Present,
        bytes: Bytes,
        context: &SliceContext<'_>,
    ) -> Result<Outcome, DatabaseError> {
        let description = &wanted.record.description;
        let mut statements = Vec::new();
        if bytes == Bytes::Broken {
            // The cache in front may have what was read of them.
            statements.push(queue_purges(&[description.id], context.runtime.now())?);
        }
        statements.push(adopt_statement(&description.key, &description.id));
        let mut staged = (None, None);
        if let Some(version) = present.version {
            let update = Statement::new(NAME_BYTES).bind(wanted.id()).bind(version);
            statements.push(update.bind(context.runtime.now().as_millis()).bind(description.key.as_str()));
        } else {
            statements.push(insert_image(&wanted.returned(present.stage.is_some()))?);
            let stage = present.stage.filter(|stage| *stage != Stage::Restored);
            if let Some(stage) = stage {
                statements.push(journal::mark(EMBEDDED, &wanted.id(), stage, Stage::Restored));
                staged = (Some(stage), Some(Stage::Restored));
            }
        }
        statements.push(require_one_change());
        Ok(Outcome { statements, staged, ..Outcome::only(line) })
    }
}

#[async_trait(?Send)]
impl ReturnedRows for EmbeddedReturnedRows {
    async fn restore(
        &self,
        run: &Run,
        item: BackupItem,
        data: Body,
        context: &SliceContext<'_>,
    ) -> Result<Outcome, ItemError> {
        let Some(wanted) = Wanted::new(&item) else {
            return Err(Refusal::failed(DAMAGED, "the backup's row and its data do not fit together").into());
        };
        let present = Self::present(&wanted, context).await?;
        if let Some(refusal) = present.refusal(&wanted) {
            return Err(refusal.into());
        }
        let bytes = self.bytes(&wanted, &present, context).await?;
        if bytes == Bytes::Whole && present.is_named() {
            return Err(Refusal::skipped("unchanged", "").into());
        }
        let line = |verdict| {
            let content_type = wanted.record.description.format.content_type();
            let line = Line::new(item.id.clone(), verdict);
            line.with_bytes(wanted.sha256, wanted.size_bytes, content_type).to_place(PLACE)
        };
        if run.is_dry_run() {
            self.check(&wanted, data).await?;
            return Ok(Outcome::only(line(Verdict::WouldRestore)));
        }
        self.put(&wanted, bytes, data, context).await?;
        Ok(Self::outcome(line(Verdict::Restored), &wanted, &present, bytes, context)?)
    }
}

fn unavailable(detail: &str) -> Interruption {
    Interruption::Database(DatabaseError::new(DatabaseErrorKind::Unavailable, detail))
}

fn key_taken() -> Refusal {
    Refusal::failed("key-taken", "other bytes are stored under the key")
}

fn other_bytes() -> Refusal {
    Refusal::failed(DAMAGED, "the bytes do not have the digest of the backup")
}
