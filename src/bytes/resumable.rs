//! A SHA-256 that goes on later, in another process.

use serde::{Deserialize, Serialize};
use sha2::compress256;
use sha2::digest::generic_array::GenericArray;

use super::Sha256Digest;

const BLOCK_BYTES: usize = 64;
/// FIPS 180-4, section 5.3.3.
const FIRST: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The SHA-256 of bytes of which some have passed. As JSON it is what another process needs to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResumableSha256 {
    state: [u32; 8],
    passed_bytes: u64,
    /// The beginning of a block.
    rest: Vec<u8>,
}

impl Default for ResumableSha256 {
    fn default() -> Self {
        Self { state: FIRST, passed_bytes: 0, rest: Vec::new() }
    }
}

impl ResumableSha256 {
    /// Takes the next bytes.
    pub fn pass(&mut self, bytes: &[u8]) {
        self.passed_bytes += bytes.len() as u64;
        self.take(bytes);
    }

    fn take(&mut self, bytes: &[u8]) {
        let lacking = (BLOCK_BYTES - self.rest.len()) % BLOCK_BYTES;
        let (first, bytes) = bytes.split_at(lacking.min(bytes.len()));
        self.rest.extend_from_slice(first);
        if self.rest.len() == BLOCK_BYTES {
            compress256(&mut self.state, &[*GenericArray::from_slice(&self.rest)]);
            self.rest.clear();
        }
        let mut blocks = bytes.chunks_exact(BLOCK_BYTES);
        for block in &mut blocks {
            compress256(&mut self.state, &[*GenericArray::from_slice(block)]);
        }
        self.rest.extend_from_slice(blocks.remainder());
    }

    /// The digest of everything that passed.
    #[must_use]
    pub fn finish(mut self) -> Sha256Digest {
        let bits = self.passed_bytes.wrapping_mul(8).to_be_bytes();
        let zeros = (2 * BLOCK_BYTES - 1 - bits.len() - self.rest.len()) % BLOCK_BYTES;
        let end = [&[0x80][..], &vec![0; zeros], &bits].concat();
        self.take(&end);
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        Sha256Digest::from_bytes(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_sha_256_however_the_bytes_are_cut_and_wherever_it_rests() {
        let bytes: Vec<u8> = (0..300_u32).map(|n| n.to_le_bytes()[0]).collect();
        for length in 0..bytes.len() {
            let whole = bytes.split_at(length).0;
            for cut in [0, 1, 63, 64, 65, 128, length] {
                let (first, second) = whole.split_at(cut.min(length));
                let mut digest = ResumableSha256::default();
                digest.pass(first);
                let kept = serde_json::to_string(&digest).unwrap();
                let mut digest: ResumableSha256 = serde_json::from_str(&kept).unwrap();
                digest.pass(second);
                assert_eq!(digest.finish(), Sha256Digest::of(whole), "{length} bytes cut at {cut}");
            }
        }
    }
}
