//! Making the cache in front forget images.

use super::Library;
use crate::catalog::{CachePurge, CatalogError, DuePurges, ImageRecord};
use crate::image::{ImageId, Visibility};
use crate::telemetry::Event;

/// Images that one call to the cache names (Cloudflare's limit).
pub const PURGE_AT_ONCE: u16 = 100;

/// Calls to the cache in one invocation. Cloudflare allows five a minute, and 25 at once after five minutes without.
const CALLS: usize = 25;

/// Whether the cache in front still has to forget an image that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeState {
    /// It has forgotten the image, or never had it.
    Done,
    /// It may go on answering; it is asked again until it forgets.
    Pending,
}

impl From<&CachePurge> for PurgeState {
    fn from(purge: &CachePurge) -> Self {
        match purge {
            CachePurge::Needless | CachePurge::Sent(_) => Self::Done,
            CachePurge::Queued | CachePurge::Refused(_) => Self::Pending,
        }
    }
}

impl Library {
    /// Makes the cache forget what was queued, as far as one invocation goes, oldest first. What it refuses waits for a later event, and
    /// what it takes is sent once more an hour later.
    /// Never fails, and logs how it went.
    pub async fn send_purges(&self) {
        if let Err(error) = self.send_due_purges().await {
            self.recorder.record(&Event::Purge {
                images: 0,
                duration_ms: 0,
                outcome: "database-unavailable",
                cause: Some(error.to_string()),
            });
        }
    }

    async fn send_due_purges(&self) -> Result<(), CatalogError> {
        for _ in 0..CALLS {
            let due = self.catalog.due_purges(self.runtime.now(), PURGE_AT_ONCE).await?;
            if due.ids.is_empty() {
                break;
            }
            let was_sent = self.send_purge(&due.ids).await;
            self.catalog.settle_purges(&due, was_sent, self.runtime.now()).await?;
            if !was_sent || due.ids.len() < usize::from(PURGE_AT_ONCE) {
                break;
            }
        }
        Ok(())
    }

    /// Makes the cache forget an image that is being deleted, and with the same call what else is due.
    pub(super) async fn purge(&self, record: &ImageRecord, due: DuePurges) -> CachePurge {
        if queued(record) == CachePurge::Needless {
            return CachePurge::Needless;
        }
        let mut ids = vec![record.description.id];
        ids.extend(&due.ids);
        if self.send_purge(&ids).await { CachePurge::Sent(due) } else { CachePurge::Refused(due) }
    }

    /// Whether the cache took a call.
    async fn send_purge(&self, ids: &[ImageId]) -> bool {
        let started_at = self.runtime.now();
        let refusal = self.cache.purge(ids).await.err();
        let was_sent = refusal.is_none();
        self.recorder.record(&Event::Purge {
            images: ids.len(),
            duration_ms: self.runtime.now().millis_since(started_at),
            outcome: if was_sent { "ok" } else { "refused" },
            cause: refusal,
        });
        was_sent
    }
}

/// The purge of an image that is being deleted, to be sent later. A private one is in no cache, and neither is one that was never stored.
pub(super) fn queued(record: &ImageRecord) -> CachePurge {
    let was_cacheable = record.content.is_some() && record.description.visibility == Visibility::Public;
    if was_cacheable { CachePurge::Queued } else { CachePurge::Needless }
}
