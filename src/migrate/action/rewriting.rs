//! Texts that hold URLs of moved objects are rewritten, once a migration has been through the objects.

use std::cell::RefCell;
use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use crate::migrate::destination::Destination;
use crate::migrate::runs::{Entry, IdType, InFlight, ItemId, Run, Stage, Verdict};
use crate::migrate::source::references::{
    Chosen, Copy, LoadedText, MAX_TEXT_BYTES, MAX_URLS, Occurrence, References, Scan, Seen,
};
use crate::migrate::task::{
    Bounds, Interruption, Outcome, Page, PageItem, Refusal, Slice, SliceContext, Task, item_id,
};
use crate::sql::{DatabaseError, QueryResult, Statement};

/// Statements and store operations of a text: it and its entries are read, its copies looked for and looked at, and it is written.
pub(super) const TEXT_OPERATIONS: u64 = 8;

/// Has another action go through the items, then goes through the texts.
pub struct Rewriting {
    pub items: Box<dyn Task>,
    pub references: References,
    pub destination: Destination,
}

/// Copies by their objects, each with its URL, if anybody serves it.
type Copies = BTreeMap<String, (Copy, Option<String>)>;

fn counted(urls: usize) -> String {
    format!("{urls} {}", if urls == 1 { "URL" } else { "URLs" })
}

impl Rewriting {
    /// Where the run stands among the texts; `None` while it goes through the items.
    fn scan(run: &Run) -> Option<Scan> {
        serde_json::from_value(run.cursor.as_ref()?.get("texts")?.clone()).ok()
    }

    fn cursor(scan: &Scan) -> Json {
        json!({ "texts": scan })
    }

    async fn texts(
        &self,
        run: &Run,
        scan: &Scan,
        found: &[QueryResult],
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Slice, Interruption> {
        let Chosen { rows, next } = self.references.choose(scan, found.first(), bounds.limit)?;
        let ids = self.references.column(scan.column).map(|(ids, _)| ids).unwrap_or_default();
        let is_last = next.is_none();
        let (mut slice, wanted) = if run.is_dry_run() {
            let foreseen = |(seen, scan): (Seen, Scan)| foresee(&self.references, ids, &seen, &scan);
            let outcomes = rows.into_iter().map(foreseen).collect::<Result<_, DatabaseError>>()?;
            let slice = Slice { outcomes, exhausted: is_last, ..Slice::default() };
            let wanted = slice.outcomes.len();
            (slice, wanted)
        } else {
            self.rewrite_all(run, scan.column, ids, rows, is_last, context).await?
        };
        if slice.outcomes.len() == wanted {
            slice.cursor = next.as_ref().map(Self::cursor);
        }
        Ok(slice)
    }

    /// Rewrites the texts that name copies; says how many there are. The others are nobody's items: `complete` finds them.
    async fn rewrite_all(
        &self,
        run: &Run,
        column: usize,
        ids: IdType,
        rows: Vec<(Seen, Scan)>,
        is_last: bool,
        context: &SliceContext<'_>,
    ) -> Result<(Slice, usize), Interruption> {
        let fits = |seen: &Seen| seen.text_bytes.is_some_and(|bytes| bytes <= MAX_TEXT_BYTES);
        let loads = rows.iter().filter(|(seen, _)| fits(seen));
        let loads =
            loads.filter_map(|(seen, _)| self.references.load(column, &seen.item)).flatten().collect::<Vec<_>>();
        let answers = if loads.is_empty() { Vec::new() } else { context.announce(&[], loads).await? };
        let mut answers = answers.chunks(2);
        let mut texts = Vec::new();
        for (seen, scan) in rows {
            let answer = if fits(&seen) { answers.next() } else { None };
            let loaded = answer.map(References::loaded).transpose()?;
            let found = loaded.map(|(text, written)| {
                let urls = text.as_deref().map(|text| self.references.find(text)).unwrap_or_default();
                (LoadedText { column, row: seen.item.clone(), text, written }, urls)
            });
            let cursor = Self::cursor(&scan);
            texts.push(PageItem { id: item_id(ids, &seen.item)?, found, cursor });
        }
        let urls = texts.iter().filter_map(|text| text.found.as_ref()).flat_map(|(_, urls)| urls);
        let copies = self.copies(run, self.references.copies(urls)?, context).await?;
        texts.retain(|text| {
            let urls = text.found.as_ref().map_or(&[][..], |(_, urls)| urls);
            let names_copy = |key: &str| copies.get(key).is_some_and(|(_, url)| url.is_some());
            text.found.is_none() || urls.iter().any(|url| url.keys().any(names_copy))
        });
        let wanted = texts.len();
        let looked_at = RefCell::new(BTreeMap::new());
        let page = Page { items: texts, is_last, largest_bytes: 0 };
        let handled = page.handle(context, async |id, found| {
            let written = match found {
                Some((loaded, urls)) => self.rewrite(&id, loaded, &urls, &copies, &looked_at, context).await?,
                None => Err(too_long()),
            };
            Ok(written.unwrap_or_else(|refusal| {
                let Refusal { verdict, blame, reason, detail, .. } = refusal;
                let line = self.references.line(column, id, verdict).because(reason, &detail);
                Outcome { blame, ..Outcome::only(line) }
            }))
        });
        Ok((handled.await?, wanted))
    }

    async fn copies(
        &self,
        run: &Run,
        asked: Vec<Statement>,
        context: &SliceContext<'_>,
    ) -> Result<Copies, Interruption> {
        let mut copies = Copies::new();
        let answers = if asked.is_empty() { Vec::new() } else { context.read(asked).await? };
        for answer in &answers {
            for copy in answer.rows::<Copy>()? {
                let url = References::url_of(&run.parameters.public_base, &copy);
                copies.insert(copy.object.clone(), (copy, url));
            }
        }
        Ok(copies)
    }

    async fn rewrite(
        &self,
        id: &ItemId,
        loaded: LoadedText,
        urls: &[Occurrence],
        copies: &Copies,
        looked_at: &RefCell<BTreeMap<String, Result<(), Refusal>>>,
        context: &SliceContext<'_>,
    ) -> Result<Result<Outcome, Refusal>, Interruption> {
        let run = context.run;
        let LoadedText { column, row, text, written } = loaded;
        let Some(text) = text else {
            return Ok(Err(Refusal::skipped("changed-meanwhile", "the row was deleted or has another value")));
        };
        if urls.len() > MAX_URLS {
            let detail = format!("the text holds more than {MAX_URLS} URLs of the old bucket");
            return Ok(Err(Refusal::failed("too-many-urls", detail)));
        }
        let Some((new, used)) = References::rewrite(&text, urls, copies, written, &run.parameters.public_base) else {
            let detail = "no URL of the old bucket in the text names an object whose copy has a URL";
            return Ok(Err(Refusal::skipped("not-copied", detail)));
        };
        for copy in &used {
            let known = looked_at.borrow().get(&copy.object).cloned();
            let looked = match known {
                Some(looked) => looked,
                None => self.look(run, copy, context).await,
            };
            looked_at.borrow_mut().insert(copy.object.clone(), looked.clone());
            if let Err(refusal) = looked {
                return Ok(Err(refusal));
            }
        }
        let mut statements = Vec::from(References::require(run, &used)?);
        statements.extend(self.references.write(run, column, &row, &text, &new)?);
        let left = urls.len() - new.urls;
        let mut line = self.references.line(column, id.clone(), Verdict::Rewritten);
        if left > 0 {
            line = line.because("urls-left", &format!("{} of objects that have no copy with a URL", counted(left)));
        }
        Ok(Ok(Outcome { statements, ..Outcome::only(line) }))
    }

    /// That a copy is in the bucket as it was put.
    async fn look(&self, run: &Run, copy: &Copy, context: &SliceContext<'_>) -> Result<(), Refusal> {
        let entry = Entry {
            item: copy.object.clone(),
            stage: Stage::Moved,
            image_id: copy.image_id,
            key: copy.storage_key.clone(),
            content_type: String::new(),
            size_bytes: copy.size_bytes,
            sha256: copy.sha256,
            original: Json::Null,
            run_id: run.id.clone(),
            moved_at: run.created_at,
        };
        let found = self.destination.head(&entry, context).await?;
        let is_right = found.is_some_and(|found| {
            found.size_bytes == copy.size_bytes && found.sha256.is_none_or(|sha256| sha256 == copy.sha256)
        });
        if is_right {
            return Ok(());
        }
        let detail = format!("r2:{} is missing or not what was copied; run validate", copy.storage_key);
        Err(Refusal::failed("copy-not-right", detail))
    }
}

/// A text that is longer than what is rewritten.
fn too_long() -> Refusal {
    Refusal::failed("text-too-long", format!("the text has more than {MAX_TEXT_BYTES} bytes"))
}

fn foresee(references: &References, ids: IdType, seen: &Seen, scan: &Scan) -> Result<Outcome, DatabaseError> {
    let id = item_id(ids, &seen.item)?;
    let line = references.line(scan.column, id, Verdict::WouldRewrite);
    Ok(Outcome { cursor: Some(Rewriting::cursor(scan)), ..Outcome::only(line) })
}

#[async_trait(?Send)]
impl Task for Rewriting {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        match Self::scan(run) {
            Some(scan) => Ok(self.references.holding(&scan).into_iter().collect()),
            None => self.items.select(run, bounds),
        }
    }

    async fn perform(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Slice, Interruption> {
        if let Some(scan) = Self::scan(run) {
            return self.texts(run, &scan, &found, bounds, context).await;
        }
        let mut slice = self.items.perform(run, found, bounds, context).await?;
        // Whoever names items wants these only, and texts would all have to be gone through.
        if slice.exhausted && run.parameters.item_ids.is_none() {
            slice.exhausted = false;
            slice.cursor = Some(Self::cursor(&Scan::default()));
        }
        Ok(slice)
    }

    fn operations_per_item(&self) -> u64 {
        self.items.operations_per_item().max(TEXT_OPERATIONS)
    }

    fn count(&self, run: &Run) -> Option<Statement> {
        self.items.count(run)
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        self.items.names(in_flight)
    }

    fn shared_by(&self) -> Option<&str> {
        self.items.shared_by()
    }
}
