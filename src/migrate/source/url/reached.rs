//! A link whose image a reader waits for.

use std::rc::Rc;

use super::candidates::{Candidates, Waiting};
use super::cause::{Failure, HostCause, HostFailure};
use super::config::HostLimits;
use super::links::{self, LinkRow};
use super::renewal::renew_one;
use super::turns::HostTurns;
use crate::image::{ImageId, ObjectKey};
use crate::migrate::runs::{Run, read_through};
use crate::migrate::source::table::image_of_key;
use crate::migrate::source::{Movable as _, Reached, ReachedImage};
use crate::migrate::task::Refusal;
use crate::sql::{Database, DatabaseError};

/// How long a host that answers with 429 is left alone, in milliseconds, where it does not say.
const PAUSE_MS: u64 = 5_000;
/// The longest that a host may ask for.
const LONGEST_PAUSE_MS: u64 = 60 * 60 * 1_000;

/// Fetches links for readers.
pub struct Reach<'kind> {
    pub candidates: Candidates,
    pub limits: &'kind HostLimits,
    pub turns: &'kind Rc<HostTurns>,
    /// The table's database.
    pub database: &'kind dyn Database,
    /// The catalogue's.
    pub catalogue: &'kind dyn Database,
}

impl Reach<'_> {
    /// Fetches what an item's row names.
    ///
    /// # Errors
    /// When a database fails.
    pub async fn reach(&self, run: &Run, item: &str) -> Result<Result<Reached, Refusal>, DatabaseError> {
        let table = &self.candidates.table;
        let runtime = &self.candidates.intake.runtime;
        let Ok(id) = table.schema.ids.id_of(item) else { return Ok(Err(not_found())) };
        let own_urls = run.parameters.public_base.prefix(&table.key_prefix());
        let row = self.database.run(links::named(table, item, &own_urls)).await?;
        let Some(row) = row.first::<LinkRow>()? else { return Ok(Err(not_found())) };
        if row.is_ours == 1 {
            let image = row.link.as_deref().and_then(|url| image_at(url, &own_urls, &table.key_prefix()));
            let other = || Refusal::skipped("already-moved", "the row names no image of its own");
            return Ok(image.map(Reached::Here).ok_or_else(other));
        }
        let mut waiting = match self.candidates.consider(&id, row, None, runtime.now()) {
            Ok(waiting) => waiting,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let source = table.source.name.as_str();
        let pause = self.database.run(read_through::missed(source, &name_of(&waiting.host), runtime.now())).await?;
        if let Some(cause) = read_through::reason_of(&pause)? {
            return Ok(Err(Refusal::of_source("host-paused", format!("the host wants to be left alone: {cause}"))));
        }
        let Some(_turn) = self.turns.take(&waiting.host, self.limits, &**runtime).await else {
            return Ok(Err(Refusal::of_source("host-busy", "too many ask for images of the host")));
        };
        let taken = match self.fetch(&mut waiting).await {
            Ok(taken) => taken,
            Err(Failure::Item(refusal)) => return Ok(Err(refusal)),
            Err(Failure::Host(failure)) => {
                self.pause(source, &waiting.host, &failure).await;
                return Ok(Err(Refusal::of_source(failure.cause.as_str(), failure.detail)));
            }
        };
        let Some(taken) = taken else {
            return Ok(Err(Refusal::of_source("no-room", "the isolate holds too many images")));
        };
        let movable = self.candidates.ready(waiting, taken);
        let deleted = self.catalogue.run(read_through::was_deleted(movable.image_id())).await?;
        if deleted.first::<serde_json::Value>()?.is_some() {
            return Ok(Err(Refusal::skipped("deleted", "the image was deleted here, and stays deleted")));
        }
        let body = match movable.open().await {
            Ok(body) => body,
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(Ok(Reached::Found(Box::new(ReachedImage {
            image_id: movable.image_id(),
            key: movable.copy().key,
            format: movable.format(),
            visibility: table.source.visibility,
            filename: None,
            body,
            movable: Box::new(movable),
        }))))
    }

    async fn fetch(&self, waiting: &mut Waiting) -> Result<Option<super::intake::Taken>, Failure> {
        let Candidates { intake, refreshers, .. } = &self.candidates;
        if waiting.has_expired {
            waiting.current = renew_one(&waiting.link, refreshers, &intake.fetcher.rules).await?;
        }
        match intake.room() {
            Some(room) => intake.take(&waiting.current, room).await,
            None => Ok(None),
        }
    }

    /// Has all isolates leave a host alone that wants it: a link that hangs says nothing of the others, and anyone can ask for it again and
    /// again. Best effort: without it, the host is asked again.
    async fn pause(&self, source: &str, host: &str, failure: &HostFailure) {
        let of_crowd = (failure.cause == HostCause::RateLimited).then_some(PAUSE_MS);
        let Some(pause_ms) = failure.retry_after_ms.or(of_crowd) else { return };
        let pause_ms = pause_ms.min(LONGEST_PAUSE_MS);
        let now = self.candidates.intake.runtime.now();
        let until = now.plus_millis(i64::try_from(pause_ms).unwrap_or(i64::MAX));
        let miss = read_through::miss(source, &name_of(host), failure.cause.as_str(), until);
        let _ = self.database.run(miss).await;
    }
}

/// What a host's pause is remembered by; misses of links are remembered by their digests.
fn name_of(host: &str) -> String {
    ["host ", host].concat()
}

/// The image at a URL of ours.
fn image_at(url: &str, own_urls: &str, key_prefix: &str) -> Option<ImageId> {
    let rest = url.strip_prefix(own_urls)?;
    let of_key = || image_of_key(&ObjectKey::try_from([key_prefix, rest].concat()).ok()?);
    rest.parse().ok().or_else(of_key)
}

fn not_found() -> Refusal {
    Refusal::failed("not-found", "the table has no such row")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_its_url_at_the_worker_and_at_the_bucket() {
        let id = "0f8fad5b-d9cb-869f-a165-70867728950e";
        let expected = Some(id.parse().unwrap());
        let (worker, bucket) = ("https://w.example/images/", "https://b.example/tables/posts/");
        let prefix = "tables/posts/";
        assert_eq!(image_at(&[worker, id].concat(), worker, prefix), expected);
        assert_eq!(image_at(&[bucket, id, ".png"].concat(), bucket, prefix), expected);
        for url in ["https://w.example/images/17", "https://other.example/images/0f8fad5b-d9cb-869f-a165-70867728950e"]
        {
            assert_eq!(image_at(url, worker, prefix), None, "{url}");
        }
    }
}
