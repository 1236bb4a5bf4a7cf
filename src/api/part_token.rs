//! Requests about the parts of an upload in the words of S3, without any other credential than their URL.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::signing::Purpose;
use super::{Code, Gate, Method, Problem, Request};
use crate::catalog::Upload;
use crate::image::ImageId;
use crate::runtime::Timestamp;
use crate::store::PartNumber;

/// The path below the Worker's origin, before the id.
const PATH: &str = "/uploads/s3/";
/// S3's names in a query.
const UPLOAD_ID: &str = "uploadId";
const PART_NUMBER: &str = "partNumber";
const EXPIRES: &str = "expires";
const SIGNATURE: &str = "signature";

/// What a signature allows: one method about one upload, and one part of it when it names one, until a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartToken {
    /// As S3 calls it; `None` asks for it.
    pub upload_id: Option<String>,
    pub part_number: Option<PartNumber>,
}

impl PartToken {
    /// A URL that lets `method` about `upload` pass until `expires_at`; `None` when there is nothing to sign with.
    pub fn url(
        &self,
        gate: &Gate<'_>,
        origin: &str,
        method: Method,
        upload: &Upload,
        expires_at: Timestamp,
    ) -> Option<String> {
        let expires = (expires_at.as_millis() / 1000).to_string();
        let signature = gate.keys.sign(Purpose::Parts, &self.message(method, upload.asset_id, &expires))?;
        let upload_id = self.upload_id.as_ref().map(|id| (UPLOAD_ID, id.clone()));
        let part_number = self.part_number.map(|number| (PART_NUMBER, number.to_string()));
        let pairs = upload_id.into_iter().chain(part_number).chain([(EXPIRES, expires), (SIGNATURE, signature)]);
        let pairs = pairs.map(|(name, value)| format!("{name}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC)));
        Some(format!("{origin}{PATH}{}?{}", upload.asset_id, pairs.collect::<Vec<_>>().join("&")))
    }

    /// The token in the query of `request`, if it lets it pass now.
    ///
    /// # Errors
    /// 403 for a missing or wrong signature, 410 for an expired one.
    pub fn verify(gate: &Gate<'_>, request: &Request, id: ImageId, now: Timestamp) -> Result<Self, Problem> {
        let pairs = request.query_pairs()?;
        let value_of = |name: &str| pairs.iter().find(|(pair, _)| pair == name).map(|(_, value)| value.as_str());
        let (Some(expires), Some(signature)) = (value_of(EXPIRES), value_of(SIGNATURE)) else {
            return Err(Problem::new(Code::UploadSignatureInvalid, "the request carries no signature"));
        };
        let part_number = value_of(PART_NUMBER).map(str::parse).transpose();
        let part_number = part_number.map_err(|_| Problem::plain(Code::UploadSignatureInvalid))?;
        let token = Self { upload_id: value_of(UPLOAD_ID).map(str::to_owned), part_number };
        // A HEAD is a GET.
        let method = if request.method == Method::Head { Method::Get } else { request.method };
        if !gate.keys.verify(Purpose::Parts, &token.message(method, id, expires), signature) {
            return Err(Problem::plain(Code::UploadSignatureInvalid));
        }
        // What was signed is a number.
        let expires_at_s: i64 = expires.parse().unwrap_or(0);
        if now.as_millis() >= expires_at_s.saturating_mul(1000) {
            return Err(Problem::plain(Code::UploadExpired));
        }
        Ok(token)
    }

    /// No value has a line break.
    fn message(&self, method: Method, id: ImageId, expires: &str) -> String {
        let upload_id = self.upload_id.as_deref().unwrap_or_default();
        let part_number = self.part_number.map(|number| number.to_string()).unwrap_or_default();
        [method.as_str(), &id.to_string(), upload_id, &part_number, expires].join("\n")
    }
}
