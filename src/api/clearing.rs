//! The deletion of all images of a collection, as a request begins it and answers for it.

use serde::Serialize;

use super::{Exchange, Problem};
use crate::catalog::{CollectionKind, Fate};
use crate::image::CollectionId;
use crate::library::{Cleared, SLICES_AT_ONCE};
use crate::queue::Message;
use crate::telemetry::Event;

/// How far a deletion has come.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Clearing"))]
pub(super) struct ClearingBody {
    /// Images that are deleted.
    deleted: u64,
    /// Images that are being deleted: they cannot be read any more, and their bytes go soon.
    remaining: u64,
}

impl ClearingBody {
    pub const fn is_over(&self) -> bool {
        self.remaining == 0
    }
}

/// Tells the images of a collection of the caller's to go, removes as many as a request may, and leaves the others to the queue. `None`
/// when there is no such collection.
pub(super) async fn clear(
    exchange: &Exchange<'_>,
    id: &CollectionId,
    kind: CollectionKind,
    fate: Fate,
) -> Result<Option<ClearingBody>, Problem> {
    let library = exchange.library;
    let owner = exchange.caller.owner_filter();
    let told = library.catalog.tell_to_go(id, kind, &owner, fate, library.runtime.now()).await?;
    let Some(collection) = told else { return Ok(None) };
    let cleared = library.clear_collection(id, SLICES_AT_ONCE).await;
    if matches!(cleared, Ok(Cleared::All)) {
        return Ok(Some(ClearingBody { deleted: collection.leaving, remaining: 0 }));
    }
    let hand_on = |cause: String| Event::HandOn { run_id: "none".to_owned(), cause };
    if let Err(error) = &cleared {
        library.recorder.record(&hand_on(format!("{error:?}")));
    }
    if let (Some(queue), false) = (&exchange.services.runs, matches!(cleared, Ok(Cleared::NotClaimed))) {
        let sent = queue.send(&Message::Collection { collection_id: id.as_str().to_owned() }).await;
        if let Err(cause) = sent {
            library.recorder.record(&hand_on(cause));
        }
    }
    let remaining = library.catalog.count_leaving(id).await?;
    Ok(Some(ClearingBody { deleted: collection.leaving.saturating_sub(remaining), remaining: remaining.max(1) }))
}
