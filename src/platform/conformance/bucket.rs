//! What the store contract leaves open and R2 makes delicate.

use std::any::Any;
use std::rc::Rc;

use async_trait::async_trait;

use super::super::environment::Environment;
use super::super::runtime::WorkerRuntime;
use super::case::{Case, cases, expect, words};
use crate::bytes::{Blob, Body, BodyError, ByteSource};
use crate::image::{Format, ObjectKey};
use crate::runtime::Runtime;
use crate::store::conformance::Outcome;
use crate::store::{ImageStore, ObjectMetadata, PutObject, StoreErrorKind};

pub(super) const CASES: &[Case] = cases![a_late_surplus_stores_nothing];

const PROMISED_BYTES: usize = 1 << 20;

/// Gives what was promised, and after a while a byte more.
struct LateSurplus {
    left_bytes: usize,
}

#[async_trait(?Send)]
impl ByteSource for LateSurplus {
    async fn peek(&mut self, _max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        Ok(Vec::new())
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        if self.left_bytes == 0 {
            WorkerRuntime.sleep(500).await;
            return Ok(Some(vec![1].into()));
        }
        let run_bytes = max_bytes.min(self.left_bytes);
        self.left_bytes -= run_bytes;
        Ok(Some(vec![0; run_bytes].into()))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

async fn a_late_surplus_stores_nothing(environment: Rc<Environment>) -> Outcome {
    let store = environment.images.clone().ok_or("no binding R2_IMAGES")?;
    let key = ObjectKey::try_from("conformance/bucket/late-surplus".to_owned()).map_err(words)?;
    let source = LateSurplus { left_bytes: PROMISED_BYTES };
    let body = Body::from_source(Box::new(source), Some(PROMISED_BYTES as u64));
    let object =
        PutObject { key: key.clone(), body, media: Format::Png.into(), sha256: None, metadata: ObjectMetadata::new() };
    let error = store.put(object).await.err().ok_or("the put is refused")?;
    let too_long = StoreErrorKind::Body(BodyError::TooLong { limit_bytes: PROMISED_BYTES as u64 });
    expect(error.kind == too_long, format!("too long, not {error}"))?;
    expect(store.head(&key).await.map_err(words)?.is_none(), "nothing is stored")
}
