//! `POST /api/migrate-images`: one action a request.

use serde::Serialize;

use super::request::JsonObject;
use super::run_body::{ResultBody, RunBody};
use super::{Code, Exchange, Problem, Request, Response};
use crate::migrate::item::ITEM_ID_MAX_BYTES;
use crate::migrate::{
    Action, BeginError, Engine, Interruption, Parameters, Patience, PublicBase, Requested, Run, RunId, SourceError,
    Sources, State,
};

/// Every action, as callers write them.
pub(super) const ACTIONS: [&str; 11] =
    ["migrate", "validate", "rollback", "stats", "backup", "restore", "pause", "resume", "cancel", "status", "cleanup"];

pub(super) const FIELDS: [&str; 14] = [
    "action",
    "source",
    "batchSize",
    "concurrency",
    "dryRun",
    "imageIds",
    "background",
    "runId",
    "checkIntegrity",
    "sampleSize",
    "deleteFromR2",
    "force",
    "confirmRunId",
    "fallbackOnly",
];

/// Most ids in a request: each is at most 512 bytes, so that they fit in a JSON body and in a row.
pub(super) const MAX_IDS: usize = 1_000;
/// Most items in a sample: the run's row holds their ids.
pub(super) const MAX_SAMPLE: u64 = 1_000;
pub(super) const MAX_BATCH_SIZE: u64 = 100;
pub(super) const MAX_CONCURRENCY: u64 = 16;

/// What a request asks for.
enum Command {
    Begin {
        action: Action,
        source: Option<String>,
        parameters: Box<Parameters>,
        background: bool,
    },
    /// Begin to restore a backup, to the source that it is of unless another is named.
    Restore {
        backup: RunId,
        source: Option<String>,
        parameters: Box<Parameters>,
        background: bool,
    },
    Control {
        control: Control,
        run_id: Option<RunId>,
    },
    Stats,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    Status,
    Pause,
    Resume,
    Cancel,
}

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
            Command::Control { control, run_id } => self.control_run(control, run_id).await,
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
            None => self.default_source(&engine).await?,
        };
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
            Err(Interruption::Bucket { detail }) => Err(Self::left(id, Code::StorageUnavailable).because(&detail)),
            Err(Interruption::Database(error)) => {
                let problem = Problem::from(error);
                Err(Self::left(id, problem.code).because(&problem.cause.unwrap_or_default()))
            }
            Err(Interruption::Hopeless { reason, detail }) => {
                Err(Problem::new(Code::InternalError, reason).about_run(id).because(&detail))
            }
        }
    }

    /// A run that stopped for want of a service and is taken up again.
    fn left(id: &RunId, code: Code) -> Problem {
        let detail = format!("{}; the run {id} is taken up again by itself, nothing of it is lost", code.title());
        Problem::new(code, detail).about_run(id)
    }

    async fn control_run(&self, control: Control, run_id: Option<RunId>) -> Result<Response, Problem> {
        let engine = self.engine()?;
        let run = match &run_id {
            Some(id) => engine.sources.find(id).await?,
            None => engine.sources.latest().await?,
        };
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

    fn parse_command(&self, fields: &JsonObject, request: &Request) -> Result<Command, Problem> {
        let action = fields.text("action")?.unwrap_or_default();
        if !ACTIONS.contains(&action) {
            return Err(Problem::field("action", format!("must be one of {}", ACTIONS.join(", "))));
        }
        fields.require_only(&FIELDS)?;
        let begin = match action {
            "migrate" => Some(Action::Migrate),
            "validate" => Some(Action::Validate),
            "rollback" => Some(Action::Rollback),
            "cleanup" => Some(Action::Cleanup),
            "backup" => Some(Action::Backup),
            "restore" => Some(Action::Restore),
            _ => None,
        };
        let run_id = run_id_field(fields, "runId")?;
        let source = fields.text("source")?.map(str::to_owned);
        let background = fields.flag("background")?;
        let parameters = Box::new(self.parse_parameters(fields, request, begin, run_id.clone())?);
        let control = |control| Ok(Command::Control { control, run_id: run_id.clone() });
        match (begin, action) {
            (Some(Action::Backup), _) if parameters.dry_run => {
                Err(Problem::field("dryRun", "is not for backup, which changes no row"))
            }
            (Some(Action::Restore), _) => {
                let backup = run_id.ok_or_else(|| Problem::field("runId", "must name the backup to restore"))?;
                Ok(Command::Restore { backup, source, parameters, background })
            }
            (Some(action), _) => Ok(Command::Begin { action, source, parameters, background }),
            (None, "status") => control(Control::Status),
            (None, "pause") => control(Control::Pause),
            (None, "resume") => control(Control::Resume),
            (None, "cancel") => control(Control::Cancel),
            (None, _) => Ok(Command::Stats),
        }
    }

    async fn default_source(&self, engine: &Engine) -> Result<String, Problem> {
        let statistics = self.library.catalog.statistics().await?;
        Ok(engine.sources.default_source(statistics.d1_images).await?)
    }

    fn parse_parameters(
        &self,
        fields: &JsonObject,
        request: &Request,
        action: Option<Action>,
        run_id: Option<RunId>,
    ) -> Result<Parameters, Problem> {
        let config = &self.app.config;
        let small = |field, max, default: u16| {
            let number = fields.whole_number(field, 1..=max)?;
            Ok::<_, Problem>(number.and_then(|number| u16::try_from(number).ok()).unwrap_or(default))
        };
        let force = fields.flag("force")?;
        let confirmed = run_id_field(fields, "confirmRunId")?;
        if force {
            require_confirmation(action, run_id.as_ref(), confirmed.as_ref())?;
        }
        Ok(Parameters {
            dry_run: fields.flag("dryRun")?,
            batch_size: small("batchSize", MAX_BATCH_SIZE, config.migration_batch_size)?,
            concurrency: small("concurrency", MAX_CONCURRENCY, config.migration_concurrency)?,
            item_ids: fields.texts("imageIds", MAX_IDS, ITEM_ID_MAX_BYTES)?,
            check_integrity: fields.flag("checkIntegrity")?,
            sample_size: fields.whole_number("sampleSize", 1..=MAX_SAMPLE)?.and_then(|size| u32::try_from(size).ok()),
            delete_from_r2: fields.flag("deleteFromR2")?,
            force,
            fallback_only: fields.flag("fallbackOnly")?,
            moved_by: run_id.filter(|_| action == Some(Action::Cleanup)),
            public_base: match &config.r2_public_url {
                Some(url) => PublicBase::Bucket(url.clone()),
                None => PublicBase::Worker(request.origin.clone()),
            },
            backup: None,
        })
    }
}

impl Control {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
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
            Problem { field: Some(problem.field.to_owned()), ..Problem::new(Code::SourceUnusable, detail) }
        }
        SourceError::NotMigrated { binding } => {
            let command = ["; run `npx wrangler d1 migrations apply ", &binding, " --remote`"].concat();
            Problem::new(Code::DatabaseNotMigrated, detail + &command)
        }
    })
}

/// Originals that are dropped before their time are those of one run, which the caller names twice.
fn require_confirmation(action: Option<Action>, run: Option<&RunId>, confirmed: Option<&RunId>) -> Result<(), Problem> {
    if action != Some(Action::Cleanup) {
        return Err(Problem::field("force", "is for cleanup"));
    }
    let Some(run) = run else {
        return Err(Problem::field("runId", "must name the run whose originals are to be dropped before their time"));
    };
    if confirmed == Some(run) { Ok(()) } else { Err(Problem::field("confirmRunId", "must repeat runId")) }
}

fn run_id_field(fields: &JsonObject, field: &'static str) -> Result<Option<RunId>, Problem> {
    let Some(text) = fields.text(field)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Problem::field(field, "must be 32 lower-case hexadecimal digits"))
}
