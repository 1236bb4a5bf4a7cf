//! Listings of jobs in pages, newest first.

use std::fmt;
use std::str::FromStr;

use base64_simd::URL_SAFE_NO_PAD;

use super::row::{job_columns, jobs};
use super::{Job, JobState};
use crate::catalog::{Catalog, CatalogError, OwnerFilter, PageSize};
use crate::image::{BatchId, ImageId, JobId};
use crate::runtime::Timestamp;
use crate::sql::{Statement, Value};

/// Which jobs to list: those that match every field that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFilter {
    pub owner: OwnerFilter,
    pub state: Option<JobState>,
    pub image_id: Option<ImageId>,
    pub batch_id: Option<BatchId>,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPage {
    pub jobs: Vec<Job>,
    /// Where the next page starts; `None` when there were no more.
    pub next: Option<JobCursor>,
}

/// The place after a job in a listing. Its text form is opaque to callers and safe in a URL as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobCursor {
    created_at: Timestamp,
    id: JobId,
}

/// The text is not a cursor that a listing gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidJobCursor;

impl Catalog {
    /// The jobs after `cursor`, or the first ones, newest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn list_jobs(
        &self,
        filter: &JobFilter,
        cursor: Option<JobCursor>,
        size: PageSize,
    ) -> Result<JobPage, CatalogError> {
        let [rows] = self.batch("list_jobs", [statement(filter, cursor, size)]).await?;
        let mut jobs = jobs(&rows).map_err(CatalogError::during("list_jobs"))?;
        let more = jobs.len() > size.get();
        jobs.truncate(size.get());
        let next = jobs.last().filter(|_| more).map(|job| JobCursor { created_at: job.created_at, id: job.id });
        Ok(JobPage { jobs, next })
    }
}

/// One row more than the page holds, which tells whether another page follows. The index, whose order a condition on the moment asks for, is named, so that no change of the planner's
/// estimates can choose a scan or a sort: an image has fewer jobs than a batch, a batch fewer than an owner.
fn statement(filter: &JobFilter, cursor: Option<JobCursor>, size: PageSize) -> Statement {
    let JobFilter { owner, state, image_id, batch_id } = filter;
    let index = match (image_id, batch_id, owner, state) {
        (Some(_), _, _, _) => "stillstore_jobs_by_image",
        (None, Some(_), _, _) => "stillstore_jobs_by_batch",
        (None, None, OwnerFilter::Only(_), _) => "stillstore_jobs_by_owner",
        (None, None, OwnerFilter::Any, Some(_)) => "stillstore_jobs_by_state",
        (None, None, OwnerFilter::Any, None) => "stillstore_jobs_by_age",
    };
    let owner = match owner {
        OwnerFilter::Any => None,
        OwnerFilter::Only(user) => Some(user.as_str().to_owned()),
    };
    let equal = [
        ("owner_id", owner),
        ("image_id", image_id.map(|id| id.to_string())),
        ("batch_id", batch_id.map(|id| id.to_string())),
        ("state", state.map(|state| state.as_str().to_owned())),
    ];
    let mut sql = format!("SELECT {} FROM stillstore_jobs INDEXED BY {index} WHERE created_at_ms > 0", job_columns!());
    let mut params = Vec::new();
    for (column, value) in equal {
        if let Some(value) = value {
            sql.extend([" AND ", column, " = ?"]);
            params.push(Value::from(value));
        }
    }
    if let Some(JobCursor { created_at, id }) = cursor {
        sql.push_str(" AND (created_at_ms, id) < (?, ?)");
        params.extend([created_at.as_millis().into(), id.to_string().into()]);
    }
    sql.push_str(" ORDER BY created_at_ms DESC, id DESC LIMIT ?");
    params.push(i64::try_from(size.get() + 1).unwrap_or(i64::MAX).into());
    Statement { params, ..Statement::new(sql) }
}

impl fmt::Display for JobCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = format!("{}/{}", self.created_at.as_millis(), self.id);
        formatter.write_str(&URL_SAFE_NO_PAD.encode_to_string(place))
    }
}

impl FromStr for JobCursor {
    type Err = InvalidJobCursor;

    fn from_str(text: &str) -> Result<Self, InvalidJobCursor> {
        /// Parameters are exact up to here (JS numbers); no job was made later.
        const MAX_MILLIS: u64 = 1 << 53;

        let place = URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| InvalidJobCursor)?;
        let place = String::from_utf8(place).map_err(|_| InvalidJobCursor)?;
        let (millis, id) = place.split_once('/').ok_or(InvalidJobCursor)?;
        let millis: i64 = millis.parse().map_err(|_| InvalidJobCursor)?;
        let cursor = Self { created_at: Timestamp::from_millis(millis), id: id.parse().map_err(|_| InvalidJobCursor)? };
        // Other spellings of the same number are refused too: one place has one text.
        let is_as_given = millis.unsigned_abs() <= MAX_MILLIS && cursor.to_string() == text;
        if is_as_given { Ok(cursor) } else { Err(InvalidJobCursor) }
    }
}
