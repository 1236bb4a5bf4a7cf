//! What a handler works with.

use super::checks::Found;
use super::{Caller, Code, Gate, Principal, Problem, Services};
use crate::catalog::jobs::Job;
use crate::catalog::{Collection, CollectionKind, ImageRecord, Status};
use crate::image::{ImageId, JobId, ObjectKey, SessionId, ShootId};
use crate::library::Library;
use crate::migrate::{Engine, Run, RunId};
use crate::runtime::within;
use crate::store::StorageKind;

/// How long a look may take, in milliseconds: load balancers give up on `/health` after five seconds.
const LOOK_TIMEOUT_MS: u64 = 3_000;
/// A key that no object has: R2 must look it up to know.
const PROBE_KEY: &str = "stillstore/health";

/// One request's view of the services, and its caller.
pub struct Exchange<'app> {
    pub services: &'app Services,
    /// The library of this request.
    pub library: &'app Library,
    /// What signs here.
    pub gate: Gate<'app>,
    pub caller: Caller,
}

impl Exchange<'_> {
    /// An image that can be read.
    pub(super) async fn stored_image(&self, id: ImageId) -> Result<ImageRecord, Problem> {
        readable(self.library.catalog.find(id, &self.caller.owner_filter()).await?)
    }

    /// The image with a key, when it can be read.
    pub(super) async fn stored_image_with(&self, key: &ObjectKey) -> Result<ImageRecord, Problem> {
        readable(self.library.catalog.find_by_key(key, &self.caller.owner_filter()).await?)
    }

    /// A shoot of the caller's.
    pub(super) async fn shoot(&self, id: ShootId) -> Result<Collection, Problem> {
        let owner = self.caller.owner_filter();
        let found = self.library.catalog.find_collection(&id.collection(), CollectionKind::Shoot, &owner).await?;
        found.ok_or_else(|| Problem::plain(Code::ShootNotFound))
    }

    /// A session of the caller's.
    pub(super) async fn session(&self, id: &SessionId) -> Result<Collection, Problem> {
        let owner = self.caller.owner_filter();
        let found = self.library.catalog.find_collection(&id.collection(), CollectionKind::Session, &owner).await?;
        found.ok_or_else(|| Problem::plain(Code::SessionNotFound))
    }

    /// A job of the caller's.
    pub(super) async fn job(&self, id: JobId) -> Result<Job, Problem> {
        let found = self.library.catalog.find_job(id, &self.caller.owner_filter()).await?;
        found.ok_or_else(|| Problem::plain(Code::JobNotFound))
    }

    /// The migration engine of this request.
    pub(super) fn engine(&self) -> Result<Engine, Problem> {
        self.services.engine(self.library).ok_or_else(|| Problem::plain(Code::BucketNotBound))
    }

    /// A run that exists.
    pub(super) async fn run(&self, id: &RunId) -> Result<Run, Problem> {
        self.engine()?.sources.find(id).await?.ok_or_else(|| Problem::plain(Code::RunNotFound))
    }

    /// What the latest look at the database and the bucket found; a look of its own for the operator, and when the latest is too old.
    pub(super) async fn look(&self) -> Found {
        let (checks, now) = (&self.services.checks, self.services.runtime.now());
        match checks.fresh(now) {
            Some(found) if self.caller.principal != Principal::Operator => found,
            _ => {
                checks.begin(now);
                let (database_works, r2) = futures::join!(self.database_works(), self.r2_state());
                let found = Found { database_works, r2 };
                checks.keep(now, found);
                found
            }
        }
    }

    /// `enabled` and answering, `disabled` by configuration, or `error`.
    pub(super) async fn r2_state(&self) -> &'static str {
        if !self.services.config.r2_enabled {
            return "disabled";
        }
        if self.bucket_answers().await { "enabled" } else { "error" }
    }

    /// Whether there is a bucket that answers, also where no new images go there.
    pub(super) async fn bucket_answers(&self) -> bool {
        let Some(store) = self.library.stores.of_several(StorageKind::R2) else { return false };
        let key = ObjectKey::of_ours(PROBE_KEY.to_owned());
        matches!(within(&self.services.runtime, LOOK_TIMEOUT_MS, store.head(&key)).await, Ok(Ok(_)))
    }

    async fn database_works(&self) -> bool {
        let ping = self.library.catalog.ping();
        matches!(within(&self.services.runtime, LOOK_TIMEOUT_MS, ping).await, Ok(Ok(())))
    }
}

/// The record, when its image can be read.
fn readable(record: Option<ImageRecord>) -> Result<ImageRecord, Problem> {
    match record {
        Some(record) if record.status == Status::Stored => Ok(record),
        Some(record) if record.status == Status::Pending => Err(Problem::plain(Code::ImageNotFound)),
        Some(_) => Err(Problem::plain(Code::ImageDeleted)),
        None => Err(Problem::plain(Code::ImageNotFound)),
    }
}
