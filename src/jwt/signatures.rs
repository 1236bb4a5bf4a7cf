//! The seam to signatures by public keys.

use async_trait::async_trait;

use super::keys::PublicKey;

/// Checks signatures by public keys, where the platform is fast at it.
#[async_trait(?Send)]
pub trait SignatureCheck: 'static {
    /// Whether `signature` is one of `message` by the owner of `key`, by the key's algorithm.
    async fn is_signed(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool;
}
