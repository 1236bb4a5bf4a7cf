//! `GET /jobs`: a page of jobs.

use serde::Serialize;

#[cfg(test)]
use crate::api::Code;
use crate::api::field::parameter as field;
use crate::api::job_body::JobBody;
#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, Schemas, answer, component, page_parameters, query};
use crate::api::page::{no_such_cursor, page_size};
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::PageSize;
use crate::catalog::jobs::{JobCursor, JobFilter};

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "JobPage"))]
struct Answer<'page> {
    jobs: Vec<JobBody<'page>>,
    /// Pass as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

struct Query {
    filter: JobFilter,
    cursor: Option<JobCursor>,
    size: PageSize,
}

pub async fn handle(exchange: &Exchange<'_>, request: Request) -> Result<Response, Problem> {
    let mut query = parse_query(&request)?;
    query.filter.owner = exchange.caller.owner_filter();
    let page = exchange.library.catalog.list_jobs(&query.filter, query.cursor, query.size).await?;
    let outputs = exchange.outputs_of(&page.jobs).await?;
    let body = Answer {
        jobs: page.jobs.iter().map(|job| JobBody::new(exchange, job, &outputs, &request.origin)).collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    };
    Ok(Response::json(200, &body))
}

fn parse_query(request: &Request) -> Result<Query, Problem> {
    let mut query = Query { filter: JobFilter::default(), cursor: None, size: PageSize::default() };
    for (name, value) in request.query_pairs()? {
        match name.as_str() {
            "status" => query.filter.state = Some(field("status", value)?),
            "asset_id" => query.filter.image_id = Some(field("asset_id", value)?),
            "batch_id" => query.filter.batch_id = Some(field("batch_id", value)?),
            "limit" => query.size = page_size(&value)?,
            "cursor" => query.cursor = Some(value.parse().map_err(|_| no_such_cursor("next_cursor"))?),
            _ => {
                let rule = "is not a parameter; the parameters are status, asset_id, batch_id, limit and cursor";
                return Err(Problem::field(name, rule));
            }
        }
    }
    Ok(query)
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let filters = [
        query("status", &component("JobState"), "Only those in this state."),
        query("asset_id", &component("ImageId"), "Only those that work on this image."),
        query("batch_id", &component("BatchId"), "Only those of this batch."),
    ];
    Operation {
        summary: "Lists jobs",
        parameters: filters.into_iter().chain(page_parameters("next_cursor")).collect(),
        answers: vec![(200, answer("A page, newest first.", JSON, &schemas.answer::<Answer>()))],
        codes: [&[Code::InvalidField][..], &DATABASE].concat(),
        ..Operation::default()
    }
}
