//! `POST /sessions/{id}/frames`: frames as the parts of a form.

use serde::Serialize;
#[cfg(test)]
use serde_json::json;

use crate::api::field::parameter;
#[cfg(test)]
use crate::api::openapi::{ADDITION, DATABASE, JSON, Operation, Schemas, answer, component, query};
use crate::api::representation::ImageBody;
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::bytes::{Body, BodyError};
use crate::image::{Format, FrameNumber, Rejection, SessionId, Visibility};
use crate::library::{FrameIntake, FrameOptions, FrameOutcome, FramesError};
use crate::multipart::{Boundary, Form, FormError, FormLimits, Part};

/// Largest frame in bytes: it is held in memory, outside wasm, one at a time.
const MAX_FRAME_BYTES: u64 = 10 * 1000 * 1000;
/// Largest request in bytes: 100 MB of frames and the headers of 1,000 parts. Platforms of smaller plans take 100 MB.
const MAX_FORM_BYTES: u64 = 110 * 1000 * 1000;
/// Most frames in a request.
const MAX_FRAMES: usize = 1_000;
/// While frames are being deleted, in seconds.
const RETRY_AFTER_SECONDS: &str = "5";

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FramesAnswer"))]
#[serde(rename_all = "camelCase")]
struct Answer<'frames> {
    session_id: &'frames SessionId,
    stored: usize,
    /// The session had them already.
    unchanged: usize,
    replaced: usize,
    refused: usize,
    /// One for each part of the form, in its order.
    frames: Vec<FrameAnswer<'frames>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FrameAnswer"))]
#[serde(rename_all = "camelCase")]
struct FrameAnswer<'frame> {
    #[serde(skip_serializing_if = "Option::is_none")]
    frame_number: Option<u16>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<ImageBody<'frame>>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<Code>"))]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Stored,
    Unchanged,
    Replaced,
    Refused,
}

/// A part of the form: handed to the intake, or refused before.
enum Taken {
    Added,
    Refused { number: Option<FrameNumber>, problem: Box<Problem> },
}

/// Takes the form in, one part at a time:
///
/// 1. read the part's number from its name, and hold its bytes in memory, which must be a whole image;
/// 2. put it; every so many are committed at once;
/// 3. answer for each. A form that breaks off keeps the whole frames that it had.
pub async fn handle(exchange: &Exchange<'_>, mut request: Request, session: SessionId) -> Result<Response, Problem> {
    let options = parse_query(&request)?;
    let content_type = request.header("content-type").unwrap_or_default();
    let boundary = Boundary::of_content_type(content_type).ok_or_else(|| {
        Problem::new(Code::UnsupportedMediaType, "the Content-Type must be multipart/form-data with a boundary")
    })?;
    let body = request.body.take().unwrap_or_else(Body::empty);
    if body.promised_bytes().is_some_and(|promised| promised > MAX_FORM_BYTES) {
        return Err(BodyError::TooLong { limit_bytes: MAX_FORM_BYTES }.into());
    }
    let (budget, runtime) = (&exchange.library.budget, &exchange.library.runtime);
    let held_bytes = body.promised_bytes().map_or(MAX_FRAME_BYTES, |promised| promised.min(MAX_FRAME_BYTES));
    let share = budget.wait_for_upload(held_bytes, runtime.as_ref()).await;
    let share = share.ok_or_else(|| Problem::plain(Code::Busy))?;
    let owner = exchange.caller.owner_filter();
    let intake = FrameIntake::begin(exchange.library, session.clone(), &owner, options);
    let mut intake = intake.await.map_err(|error| frames_problem(error, 0))?;
    let mut taken = Vec::new();
    let mut form = Form::new(body, &boundary, FormLimits::of_parts(MAX_FRAMES));
    let broken = take_parts(&mut form, &mut intake, &mut taken).await.err();
    let outcomes = intake.finish(broken.is_none()).await.map_err(|error| frames_problem(error, 0))?;
    drop(share);
    if let Some(broken) = broken {
        let kept = outcomes.iter().filter(|(_, outcome)| is_kept(outcome)).count();
        return Err(broken.into_problem(kept));
    }
    respond(exchange, &request.origin, &session, taken, &outcomes)
}

/// Why no more parts were taken.
enum Broken {
    Form(FormError),
    Frames(FramesError),
    TooLong,
}

impl Broken {
    fn into_problem(self, kept: usize) -> Problem {
        match self {
            Self::Form(error) => {
                let problem = Problem::from(error);
                Problem { detail: format!("{}; {kept} whole frames before were kept", problem.detail), ..problem }
            }
            Self::Frames(error) => frames_problem(error, kept),
            Self::TooLong => Problem::new(
                Code::BodyTooLarge,
                format!("the frames may have {MAX_FORM_BYTES} bytes together; {kept} frames before were kept"),
            ),
        }
    }
}

async fn take_parts(form: &mut Form, intake: &mut FrameIntake<'_>, taken: &mut Vec<Taken>) -> Result<(), Broken> {
    let mut total_bytes: u64 = 0;
    while let Some(part) = form.next_part().await.map_err(Broken::Form)? {
        let Part { head, body, .. } = part;
        let number = match number_of(&head.name) {
            Ok(number) => number,
            Err(problem) => {
                taken.push(Taken::Refused { number: None, problem });
                continue;
            }
        };
        let refused = |problem: Problem| Taken::Refused { number, problem: Box::new(problem) };
        let bytes = match body.collect(MAX_FRAME_BYTES).await {
            Ok(bytes) => bytes,
            Err(BodyError::TooLong { limit_bytes: MAX_FRAME_BYTES }) => {
                let detail = format!("a frame may have at most {MAX_FRAME_BYTES} bytes");
                taken.push(refused(Problem::new(Code::BodyTooLarge, detail)));
                continue;
            }
            Err(error) => return Err(Broken::Form(error.into())),
        };
        total_bytes += bytes.size_bytes() as u64;
        if total_bytes > MAX_FORM_BYTES {
            return Err(Broken::TooLong);
        }
        match Format::inspect_blob(&bytes) {
            Ok((format, geometry)) => {
                intake.add(number, bytes, format, geometry).await.map_err(Broken::Frames)?;
                taken.push(Taken::Added);
            }
            Err(rejection) => taken.push(refused(Problem::plain(match rejection {
                Rejection::NotAnImage => Code::NotAnImage,
                Rejection::Truncated => Code::ImageTruncated,
                Rejection::Malformed => Code::ImageMalformed,
            }))),
        }
    }
    Ok(())
}

/// The number in a part's name: its last digits, as in `7`, `frame_0007` and `frames[7]`; `None` when it has no digits.
fn number_of(name: &str) -> Result<Option<FrameNumber>, Box<Problem>> {
    let is_digit = |character: &char| character.is_ascii_digit();
    let backwards: Vec<char> = name.chars().rev().skip_while(|it| !is_digit(it)).take_while(is_digit).collect();
    if backwards.is_empty() {
        return Ok(None);
    }
    let digits: String = backwards.into_iter().rev().collect();
    let number = digits.parse::<u32>().ok().and_then(|number| FrameNumber::try_from(number).ok());
    number.map(Some).ok_or_else(|| {
        let rule = format!("the number at the end of a part's name must be at most {}", FrameNumber::MAX);
        Box::new(Problem::new(Code::InvalidField, rule))
    })
}

const fn is_kept(outcome: &FrameOutcome) -> bool {
    matches!(outcome, FrameOutcome::Stored(_) | FrameOutcome::Unchanged(_) | FrameOutcome::Replaced(_))
}

fn respond(
    exchange: &Exchange<'_>,
    origin: &str,
    session: &SessionId,
    taken: Vec<Taken>,
    outcomes: &[(Option<FrameNumber>, FrameOutcome)],
) -> Result<Response, Problem> {
    if taken.is_empty() {
        return Err(Problem::field("body", "must have a part for each frame, and has none"));
    }
    let mut first_problem = None;
    let mut added = outcomes.iter();
    let mut frames = Vec::with_capacity(taken.len());
    for part in taken {
        let (number, refusal) = match part {
            Taken::Refused { number, problem } => (number, Some(*problem)),
            Taken::Added => {
                let Some((number, outcome)) = added.next() else { continue };
                let (outcome, record) = match outcome {
                    FrameOutcome::Stored(record) => (Outcome::Stored, record),
                    FrameOutcome::Unchanged(record) => (Outcome::Unchanged, record),
                    FrameOutcome::Replaced(record) => (Outcome::Replaced, record),
                    refused => {
                        let problem = refusal_of(refused);
                        frames.push(refused_frame(*number, &problem));
                        first_problem.get_or_insert((*number, problem));
                        continue;
                    }
                };
                frames.push(FrameAnswer {
                    frame_number: number.map(FrameNumber::get),
                    outcome,
                    image: Some(ImageBody::new(exchange, record, origin)),
                    code: None,
                    detail: None,
                });
                continue;
            }
        };
        if let Some(problem) = refusal {
            frames.push(refused_frame(number, &problem));
            first_problem.get_or_insert((number, problem));
        }
    }
    let count = |outcome: Outcome| frames.iter().filter(|frame| frame.outcome == outcome).count();
    let answer = Answer {
        session_id: session,
        stored: count(Outcome::Stored),
        unchanged: count(Outcome::Unchanged),
        replaced: count(Outcome::Replaced),
        refused: count(Outcome::Refused),
        frames,
    };
    match first_problem {
        Some((number, problem)) if answer.refused == answer.frames.len() => {
            let which = number.map_or_else(|| "the first frame".to_owned(), |number| format!("frame {number}"));
            Err(Problem { detail: format!("{which}: {}; no frame was kept", problem.detail), ..problem })
        }
        Some(_) => Ok(Response::json(207, &answer)),
        None => Ok(Response::json(201, &answer)),
    }
}

fn refused_frame(number: Option<FrameNumber>, problem: &Problem) -> FrameAnswer<'static> {
    FrameAnswer {
        frame_number: number.map(FrameNumber::get),
        outcome: Outcome::Refused,
        image: None,
        code: Some(problem.code.as_str()),
        detail: Some(problem.detail.clone()),
    }
}

fn refusal_of(outcome: &FrameOutcome) -> Problem {
    match outcome {
        FrameOutcome::NoNumber => {
            Problem::new(Code::FrameTaken, format!("no number up to {} is free", FrameNumber::MAX))
        }
        FrameOutcome::Interrupted => busy(),
        FrameOutcome::Limit(limit) => (*limit).into(),
        _ => Problem::plain(Code::FrameTaken),
    }
}

fn busy() -> Problem {
    Problem::plain(Code::SessionBusy).with_header("Retry-After", RETRY_AFTER_SECONDS)
}

/// The problem that an upload which stopped makes, with so many frames kept.
fn frames_problem(error: FramesError, kept: usize) -> Problem {
    let stopped = || Problem::new(Code::StorageUnavailable, format!("no store took a frame; {kept} before were kept"));
    match error {
        FramesError::NotFound => Problem::plain(Code::SessionNotFound),
        FramesError::Busy => busy(),
        FramesError::Catalog(error) => error.into(),
        FramesError::Store(error) => stopped().because(&error),
        FramesError::Remove(error) => stopped().because(&format!("{error:?}")),
    }
}

fn parse_query(request: &Request) -> Result<FrameOptions, Problem> {
    let mut options = FrameOptions { visibility: Visibility::Private, replace: false };
    for (name, value) in request.query_pairs()? {
        match (name.as_str(), value.as_str()) {
            ("replace", "true") => options.replace = true,
            ("replace", "false") => options.replace = false,
            ("replace", _) => return Err(Problem::field("replace", "must be true or false")),
            ("visibility", _) => options.visibility = parameter("visibility", value)?,
            _ => {
                return Err(Problem::field(name, "is not a parameter; the parameters are replace and visibility"));
            }
        }
    }
    Ok(options)
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let own = [
        Code::InvalidField,
        Code::InvalidForm,
        Code::BodyInterrupted,
        Code::SessionNotFound,
        Code::FrameTaken,
        Code::SessionBusy,
        Code::BodyTooLarge,
        Code::UnsupportedMediaType,
        Code::NotAnImage,
        Code::ImageTruncated,
        Code::ImageMalformed,
        Code::Busy,
        Code::StorageUnavailable,
    ];
    let all = answer("Every frame is in the session.", JSON, &schemas.answer::<Answer>());
    let some = answer("Some frames are, others were refused.", JSON, &schemas.answer::<Answer>());
    let form = json!({ "type": "object", "additionalProperties": { "type": "string", "format": "binary" } });
    Operation {
        summary: "Adds frames to a session, each a part of the form",
        parameters: vec![
            query("replace", &json!({ "type": "boolean", "default": false }), "Replaces frames of the same numbers."),
            query("visibility", &component("Visibility"), "`private` when absent."),
        ],
        body: Some(json!({ "required": true, "content": { "multipart/form-data": { "schema": form } } })),
        answers: vec![(201, all), (207, some)],
        codes: [&own[..], &ADDITION, &DATABASE].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parts_name_ends_with_its_number() {
        let number = |name: &str| number_of(name).ok().map(|number| number.map(FrameNumber::get));
        for (name, expected) in [
            ("7", Some(Some(7))),
            ("frame_0007", Some(Some(7))),
            ("frames[12]", Some(Some(12))),
            ("shot2_frame0", Some(Some(0))),
            ("\u{e9}9999", Some(Some(9_999))),
            ("000000000042", Some(Some(42))),
            ("frames", Some(None)),
            ("", Some(None)),
            ("frame_10000", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(number(name), expected, "{name}");
        }
    }
}
