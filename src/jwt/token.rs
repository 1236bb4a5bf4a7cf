//! A token's three parts.

use base64_simd::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// Largest token in bytes. Identity providers stay below 4 KiB, since a token often travels in a cookie.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A token in its compact form (RFC 7515, section 7.1), whose signature nobody has checked yet.
pub(super) struct Token<'text> {
    /// What is signed: the first two parts with the dot between them.
    pub signed: &'text str,
    pub algorithm: String,
    pub key_id: Option<String>,
    pub signature: Vec<u8>,
    claims: &'text str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'text> Token<'text> {
    /// Takes `text` apart; `None` when it is no such token, is longer than [`MAX_TOKEN_BYTES`], or has an extension that must be
    /// understood (`crit`): none is.
    pub fn parse(text: &'text str) -> Option<Self> {
        if text.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        // The alphabet has no dot, so that a fourth part is refused here.
        let signature = decoded(signature)?;
        let Header { alg, kid, crit } = json(header)?;
        crit.is_none().then_some(Self { signed, algorithm: alg, key_id: kid, signature, claims })
    }

    /// What it claims, to be believed only when its signature is good.
    pub fn claims<T: DeserializeOwned>(&self) -> Option<T> {
        json(self.claims)
    }
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(part.as_bytes()).ok()
}

fn json<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&decoded(part)?).ok()
}
