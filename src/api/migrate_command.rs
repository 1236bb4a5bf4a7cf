//! What a migration request asks for.

use super::migrate_fields::{ACTIONS, require_fields_of};
use super::request::JsonObject;
use super::{Exchange, Problem, Request};
use crate::migrate::item::ITEM_ID_MAX_BYTES;
use crate::migrate::{Action, Parameters, PublicBase, RunId};

/// Most ids in a request. Together they fit in a JSON body, and so in the run's row.
pub(super) const MAX_IDS: usize = 1_000;
/// Most items in a sample: the run's row holds their ids.
pub(super) const MAX_SAMPLE: u64 = 1_000;
pub(super) const MAX_BATCH_SIZE: u64 = 100;
pub(super) const MAX_CONCURRENCY: u64 = 16;

/// What a request asks for.
pub(super) enum Command {
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
        source: Option<String>,
    },
    Stats,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    Status,
    Pause,
    Resume,
    Cancel,
}

impl Exchange<'_> {
    /// Checks every field, and says what is asked for.
    pub(super) fn parse_command(&self, fields: &JsonObject, request: &Request) -> Result<Command, Problem> {
        let action = fields.text("action")?.unwrap_or_default();
        if !ACTIONS.contains(&action) {
            return Err(Problem::field("action", format!("must be one of {}", ACTIONS.join(", "))));
        }
        require_fields_of(action, fields)?;
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
        let control = |control| Ok(Command::Control { control, run_id: run_id.clone(), source: source.clone() });
        match (begin, action) {
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
            require_confirmation(run_id.as_ref(), confirmed.as_ref())?;
        } else if confirmed.is_some() {
            return Err(Problem::field("confirmRunId", "is for force, which is not set"));
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
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }
}

/// Originals that are dropped before their time are those of one run, which the caller names twice.
fn require_confirmation(run: Option<&RunId>, confirmed: Option<&RunId>) -> Result<(), Problem> {
    let Some(run) = run else {
        return Err(Problem::field("runId", "must name the run whose originals are to be dropped before their time"));
    };
    if confirmed == Some(run) { Ok(()) } else { Err(Problem::field("confirmRunId", "must repeat runId")) }
}

fn run_id_field(fields: &JsonObject, field: &'static str) -> Result<Option<RunId>, Problem> {
    let Some(text) = fields.text(field)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Problem::field(field, "must be 32 lower-case hexadecimal digits"))
}
