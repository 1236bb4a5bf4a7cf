//! `POST /api/migrate-images`: one action a request.

use serde::Serialize;

use super::migrate_command::{Command, Control};
use super::run_body::{ResultBody, RunBody};
use super::{Code, Exchange, Problem, Request, Response};
use crate::migrate::{
    Action, BeginError, EMBEDDED, Engine, Interruption, Parameters, Patience, Requested, Run, RunId, SourceError,
    Sources, State,
};

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RunAnswer"))]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the fields that operators' tools read")]
pub(super) struct Answer<'run> {
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
pub(super) struct ControlAnswer<'run> {
    success: bool,
    #[cfg_attr(test, schemars(extend("enum" = ["status", "pause", "resume", "cancel"])))]
    action: &'static str,
    dry_run: bool,
    run_id: &'run RunId,
    state: State,
    result: RunBody<'run>,
}

impl Exchange<'_> {
    /// Runs one action:
    ///
    /// 1. check every field;
    /// 2. write the run down, which refuses a second one over the same source;
    /// 3. work on it until it ends or this request has done its part, or leave it to the queue at once;
    /// 4. say how it went, and how it goes on.
    pub(super) async fn migrate_images(&self, mut request: Request) -> Result<Response, Problem> {
        let fields = request.json_object().await?;
        match self.parse_command(&fields, &request)? {
            Command::Begin { action, source, parameters, background } => {
                self.begin_run(action, source, *parameters, background).await
            }
            Command::Restore { backup, source, mut parameters, background } => {
                let (saved_source, backup) = self.backup(&backup).await?;
                if source.is_some_and(|source| source != saved_source) {
                    return Err(Problem::field("source", format!("must be {saved_source}, which the backup is of")));
                }
                parameters.backup = Some(backup);
                self.begin_run(Action::Restore, Some(saved_source), *parameters, background).await
            }
            Command::Control { control, run_id, source } => self.control_run(control, run_id, source.as_deref()).await,
            Command::Stats => self.migration_statistics().await,
        }
    }

    async fn begin_run(
        &self,
        action: Action,
        source: Option<String>,
        parameters: Parameters,
        background: bool,
    ) -> Result<Response, Problem> {
        let engine = self.engine()?;
        let source = match source {
            Some(source) => source,
            None if parameters.fallback_only => EMBEDDED.to_owned(),
            None => self.default_source(&engine).await?,
        };
        if parameters.fallback_only && source != EMBEDDED {
            return Err(Problem::field("fallbackOnly", format!("is for the source {EMBEDDED}, not for {source}")));
        }
        if let Some(moved_by) = &parameters.moved_by {
            self.run(moved_by).await?;
        }
        let run = match engine.begin(action, &source, parameters).await {
            Ok(run) => run,
            Err(BeginError::Busy(holder)) => {
                let detail = format!("the run {} ({}) is {}", holder.id, holder.action.as_str(), holder.state.as_str());
                return Err(Problem::new(Code::RunInProgress, detail).about_run(&holder.id));
            }
            Err(BeginError::Source(error)) => return Err(source_problem(&engine.sources, error).await?),
            Err(BeginError::Database(error)) => return Err(error.into()),
        };
        if background {
            engine.hand_on(&run).await;
            return Ok(self.answer_run(&run, true));
        }
        self.work_for_caller(&run.id).await
    }

    /// Works on a run while the caller waits.
    async fn work_for_caller(&self, id: &RunId) -> Result<Response, Problem> {
        let engine = self.engine()?;
        match engine.work(id, Patience::Caller).await {
            Ok(run) => {
                if run.state == State::Running {
                    engine.hand_on(&run).await;
                }
                Ok(self.answer_run(&run, run.state == State::Running))
            }
            Err(Interruption::LeaseLost) => {
                let run = engine.sources.find(id).await?.ok_or_else(|| Problem::plain(Code::RunNotFound))?;
                Ok(self.answer_run(&run, !run.state.is_final()))
            }
            Err(Interruption::Destination { detail } | Interruption::Source { detail }) => {
                Err(Self::left(id, Code::StorageUnavailable).because(&detail))
            }
            Err(Interruption::Database(error)) => {
                let problem = Problem::from(error);
                Err(Self::left(id, problem.code).because(&problem.cause.unwrap_or_default()))
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
        &self,
        control: Control,
        run_id: Option<RunId>,
        source: Option<&str>,
    ) -> Result<Response, Problem> {
        let engine = self.engine()?;
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
            dry_run: run.parameters.dry_run,
            run_id: &run.id,
            state: run.state,
            result: RunBody::new(&run),
        };
        Ok(Response::json(200, &body))
    }

    fn answer_run(&self, run: &Run, background: bool) -> Response {
        let done = run.state.is_final();
        let next = (!done).then(|| self.next_step(run));
        let body = Answer {
            success: run.progress.failures() == 0 && !matches!(run.state, State::Failed | State::Cancelled),
            action: run.action.as_str(),
            dry_run: run.parameters.dry_run,
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

    fn next_step(&self, run: &Run) -> String {
        let id = &run.id;
        if run.state == State::Paused {
            return format!("The run is paused: POST {{\"action\":\"resume\",\"runId\":\"{id}\"}} lets it go on.");
        }
        let by = if self.app.runs.is_some() { "the queue" } else { "the cron event, every ten minutes" };
        format!("The run goes on by {by}: GET /api/migrate-images/runs/{id} shows how far it is.")
    }

    async fn default_source(&self, engine: &Engine) -> Result<String, Problem> {
        let statistics = self.library.catalog.statistics().await?;
        Ok(engine.sources.default_source(statistics.d1_images).await?)
    }
}

/// What to say of a source that cannot be used.
pub(super) async fn source_problem(sources: &Sources, error: SourceError) -> Result<Problem, Problem> {
    let detail = error.to_string();
    Ok(match error {
        SourceError::Unknown { .. } => {
            Problem::field("source", ["must be one of ", &sources.source_names().await?.join(", ")].concat())
        }
        SourceError::Unusable { problem, .. } => {
            Problem { field: Some(problem.field.into()), ..Problem::new(Code::SourceUnusable, detail) }
        }
        SourceError::NotMigrated { binding } => {
            let command = ["; run `npx wrangler d1 migrations apply ", &binding, " --remote`"].concat();
            Problem::new(Code::DatabaseNotMigrated, detail + &command)
        }
    })
}
