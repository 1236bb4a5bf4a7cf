//! Bytes into and out of a store over HTTP, as the product moves them: a peek at the start, then the body as it is.

use super::super::messages::IncomingRequest;
use super::case::text;
use crate::api::Response;
use crate::bytes::Body;
use crate::image::{Format, ObjectKey, SNIFF_BYTES};
use crate::store::{ByteRange, ImageStore, ObjectMetadata, PutObject};

/// Headers: `x-sha256`, the sender's digest; `x-range`, offset and length with a `-` between.
pub(super) async fn answer(request: IncomingRequest, store: &dyn ImageStore, key: String) -> Response {
    let Ok(key) = ObjectKey::try_from(key) else { return text(400, "not a key") };
    let header = |name: &str| request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    match request.method.as_str() {
        "PUT" => {
            let sha256 = header("x-sha256").and_then(|digest| digest.parse().ok());
            let mut body = request.body.unwrap_or_else(Body::empty);
            if let Err(error) = body.peek(SNIFF_BYTES).await {
                return text(400, error.to_string());
            }
            let object = PutObject { key, body, media: Format::Png.into(), sha256, metadata: ObjectMetadata::new() };
            match store.put(object).await {
                Ok(receipt) => text(200, format!("{} {}", receipt.size_bytes, receipt.sha256)),
                Err(error) => text(422, format!("{error} {:?}", error.kind)),
            }
        }
        "DELETE" => match store.delete(&key).await {
            Ok(()) => text(200, "deleted"),
            Err(error) => text(503, error.to_string()),
        },
        "HEAD" => match store.head(&key).await {
            Ok(Some(info)) => {
                let length = ("content-length", info.size_bytes.to_string().into());
                let headers = vec![length, ("content-type", info.content_type.into())];
                Response { status: 200, headers, body: None, afterwards: None }
            }
            Ok(None) => text(404, "no such object"),
            Err(error) => text(503, error.to_string()),
        },
        _ => match store.get(&key, header("x-range").and_then(parse_range)).await {
            Ok(Some(stored)) => {
                Response { status: 200, headers: Vec::new(), body: Some(stored.body), afterwards: None }
            }
            Ok(None) => text(404, "no such object"),
            Err(error) => text(503, error.to_string()),
        },
    }
}

fn parse_range(range: &str) -> Option<ByteRange> {
    let (offset, length) = range.split_once('-')?;
    Some(ByteRange { offset_bytes: offset.parse().ok()?, length_bytes: length.parse().ok()? })
}
