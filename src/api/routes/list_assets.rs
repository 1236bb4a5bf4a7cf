//! `GET /shoots/{id}/assets`: a page of a shoot's assets, each with what was made from it.

use serde::Serialize;

#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, SHOOT, Schemas, answer, page_parameters};
use crate::api::page::PageQuery;
use crate::api::shoot_body::AssetBody;
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::ListFilter;
use crate::image::ShootId;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "AssetPage"))]
struct Answer<'page> {
    assets: Vec<AssetBody<'page>>,
    /// Pass as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub async fn handle(exchange: &Exchange<'_>, request: Request, id: ShootId) -> Result<Response, Problem> {
    let PageQuery { cursor, size } = PageQuery::read(&request, "next_cursor")?;
    exchange.shoot(id).await?;
    let owner = exchange.caller.owner_filter();
    let catalog = &exchange.library.catalog;
    let filter = ListFilter {
        owner: owner.clone(),
        collection_id: Some(id.collection()),
        originals_only: true,
        ..ListFilter::default()
    };
    let page = catalog.list(&filter, cursor, size).await?;
    let ids: Vec<_> = page.records.iter().map(|asset| asset.description.id).collect();
    let made = if ids.is_empty() { Vec::new() } else { catalog.made_from(&ids, &owner).await? };
    let assets = page.records.iter().map(|asset| AssetBody::new(exchange, id, asset, &made, &request.origin));
    let body = Answer { assets: assets.collect(), next_cursor: page.next.map(|cursor| cursor.to_string()) };
    Ok(Response::json(200, &body))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "Lists a shoot's assets, each with what was made from it",
        parameters: page_parameters("next_cursor"),
        answers: vec![(200, answer("A page, oldest first.", JSON, &schemas.answer::<Answer>()))],
        codes: [&[Code::InvalidField][..], &SHOOT, &DATABASE].concat(),
        ..Operation::default()
    }
}
