//! `GET /images/{id}/description`: what was found on an image.

use serde::Serialize;

#[cfg(test)]
use crate::api::openapi::{DATABASE, IMAGE, JSON, Operation, Schemas, answer};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::catalog::jobs::JobSubject;
use crate::image::{ImageId, JobId};
use crate::vision::Analysis;

/// What was found, when, and by which job.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ImageDescription"))]
#[serde(rename_all = "camelCase")]
pub(super) struct AnalysisBody {
    job_id: JobId,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    analyzed_at: String,
    #[serde(flatten)]
    analysis: Analysis,
}

impl AnalysisBody {
    /// The latest analysis of what the caller may see.
    pub async fn of(exchange: &Exchange<'_>, subject: &JobSubject) -> Result<Self, Problem> {
        let kept = exchange.library.catalog.find_analysis(subject).await?;
        let kept = kept.ok_or_else(|| Problem::plain(Code::AnalysisNotFound))?;
        // One of another version is made anew when it is asked for.
        let analysis = Analysis::from_json(&kept.answer).ok_or_else(|| Problem::plain(Code::AnalysisNotFound))?;
        Ok(Self { job_id: kept.job_id, analyzed_at: kept.updated_at.to_iso8601(), analysis })
    }
}

pub async fn handle(exchange: &Exchange<'_>, _request: Request, id: ImageId) -> Result<Response, Problem> {
    exchange.stored_image(id).await?;
    Ok(Response::json(200, &AnalysisBody::of(exchange, &JobSubject::Image(id)).await?))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "What was found on an image",
        answers: vec![(200, answer("The latest description.", JSON, &schemas.answer::<AnalysisBody>()))],
        codes: [&IMAGE[..], &[Code::AnalysisNotFound], &DATABASE].concat(),
        ..Operation::default()
    }
}
