//! `GET /shoots/{id}`: a shoot.

#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, SHOOT, Schemas, answer};
use crate::api::shoot_body::ShootBody;
use crate::api::{Exchange, Problem, Request, Response};
use crate::image::ShootId;

pub async fn handle(exchange: &Exchange<'_>, _request: Request, id: ShootId) -> Result<Response, Problem> {
    Ok(Response::json(200, &ShootBody::new(&exchange.shoot(id).await?)))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "A shoot",
        answers: vec![(200, answer("The shoot.", JSON, &schemas.answer::<ShootBody>()))],
        codes: [&SHOOT[..], &DATABASE].concat(),
        ..Operation::default()
    }
}
