//! Credentials: the API token, its predecessor, and signatures of private images' URLs.

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::problem::{Code, Problem};
use super::request::Request;
use crate::config::{Config, Secret, is_loopback};
use crate::image::ImageId;
use crate::runtime::Timestamp;

/// Longest life of a signed URL: seven days, as R2's own presigned URLs.
pub const MAX_SIGNED_URL_SECONDS: u64 = 7 * 24 * 60 * 60;
/// Life of the signed URLs that answers carry: one hour.
pub const DEFAULT_SIGNED_URL_SECONDS: u64 = 60 * 60;

/// Signs where no token is configured, which is on loopback hosts only.
const LOOPBACK_SIGNING_KEY: &str = "stillstore loopback";

/// Checks callers against the configured secrets.
#[derive(Debug)]
pub struct Gate<'config> {
    config: &'config Config,
}

impl<'config> Gate<'config> {
    /// A gate for this configuration.
    #[must_use]
    pub const fn new(config: &'config Config) -> Self {
        Self { config }
    }

    /// Whether `npm start` opened this host, which is a loopback one, to callers without a token.
    #[must_use]
    pub fn is_opened(&self, request: &Request) -> bool {
        self.config.allow_unauthenticated && is_loopback(request.host())
    }

    /// Lets holders of a valid signature for `id` pass.
    ///
    /// # Errors
    /// 403 for a missing, wrong or expired signature.
    pub fn require_signature(&self, request: &Request, id: ImageId, now: Timestamp) -> Result<(), Problem> {
        let pairs = request.query_pairs()?;
        let parameter = |name: &str| pairs.iter().find(|(pair, _)| pair == name).map(|(_, value)| value.as_str());
        let (Some(expires), Some(signature)) = (parameter("expires"), parameter("signature")) else {
            return Err(Problem::new(Code::SignatureInvalid, "the URL carries no signature"));
        };
        let refusal = || Problem::new(Code::SignatureInvalid, "the signature does not fit the URL");
        let expires_at_s: i64 = expires.parse().map_err(|_| refusal())?;
        let digest = hex::decode(signature).map_err(|_| refusal())?;
        // Numbers and hexadecimal digits have other spellings, none of which was handed out.
        let is_as_signed = expires_at_s.to_string() == expires && hex::encode(&digest) == signature;
        let fits = self.signing_keys().any(|key| mac(key, id, expires_at_s).verify_slice(&digest).is_ok());
        if !(is_as_signed && fits) {
            return Err(refusal());
        }
        if now.as_millis() >= expires_at_s.saturating_mul(1000) {
            return Err(Problem::plain(Code::SignatureExpired));
        }
        Ok(())
    }

    /// The query that opens a private image until `lifetime_seconds` from now, and that moment.
    #[must_use]
    pub fn sign(&self, id: ImageId, now: Timestamp, lifetime_seconds: u64) -> (String, Timestamp) {
        let lifetime_s = i64::try_from(lifetime_seconds.min(MAX_SIGNED_URL_SECONDS)).unwrap_or(0);
        let expires_at_s = now.as_millis() / 1000 + lifetime_s;
        let key = self.signing_keys().next().unwrap_or(LOOPBACK_SIGNING_KEY);
        let signature = hex::encode(mac(key, id, expires_at_s).finalize().into_bytes());
        (
            format!("expires={expires_at_s}&signature={signature}"),
            Timestamp::from_millis(expires_at_s.saturating_mul(1000)),
        )
    }

    /// Whether the request carries the API token or its predecessor.
    #[must_use]
    pub fn holds_token(&self, request: &Request) -> bool {
        let Some(given) = request.header("authorization").and_then(bearer_token) else { return false };
        let given = Sha256::digest(given.as_bytes());
        // Digests are of one length, so that the comparison says nothing about the token's.
        let equal = |token: &Secret| given.ct_eq(&Sha256::digest(token.expose().as_bytes()));
        let tokens = [&self.config.api_token, &self.config.api_token_previous];
        tokens.into_iter().flatten().fold(subtle::Choice::from(0), |held, token| held | equal(token)).into()
    }

    /// Keys that signatures are checked against, the one that signs first.
    fn signing_keys(&self) -> impl Iterator<Item = &'config str> {
        let config = self.config;
        let loopback = config.api_token.is_none() && config.allow_unauthenticated;
        [&config.api_token, &config.api_token_previous]
            .into_iter()
            .flatten()
            .map(Secret::expose)
            .chain(loopback.then_some(LOOPBACK_SIGNING_KEY))
    }
}

/// The token of an `Authorization` header; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer_token(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn mac(key: &str, id: ImageId, expires_at_s: i64) -> Hmac<Sha256> {
    // A key of its own, so that a signature never helps against another use of the token.
    let derived = Sha256::digest(format!("stillstore signed url v1\n{key}").as_bytes());
    // Unwrap safety: HMAC takes keys of every length, so that this cannot fail.
    #[allow(clippy::expect_used)]
    let mut mac = Hmac::<Sha256>::new_from_slice(&derived).expect("HMAC takes keys of every length");
    mac.update(format!("{id}\n{expires_at_s}").as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn config(pairs: &[(&str, &str)]) -> Config {
        let lookup = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::parse(lookup).0
    }

    fn request(query: &str) -> Request {
        Request::new("GET", &format!("http://a.example/x?{query}"), Vec::new(), None)
    }

    fn id(byte: u8) -> ImageId {
        ImageId::from_random_bytes([byte; 16])
    }

    #[test]
    fn a_signature_opens_one_image_until_it_expires() {
        let config = config(&[("API_TOKEN", "t")]);
        let gate = Gate::new(&config);
        let (query, expires_at) = gate.sign(id(1), NOW, 60);
        let code =
            |query: &str, id, now| gate.require_signature(&request(query), id, now).err().map(|problem| problem.code);
        assert_eq!(expires_at.millis_since(NOW), 60_000);
        assert_eq!(code(&query, id(1), NOW), None);
        assert_eq!(code(&query, id(2), NOW), Some(Code::SignatureInvalid));
        assert_eq!(code(&query, id(1), expires_at), Some(Code::SignatureExpired));
        assert_eq!(code(&query.replace("expires=17", "expires=18"), id(1), NOW), Some(Code::SignatureInvalid));
        assert_eq!(code(&query.replace("expires=", "expires=0"), id(1), NOW), Some(Code::SignatureInvalid));
        let (expires, signature) = query.split_once('&').unwrap();
        let upper_case = format!("{expires}&{}", signature.to_uppercase().replace("SIGNATURE", "signature"));
        assert_eq!(code(&upper_case, id(1), NOW), Some(Code::SignatureInvalid));
        assert_eq!(code("", id(1), NOW), Some(Code::SignatureInvalid));
        assert_eq!(code("expires=x&signature=zz", id(1), NOW), Some(Code::SignatureInvalid));
    }

    #[test]
    fn signatures_survive_the_rotation_of_the_token() {
        let (query, _) = Gate::new(&config(&[("API_TOKEN", "old")])).sign(id(1), NOW, 60);
        let request = request(&query);
        let rotated = config(&[("API_TOKEN", "new"), ("API_TOKEN_PREVIOUS", "old")]);
        assert!(Gate::new(&rotated).require_signature(&request, id(1), NOW).is_ok());
        let later = config(&[("API_TOKEN", "new")]);
        assert!(Gate::new(&later).require_signature(&request, id(1), NOW).is_err());
    }

    #[test]
    fn without_any_key_no_signature_fits() {
        let closed = config(&[]);
        let (query, _) = Gate::new(&closed).sign(id(1), NOW, 60);
        let request = request(&query);
        assert!(Gate::new(&closed).require_signature(&request, id(1), NOW).is_err());
    }
}
