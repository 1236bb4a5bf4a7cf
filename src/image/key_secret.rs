//! The part of a private image's key that nobody can guess.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::ImageId;

/// The part of a private image's key that nobody can guess: 128 bits, 32 hexadecimal digits in the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySecret([u8; 16]);

/// Makes the secrets of keys that must come out the same when an image is stored again, by HMAC-SHA256 of its id.
#[derive(Clone, Copy)]
pub struct KeySecrets([u8; 32]);

impl KeySecret {
    /// A secret from sixteen random bytes.
    #[must_use]
    pub const fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// What comes before `separator`, and the secret after it, if there is a separator; `None` when what comes after it is none.
    pub(crate) fn split(text: &str, separator: char) -> Option<(&str, Option<Self>)> {
        let Some((before, digits)) = text.split_once(separator).filter(|(_, digits)| digits.len() == 32) else {
            return Some((text, None));
        };
        let is_plain = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut secret = [0; 16];
        hex::decode_to_slice(digits, &mut secret).ok().filter(|()| is_plain)?;
        Some((before, Some(Self(secret))))
    }

    /// The separator and the secret; nothing without a secret.
    pub(crate) fn with_separator(secret: Option<Self>, separator: char) -> String {
        secret.map_or_else(String::new, |Self(bytes)| format!("{separator}{}", hex::encode(bytes)))
    }
}

impl KeySecrets {
    /// The secrets that follow from a key which nobody else has.
    #[must_use]
    pub const fn from_key(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The secret of an image's key.
    #[must_use]
    pub fn of(&self, id: ImageId) -> KeySecret {
        let mut padded = [0; 64];
        padded[..32].copy_from_slice(&self.0);
        let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new(&padded.into());
        mac.update(id.to_string().as_bytes());
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        let mut secret = [0; 16];
        secret.copy_from_slice(&digest[..16]);
        KeySecret(secret)
    }
}

impl fmt::Debug for KeySecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("KeySecrets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_of_an_id_is_the_first_half_of_its_hmac() {
        let key = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let secret = KeySecrets::from_key(key).of("0a1b2c3d-1111-4222-8333-444455556666".parse().unwrap());
        assert_eq!(KeySecret::with_separator(Some(secret), '_'), "_3d38953eacaa619953960b4baae5114c");
        assert_eq!(format!("{:?}", KeySecrets::from_key(key)), "KeySecrets");
    }
}
