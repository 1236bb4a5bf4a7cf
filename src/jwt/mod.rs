//! JSON Web Tokens of users: who signed one, and whom it names.
//!
//! The keys decide how a signature is checked, and they come from the configuration: a token that names another algorithm than its key's
//! is refused (RFC 8725, section 3.1).

mod claims;
mod keys;
mod published;
mod rejection;
mod signatures;
mod token;

pub use keys::{Algorithm, KeySet, PublicKey};
pub use published::PublishedKeys;
pub use rejection::Rejection;
pub use signatures::SignatureCheck;

use std::rc::Rc;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use self::claims::Claims;
use self::token::Token;
use crate::config::{Secret, TokenKeys, TokenSettings};
use crate::http::HttpClient;
use crate::image::UserId;
use crate::runtime::{Runtime, Timestamp};

/// Says whom a token names.
pub struct Tokens {
    keys: Keys,
    audience: Option<String>,
    issuer: Option<String>,
}

enum Keys {
    Secrets(Vec<Secret>),
    Published(PublishedKeys),
}

impl Tokens {
    /// Checks tokens by these settings.
    #[must_use]
    pub fn new(
        settings: &TokenSettings,
        http: Rc<dyn HttpClient>,
        signatures: Rc<dyn SignatureCheck>,
        runtime: Rc<dyn Runtime>,
    ) -> Self {
        let TokenSettings { keys, audience, issuer } = settings.clone();
        let keys = match keys {
            TokenKeys::Secrets(secrets) => Keys::Secrets(secrets),
            TokenKeys::Published { url } => Keys::Published(PublishedKeys::new(url, http, signatures, runtime)),
        };
        Self { keys, audience, issuer }
    }

    /// The user whom `token` names at the moment `now`.
    ///
    /// # Errors
    /// [`Rejection`].
    pub async fn user(&self, token: &str, now: Timestamp) -> Result<UserId, Rejection> {
        const UNKNOWN: Rejection = Rejection::Invalid("the token is not one that was signed for this deployment");
        let token = Token::parse(token).ok_or(UNKNOWN)?;
        let is_signed = match &self.keys {
            Keys::Secrets(secrets) => token.algorithm == "HS256" && is_authentic(secrets, &token),
            Keys::Published(keys) => keys.signed(&token).await?,
        };
        if !is_signed {
            return Err(UNKNOWN);
        }
        let claims: Claims =
            token.claims().ok_or(Rejection::Invalid("the token's claims are not as they should be"))?;
        claims.user(self.audience.as_deref(), self.issuer.as_deref(), now).map_err(Rejection::Invalid)
    }
}

fn is_authentic(secrets: &[Secret], token: &Token<'_>) -> bool {
    // Each secret is tried, so that time does not tell which one it was.
    secrets.iter().fold(false, |known, secret| {
        // HMAC takes keys of every length.
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return known };
        let is_signed = mac.chain_update(token.signed.as_bytes()).verify_slice(&token.signature).is_ok();
        known | is_signed
    })
}
