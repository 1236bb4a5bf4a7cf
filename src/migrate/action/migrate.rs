//! Migrate: the images of a source move into the bucket.

use async_trait::async_trait;

use crate::migrate::destination::{Destination, NewCopy};
use crate::migrate::runs::{InFlight, ItemId, Line, Run, Verdict};
use crate::migrate::source::{Contents, Movable, Prepared, Source, Switch};
use crate::migrate::task::{Bounds, Interruption, Outcome, Page, Refusal, Slice, SliceContext, Task, listed_count};
use crate::sql::{DatabaseError, QueryResult, Statement};

/// Statements and store operations of a move: it reads the row, puts the object, switches the row, writes the journal and the catalogue.
const READ: u64 = 1;
const PUT: u64 = 1;
const SWITCH: u64 = 1;
const JOURNAL: u64 = 1;
const CATALOGUE: u64 = 1;

/// Moves a source's images.
pub struct Migrate {
    pub source: Source,
    pub destination: Destination,
}

impl Migrate {
    /// Writes down the keys about to be put, and reads in the same round trip what the items' bytes wait for.
    async fn announce(
        page: &mut Page<Result<Box<dyn Movable>, Refusal>>,
        context: &SliceContext<'_>,
    ) -> Result<(), Interruption> {
        let mut keys = Vec::new();
        let mut reads = Vec::new();
        let mut waiting = Vec::new();
        for item in &mut page.items {
            let Some(Ok(movable)) = &mut item.found else { continue };
            keys.push(InFlight { item: item.id.clone(), key: movable.copy().key });
            let own = movable.reads();
            waiting.push((movable, own.len()));
            reads.extend(own);
        }
        let answers = match (keys.is_empty(), context.run.is_dry_run()) {
            (true, _) => Vec::new(),
            (false, true) if reads.is_empty() => Vec::new(),
            (false, true) => context.read(reads).await?,
            (false, false) => context.announce(&keys, reads).await?,
        };
        let mut answers = answers.into_iter();
        for (movable, reads) in waiting {
            movable.take(answers.by_ref().take(reads).collect());
        }
        Ok(())
    }

    async fn handle(
        &self,
        run: &Run,
        id: ItemId,
        movable: Box<dyn Movable>,
        context: &SliceContext<'_>,
    ) -> Result<Outcome, Interruption> {
        let copy = movable.copy();
        let line = |verdict, Contents { size_bytes, sha256 }: Contents| {
            Line::new(id.clone(), verdict)
                .with_bytes(sha256, size_bytes, copy.media.content_type())
                .from_place(&self.source.place)
                .to_object(&copy.key)
        };
        if run.is_dry_run() {
            return Ok(match movable.check().await {
                Ok(contents) => Outcome::only(line(Verdict::WouldMove, contents)),
                Err(refusal) => Outcome::refused(id, refusal),
            });
        }
        context.count(|operations| operations.r2_class_a += 1);
        let put = match movable.finish().await {
            Some(finished) => finished,
            None => self.destination.put(|| movable.copy(), async || movable.open().await).await,
        };
        let receipt = match put {
            Ok(receipt) => receipt,
            Err(error) => {
                let put = Some(copy.key);
                return Ok(Outcome { put, uncertain: error.is_uncertain, ..Outcome::refused(id, error.refusal) });
            }
        };
        let contents = Contents { size_bytes: receipt.size_bytes, sha256: receipt.sha256 };
        let Switch { statements, staged, counted, remove, remark } =
            movable.switch(run, &receipt, context.runtime.now())?;
        let mut line = line(Verdict::Moved, contents);
        if let Some(content_type) = movable.copy().headers.and_then(|headers| headers.content_type) {
            line = line.with_bytes(contents.sha256, contents.size_bytes, content_type);
        }
        if let Some((reason, detail)) = remark {
            line = line.because(reason, &detail);
        }
        let NewCopy { key, .. } = copy;
        Ok(Outcome { statements, put: Some(key), remove, counted, staged, ..Outcome::only(line) })
    }
}

#[async_trait(?Send)]
impl Task for Migrate {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        self.source.items.select(run, bounds)
    }

    async fn perform(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Slice, Interruption> {
        let Prepared { mut page, warnings, cursor, forecast } =
            self.source.items.prepare(run, found, bounds, context).await?;
        let has_items = !page.items.is_empty();
        Self::announce(&mut page, context).await?;
        let handled = page.handle(context, async |id, found| match found {
            Some(Ok(movable)) => self.handle(run, id, movable, context).await,
            Some(Err(refusal)) => Ok(Outcome::refused(id, refusal)),
            None => Ok(Outcome::refused(id, Refusal::failed("not-found", "the source has no such item"))),
        });
        let mut slice = handled.await?;
        for outcome in &mut slice.outcomes {
            outcome.settled = self.source.items.settled(run, outcome.line.id());
        }
        slice.cursor = slice.cursor.or(cursor.filter(|_| !has_items));
        slice.forecast = forecast;
        slice.warnings.extend(warnings);
        Ok(slice)
    }

    fn operations_per_item(&self) -> u64 {
        READ + PUT + SWITCH + JOURNAL + CATALOGUE
    }

    fn count(&self, run: &Run) -> Option<Statement> {
        Some(listed_count(run).unwrap_or_else(|| self.source.items.count(run)))
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        self.source.items.names(in_flight)
    }

    fn shared_by(&self) -> Option<&str> {
        self.source.objects.shared_by()
    }
}
