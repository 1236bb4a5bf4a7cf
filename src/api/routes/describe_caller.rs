//! `GET /api/caller`: who asks, as the token says, for pages that show what their reader may do.

use serde::Serialize;

#[cfg(test)]
use crate::api::openapi::{JSON, Operation, Schemas, answer};
use crate::api::{Exchange, Principal, Problem, Request, Response};
use crate::image::UserId;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Caller"))]
#[serde(rename_all = "camelCase")]
struct Answer<'caller> {
    #[cfg_attr(test, schemars(extend("enum" = ["operator", "user"])))]
    caller: &'static str,
    /// The `sub` of a user's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    user_id: Option<&'caller UserId>,
    /// The width in `VARIANT_WIDTHS` that suits the thumbnails of a grid.
    thumbnail_width: u32,
}

/// A tile of a grid is 150 to 200 px wide, and twice as many on dense screens.
const THUMBNAIL_PX: u32 = 384;

pub async fn handle(exchange: &Exchange<'_>, _request: Request) -> Result<Response, Problem> {
    // In rising order, and not empty.
    let widths = &exchange.services.config.variants.policy.widths;
    let thumbnail_width = widths.iter().find(|width| **width >= THUMBNAIL_PX).or(widths.last());
    let thumbnail_width = thumbnail_width.copied().unwrap_or(THUMBNAIL_PX);
    let body = match &exchange.caller.principal {
        Principal::User(user) => Answer { caller: "user", user_id: Some(user), thumbnail_width },
        // The router lets nobody else in.
        Principal::Operator | Principal::Holder(_) | Principal::Anyone => {
            Answer { caller: "operator", user_id: None, thumbnail_width }
        }
    };
    Ok(Response::json(200, &body))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "Who asks",
        answers: vec![(200, answer("The operator, or a user.", JSON, &schemas.answer::<Answer>()))],
        ..Operation::default()
    }
}
