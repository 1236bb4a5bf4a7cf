//! Numbers drawn from a digest: the same digest, the same numbers.

use crate::image::Sha256Digest;

/// A splitmix64 generator seeded with a digest.
pub struct Chance(u64);

impl Chance {
    /// A generator whose numbers depend on every bit of `digest`.
    pub fn new(digest: Sha256Digest) -> Self {
        let mut chance = Self(0);
        for word in digest.as_bytes().chunks_exact(8) {
            chance.0 = word.iter().fold(chance.next(), |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        }
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` up to, not including, `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        // 24 bits fill a float's mantissa exactly.
        low + (high - low) * ((self.next() >> 40) as f32 / 16_777_216.0)
    }

    /// One of `values`.
    pub fn one_of<T: Copy, const N: usize>(&mut self, values: [T; N]) -> T {
        const { assert!(N > 0) };
        // Unwrap safety: a remainder is below its divisor.
        values[(self.next() % N as u64) as usize]
    }
}
