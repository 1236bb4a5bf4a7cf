//! An image by what its source calls it, fetched from there when no run has moved it yet.

use futures::FutureExt as _;

use super::answer::{head, read_request};
use super::by_id::{self, known_query, refusal};
use crate::api::{Code, Exchange, Principal, Problem, Request, Response};
use crate::image::Visibility;
use crate::migrate::Reading;
use crate::variants::Asked;

/// How long anyone keeps what was served by such a name: a later run may copy another state of the item.
const CACHE_CONTROL: &str = "public, max-age=300";
const EDGE_CACHE_CONTROL: &str = "public, s-maxage=300";

pub async fn handle(exchange: &Exchange<'_>, request: &Request, item: &str) -> Result<Response, Problem> {
    let settings = exchange.services.config.read_through.as_ref();
    let reader = exchange.services.read_through(exchange.library);
    let (Some(settings), Some(reader)) = (settings, reader) else { return Err(Problem::plain(Code::ImageNotFound)) };
    let is_operator = exchange.caller.principal == Principal::Operator;
    // Names can be guessed: nobody else learns what there is.
    if settings.visibility == Visibility::Private && !is_operator {
        return Err(Problem::plain(Code::ImageNotFound));
    }
    // What is wrong with the query is said before anything is fetched for it.
    let pairs = known_query(request)?;
    Asked::parse(&pairs).map_err(refusal)?;
    let is_plain = request.query.is_empty() && read_request(request).is_plain_get();
    let id = match reader.read(item, is_plain).await? {
        Reading::Moved(id) => id,
        Reading::Found(found) => {
            let mut response = shortened(head(&found.image, None));
            response.body = Some(found.bytes.into());
            let storing = found.storing;
            response.afterwards = Some(Box::pin(storing.map(|_| ())));
            return Ok(response);
        }
        Reading::Absent => return Err(Problem::plain(Code::ImageNotFound)),
        Reading::Deleted => return Err(Problem::plain(Code::ImageDeleted)),
        Reading::Unavailable => return Err(Problem::plain(Code::SourceUnavailable)),
        Reading::Busy => return Err(Problem::plain(Code::Busy)),
    };
    Ok(shortened(by_id::handle(exchange, request, id).await?))
}

/// An answer that caches ask for again soon.
fn shortened(mut response: Response) -> Response {
    if response.header("Cache-Control").is_some_and(|policy| policy.starts_with("public")) {
        response.set_header("Cache-Control", CACHE_CONTROL);
        response.set_header("Cloudflare-CDN-Cache-Control", EDGE_CACHE_CONTROL);
    }
    response
}
