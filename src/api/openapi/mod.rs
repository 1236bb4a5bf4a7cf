//! The API in the words of `OpenAPI` 3.1. A test writes the document from the table of routes and the handlers' types (`document.rs`), and it
//! is built in, so that the Worker carries no code to make it.

#[cfg(test)]
mod document;
#[cfg(test)]
mod operation;
#[cfg(test)]
mod parameter;
#[cfg(test)]
mod schemas;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use document::Schemas;
#[cfg(test)]
pub(super) use operation::{
    ADDITION, BATCH, BODY, DATABASE, FIELDS, IMAGE, JOB, JSON, OF_A_BATCH, OF_A_JOB, OF_A_RUN, OF_A_SESSION,
    OF_A_SHOOT, OF_AN_IMAGE, Operation, RUN, SESSION, SHOOT, answer, fields_body, headers, json_body, links,
};
#[cfg(test)]
pub(super) use parameter::{association, component, header, page_parameters, parameter, query};

pub(super) const DOCUMENT: &[u8] = include_bytes!("openapi.json");
