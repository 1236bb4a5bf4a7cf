//! Reading a receipt piece by piece, from wherever the last piece ended.

use crate::bytes::ByteRange;
use crate::migrate::runs::{LINE_MAX_BYTES, Line, ReceiptInfo};
use crate::store::{ImageStore, StoreError, StoreErrorKind};

/// Bytes read at once: at least 21 lines of the longest, about 800 of usual ones.
const PAGE_BYTES: u64 = 256 * 1024;
const _: () = assert!(PAGE_BYTES > 2 * LINE_MAX_BYTES as u64);

/// Some lines of a receipt, each with the offset of the byte behind it.
pub struct ReceiptPage {
    pub lines: Vec<(Line, u64)>,
    /// Where the next page begins; `None` behind the last.
    pub next: Option<u64>,
}

/// The lines from `offset` on, which is 0 or an offset that an earlier page gave. The receipt was checked before.
///
/// # Errors
/// When the store fails, or the receipt is not there any more or has other bytes.
pub async fn read(store: &dyn ImageStore, receipt: &ReceiptInfo, offset: u64) -> Result<ReceiptPage, StoreError> {
    let length_bytes = receipt.bytes.saturating_sub(offset).min(PAGE_BYTES);
    let range = ByteRange { offset_bytes: offset, length_bytes };
    let object = store.get(&receipt.key, Some(range)).await?.ok_or_else(|| corrupt("it is not there any more"))?;
    let page = object.body.collect(PAGE_BYTES).await?;
    let page = String::from_utf8(page.to_vec()).map_err(|_| corrupt("it is not text"))?;
    let mut lines = Vec::new();
    let mut behind = offset;
    for text in page.split_inclusive('\n').filter(|text| text.ends_with('\n')) {
        let is_first = behind == 0;
        behind += text.len() as u64;
        if behind == receipt.bytes {
            return Ok(ReceiptPage { lines, next: None });
        }
        if !is_first {
            let line = serde_json::from_str(text).map_err(|_| corrupt("a line is not one of a receipt"))?;
            lines.push((line, behind));
        }
    }
    if behind == offset { Err(corrupt("a line has no end")) } else { Ok(ReceiptPage { lines, next: Some(behind) }) }
}

fn corrupt(detail: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, detail)
}
