//! Signatures that this deployment makes and recognises.

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};

use crate::config::{AccessSettings, Secret};
use crate::image::KeySecrets;

/// Tells these keys from those that something else may derive from the same secret.
const SALT: &[u8] = b"stillstore signing keys v1";
/// HMAC's block: a key of this length is used as it is.
const KEY_BYTES: usize = 64;
/// Signs where nothing else does on a loopback host that `npm start` opened.
const LOOPBACK_SECRET: &str = "stillstore loopback";

/// What a signature is for: each purpose has a key of its own, so that a signature made for one never fits another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Reading a private image.
    ImageUrl,
    /// Reading one variant of an image.
    VariantUrl,
    /// Sending the bytes of an upload by way of the Worker.
    Upload,
    /// Requests about an upload in parts, in the words of S3.
    Parts,
    /// The secret part of keys that moved images get.
    KeySecrets,
}

impl Purpose {
    /// Goes into the key: never changed, never used twice.
    const fn label(self) -> &'static str {
        match self {
            Self::ImageUrl => "image-url",
            Self::VariantUrl => "variant-url",
            Self::Upload => "upload",
            Self::Parts => "upload-parts",
            Self::KeySecrets => "key-secrets",
        }
    }
}

/// The keys that sign, derived by HKDF-SHA256 from the secrets of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct SigningKeys<'config> {
    secrets: &'config [Secret],
    is_opened: bool,
}

impl<'config> SigningKeys<'config> {
    /// The keys of this configuration; `is_opened` when the request is for a loopback host that `npm start` opened.
    #[must_use]
    pub fn new(access: &'config AccessSettings, is_opened: bool) -> Self {
        Self { secrets: &access.signing_secrets, is_opened }
    }

    /// The signature of `message` in lower-case hexadecimal digits; `None` when no secret is configured to sign with.
    #[must_use]
    pub fn sign(&self, purpose: Purpose, message: &str) -> Option<String> {
        let secret = self.secrets().next()?;
        Some(hex::encode(mac(secret, purpose, message).finalize().into_bytes()))
    }

    /// Makes the secret part of keys; `None` when no secret is configured.
    #[must_use]
    pub fn key_secrets(&self) -> Option<KeySecrets> {
        let secret = self.secrets().next()?;
        Some(KeySecrets::from_key(mac(secret, Purpose::KeySecrets, "").finalize().into_bytes().into()))
    }

    /// Whether `signature` was made for `message` and `purpose`, with the current secret or its predecessor.
    #[must_use]
    pub fn verify(&self, purpose: Purpose, message: &str, signature: &str) -> bool {
        self.is_made_by(signature, |secret| mac(secret, purpose, message))
    }

    /// Whether the version before this one signed the URL of an image so: its URLs live for seven days at most.
    pub(super) fn verify_former_image_url(&self, message: &str, signature: &str) -> bool {
        self.is_made_by(signature, |secret| {
            let key = Sha256::digest(format!("stillstore signed url v1\n{secret}"));
            let mut padded = [0; KEY_BYTES];
            padded[..key.len()].copy_from_slice(&key);
            keyed(&padded, message)
        })
    }

    fn is_made_by(&self, signature: &str, mac: impl Fn(&str) -> Hmac<Sha256>) -> bool {
        let Ok(digest) = hex::decode(signature) else { return false };
        // Hexadecimal digits have another spelling, which was never handed out.
        hex::encode(&digest) == signature && self.secrets().any(|secret| mac(secret).verify_slice(&digest).is_ok())
    }

    fn secrets(&self) -> impl Iterator<Item = &'config str> {
        let loopback = self.is_opened && self.secrets.is_empty();
        self.secrets.iter().map(Secret::expose).chain(loopback.then_some(LOOPBACK_SECRET))
    }
}

fn mac(secret: &str, purpose: Purpose, message: &str) -> Hmac<Sha256> {
    let mut key = [0; KEY_BYTES];
    // Unwrap safety: HKDF-SHA256 expands to up to 255 * 32 bytes (RFC 5869, section 2.3).
    #[allow(clippy::expect_used)]
    Hkdf::<Sha256>::new(Some(SALT), secret.as_bytes())
        .expand(purpose.label().as_bytes(), &mut key)
        .expect("HKDF expands to this length");
    keyed(&key, message)
}

fn keyed(key: &[u8; KEY_BYTES], message: &str) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new(key.into());
    mac.update(message.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210";

    fn access(pairs: &[(&str, &str)]) -> AccessSettings {
        let lookup = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::parse(lookup).0.access
    }

    #[test]
    fn a_signature_is_what_rfc_5869_and_rfc_2104_say() {
        let access = access(&[("SIGNING_KEY", SECRET)]);
        let signature = SigningKeys::new(&access, false).sign(Purpose::ImageUrl, "message").unwrap();
        assert_eq!(signature, "c64eb9d002edfc89f310d8583fad3cf9e72215545bb944e0d594d346f4e40495");
    }

    #[test]
    fn a_signature_fits_its_message_its_secret_and_its_own_spelling_only() {
        let access = access(&[("API_TOKEN", SECRET)]);
        let keys = SigningKeys::new(&access, false);
        let signature = keys.sign(Purpose::ImageUrl, "a").unwrap();
        assert!(keys.verify(Purpose::ImageUrl, "a", &signature));
        assert!(!keys.verify(Purpose::ImageUrl, "b", &signature));
        for other in [signature.to_uppercase(), signature[2..].to_owned(), format!("{signature}00"), String::new()] {
            assert!(!keys.verify(Purpose::ImageUrl, "a", &other), "{other}");
        }
        let other = self::access(&[("API_TOKEN", OTHER)]);
        assert!(!SigningKeys::new(&other, false).verify(Purpose::ImageUrl, "a", &signature));
    }

    #[test]
    fn a_purpose_has_a_key_of_its_own_and_the_secret_is_none() {
        let bytes = |mac: Hmac<Sha256>| mac.finalize().into_bytes();
        let made = bytes(mac(SECRET, Purpose::ImageUrl, "a"));
        let mut key = [0; KEY_BYTES];
        Hkdf::<Sha256>::new(Some(SALT), SECRET.as_bytes()).expand(b"another-purpose", &mut key).unwrap();
        assert_ne!(made, bytes(keyed(&key, "a")));
        assert_ne!(made, bytes(Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap().chain_update("a")));
    }

    #[test]
    fn a_rotated_secret_still_verifies_and_a_removed_one_does_not() {
        let before = access(&[("SIGNING_KEY", SECRET)]);
        let signature = SigningKeys::new(&before, false).sign(Purpose::ImageUrl, "a").unwrap();
        let rotated = access(&[("SIGNING_KEY", OTHER), ("SIGNING_KEY_PREVIOUS", SECRET)]);
        assert!(SigningKeys::new(&rotated, false).verify(Purpose::ImageUrl, "a", &signature));
        assert_ne!(SigningKeys::new(&rotated, false).sign(Purpose::ImageUrl, "a"), Some(signature.clone()));
        let leaked = access(&[("SIGNING_KEY", OTHER), ("API_TOKEN", SECRET)]);
        assert!(!SigningKeys::new(&leaked, false).verify(Purpose::ImageUrl, "a", &signature));
    }

    #[test]
    fn the_constant_of_local_work_signs_on_opened_hosts_without_a_secret_only() {
        let unset = access(&[("ALLOW_UNAUTHENTICATED", "true")]);
        let opened = SigningKeys::new(&unset, true);
        let signature = opened.sign(Purpose::ImageUrl, "a").unwrap();
        assert!(opened.verify(Purpose::ImageUrl, "a", &signature));
        let closed = SigningKeys::new(&unset, false);
        assert_eq!(closed.sign(Purpose::ImageUrl, "a"), None);
        assert!(!closed.verify(Purpose::ImageUrl, "a", &signature));
        let set = access(&[("SIGNING_KEY", SECRET)]);
        assert!(!SigningKeys::new(&set, true).verify(Purpose::ImageUrl, "a", &signature));
    }
}
