//! `POST /shoots`: a shoot, which takes assets.

use serde::Deserialize;

use crate::api::field::{Name, Parsed};
#[cfg(test)]
use crate::api::openapi::{
    DATABASE, FIELDS, JSON, OF_A_SHOOT, Operation, Schemas, answer, fields_body, headers, links,
};
use crate::api::shoot_body::ShootBody;
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::{Collection, CollectionKind, CollectionState};
use crate::image::ShootId;

/// Fields of other names are ignored; `null` means absent.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ShootRequest"))]
struct Input {
    name: Parsed<Name>,
}

pub async fn handle(exchange: &Exchange<'_>, mut request: Request) -> Result<Response, Problem> {
    let Input { name: Parsed(Name(name)) } = request.fields().await?.read()?;
    let id = ShootId::from_random_bytes(exchange.services.runtime.random_bytes());
    let now = exchange.services.runtime.now();
    let shoot = Collection {
        id: id.collection(),
        kind: CollectionKind::Shoot,
        state: CollectionState::Open,
        owner_id: exchange.caller.principal.owner().cloned(),
        name: Some(name),
        created_at: now,
        updated_at: now,
        leaving: 0,
    };
    exchange.library.catalog.create_collection(&shoot).await?;
    let mut response = Response::json(201, &ShootBody::new(&shoot));
    response.set_header("Location", format!("/shoots/{id}"));
    Ok(response)
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let mut created = answer("The shoot.", JSON, &schemas.answer::<ShootBody>());
    created["headers"] = headers(&["Location"]);
    created["links"] = links(&OF_A_SHOOT, "$response.body#/id");
    Operation {
        summary: "Makes a shoot, which takes assets",
        answers: vec![(201, created)],
        codes: [&FIELDS[..], &DATABASE].concat(),
        body: Some(fields_body(&schemas.request::<Input>())),
        ..Operation::default()
    }
}
