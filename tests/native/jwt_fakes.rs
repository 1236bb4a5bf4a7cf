//! Users' tokens, those who sign them, and a server that publishes their keys.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use async_trait::async_trait;
use base64_simd::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Value, json};
use stillstore::http::{HttpAnswer, HttpClient, HttpError, HttpRequest, HttpResponse};
use stillstore::jwt::{PublicKey, SignatureCheck};

/// Of tests alone: they open nothing.
const RSA_KEYS: [&[u8]; 2] =
    [include_bytes!("../fixtures/keys/rsa-1.der"), include_bytes!("../fixtures/keys/rsa-2.der")];
pub const KEYS_URL: &str = "https://id.example/keys";

/// Signs tokens, by one key.
pub enum Signer {
    Hs256(Vec<u8>),
    Rs256(Box<RsaKeyPair>),
    Es256(Box<EcdsaKeyPair>),
}

impl Signer {
    pub fn hs256(secret: impl AsRef<[u8]>) -> Self {
        Self::Hs256(secret.as_ref().to_vec())
    }

    /// By the first or the second key of the fixtures.
    pub fn rs256(key: usize) -> Self {
        Self::Rs256(RsaKeyPair::from_pkcs8(RSA_KEYS[key]).unwrap().into())
    }

    /// By a new key.
    pub fn es256() -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::Es256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random).unwrap().into())
    }

    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
        }
    }

    /// The public key, as a set of keys has it.
    pub fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Hs256(secret) => json!({ "kty": "oct", "kid": id, "k": encoded(secret) }),
            Self::Rs256(key) => {
                let RsaPublicKeyComponents::<Vec<u8>> { n, e } = key.public().into();
                json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": encoded(&n), "e": encoded(&e) })
            }
            Self::Es256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": encoded(x), "y": encoded(y) })
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Hs256(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec(),
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Es256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
        }
    }

    /// A token with this header, signed whatever the header says.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        let signature = self.sign(signed.as_bytes());
        format!("{signed}.{}", encoded(&signature))
    }

    pub fn token(&self, key_id: &str, claims: &Value) -> String {
        self.token_with(&json!({ "alg": self.algorithm(), "typ": "JWT", "kid": key_id }), claims)
    }
}

pub fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// Publishes keys, and counts who asks.
#[derive(Default)]
pub struct KeyServer {
    pub status: Cell<u16>,
    pub body: RefCell<Vec<u8>>,
    pub requests: Cell<usize>,
    /// Requests are not answered.
    pub hangs: Cell<bool>,
}

impl KeyServer {
    pub fn publishing(keys: &[Value]) -> Rc<Self> {
        let server = Rc::new(Self::default());
        server.publish(keys);
        server
    }

    pub fn publish(&self, keys: &[Value]) {
        self.status.set(200);
        self.body.replace(json!({ "keys": keys }).to_string().into_bytes());
    }
}

#[async_trait(?Send)]
impl HttpClient for KeyServer {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        assert_eq!((request.url.as_str(), request.max_redirects), (KEYS_URL, 0));
        self.requests.set(self.requests.get() + 1);
        if self.hangs.get() {
            std::future::pending::<()>().await;
        }
        let body = self.body.borrow().clone();
        if body.len() as u64 > request.limits.max_response_bytes {
            return Err(HttpError::ResponseTooLarge { limit_bytes: request.limits.max_response_bytes });
        }
        Ok(HttpResponse { status: self.status.get(), headers: Vec::new(), body }.into())
    }
}

/// Handed to the Worker in place of the one that is shared.
pub struct Shared<T>(pub Rc<T>);

#[async_trait(?Send)]
impl HttpClient for Shared<KeyServer> {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        self.0.send(request).await
    }
}

/// Another implementation than the platform's.
pub struct RingSignatures;

#[async_trait(?Send)]
impl SignatureCheck for RingSignatures {
    async fn is_signed(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let number = |text: &str| URL_SAFE_NO_PAD.decode_to_vec(text.as_bytes()).unwrap();
        match key {
            PublicKey::Rsa { n, e } => RsaPublicKeyComponents { n: number(n), e: number(e) }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            PublicKey::P256 { x, y } => {
                let point = [vec![4], number(x), number(y)].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
        }
    }
}
