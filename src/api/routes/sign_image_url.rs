//! `POST /api/images/{id}/signed-url`: a URL that opens a private image for a time.

use serde::{Deserialize, Serialize};

use crate::api::auth::{DEFAULT_SIGNED_URL_SECONDS, MAX_SIGNED_URL_SECONDS};
use crate::api::field::Whole;
#[cfg(test)]
use crate::api::openapi::{BODY, DATABASE, IMAGE, JSON, Operation, Schemas, answer, json_body};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::image::ImageId;

/// Fields of other names are ignored; `null` means absent.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SignRequest"))]
#[serde(rename_all = "camelCase")]
struct Input {
    #[cfg_attr(test, schemars(with = "Option<u64>", range(min = 1, max = MAX_SIGNED_URL_SECONDS)))]
    expires_in_seconds: Option<Whole<1, MAX_SIGNED_URL_SECONDS>>,
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
    exchange.stored_image(id).await?;
    let signed = exchange.gate.sign(id, exchange.services.runtime.now(), lifetime_seconds);
    let (query, expires_at) = signed.ok_or_else(|| {
        Problem::new(Code::TokenNotConfigured, "neither SIGNING_KEY nor API_TOKEN is set, so no URL can be signed")
    })?;
    let url = format!("{}/images/{id}?{query}", request.origin);
    Ok(Response::json(200, &Answer { url, expires_at: expires_at.to_iso8601() }))
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
