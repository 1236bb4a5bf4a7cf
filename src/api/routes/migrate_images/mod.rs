//! `POST /api/migrate-images`: one action a request.

mod command;
mod fields;

use serde::Serialize;
#[cfg(test)]
use serde_json::json;

use self::command::{Command, Control, Input};
pub use self::fields::ACTIONS;
#[cfg(test)]
pub use self::fields::FIELDS;
#[cfg(test)]
use super::migration_status::StatsAnswer;
use super::migration_status::{answer_statistics, source_problem};
#[cfg(test)]
use crate::api::openapi::{BODY, DATABASE, JSON, OF_A_RUN, Operation, RUN, Schemas, answer, json_body, links};
use crate::api::run_body::{ResultBody, RunBody, is_success};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::migrate::{
    Action, ActionParameters, BackupRef, BeginError, EMBEDDED, Engine, Interruption, Parameters, Patience, Requested,
    Run, RunId, State, Verdict,
};

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RunAnswer"))]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the fields that operators' tools read")]
struct Answer<'run> {
    success: bool,
    #[cfg_attr(test, schemars(with = "Action"))]
    action: &'static str,
    dry_run: bool,
    /// Whether the run has ended.
    done: bool,
    run_id: &'run RunId,
    state: State,
    source: &'run str,
    /// Whether the run goes on without the caller.
    background: bool,
    /// How to go on, in words; absent when there is nothing more to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    result: ResultBody<'run>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct ControlAnswer<'run> {
    success: bool,
    #[cfg_attr(test, schemars(extend("enum" = ["status", "pause", "resume", "cancel"])))]
    action: &'static str,
    dry_run: bool,
    run_id: &'run RunId,
    state: State,
    result: RunBody<'run>,
}

/// Runs one action:
///
/// 1. check every field;
/// 2. write the run down, which refuses a second one over the same source;
/// 3. work on it until it ends or this request has done its part, or leave it to the queue at once;
/// 4. say how it went, and how it goes on.
pub async fn handle(exchange: &Exchange<'_>, mut request: Request) -> Result<Response, Problem> {
    let fields = request.json_object().await?;
    match Command::new(Input::read(&fields)?, &exchange.services.config, &request.origin)? {
        Command::Begin { source, parameters, background } => begin_run(exchange, source, *parameters, background).await,
        Command::Restore { backup, source, dry_run, parameters, background } => {
            let (saved_source, backup) = saved_backup(exchange, &backup).await?;
            if source.is_some_and(|source| source != saved_source) {
                return Err(Problem::field("source", format!("must be {saved_source}, which the backup is of")));
            }
            let parameters = Parameters { action: ActionParameters::Restore { dry_run, backup }, ..*parameters };
            begin_run(exchange, Some(saved_source), parameters, background).await
        }
        Command::Control { control, run_id, source } => control_run(exchange, control, run_id, source.as_deref()).await,
        Command::Stats => answer_statistics(exchange).await,
    }
}

async fn begin_run(
    exchange: &Exchange<'_>,
    source: Option<String>,
    parameters: Parameters,
    background: bool,
) -> Result<Response, Problem> {
    let engine = exchange.engine()?;
    let fallback_only = matches!(parameters.action, ActionParameters::Migrate { fallback_only: true, .. });
    let source = match source {
        Some(source) => source,
        None if fallback_only => EMBEDDED.to_owned(),
        None => default_source(exchange, &engine).await?,
    };
    if fallback_only && source != EMBEDDED {
        return Err(Problem::field("fallbackOnly", format!("is for the source {EMBEDDED}, not for {source}")));
    }
    if let ActionParameters::Cleanup { moved_by: Some(moved_by), .. } = &parameters.action {
        exchange.run(moved_by).await?;
    }
    let run = match engine.begin(&source, parameters).await {
        Ok(run) => run,
        Err(BeginError::Busy(holder)) => {
            let detail = format!("the run {} ({}) is {}", holder.id, holder.action().as_str(), holder.state.as_str());
            return Err(Problem::new(Code::RunInProgress, detail).about_run(&holder.id));
        }
        Err(BeginError::Source(error)) => return Err(source_problem(&engine.sources, error).await?),
        Err(BeginError::Database(error)) => return Err(error.into()),
    };
    if background {
        engine.hand_on(&run).await;
        return Ok(answer_run(exchange, &run, true));
    }
    work_for_caller(exchange, &run.id).await
}

/// Works on a run while the caller waits.
async fn work_for_caller(exchange: &Exchange<'_>, id: &RunId) -> Result<Response, Problem> {
    let engine = exchange.engine()?;
    match engine.work(id, Patience::Caller).await {
        Ok(run) => {
            if run.state == State::Running {
                engine.hand_on(&run).await;
            }
            Ok(answer_run(exchange, &run, run.state == State::Running))
        }
        Err(Interruption::LeaseLost) => {
            let run = engine.sources.find(id).await?.ok_or_else(|| Problem::plain(Code::RunNotFound))?;
            Ok(answer_run(exchange, &run, !run.state.is_final()))
        }
        Err(Interruption::Destination { detail }) => Err(left(id, Code::StorageUnavailable).because(&detail)),
        Err(Interruption::Source { detail }) => Err(left(id, Code::SourceUnavailable).because(&detail)),
        Err(Interruption::Database(error)) => {
            let problem = Problem::from(error);
            Err(left(id, problem.code).because(&problem.cause.unwrap_or_default()))
        }
        Err(Interruption::Fatal { reason, detail }) => {
            Err(Problem::new(Code::InternalError, reason).about_run(id).because(&detail))
        }
    }
}

/// A run that stopped for want of a service and is taken up again.
fn left(id: &RunId, code: Code) -> Problem {
    let detail = format!("{}; the run {id} is taken up again by itself, nothing of it is lost", code.title());
    Problem::new(code, detail).about_run(id)
}

async fn control_run(
    exchange: &Exchange<'_>,
    control: Control,
    run_id: Option<RunId>,
    source: Option<&str>,
) -> Result<Response, Problem> {
    let engine = exchange.engine()?;
    let run = match (&run_id, source) {
        (Some(id), _) => engine.sources.find(id).await?,
        (None, Some(source)) => engine.sources.latest_of(source).await?,
        (None, None) => engine.sources.latest().await?,
    };
    if let (Some(run), Some(source)) = (&run, source)
        && run.source != source
    {
        return Err(Problem::field("source", format!("must be {}, which the run is of", run.source)));
    }
    let run = run.ok_or_else(|| Problem::plain(Code::RunNotFound))?;
    let changed = match control {
        Control::Status => None,
        _ if run.state.is_final() => {
            let detail = format!("the run {} is {}", run.id, run.state.as_str());
            return Err(Problem::new(Code::RunEnded, detail).about_run(&run.id));
        }
        Control::Pause => engine.request(&run.id, Requested::Pause).await?,
        Control::Cancel => engine.request(&run.id, Requested::Cancel).await?,
        Control::Resume => engine.resume(&run.id).await?,
    };
    let run = changed.unwrap_or(run);
    if matches!(control, Control::Resume | Control::Cancel) && run.state == State::Running {
        engine.hand_on(&run).await;
    }
    let action = control.as_str();
    let body = ControlAnswer {
        success: true,
        action,
        dry_run: run.is_dry_run(),
        run_id: &run.id,
        state: run.state,
        result: RunBody::new(&run),
    };
    Ok(Response::json(200, &body))
}

fn answer_run(exchange: &Exchange<'_>, run: &Run, background: bool) -> Response {
    let done = run.state.is_final();
    let next = (!done).then(|| next_step(exchange, run));
    let body = Answer {
        success: is_success(run),
        action: run.action().as_str(),
        dry_run: run.is_dry_run(),
        done,
        run_id: &run.id,
        state: run.state,
        source: &run.source,
        background,
        next,
        result: ResultBody::new(run),
    };
    Response::json(if background { 202 } else { 200 }, &body)
}

fn next_step(exchange: &Exchange<'_>, run: &Run) -> String {
    let id = &run.id;
    if run.state == State::Paused {
        return format!("The run is paused: POST {{\"action\":\"resume\",\"runId\":\"{id}\"}} lets it go on.");
    }
    let by = if exchange.services.runs.is_some() { "the queue" } else { "the cron event, every ten minutes" };
    format!("The run goes on by {by}: GET /api/migrate-images/runs/{id} shows how far it is.")
}

async fn default_source(exchange: &Exchange<'_>, engine: &Engine) -> Result<String, Problem> {
    let statistics = exchange.library.catalog.statistics().await?;
    Ok(engine.sources.default_source(statistics.d1_images).await?)
}

/// The backup that the run `id` made, and the source that it is of.
async fn saved_backup(exchange: &Exchange<'_>, id: &RunId) -> Result<(String, BackupRef), Problem> {
    let run = exchange.run(id).await?;
    match run.receipt {
        Some(receipt) if run.action() == Action::Backup && run.state.is_final() => {
            let items = run.progress.of(Verdict::Saved);
            Ok((run.source, BackupRef { run_id: run.id, receipt, items }))
        }
        _ => {
            let detail = format!("the run {id} is a {} and {}", run.action().as_str(), run.state.as_str());
            Err(Problem::new(Code::NotABackup, detail).about_run(id))
        }
    }
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let run = schemas.answer::<Answer>();
    let all = json!({ "anyOf": [run.clone(), schemas.answer::<ControlAnswer>(), schemas.answer::<StatsAnswer>()] });
    let mut done = answer("The run ended or paused, or the action was done at once.", JSON, &all);
    let mut goes_on = answer("The run goes on by itself.", JSON, &run);
    done["links"] = links(&OF_A_RUN, "$response.body#/runId");
    goes_on["links"] = links(&OF_A_RUN, "$response.body#/runId");
    let own = [
        Code::RunInProgress,
        Code::PublicOriginMissing,
        Code::RunEnded,
        Code::NotABackup,
        Code::SourceUnusable,
        Code::StorageUnavailable,
        Code::SourceUnavailable,
    ];
    Operation {
        summary: "Begins or steers a run, or counts",
        body: Some(json_body(&schemas.request::<Input>())),
        answers: vec![(200, done), (202, goes_on)],
        codes: [&BODY[..], &RUN, &own, &DATABASE].concat(),
        ..Operation::default()
    }
}
