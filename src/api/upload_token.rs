//! Requests that may send bytes of an upload by way of the Worker, without any other credential.

use super::signing::Purpose;
use super::{Code, Gate, Method, Problem};
use crate::catalog::Upload;
use crate::image::ImageId;
use crate::runtime::Timestamp;

/// What a signature allows: one method, key and type, a most length, until a moment. That it is used once is the row's to say, and the
/// store's, which overwrites nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UploadToken {
    key: String,
    content_type: String,
    max_bytes: String,
    expires: String,
}

/// The names under which a token is sent, in a query or a form.
const KEY: &str = "key";
const CONTENT_TYPE: &str = "Content-Type";
const MAX_BYTES: &str = "max-bytes";
const EXPIRES: &str = "expires";
const SIGNATURE: &str = "signature";

impl UploadToken {
    /// The parameters of a query, or the fields of a form, that let `upload` in; `None` when there is nothing to sign with.
    pub fn issue(gate: &Gate<'_>, method: Method, upload: &Upload) -> Option<Vec<(&'static str, String)>> {
        let token = Self {
            key: upload.key.to_string(),
            content_type: upload.format.content_type().to_owned(),
            max_bytes: upload.size_bytes.unwrap_or(upload.limit_bytes).to_string(),
            expires: (upload.expires_at.as_millis() / 1000).to_string(),
        };
        let signature = gate.keys.sign(Purpose::Upload, &token.message(method, upload.asset_id))?;
        Some(vec![
            (KEY, token.key),
            (CONTENT_TYPE, token.content_type),
            (MAX_BYTES, token.max_bytes),
            (EXPIRES, token.expires),
            (SIGNATURE, signature),
        ])
    }

    /// The token that `value_of` gives the parts of, if it lets `method` send bytes of the upload `id` now.
    ///
    /// # Errors
    /// 403 for a missing, wrong or expired signature.
    pub fn verify<'request>(
        gate: &Gate<'_>,
        method: Method,
        id: ImageId,
        now: Timestamp,
        value_of: impl Fn(&str) -> Option<&'request str>,
    ) -> Result<Self, Problem> {
        let part = |name| value_of(name).map(str::to_owned);
        let parts = (part(KEY), part(CONTENT_TYPE), part(MAX_BYTES), part(EXPIRES), value_of(SIGNATURE));
        let (Some(key), Some(content_type), Some(max_bytes), Some(expires), Some(signature)) = parts else {
            return Err(Problem::new(Code::UploadSignatureInvalid, "the request carries no signature"));
        };
        let token = Self { key, content_type, max_bytes, expires };
        if !gate.keys.verify(Purpose::Upload, &token.message(method, id), signature) {
            return Err(Problem::plain(Code::UploadSignatureInvalid));
        }
        // What was signed is a number.
        let expires_at_s: i64 = token.expires.parse().unwrap_or(0);
        if now.as_millis() >= expires_at_s.saturating_mul(1000) {
            return Err(Problem::plain(Code::UploadExpired));
        }
        Ok(token)
    }

    /// The content type that must be sent.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// No value has a line break.
    fn message(&self, method: Method, id: ImageId) -> String {
        let Self { key, content_type, max_bytes, expires } = self;
        [method.as_str(), &id.to_string(), key, content_type, max_bytes, expires].join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::UploadState;
    use crate::config::Config;
    use crate::image::{Format, ImageKey, ShootId};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn upload() -> Upload {
        let asset_id = ImageId::from_random_bytes([1; 16]);
        let shoot_id = ShootId::from_random_bytes([2; 16]);
        let key = ImageKey::Asset { owner: None, shoot: shoot_id, id: asset_id, format: Format::Png };
        Upload {
            asset_id,
            shoot_id,
            owner_id: None,
            key: key.object_key(),
            format: Format::Png,
            filename: "a.png".to_owned(),
            size_bytes: None,
            sha256: None,
            limit_bytes: 10,
            created_at: NOW,
            expires_at: NOW.plus_millis(3_600_000),
            state: UploadState::Granted,
            multipart_id: None,
            received: None,
        }
    }

    #[test]
    fn a_token_lets_one_method_send_one_upload_as_it_was_granted_until_it_expires() {
        let lookup = |name: &str| (name == "API_TOKEN").then(|| "0123456789abcdef0123456789abcdef".to_owned());
        let access = Config::parse(lookup).0.access;
        let gate = Gate::new(&access, "a.example");
        let upload = upload();
        let pairs = UploadToken::issue(&gate, Method::Put, &upload).unwrap();
        let verify = |pairs: &[(&'static str, String)], method, id, now| {
            let value_of = |name: &str| pairs.iter().find(|(pair, _)| *pair == name).map(|(_, value)| value.as_str());
            UploadToken::verify(&gate, method, id, now, value_of).map_err(|problem| problem.code)
        };
        let token = verify(&pairs, Method::Put, upload.asset_id, NOW).unwrap();
        assert_eq!(token.content_type(), "image/png");
        let invalid = Err(Code::UploadSignatureInvalid);
        assert_eq!(verify(&pairs, Method::Post, upload.asset_id, NOW), invalid);
        assert_eq!(verify(&pairs, Method::Put, ImageId::from_random_bytes([3; 16]), NOW), invalid);
        assert_eq!(verify(&pairs, Method::Put, upload.asset_id, upload.expires_at), Err(Code::UploadExpired));
        for place in 0..pairs.len() {
            let mut changed = pairs.clone();
            changed[place].1.push('0');
            assert_eq!(verify(&changed, Method::Put, upload.asset_id, NOW), invalid, "{}", pairs[place].0);
            changed.remove(place);
            assert_eq!(verify(&changed, Method::Put, upload.asset_id, NOW), invalid, "{}", pairs[place].0);
        }
    }
}
