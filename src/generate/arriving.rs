//! Answers of providers on their way into memory.

use crate::bytes::{Body, BodyError};
use crate::library::GenerationShare;

/// Reads `body`, which is at most `limit_bytes` long, once there is room for it in `memory`, where what it came to stays held.
///
/// Room is asked for when the first byte is there: a provider may send its head before it has painted.
pub async fn read(mut body: Body, limit_bytes: u64, memory: &GenerationShare<'_>) -> Result<Vec<u8>, BodyError> {
    body.peek(1).await?;
    memory.hold_answer(limit_bytes).await;
    let bytes = body.into_vec(limit_bytes, || memory.room_bytes(limit_bytes)).await?;
    memory.hold_answer(bytes.len() as u64).await;
    Ok(bytes)
}
