//! A run's receipt: its lines as one object in the bucket, which anyone can check later.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Serialize;

use crate::migrate::archive::record::{self, Extent, Pages, WriteError};
use crate::migrate::runs::{Action, Completion, Ledger, ReceiptInfo, Run, RunId};
use crate::migrate::task::Interruption;
use crate::sql::{DatabaseError, DatabaseErrorKind};
use crate::store::{ImageStore, StoreErrorKind};

/// Slices read in one round trip: 100 lines of 300 bytes each are 600 KB.
const SLICES_PER_PAGE: u16 = 20;

/// The first line. It holds nothing that differs between two attempts to write the same receipt.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Header<'run> {
    run: &'run RunId,
    action: Action,
    source: &'run str,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion: Option<&'run Completion>,
}

/// The lines of a run, page by page.
struct RunLines {
    ledger: Ledger,
    id: RunId,
    after: i64,
}

#[async_trait(?Send)]
impl Pages for RunLines {
    async fn next(&mut self) -> Result<Option<String>, DatabaseError> {
        let slices = self.ledger.lines(&self.id, self.after, SLICES_PER_PAGE).await?;
        let Some(last) = slices.last() else { return Ok(None) };
        self.after = last.slice;
        Ok(Some(slices.into_iter().map(|slice| slice.lines).collect()))
    }
}

/// Writes the receipt. Repeating it is fine; what an earlier attempt wrote before the run went on is replaced,
/// by whoever has the lease.
pub async fn write(
    ledger: &Ledger,
    bucket: &Rc<dyn ImageStore>,
    run: &Run,
    has_lease: impl Fn() -> bool,
) -> Result<ReceiptInfo, Interruption> {
    let key = run.id.receipt_key();
    let header = Header {
        run: &run.id,
        action: run.action(),
        source: &run.source,
        dry_run: run.is_dry_run(),
        completion: run.progress.completion.as_ref(),
    };
    let content = Extent { bytes: run.progress.line_bytes, lines: run.progress.lines };
    let lines = || RunLines { ledger: ledger.clone(), id: run.id.clone(), after: -1 };
    let written = match record::write(bucket.as_ref(), key.clone(), &header, content, lines()).await {
        Err(WriteError::KeyTaken) if !has_lease() => return Err(Interruption::LeaseLost),
        Err(WriteError::KeyTaken) => {
            bucket.delete(&key).await.map_err(|error| Interruption::Destination { detail: error.code().to_owned() })?;
            record::write(bucket.as_ref(), key, &header, content, lines()).await
        }
        outcome => outcome,
    };
    let written = written.map_err(|error| match error {
        WriteError::Pages(error) => Interruption::Database(error),
        WriteError::Store(error) if error.kind != StoreErrorKind::Corrupt => {
            Interruption::Destination { detail: error.code().to_owned() }
        }
        other => Interruption::Database(DatabaseError::new(DatabaseErrorKind::Corrupt, other.to_string())),
    })?;
    Ok(ReceiptInfo { key: written.key, sha256: written.sha256, bytes: written.size_bytes, lines: written.lines })
}
