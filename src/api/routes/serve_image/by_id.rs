//! An image, or a variant of it, by the image's id.

use super::answer::{read_request, serve};
use super::variant;
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::catalog::Serving;
use crate::image::{ImageId, Visibility};
use crate::variants::{Asked, FALLBACK, InvalidQuery, NAMES};

/// Names that the query may have beside those of a variant. A cache keeps an answer for each query, so that others are refused.
const SIGNATURE: [&str; 2] = ["expires", "signature"];

/// Serves an image or a variant: one database query, and one read of the store when bytes are wanted that did not come with it.
pub async fn handle(exchange: &Exchange<'_>, request: &Request, id: ImageId) -> Result<Response, Problem> {
    let pairs = known_query(request)?;
    if let Some(asked) = Asked::parse(&pairs).map_err(refusal)? {
        return variant::handle(exchange, request, id, &asked).await;
    }
    let conditions = read_request(request);
    let reader = exchange.caller.owner_filter();
    let is_signed = !request.query.is_empty();
    let (serving, bytes) = if conditions.is_plain_get() && !is_signed {
        exchange.library.catalog.find_with_bytes(id, &reader).await?
    } else {
        (exchange.library.catalog.find_for_serving(id, &reader).await?, None)
    };
    let image = match serving {
        Serving::Found(image) => image,
        Serving::Gone => return Err(Problem::plain(Code::ImageDeleted)),
        Serving::Unknown => return Err(Problem::plain(Code::ImageNotFound)),
        Serving::Unasked => return Err(Problem::plain(Code::Busy)),
    };
    match image.visibility {
        Visibility::Private => exchange.caller.require_reader_of(id)?,
        // One URL, so that caches keep one answer.
        Visibility::Public if is_signed => return Ok(bare_url(id)),
        Visibility::Public => {}
    }
    serve(exchange, request, image, bytes).await
}

/// The query's pairs, all of them known by name.
pub fn known_query(request: &Request) -> Result<Vec<(String, String)>, Problem> {
    let pairs = request.query_pairs()?;
    let known: Vec<&str> = SIGNATURE.into_iter().chain(NAMES).chain([FALLBACK]).collect();
    match pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) => Err(Problem::field(name.as_str(), format!("is not one of {}", known.join(", ")))),
        None => Ok(pairs),
    }
}

pub fn refusal(InvalidQuery { field, rule }: InvalidQuery) -> Problem {
    Problem::field(field, rule)
}

fn bare_url(id: ImageId) -> Response {
    let mut response = Response::empty(302);
    response.set_header("Location", format!("/images/{id}"));
    response.set_header("Cache-Control", "no-store");
    response
}
