//! What may follow the end of an image in a file.

use super::Rejection;

/// The largest cluster that common file systems round a file up to: 64 KiB (the default of NTFS and exFAT never exceeds it for
/// cards and disks that cameras use).
pub(super) const MAX_PADDING_BYTES: usize = 64 * 1024;

/// How many bytes of padding `bytes` starts with: NUL, 0xFF (erased flash) and line ends.
pub(super) fn padding_bytes(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_padding(*byte)).unwrap_or(bytes.len())
}

/// How many bytes of padding `bytes` ends with.
pub(super) fn padding_bytes_at_end(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|byte| is_padding(**byte)).count()
}

fn is_padding(byte: u8) -> bool {
    matches!(byte, 0x00 | 0xFF | b'\n' | b'\r')
}

/// Accepts at most [`MAX_PADDING_BYTES`] of padding and nothing else. Other bytes behind an image's end mean that two files
/// were joined or one was written over another.
pub(super) fn expect_padding(rest: &[u8]) -> Result<(), Rejection> {
    if rest.len() <= MAX_PADDING_BYTES && padding_bytes(rest) == rest.len() {
        Ok(())
    } else {
        Err(Rejection::Malformed)
    }
}
