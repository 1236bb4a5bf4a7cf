//! `/api/migrate-images/runs/{id}`: a run, what it did, its receipt.

use std::rc::Rc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::run_body::RunBody;
use super::{Code, Exchange, Problem, Request, Response};
use crate::migrate::{Action, BackupRef, Engine, Run, RunId, Settings, Sources, Verdict};
use crate::store::{LatePuts, StorageKind};

/// Slices in a page of items: 100 items of 300 bytes each are 30 KB.
const SLICES_PER_PAGE: u16 = 10;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ItemPage"))]
#[serde(rename_all = "camelCase")]
pub(super) struct ItemsBody {
    #[cfg_attr(test, schemars(with = "Vec<crate::migrate::line::Line>"))]
    items: Vec<Box<RawValue>>,
    /// Pass as `cursor` for the next page; absent on the last one so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl Exchange<'_> {
    /// The migration engine of this request.
    pub(super) fn engine(&self) -> Result<Engine, Problem> {
        self.app.engine(&self.library).ok_or_else(|| Problem::plain(Code::BucketNotBound))
    }

    pub(super) async fn describe_run(&self, id: &RunId) -> Result<Response, Problem> {
        let run = self.run(id).await?;
        Ok(Response::json(200, &RunBody::new(&run)))
    }

    /// What a run did to each item, as long as its receipt is not written; the receipt has it afterwards.
    pub(super) async fn run_items(&self, request: &Request, id: &RunId) -> Result<Response, Problem> {
        let mut after = -1;
        for (name, value) in request.query_pairs()? {
            if name != "cursor" {
                return Err(Problem::field(name, "is not a parameter; the only one is cursor"));
            }
            after = value.parse().map_err(|_| Problem::field("cursor", "must be a nextCursor of an earlier page"))?;
        }
        self.run(id).await?;
        let slices = self.engine()?.lines(id, after, SLICES_PER_PAGE).await?;
        let next_cursor = slices.last().filter(|_| slices.len() == usize::from(SLICES_PER_PAGE));
        let next_cursor = next_cursor.map(|slice| slice.slice.to_string());
        let lines = slices.iter().flat_map(|slice| slice.lines.lines());
        let items = lines.map(serde_json::from_str).collect::<Result<_, _>>();
        let items = items.map_err(|error| Problem::plain(Code::InternalError).because(&error))?;
        Ok(Response::json(200, &ItemsBody { items, next_cursor }))
    }

    pub(super) async fn run_receipt(&self, id: &RunId) -> Result<Response, Problem> {
        let run = self.run(id).await?;
        let receipt = run.receipt.ok_or_else(|| Problem::plain(Code::ReceiptNotReady).about_run(id))?;
        let store = self.library.stores.at(StorageKind::R2).ok_or_else(|| Problem::plain(Code::BucketNotBound))?;
        let object = store.get(&receipt.key, None).await;
        let object = object.map_err(|error| Problem::plain(Code::StorageUnavailable).because(&error))?;
        let object = object.ok_or_else(|| Problem::plain(Code::BytesMissing).about_run(id))?;
        let mut response = Response::empty(200);
        response.set_header("Content-Type", "application/x-ndjson");
        response.set_header("Content-Length", receipt.bytes.to_string());
        response.set_header("Cache-Control", "private, no-store");
        response.set_header("ETag", format!("\"{}\"", receipt.sha256));
        response.body = Some(object.body);
        Ok(response)
    }

    /// The backup that the run `id` made, and the source that it is of.
    pub(super) async fn backup(&self, id: &RunId) -> Result<(String, BackupRef), Problem> {
        let run = self.run(id).await?;
        match run.receipt {
            Some(receipt) if run.action == Action::Backup && run.state.is_final() => {
                let items = run.progress.of(Verdict::Saved);
                Ok((run.source, BackupRef { run_id: run.id, receipt, items }))
            }
            _ => {
                let detail = format!("the run {id} is a {} and {}", run.action.as_str(), run.state.as_str());
                Err(Problem::new(Code::NotABackup, detail).about_run(id))
            }
        }
    }

    pub(super) async fn run(&self, id: &RunId) -> Result<Run, Problem> {
        self.engine()?.sources.find(id).await?.ok_or_else(|| Problem::plain(Code::RunNotFound))
    }
}

impl super::App {
    /// Where images can come from.
    #[must_use]
    pub fn sources(&self) -> Sources {
        Sources::new(self.catalog.database(), self.databases.clone(), self.config.migration_sources.clone())
    }

    /// The migration engine as one piece of work sees it; `None` when no bucket is bound.
    #[must_use]
    pub fn engine(&self, library: &crate::library::Library) -> Option<Engine> {
        Some(Engine {
            sources: self.sources(),
            bucket: Rc::new(LatePuts::new(self.r2.clone()?)),
            embedded: self.embedded.clone(),
            runtime: self.runtime.clone(),
            recorder: library.recorder.clone(),
            queue: self.runs.clone(),
            settings: Settings {
                bucket_is_public: self.config.r2_public_url.is_some(),
                prompt_in_metadata: self.config.store_prompt_metadata,
                timeout_ms: self.config.store_timeout_ms,
                retention_days: self.config.rollback_retention_days,
                operations_per_invocation: self.config.migration_operations,
            },
        })
    }
}
