//! `GET /shoots`: a page of shoots.

use serde::Serialize;

#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, Schemas, answer, page_parameters};
use crate::api::page::PageQuery;
use crate::api::shoot_body::ShootBody;
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::CollectionKind;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ShootPage"))]
struct Answer<'page> {
    shoots: Vec<ShootBody<'page>>,
    /// Pass as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub async fn handle(exchange: &Exchange<'_>, request: Request) -> Result<Response, Problem> {
    let PageQuery { cursor, size } = PageQuery::read(&request, "next_cursor")?;
    let owner = exchange.caller.owner_filter();
    let catalog = &exchange.library.catalog;
    let page = catalog.list_collections(CollectionKind::Shoot, &owner, cursor.as_ref(), size).await?;
    let body = Answer {
        shoots: page.collections.iter().map(ShootBody::new).collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    };
    Ok(Response::json(200, &body))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "Lists shoots",
        parameters: page_parameters("next_cursor"),
        answers: vec![(200, answer("A page, newest first.", JSON, &schemas.answer::<Answer>()))],
        codes: [&[Code::InvalidField][..], &DATABASE].concat(),
        ..Operation::default()
    }
}
