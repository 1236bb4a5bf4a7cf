//! An upload that names where its image is: JSON with `source_url`.

use percent_encoding::percent_decode_str;

use super::fields::UploadFields;
use super::intake::{Arriving, TakenIn, Unfit};
use super::outcome::{Failure, add_problem, upload_limit_bytes};
use crate::api::{Code, Exchange, Problem, Request};
use crate::fetch::{FetchError, FetchLimits, Fetcher, OwnHost, Rules};
use crate::library::AddError;
use crate::store::{StoreError, StoreErrorKind};

pub(super) const SOURCE_URL: &str = "source_url";

/// Fetches the image, which the rules of docs/fetching.md must allow.
pub(super) async fn read<'app>(
    exchange: &Exchange<'app>,
    request: &mut Request,
    fields: &mut UploadFields,
) -> Result<TakenIn<'app>, Failure> {
    let mut pairs = request.json_object().await?.texts()?;
    let at = pairs.iter().position(|(name, _)| name == SOURCE_URL);
    let (_, url) = pairs.swap_remove(at.ok_or_else(|| Problem::field(SOURCE_URL, "is required"))?);
    fields.take_in(pairs)?;

    let services = exchange.services;
    let settings = &services.config.fetch;
    let fetcher = Fetcher {
        client: services.http.clone(),
        runtime: services.runtime.clone(),
        rules: Rules { allowed: settings.allowed_hosts.clone(), own: OwnHost::of_origin(&request.origin) },
    };
    let limit_bytes = upload_limit_bytes(exchange, fields.visibility);
    let limits = FetchLimits { timeout_ms: settings.timeout_ms, max_bytes: limit_bytes };
    let answer = fetcher.fetch(&url, limits).await.map_err(|error| fetch_failure(&error))?;
    fields.name_after(&percent_decode_str(answer.url.last_segment()).decode_utf8_lossy());
    let arriving = Arriving { body: answer.body, length_if_last: None };
    arriving.take_in(exchange, limit_bytes).await.map_err(|unfit| match unfit {
        Unfit::Body(error) => fetch_failure(&error.into()),
        Unfit::Refused(problem) => Failure::of_source(at_source(problem)),
    })
}

/// Why an image that was fetched was not added.
pub(super) fn add_failure(error: AddError, limit_bytes: u64) -> Failure {
    match error {
        AddError::Store(StoreError { kind: StoreErrorKind::Body(error), .. }) => fetch_failure(&error.into()),
        error => Failure::of_source(at_source(add_problem(error, limit_bytes))),
    }
}

/// The caller is to blame for a URL that is not fetched, the source for anything else.
fn fetch_failure(error: &FetchError) -> Failure {
    let is_callers = matches!(error, FetchError::Refused { is_redirect: false, .. });
    let problem = fetch_problem(error);
    if is_callers { problem.into() } else { Failure::of_source(problem) }
}

fn fetch_problem(error: &FetchError) -> Problem {
    let code = match error {
        FetchError::Refused { .. } => Code::RefusedAddress,
        FetchError::Gone { .. } => Code::SourceGone,
        FetchError::Forbidden { .. } => Code::SourceForbidden,
        FetchError::TooLarge { .. } => Code::SourceTooLarge,
        FetchError::Timeout => Code::SourceTimeout,
        FetchError::Redirects | FetchError::Status { .. } | FetchError::Connect | FetchError::Interrupted => {
            Code::SourceFailed
        }
    };
    Problem { field: Some(SOURCE_URL.into()), ..Problem::new(code, error.to_string()) }
}

/// What would be wrong with a request's body is wrong with what the URL gave.
fn at_source(problem: Problem) -> Problem {
    let field = Some(SOURCE_URL.into());
    match problem.code {
        Code::BodyTooLarge => Problem { field, code: Code::SourceTooLarge, ..problem },
        Code::LengthRequired => {
            let detail = "the URL's host does not say how long the image is, which it must for one of this size";
            Problem { field, ..Problem::new(Code::SourceTooLarge, detail) }
        }
        Code::NotAnImage | Code::ImageTruncated | Code::ImageMalformed => Problem { field, ..problem },
        _ => problem,
    }
}
