//! Clearing collections: the bytes and rows of members that are to go, and what uploads of frames left.

use super::Library;
use super::remove::{RemoveError, SWEEP_AFTER_MS, homes};
use crate::catalog::{CatalogError, CollectionKind, Fate, ImageRecord, OwnerFilter};
use crate::image::{CollectionId, ObjectKey, SessionId};
use crate::runtime::Timestamp;
use crate::sql::Lease;
use crate::store::{ImageStore, LIST_LIMIT, StorageKind, StoreError};

/// Members in a slice: a tenth of R2's limit of keys in one call and 500 rows of the catalogue, each of which makes about ten writes.
const SLICE: u16 = 500;
/// Slices that a request or a message clears: 1,000 members.
pub const SLICES_AT_ONCE: usize = 2;
/// The most embedded bytes that one statement removes, but for one larger image: 100 MB of pages to free, within D1's 30 seconds a query.
const EMBEDDED_SLICE_BYTES: u64 = 100 * 1000 * 1000;
/// Members of a slice that are removed one by one, because they may be in two homes: each takes three calls and eight statements.
const ONE_BY_ONE: usize = 25;
/// A slice takes seconds; a worker that is gone keeps the others waiting for five minutes.
const LEASE_MS: i64 = 5 * 60 * 1000;
/// Collections that a cron event takes up, sessions that it sweeps, and sessions that it lets go.
const A_CRON_EVENT: u16 = 5;

/// Why a collection is not clear yet. The next message or cron event goes on.
#[derive(Debug)]
pub enum ClearError {
    Store(StoreError),
    Catalog(CatalogError),
    Remove(RemoveError),
}

impl From<CatalogError> for ClearError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

/// How far the clearing of a collection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleared {
    /// No member is left.
    All,
    /// Members are left.
    Some,
    /// Another worker has the collection, or it is gone.
    NotClaimed,
}

impl Library {
    /// Removes up to `slices` slices of the members that are to go:
    ///
    /// 1. claim the collection, so that one worker has it;
    /// 2. read a slice of its members, which nobody can read any more;
    /// 3. delete their bytes, of all that are in one home with one call;
    /// 4. turn the rows into tombstones, queue the purges of public ones, and go on with 2;
    /// 5. give the collection back, which ends it when no member is left, and make the cache in front forget what was queued.
    ///
    /// A crash anywhere repeats a slice, and deleting twice is fine.
    ///
    /// # Errors
    /// [`ClearError`].
    pub async fn clear_collection(&self, id: &CollectionId, slices: usize) -> Result<Cleared, ClearError> {
        let lease = Lease::begin(&*self.runtime, LEASE_MS);
        if !self.catalog.claim_collection(id, &lease, self.runtime.now()).await? {
            return Ok(Cleared::NotClaimed);
        }
        let cleared = self.clear_slices(id, slices).await;
        self.catalog.give_collection_back(id, &lease).await?;
        self.send_purges().await;
        cleared
    }

    async fn clear_slices(&self, id: &CollectionId, slices: usize) -> Result<Cleared, ClearError> {
        for _ in 0..slices {
            let members = self.catalog.leaving(id, SLICE, self.runtime.now()).await?;
            if members.is_empty() {
                return Ok(Cleared::All);
            }
            self.clear_slice(members).await?;
        }
        let left = self.catalog.leaving(id, 1, self.runtime.now()).await?;
        Ok(if left.is_empty() { Cleared::All } else { Cleared::Some })
    }

    async fn clear_slice(&self, members: Vec<ImageRecord>) -> Result<(), ClearError> {
        let (in_one_home, in_two): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| homes(member).len() == 1);
        let mut ids = Vec::new();
        for storage in [StorageKind::R2, StorageKind::D1] {
            let here: Vec<_> = in_one_home.iter().filter(|member| member.storage == storage).collect();
            let here = at_once(storage, &here);
            if here.is_empty() {
                continue;
            }
            let keys: Vec<ObjectKey> = here.iter().map(|member| member.description.key.clone()).collect();
            let store =
                self.stores.of_several(storage).ok_or_else(super::stores::not_bound).map_err(ClearError::Store)?;
            store.delete_all(&keys).await.map_err(ClearError::Store)?;
            ids.extend(here.iter().map(|member| member.description.id));
        }
        if !ids.is_empty() {
            let variants = self.catalog.leaving_variants(&ids).await?;
            self.drop_variants(&variants).await.map_err(|error| ClearError::Remove(error.into()))?;
            self.catalog.finish_leaving(&ids, self.runtime.now()).await?;
        }
        for member in in_two.iter().take(ONE_BY_ONE) {
            let removed = self.remove_marked(member).await;
            removed.map_err(ClearError::Remove)?;
        }
        Ok(())
    }

    /// Goes on with collections whose worker is gone, removes what uploads of frames left, and lets sessions go that took no frame for
    /// `retention_days`. Each part goes on when another fails; the causes are the answer.
    pub async fn keep_collections(&self, retention_days: Option<u16>) -> Vec<String> {
        let mut causes = Vec::new();
        let now = self.runtime.now();
        if let Some(days) = retention_days {
            let before = now.plus_millis(-i64::from(days) * 24 * 60 * 60 * 1000);
            causes.extend(self.let_sessions_go(before).await.err().map(|error| error.to_string()));
        }
        match self.catalog.collections_to_clear(now, A_CRON_EVENT).await {
            Ok(ids) => {
                for id in ids {
                    let cleared = self.clear_collection(&id, SLICES_AT_ONCE).await;
                    causes.extend(cleared.err().map(|error| format!("{error:?}")));
                }
            }
            Err(error) => causes.push(error.to_string()),
        }
        let before = now.plus_millis(-SWEEP_AFTER_MS);
        match self.catalog.sessions_with_left_overs(before, A_CRON_EVENT).await {
            Ok(mut sessions) => {
                sessions.dedup();
                for session in sessions {
                    let swept = self.sweep_uploads(&session, before).await;
                    causes.extend(swept.err().map(|error| format!("{error:?}")));
                }
            }
            Err(error) => causes.push(error.to_string()),
        }
        causes
    }

    async fn let_sessions_go(&self, before: Timestamp) -> Result<(), CatalogError> {
        for id in self.catalog.aged_sessions(before, A_CRON_EVENT).await? {
            let now = self.runtime.now();
            self.catalog.tell_to_go(&id, CollectionKind::Session, &OwnerFilter::Any, Fate::Deleted, now).await?;
        }
        Ok(())
    }

    /// Removes objects under a session's prefix that no row names, when no upload to the session is under way.
    async fn sweep_uploads(&self, session: &SessionId, before: Timestamp) -> Result<(), ClearError> {
        let Some(bucket) = self.stores.of_several(StorageKind::R2) else { return Ok(()) };
        let lease = Lease::begin(&*self.runtime, LEASE_MS);
        if !self.catalog.claim_left_overs(session, &lease, before, self.runtime.now()).await? {
            return Ok(());
        }
        let swept = self.sweep_prefix(bucket.as_ref(), session).await;
        if swept.is_ok() {
            self.catalog.forget_uploads(session, before).await?;
        }
        self.catalog.give_collection_back(&session.collection(), &lease).await?;
        swept
    }

    async fn sweep_prefix(&self, bucket: &dyn ImageStore, session: &SessionId) -> Result<(), ClearError> {
        let prefix = ObjectKey::prefix_of_frames(session);
        let mut after = None;
        loop {
            let page = bucket.list(&prefix, after.as_ref(), LIST_LIMIT).await.map_err(ClearError::Store)?;
            let keys: Vec<ObjectKey> = page.objects.into_iter().map(|object| object.key).collect();
            let Some(last) = keys.last().cloned() else { return Ok(()) };
            let named = self.catalog.named_in_bucket(&keys).await?;
            let orphans: Vec<ObjectKey> = keys.into_iter().filter(|key| !named.contains(key)).collect();
            if !orphans.is_empty() {
                bucket.delete_all(&orphans).await.map_err(ClearError::Store)?;
            }
            if !page.truncated {
                return Ok(());
            }
            after = Some(last);
        }
    }
}

/// As many of the first members as one call removes.
fn at_once<'member>(storage: StorageKind, members: &[&'member ImageRecord]) -> Vec<&'member ImageRecord> {
    let size_bytes = |member: &ImageRecord| member.content.as_ref().map_or(0, |content| content.size_bytes);
    let mut total_bytes: u64 = 0;
    let fits = |member: &&&ImageRecord| {
        let is_first = total_bytes == 0;
        total_bytes = total_bytes.saturating_add(size_bytes(member));
        storage == StorageKind::R2 || is_first || total_bytes <= EMBEDDED_SLICE_BYTES
    };
    members.iter().take_while(fits).copied().collect()
}
