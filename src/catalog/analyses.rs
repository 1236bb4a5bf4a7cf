//! Analyses: rows of `stillstore_analyses`, which the jobs write that make them.

use serde::Deserialize;

use super::columns::IMAGE_COLUMNS;
use super::jobs::{Job, JobEvent, JobSubject, complete_job, continue_job};
use super::placeholders::keep_placeholder;
use super::row::records;
use super::{Catalog, CatalogError, ImageRecord};
use crate::image::{ImageId, JobId, Placeholder, SessionId};
use crate::runtime::Timestamp;
use crate::sql::{Lease, Statement};

const SELECT_OF_IMAGE: &str = "SELECT job_id, last_ordinal, answer, updated_at_ms FROM stillstore_analyses \
    INDEXED BY stillstore_analyses_by_image WHERE image_id = ?1 AND is_whole = 1";

const SELECT_OF_SESSION: &str = "SELECT job_id, last_ordinal, answer, updated_at_ms FROM stillstore_analyses \
    INDEXED BY stillstore_analyses_by_session WHERE session_id = ?1 AND is_whole = 1";

const SELECT_BEGUN: &str =
    "SELECT job_id, last_ordinal, answer, updated_at_ms FROM stillstore_analyses WHERE job_id = ?1 AND is_whole = 0";

const FORGET_OF_IMAGE: &str = "DELETE FROM stillstore_analyses WHERE image_id = ?1 AND is_whole = 1";

const FORGET_OF_SESSION: &str = "DELETE FROM stillstore_analyses WHERE session_id = ?1 AND is_whole = 1";

// NULL is refused, and with it the whole transaction: of an image that is gone, of a session whose frames are going, and of one that lost a
// frame since the part before was kept, which took that part with it.
const KEEP: &str = "INSERT INTO stillstore_analyses (job_id, image_id, session_id, is_whole, last_ordinal, answer, updated_at_ms) \
    VALUES (?1, ?2, ?3, ?4, ?5, CASE WHEN \
    (?2 IS NULL OR EXISTS (SELECT 1 FROM stillstore_images WHERE id = ?2 AND status = 'stored')) AND \
    (?3 IS NULL OR EXISTS (SELECT 1 FROM stillstore_collections WHERE id = ?3 AND kind = 'session' AND state = 'open')) AND \
    (?8 IS NULL OR EXISTS (SELECT 1 FROM stillstore_analyses WHERE job_id = ?1 AND last_ordinal = ?8)) THEN ?6 END, ?7) \
    ON CONFLICT (job_id) DO UPDATE SET is_whole = excluded.is_whole, last_ordinal = excluded.last_ordinal, \
    answer = excluded.answer, updated_at_ms = excluded.updated_at_ms";

const FORGET_BEGUN: &str = "DELETE FROM stillstore_analyses WHERE job_id IN (\
    SELECT job_id FROM stillstore_analyses INDEXED BY stillstore_analyses_begun WHERE is_whole = 0 AND updated_at_ms <= ?1 \
    ORDER BY updated_at_ms LIMIT ?2)";

const SELECT_SIZES: &str = "SELECT size_bytes FROM stillstore_images INDEXED BY stillstore_images_by_collection \
    WHERE status = 'stored' AND collection_id = ?1 ORDER BY ordinal, id LIMIT ?2";

/// An analysis that is kept, whole or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnalysis {
    /// The job that made it.
    pub job_id: JobId,
    /// The number of the last frame that was looked at.
    pub last_ordinal: Option<u32>,
    /// Versioned JSON.
    pub answer: String,
    pub updated_at: Timestamp,
}

/// What a worker has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnalysisPart {
    pub answer: String,
    pub last_ordinal: Option<u32>,
    /// That of the part before, if there is one.
    pub after_ordinal: Option<u32>,
    /// What ends the job with it; `None` when the job goes on.
    pub completion: Option<JobEvent>,
    /// What was measured, for the records of the images.
    pub placeholders: Vec<(ImageId, Placeholder)>,
}

#[derive(Deserialize)]
struct Row {
    job_id: JobId,
    last_ordinal: Option<u32>,
    answer: String,
    updated_at_ms: Timestamp,
}

#[derive(Deserialize)]
struct SizeRow {
    size_bytes: u64,
}

impl Catalog {
    /// The latest whole analysis of an image or a session.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn find_analysis(&self, subject: &JobSubject) -> Result<Option<KeptAnalysis>, CatalogError> {
        let (sql, id) = match subject {
            JobSubject::Image(id) => (SELECT_OF_IMAGE, id.to_string()),
            JobSubject::Session(id) => (SELECT_OF_SESSION, id.to_string()),
        };
        self.analysis("find_analysis", Statement::new(sql).bind(id)).await
    }

    /// The part that a job's workers have made so far.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn begun_analysis(&self, job: JobId) -> Result<Option<KeptAnalysis>, CatalogError> {
        self.analysis("begun_analysis", Statement::new(SELECT_BEGUN).bind(job.to_string())).await
    }

    async fn analysis(&self, during: &'static str, select: Statement) -> Result<Option<KeptAnalysis>, CatalogError> {
        let [row] = self.batch(during, [select]).await?;
        let row: Option<Row> = row.first().map_err(CatalogError::during(during))?;
        Ok(row.map(|row| KeptAnalysis {
            job_id: row.job_id,
            last_ordinal: row.last_ordinal,
            answer: row.answer,
            updated_at: row.updated_at_ms,
        }))
    }

    /// Keeps what the worker of a job has come to. A whole analysis takes the place of the one before and completes the job; otherwise the job
    /// is given back, for the next worker to go on at once.
    ///
    /// # Errors
    /// [`CatalogError`]; of the kind of constraints, and nothing has changed, when the worker has the job no more, what it looked at is gone, or
    /// the owner may have no further call of a model ([`Catalog::calls_limit_reached`]).
    pub async fn keep_analysis(
        &self,
        job: &Job,
        lease: &Lease,
        part: &AnalysisPart,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let during = CatalogError::during("keep_analysis");
        let (image_id, session_id) = match &job.subject {
            JobSubject::Image(id) => (Some(id.to_string()), None),
            JobSubject::Session(id) => (None, Some(id.to_string())),
        };
        let keep = Statement::new(KEEP)
            .bind(job.id.to_string())
            .bind(image_id.clone())
            .bind(session_id.clone())
            .bind(i64::from(part.completion.is_some()))
            .bind(part.last_ordinal.map(i64::from))
            .bind(part.answer.as_str())
            .bind(now.as_millis())
            .bind(part.after_ordinal.map(i64::from));
        let mut statements = Vec::new();
        if let Some(event) = &part.completion {
            statements.extend(image_id.map(|id| Statement::new(FORGET_OF_IMAGE).bind(id)));
            statements.extend(session_id.map(|id| Statement::new(FORGET_OF_SESSION).bind(id)));
            statements.push(keep);
            statements.push(complete_job(job.id, lease, event).map_err(&during)?);
        } else {
            statements.push(keep);
            statements.push(continue_job(job.id, lease, now));
            // The call that this part took was the last one that counts: frames came since the job was made.
            if let (1, Some(owner)) = (job.counted_calls, self.limited(job.owner_id.as_ref())) {
                statements.extend(self.count_call(owner, now));
            }
        }
        statements.extend(part.placeholders.iter().map(|(id, placeholder)| keep_placeholder(*id, placeholder)));
        self.database.batch(statements).await.map(drop).map_err(during)
    }

    /// The sizes in bytes of the readable frames of a session, at most `limit` of them, by number.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn frame_sizes(&self, session: &SessionId, limit: u16) -> Result<Vec<u64>, CatalogError> {
        let select = Statement::new(SELECT_SIZES).bind(session.as_str()).bind(i64::from(limit));
        let [rows] = self.batch("frame_sizes", [select]).await?;
        let rows: Vec<SizeRow> = rows.rows().map_err(CatalogError::during("frame_sizes"))?;
        Ok(rows.into_iter().map(|row| row.size_bytes).collect())
    }

    /// Forgets parts to which nothing was added since `updated_until`, at most `limit` of them.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; they may be gone.
    pub async fn forget_begun_analyses(&self, updated_until: Timestamp, limit: u16) -> Result<(), CatalogError> {
        let forget = Statement::new(FORGET_BEGUN).bind(updated_until.as_millis()).bind(i64::from(limit));
        self.batch("forget_begun_analyses", [forget]).await.map(drop)
    }

    /// The readable frames of a session with a number above `after`, at most `limit` of them, by number.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn frames_after(
        &self,
        session: &SessionId,
        after: Option<u32>,
        limit: u16,
    ) -> Result<Vec<ImageRecord>, CatalogError> {
        let select = format!(
            "SELECT {IMAGE_COLUMNS} FROM stillstore_images INDEXED BY stillstore_images_by_collection \
            WHERE status = 'stored' AND collection_id = ?1 AND ordinal > ?2 ORDER BY ordinal, id LIMIT ?3"
        );
        let select =
            Statement::new(select).bind(session.as_str()).bind(after.map_or(-1, i64::from)).bind(i64::from(limit));
        let [rows] = self.batch("frames_after", [select]).await?;
        records(&rows).map_err(CatalogError::during("frames_after"))
    }
}
