//! How an object is cut into rows.

/// The largest image in bytes: 25 chunks.
pub const EMBEDDED_MAX_BYTES: u64 = 25 * 1024 * 1024;

/// Raw bytes in each chunk but an object's last. Part of the stored format: chunk `n` starts at byte `n * CHUNK_BYTES`.
///
/// As base64, 4 characters for each 3 bytes begun, a chunk is 349,526 * 4 = 1,398,104 characters. D1 holds 2,000,000 bytes a row,
/// and a local database holds more, so that nothing but this constant keeps the limit in tests.
pub const CHUNK_BYTES: usize = 1024 * 1024;

/// Chunks in one call to the database: 4 * 1,398,104 characters are 5.6 MB of request, held outside wasm memory.
pub const CHUNKS_PER_CALL: usize = 4;

/// What a chunk's row holds beside the data: a write id of 32 characters, an index, headers.
const ROW_OVERHEAD_BYTES: usize = 100;
const D1_MAX_ROW_BYTES: usize = 2_000_000;
const _: () = assert!(CHUNK_BYTES.div_ceil(3) * 4 + ROW_OVERHEAD_BYTES <= D1_MAX_ROW_BYTES);
