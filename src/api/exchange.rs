//! What a handler works with.

use super::{Caller, Code, Gate, Problem, Services};
use crate::catalog::{ImageRecord, Status};
use crate::image::ImageId;
use crate::library::Library;
use crate::migrate::{Engine, Run, RunId};
use crate::runtime::within;
use crate::store::StorageKind;

/// How long a look at the bucket may take, in milliseconds: load balancers give up on `/health` after five seconds.
pub(super) const CHECK_TIMEOUT_MS: u64 = 3_000;

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
        match self.library.catalog.find(id, &self.caller.owner_filter()).await? {
            Some(record) if record.status == Status::Stored => Ok(record),
            Some(record) if record.status == Status::Pending => Err(Problem::plain(Code::ImageNotFound)),
            Some(_) => Err(Problem::plain(Code::ImageDeleted)),
            None => Err(Problem::plain(Code::ImageNotFound)),
        }
    }

    /// The migration engine of this request.
    pub(super) fn engine(&self) -> Result<Engine, Problem> {
        self.services.engine(self.library).ok_or_else(|| Problem::plain(Code::BucketNotBound))
    }

    /// A run that exists.
    pub(super) async fn run(&self, id: &RunId) -> Result<Run, Problem> {
        self.engine()?.sources.find(id).await?.ok_or_else(|| Problem::plain(Code::RunNotFound))
    }

    /// `enabled` and answering, `disabled` by configuration, or `error`.
    pub(super) async fn r2_state(&self) -> &'static str {
        if !self.services.config.r2_enabled {
            return "disabled";
        }
        let Some(store) = self.library.stores.at(StorageKind::R2) else { return "error" };
        let probe = store.list("stillstore/", None, 1);
        match within(&self.services.runtime, CHECK_TIMEOUT_MS, probe).await {
            Ok(Ok(_)) => "enabled",
            _ => "error",
        }
    }
}
