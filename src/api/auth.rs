//! Credentials: the API token, its predecessor, and signatures of private images' URLs.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::problem::{Code, Problem};
use super::request::{Request, host_of};
use super::signing::{Purpose, SigningKeys};
use crate::config::{AccessSettings, GivenSecret, MIN_SECRET_CHARACTERS, Secret, is_loopback};
use crate::image::ImageId;
use crate::runtime::Timestamp;

/// Longest life of a signed URL: seven days, as R2's own presigned URLs.
pub const MAX_SIGNED_URL_SECONDS: u64 = 7 * 24 * 60 * 60;
/// Life of the signed URLs that answers carry: one hour.
pub const DEFAULT_SIGNED_URL_SECONDS: u64 = 60 * 60;

/// Checks what callers show against the configured secrets, at the host that a request is for.
#[derive(Debug, Clone, Copy)]
pub struct Gate<'config> {
    access: &'config AccessSettings,
    is_opened: bool,
    /// The keys that sign at this host.
    pub keys: SigningKeys<'config>,
}

/// What a valid signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// Whether it is for the variant that the query asks for, and not for the image in any form.
    pub names_variant: bool,
}

impl<'config> Gate<'config> {
    /// The gate of this configuration at `host`, which has no port.
    #[must_use]
    pub fn new(access: &'config AccessSettings, host: &str) -> Self {
        let is_opened = access.allow_unauthenticated && access.api_token == GivenSecret::Unset && is_loopback(host);
        Self { access, is_opened, keys: SigningKeys::new(access, is_opened) }
    }

    /// Lets callers without a token pass where `npm start` opened this host, which is a loopback one, unless a page of another site sent
    /// them.
    ///
    /// # Errors
    /// 401 when there is a token to show, 403 for the page of another site, 503 when no token is configured or the configured one is too
    /// short to be accepted.
    pub fn require_opened(&self, request: &Request) -> Result<(), Problem> {
        match self.access.api_token {
            GivenSecret::Usable(_) => Err(Problem::plain(Code::Unauthorized)),
            GivenSecret::TooShort => {
                let rule = format!("API_TOKEN must have at least {MIN_SECRET_CHARACTERS} characters");
                Err(Problem::new(Code::ConfigurationInvalid, rule))
            }
            GivenSecret::Unset if self.is_opened => match request.header("origin") {
                Some(origin) if !is_loopback(host_of(origin)) => Err(Problem::plain(Code::OriginNotLocal)),
                _ => Ok(()),
            },
            GivenSecret::Unset => Err(Problem::plain(Code::TokenNotConfigured)),
        }
    }

    /// Lets holders of a valid signature for `id` pass, and says what they have.
    ///
    /// # Errors
    /// 403 for a missing, wrong or expired signature.
    pub fn require_signature(&self, request: &Request, id: ImageId, now: Timestamp) -> Result<Signed, Problem> {
        let mut pairs = request.query_pairs()?;
        let parameter = |name: &str| pairs.iter().find(|(pair, _)| pair == name).map(|(_, value)| value.as_str());
        let (Some(expires), Some(signature)) = (parameter("expires"), parameter("signature")) else {
            return Err(Problem::new(Code::SignatureInvalid, "the URL carries no signature"));
        };
        let refusal = || Problem::new(Code::SignatureInvalid, "the signature does not fit the URL");
        let expires_at_s: i64 = expires.parse().map_err(|_| refusal())?;
        // Numbers have other spellings, none of which was handed out.
        if expires_at_s.to_string() != expires {
            return Err(refusal());
        }
        let (message, signature) = (message(id, expires_at_s), signature.to_owned());
        pairs.retain(|(name, _)| !matches!(name.as_str(), "expires" | "signature"));
        let names_variant =
            !pairs.is_empty() && self.keys.verify(Purpose::VariantUrl, &variant_message(&message, pairs), &signature);
        let fits = names_variant
            || self.keys.verify(Purpose::ImageUrl, &message, &signature)
            || self.keys.verify_former_image_url(&message, &signature);
        if !fits {
            return Err(refusal());
        }
        if now.as_millis() >= expires_at_s.saturating_mul(1000) {
            return Err(Problem::plain(Code::SignatureExpired));
        }
        Ok(Signed { names_variant })
    }

    /// The query that opens a private image until `lifetime_seconds` from now, and that moment; `None` when there is nothing to sign with.
    #[must_use]
    pub fn sign(&self, id: ImageId, now: Timestamp, lifetime_seconds: u64) -> Option<(String, Timestamp)> {
        let expires_at_s = ends_at_s(now, lifetime_seconds);
        let signature = self.keys.sign(Purpose::ImageUrl, &message(id, expires_at_s))?;
        let expires_at = Timestamp::from_millis(expires_at_s.saturating_mul(1000));
        Some((format!("expires={expires_at_s}&signature={signature}"), expires_at))
    }

    /// What to add to the query of a variant, `pairs`, so that it opens this variant alone until `lifetime_seconds` from now.
    #[must_use]
    pub fn sign_variant(
        &self,
        id: ImageId,
        pairs: Vec<(String, String)>,
        now: Timestamp,
        lifetime_seconds: u64,
    ) -> Option<(String, Timestamp)> {
        let expires_at_s = ends_at_s(now, lifetime_seconds);
        let message = variant_message(&message(id, expires_at_s), pairs);
        let signature = self.keys.sign(Purpose::VariantUrl, &message)?;
        let expires_at = Timestamp::from_millis(expires_at_s.saturating_mul(1000));
        Some((format!("expires={expires_at_s}&signature={signature}"), expires_at))
    }

    /// Whether the request carries the API token or its predecessor.
    #[must_use]
    pub fn holds_token(&self, request: &Request) -> bool {
        let Some(given) = shown_token(request) else { return false };
        let given = Sha256::digest(given.as_bytes());
        // Digests are of one length, so that the comparison says nothing about the token's.
        let equal = |token: &Secret| given.ct_eq(&Sha256::digest(token.expose().as_bytes()));
        let tokens = [self.access.api_token.usable(), self.access.api_token_previous.as_ref()];
        tokens.into_iter().flatten().fold(subtle::Choice::from(0), |held, token| held | equal(token)).into()
    }
}

/// The token that a request shows, whatever it is worth.
pub fn shown_token(request: &Request) -> Option<&str> {
    request.header("authorization").and_then(bearer_token).filter(|token| !token.is_empty())
}

/// The token of an `Authorization` header; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer_token(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// What the signature of an image's URL signs.
fn message(id: ImageId, expires_at_s: i64) -> String {
    format!("{id}\n{expires_at_s}")
}

fn ends_at_s(now: Timestamp, lifetime_seconds: u64) -> i64 {
    now.as_millis() / 1000 + i64::try_from(lifetime_seconds.min(MAX_SIGNED_URL_SECONDS)).unwrap_or(0)
}

/// What the signature of a variant's URL signs: the rest of the query too, in whatever order.
fn variant_message(message: &str, mut pairs: Vec<(String, String)>) -> String {
    pairs.sort();
    pairs.iter().fold(message.to_owned(), |message, (name, value)| format!("{message}\n{name}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210";
    const HOST: &str = "a.example";

    fn access(pairs: &[(&str, &str)]) -> AccessSettings {
        let lookup = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::parse(lookup).0.access
    }

    fn request(query: &str) -> Request {
        Request::new("GET", &format!("http://a.example/x?{query}"), Vec::new(), None)
    }

    fn id(byte: u8) -> ImageId {
        ImageId::from_random_bytes([byte; 16])
    }

    #[test]
    fn a_signature_opens_one_image_until_it_expires() {
        let access = access(&[("API_TOKEN", TOKEN)]);
        let gate = Gate::new(&access, HOST);
        let (query, expires_at) = gate.sign(id(1), NOW, 60).unwrap();
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
    fn the_signature_of_a_variant_opens_that_one_alone() {
        let access = access(&[("API_TOKEN", TOKEN)]);
        let gate = Gate::new(&access, HOST);
        let pairs = |query: &str| request(query).query_pairs().unwrap();
        let (signed, _) = gate.sign_variant(id(1), pairs("w=333&q=20"), NOW, 60).unwrap();
        let names =
            |query: &str| gate.require_signature(&request(query), id(1), NOW).ok().map(|grant| grant.names_variant);
        assert_eq!(names(&format!("w=333&q=20&{signed}")), Some(true));
        assert_eq!(names(&format!("{signed}&q=20&w=333")), Some(true));
        for query in ["w=334&q=20", "w=333", "w=333&q=20&h=1", ""] {
            assert_eq!(names(&format!("{query}&{signed}")), None, "{query}");
        }
        let (of_image, _) = gate.sign(id(1), NOW, 60).unwrap();
        assert_eq!(names(&format!("w=333&{of_image}")), Some(false));
    }

    #[test]
    fn signatures_survive_the_rotation_of_the_token() {
        let (query, _) = Gate::new(&access(&[("API_TOKEN", OTHER)]), HOST).sign(id(1), NOW, 60).unwrap();
        let request = request(&query);
        let rotated = access(&[("API_TOKEN", TOKEN), ("API_TOKEN_PREVIOUS", OTHER)]);
        assert!(Gate::new(&rotated, HOST).require_signature(&request, id(1), NOW).is_ok());
        let later = access(&[("API_TOKEN", TOKEN)]);
        assert!(Gate::new(&later, HOST).require_signature(&request, id(1), NOW).is_err());
    }

    #[test]
    fn urls_signed_by_the_version_before_open_their_image_until_they_expire() {
        let access = access(&[("API_TOKEN", TOKEN)]);
        let gate = Gate::new(&access, HOST);
        let signature = "4f5c2a4d5c2003cc3330f3235663a7541eb70292684e778cf8ed9ec2b56d4d31";
        let request = request(&format!("expires=1700000060&signature={signature}"));
        assert!(gate.require_signature(&request, id(1), NOW).is_ok());
        assert!(gate.require_signature(&request, id(2), NOW).is_err());
        assert!(gate.require_signature(&request, id(1), NOW.plus_millis(60_000)).is_err());
    }

    #[test]
    fn the_key_of_local_work_opens_nothing_where_the_host_is_no_loopback_one() {
        let open = access(&[("ALLOW_UNAUTHENTICATED", "true")]);
        let (query, _) = Gate::new(&open, "localhost").sign(id(1), NOW, 60).unwrap();
        let request = request(&query);
        assert!(Gate::new(&open, "localhost").require_signature(&request, id(1), NOW).is_ok());
        for (access, host) in [
            (&open, HOST),
            (&access(&[]), "localhost"),
            (&access(&[("ALLOW_UNAUTHENTICATED", "true"), ("API_TOKEN", TOKEN)]), "localhost"),
            (&access(&[("ALLOW_UNAUTHENTICATED", "true"), ("API_TOKEN", "short")]), "localhost"),
        ] {
            assert!(Gate::new(access, host).require_signature(&request, id(1), NOW).is_err(), "{host} {access:?}");
        }
        assert_eq!(Gate::new(&open, HOST).sign(id(1), NOW, 60), None);
    }
}
