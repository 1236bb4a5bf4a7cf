//! Public keys, as identity providers publish them (RFC 7517).

use base64_simd::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

/// Keys that a set keeps at most; the rest are ignored.
const MAX_KEYS: usize = 64;

/// How signatures by a key are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256; the signature is `r` and `s`, 32 bytes each.
    Es256,
}

/// A public key that may check signatures. Its numbers are base64url texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    Rsa { n: String, e: String },
    P256 { x: String, y: String },
}

/// The keys that somebody published.
#[derive(Debug, Default)]
pub struct KeySet(Vec<(Option<String>, PublicKey)>);

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

/// A key of any kind (RFC 7517, section 4; RFC 7518, section 6).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Algorithm {
    /// As tokens and keys name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

impl PublicKey {
    /// The only algorithm that the key is used with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256 { .. } => Algorithm::Es256,
        }
    }

    /// The key as JSON, with nothing but its numbers.
    #[must_use]
    pub fn to_jwk(&self) -> String {
        match self {
            Self::Rsa { n, e } => json!({ "kty": "RSA", "n": n, "e": e }),
            Self::P256 { x, y } => json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }),
        }
        .to_string()
    }
}

impl KeySet {
    /// The keys in `json` that check RS256 or ES256 signatures; others are ignored. `None` when it is no set of keys.
    #[must_use]
    pub fn parse(json: &[u8]) -> Option<Self> {
        let Published { keys } = serde_json::from_slice(json).ok()?;
        let jwks = keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Some(Self(jwks.filter_map(Jwk::usable).take(MAX_KEYS).collect()))
    }

    /// The keys called `key_id`. Without an id it is the only key, if there is only one.
    pub(super) fn named(&self, key_id: Option<&str>) -> Vec<PublicKey> {
        let is_named = |id: &Option<String>| match key_id {
            Some(key_id) => id.as_deref() == Some(key_id),
            None => self.0.len() == 1,
        };
        self.0.iter().filter(|(id, _)| is_named(id)).map(|(_, key)| key.clone()).collect()
    }
}

impl Jwk {
    fn usable(self) -> Option<(Option<String>, PublicKey)> {
        let is_for_signatures = self.r#use.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.key_ops.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => PublicKey::Rsa { n: number(self.n?, 256..=1024)?, e: number(self.e?, 1..=8)? },
            ("EC", Some("P-256")) => PublicKey::P256 { x: number(self.x?, 32..=32)?, y: number(self.y?, 32..=32)? },
            _ => return None,
        };
        let is_of_its_algorithm = self.alg.is_none_or(|algorithm| algorithm == key.algorithm().as_str());
        (is_for_signatures && is_of_its_algorithm).then_some((self.kid, key))
    }
}

/// A number of so many bytes: RSA from 2,048 bits (RFC 7518, section 3.3) to 8,192, which the platform still checks in a millisecond.
fn number(text: String, bytes: std::ops::RangeInclusive<usize>) -> Option<String> {
    let decoded = URL_SAFE_NO_PAD.decode_to_vec(text.as_bytes()).ok()?;
    bytes.contains(&decoded.len()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(jwk: &Value) -> usize {
        KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap().0.len()
    }

    #[test]
    fn keys_for_other_purposes_and_weak_ones_are_not_used() {
        let number = |bytes: usize| URL_SAFE_NO_PAD.encode_to_string(vec![0xC3; bytes]);
        let with = |base: &Value, field: &str, value: Value| {
            let mut jwk = base.clone();
            jwk[field] = value;
            jwk
        };
        let rsa = json!({ "kty": "RSA", "kid": "1", "n": number(256), "e": "AQAB" });
        let ec = json!({ "kty": "EC", "crv": "P-256", "kid": "1", "x": number(32), "y": number(32) });
        for (jwk, is_used) in [
            (rsa.clone(), true),
            (with(&rsa, "use", json!("sig")), true),
            (with(&rsa, "use", json!("enc")), false),
            (with(&rsa, "key_ops", json!(["verify"])), true),
            (with(&rsa, "key_ops", json!(["encrypt"])), false),
            (with(&rsa, "alg", json!("RS256")), true),
            (with(&rsa, "alg", json!("RS512")), false),
            (with(&rsa, "alg", json!("HS256")), false),
            (with(&rsa, "n", json!(number(255))), false),
            (with(&rsa, "n", json!("+/")), false),
            (with(&rsa, "kty", json!("oct")), false),
            (ec.clone(), true),
            (with(&ec, "crv", json!("P-384")), false),
            (with(&ec, "x", json!(number(31))), false),
            (with(&ec, "alg", json!("RS256")), false),
            (json!("no key"), false),
        ] {
            assert_eq!(count(&jwk), usize::from(is_used), "{jwk}");
        }
        assert!(KeySet::parse(b"{}").is_none() && KeySet::parse(b"[]").is_none() && KeySet::parse(b"").is_none());
    }

    #[test]
    fn a_key_is_found_by_its_id_or_by_being_the_only_one() {
        let point = URL_SAFE_NO_PAD.encode_to_string([7; 32]);
        let key = |id: &str| json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": point, "y": point });
        let set = |keys: &[Value]| KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
        assert_eq!(set(&[key("a")]).named(None).len(), 1);
        assert_eq!(set(&[key("a"), key("b")]).named(None).len(), 0);
        assert_eq!(set(&[key("a"), key("b")]).named(Some("b")).len(), 1);
        assert_eq!(set(&[key("a")]).named(Some("b")).len(), 0);
        assert_eq!(set(&vec![key("a"); 100]).named(Some("a")).len(), MAX_KEYS);
    }
}
