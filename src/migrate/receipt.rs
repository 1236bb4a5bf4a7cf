//! A run's receipt, and counts.

use std::rc::Rc;

use serde::Deserialize;

use super::ledger::Ledger;
use super::run::{ReceiptInfo, Run, State};
use super::slice::Interruption;
use crate::sql::{DatabaseError, QueryResult};
use crate::store::ImageStore;

pub(super) async fn write(
    _ledger: &Ledger,
    _bucket: &Rc<dyn ImageStore>,
    run: &Run,
    _state: State,
) -> Result<ReceiptInfo, Interruption> {
    Err(Interruption::Hopeless { reason: "no-receipt", detail: run.id.to_string() })
}

pub(super) fn counted(answer: &QueryResult) -> Result<Option<u64>, DatabaseError> {
    #[derive(Deserialize)]
    struct Count {
        items: Option<u64>,
    }
    Ok(answer.first::<Count>()?.and_then(|count| count.items))
}
