//! `POST /api/images/{id}/signed-url`: a URL that opens a private image for a time.

use serde::{Deserialize, Serialize};

use crate::api::auth::{DEFAULT_SIGNED_URL_SECONDS, MAX_SIGNED_URL_SECONDS};
use crate::api::field::Whole;
#[cfg(test)]
use crate::api::openapi::{BODY, DATABASE, IMAGE, JSON, Operation, Schemas, answer, json_body};
use crate::api::request::form_pairs;
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::image::ImageId;
use crate::variants::{Asked, FALLBACK, InvalidQuery, NAMES};

/// Longest query of a variant, in bytes.
const MAX_VARIANT_BYTES: usize = 500;

/// Fields of other names are ignored; `null` means absent.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SignRequest"))]
#[serde(rename_all = "camelCase")]
struct Input {
    #[cfg_attr(test, schemars(with = "Option<u64>", range(min = 1, max = MAX_SIGNED_URL_SECONDS)))]
    expires_in_seconds: Option<Whole<1, MAX_SIGNED_URL_SECONDS>>,
    /// The query of a variant, such as `w=333&fit=cover`: the URL opens that one alone, which may be any size and quality.
    #[cfg_attr(test, schemars(with = "Option<String>", length(max = MAX_VARIANT_BYTES)))]
    variant: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SignedUrl"))]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    url: String,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    expires_at: String,
}

pub async fn handle(exchange: &Exchange<'_>, mut request: Request, id: ImageId) -> Result<Response, Problem> {
    let input: Input = request.json_object().await?.read()?;
    let lifetime_seconds = input.expires_in_seconds.map_or(DEFAULT_SIGNED_URL_SECONDS, Whole::get);
    let variant = input.variant.as_deref().map(|variant| variant_pairs(exchange, variant)).transpose()?;
    exchange.stored_image(id).await?;
    let now = exchange.services.runtime.now();
    let signed = match variant {
        None => exchange.gate.sign(id, now, lifetime_seconds),
        Some(pairs) => {
            // All of them have a meaning, hence no character that must be encoded.
            let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let signed = exchange.gate.sign_variant(id, pairs, now, lifetime_seconds);
            signed.map(|(signature, expires_at)| (format!("{}&{signature}", query.join("&")), expires_at))
        }
    };
    let (query, expires_at) = signed.ok_or_else(|| {
        Problem::new(Code::TokenNotConfigured, "neither SIGNING_KEY nor API_TOKEN is set, so no URL can be signed")
    })?;
    let url = format!("{}/images/{id}?{query}", request.origin);
    Ok(Response::json(200, &Answer { url, expires_at: expires_at.to_iso8601() }))
}

/// The pairs of a variant's query, all of which have a meaning.
fn variant_pairs(exchange: &Exchange<'_>, query: &str) -> Result<Vec<(String, String)>, Problem> {
    const FIELD: &str = "variant";
    if query.len() > MAX_VARIANT_BYTES {
        return Err(Problem::field(FIELD, format!("may have {MAX_VARIANT_BYTES} bytes")));
    }
    let pairs = form_pairs(query, FIELD)?;
    if let Some((name, _)) = pairs.iter().find(|(name, _)| !NAMES.contains(&name.as_str()) && name != FALLBACK) {
        return Err(Problem::field(FIELD, format!("has a parameter that no variant has: {name}")));
    }
    let refusal =
        |InvalidQuery { field, rule }: InvalidQuery| Problem::field(FIELD, format!("is refused: {field} {rule}"));
    let asked = Asked::parse(&pairs).map_err(refusal)?.ok_or_else(|| Problem::field(FIELD, "asks for no variant"))?;
    exchange.services.config.variants.policy.admit(&asked, false, true).map_err(refusal)?;
    Ok(pairs)
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "A URL that opens a private image for a time",
        answers: vec![(200, answer("The URL and its end.", JSON, &schemas.answer::<Answer>()))],
        codes: [&BODY[..], &IMAGE, &DATABASE].concat(),
        body: Some(json_body(&schemas.request::<Input>())),
        ..Operation::default()
    }
}
