//! The step that makes frames readable, many at once, and counts them for their owner.

use serde::{Deserialize, Serialize};

use super::columns::{FIRST_FURTHER_PARAM, insert_if};
use super::limits::LimitReached;
use super::{Catalog, CatalogError, FrameUpload, ImageRecord};
use crate::image::{ImageId, UserId};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, DatabaseErrorKind, QueryResult, Statement, to_json};
use crate::store::StorageKind;

const ADOPT: &str = "UPDATE stillstore_blobs SET owner_id = ?2 WHERE object_key = ?1 AND stored_at_ms IS NOT NULL \
    AND EXISTS (SELECT 1 FROM stillstore_images WHERE id = ?2 AND status = 'stored')";

const TOUCH: &str = "UPDATE stillstore_collections SET updated_at_ms = ?2 WHERE id = ?1";

const END: &str = "DELETE FROM stillstore_frame_uploads WHERE token = ?1 AND (SELECT count(*) FROM stillstore_images \
    WHERE id IN (SELECT value FROM json_each(?2)) AND status = 'stored') = ?3";

const BREAK_OFF: &str = "UPDATE stillstore_frame_uploads SET state = 'broken' WHERE token = ?1 AND state = 'under-way'";

/// How often frames are chosen anew that fit into their owner's limits.
const MAX_ATTEMPTS: usize = 3;

/// What becomes of an upload with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadEnd {
    /// It goes on.
    GoesOn,
    /// It ends if all of these frames are committed, and everything else that it put is.
    Complete,
    /// Its form broke off.
    BrokenOff,
}

/// What became of frames that were to become readable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FramesCommitted {
    pub readable: Vec<ImageId>,
    /// Those that their owner may not have.
    pub refused: Vec<(ImageId, LimitReached)>,
}

#[derive(Deserialize)]
struct IdRow {
    id: ImageId,
}

/// A frame as its owner's limits see it.
#[derive(Serialize)]
struct Counted {
    id: ImageId,
    bytes: u64,
}

impl Catalog {
    /// Makes frames readable whose bytes are durable, and says which. A frame stays out when its number or its key has another, or when its
    /// owner may not have it, and all do when the upload is lost. One call, however many frames, unless some are over a limit; D1 takes up to 1,000
    /// statements, of which a frame makes two at most.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed, and then the frames may be readable: commit again.
    pub async fn commit_frames(
        &self,
        upload: &FrameUpload,
        frames: &[ImageRecord],
        end: UploadEnd,
        now: Timestamp,
    ) -> Result<FramesCommitted, CatalogError> {
        let during = CatalogError::during("commit_frames");
        let owner = self.limited(frames.first().and_then(|frame| frame.description.owner_id.as_ref()));
        // An upload is not complete where a frame is refused.
        let all: Vec<_> = frames.iter().map(|frame| frame.description.id).collect();
        let last = end_statement(upload, &all, end).map_err(&during)?;
        let mut chosen: Vec<&ImageRecord> = frames.iter().collect();
        let mut refused = Vec::new();
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.commit_chosen(upload, &chosen, last.clone(), owner, now).await {
                Ok(readable) => return Ok(FramesCommitted { readable, refused }),
                Err(refusal) if refusal.kind == DatabaseErrorKind::Constraint && attempt < MAX_ATTEMPTS => {
                    let Some(owner) = owner else { return Err(during(refusal)) };
                    let mut room = self.room(owner, now).await?;
                    chosen.retain(|frame| match room.take(size_of(frame)) {
                        Ok(()) => true,
                        Err(limit) => {
                            refused.push((frame.description.id, limit));
                            false
                        }
                    });
                }
                Err(error) => return Err(during(error)),
            }
        }
    }

    /// Commits all of `frames` that may be, or, where their owner would exceed a limit, nothing.
    async fn commit_chosen(
        &self,
        upload: &FrameUpload,
        frames: &[&ImageRecord],
        last: Option<Statement>,
        owner: Option<&UserId>,
        now: Timestamp,
    ) -> Result<Vec<ImageId>, DatabaseError> {
        let counted = owner.filter(|_| !frames.is_empty()).map(|owner| counting(owner, frames, now)).transpose()?;
        let (before, after) = counted.unwrap_or_default();
        let first_row = before.len();
        let mut statements = before;
        for frame in frames {
            statements.push(insert_frame(upload, frame)?);
        }
        let adoptions = frames.iter().filter(|frame| frame.storage == StorageKind::D1).map(|frame| {
            let description = &frame.description;
            Statement::new(ADOPT).bind(description.key.as_str()).bind(description.id.to_string())
        });
        statements.extend(adoptions);
        if !frames.is_empty() {
            statements.push(Statement::new(TOUCH).bind(upload.session.as_str()).bind(now.as_millis()));
        }
        statements.extend(after);
        if let Some(owner) = owner.filter(|_| !frames.is_empty()) {
            statements.push(self.limits_hold_for(owner));
        }
        statements.extend(last);
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let results = self.database.batch(statements).await?;
        let rows = results.iter().skip(first_row).take(frames.len()).map(QueryResult::first::<IdRow>);
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        Ok(rows.into_iter().flatten().map(|row| row.id).collect())
    }
}

/// Statements that claim frames before their rows are made, which takes the claims, and that give back what is left of them afterwards.
fn counting(
    owner: &UserId,
    frames: &[&ImageRecord],
    now: Timestamp,
) -> Result<(Vec<Statement>, Vec<Statement>), DatabaseError> {
    let counted: Vec<_> =
        frames.iter().map(|frame| Counted { id: frame.description.id, bytes: size_of(frame) }).collect();
    let json = to_json(&counted)?;
    let before = vec![super::usage::open(owner, now), super::usage::claim_all(owner, &json, now)];
    Ok((before, vec![super::usage::release_all(&json)]))
}

fn size_of(frame: &ImageRecord) -> u64 {
    frame.content.as_ref().map_or(0, |content| content.size_bytes)
}

fn end_statement(upload: &FrameUpload, ids: &[ImageId], end: UploadEnd) -> Result<Option<Statement>, DatabaseError> {
    let token = upload.token.as_str();
    Ok(match end {
        UploadEnd::GoesOn => None,
        UploadEnd::Complete => {
            let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
            Some(Statement::new(END).bind(token).bind(to_json(&ids)?).bind(count))
        }
        UploadEnd::BrokenOff => Some(Statement::new(BREAK_OFF).bind(token)),
    })
}

/// Inserts a frame's row while the upload may, unless its number has a frame.
fn insert_frame(upload: &FrameUpload, frame: &ImageRecord) -> Result<Statement, DatabaseError> {
    let token = *FIRST_FURTHER_PARAM;
    let (collection, ordinal, key) = (token + 1, token + 2, token + 3);
    // Embedded bytes that nobody owned may have been swept.
    let bytes = match frame.storage {
        StorageKind::R2 => String::new(),
        StorageKind::D1 => format!(
            " AND EXISTS (SELECT 1 FROM stillstore_blobs WHERE object_key = ?{key} AND stored_at_ms IS NOT NULL AND owner_id IS NULL)"
        ),
    };
    let condition = format!(
        "EXISTS (SELECT 1 FROM stillstore_frame_uploads WHERE token = ?{token} AND state = 'under-way') \
        AND NOT EXISTS (SELECT 1 FROM stillstore_images INDEXED BY stillstore_images_by_collection \
        WHERE status = 'stored' AND collection_id = ?{collection} AND ordinal = ?{ordinal}){bytes}"
    );
    let ordinal = frame.description.frame.as_ref().map(|place| i64::from(place.ordinal));
    let insert = insert_if(&frame.try_into()?, &condition)?
        .bind(upload.token.as_str())
        .bind(upload.session.as_str())
        .bind(ordinal);
    Ok(match frame.storage {
        StorageKind::R2 => insert,
        StorageKind::D1 => insert.bind(frame.description.key.as_str()),
    })
}
