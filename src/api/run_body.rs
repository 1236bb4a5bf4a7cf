//! Runs as callers see them.

use std::sync::LazyLock;

use serde::Serialize;

use super::run_operations::OperationsBody;
use crate::migrate::line::{Line, Verdict};
use crate::migrate::{
    Action, ActionParameters, BackupRef, Completion, Forecast, Progress, ReceiptInfo, Requested, Run, RunId, State,
};
use crate::runtime::Timestamp;

/// A run.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Run"))]
#[serde(rename_all = "camelCase")]
pub(super) struct RunBody<'run> {
    id: &'run RunId,
    action: Action,
    source: &'run str,
    dry_run: bool,
    state: State,
    /// What its worker was asked to do and does with its next slice.
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<Requested>,
    progress: ProgressBody,
    result: ResultBody<'run>,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    created_at: String,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    updated_at: String,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    finished_at: Option<String>,
    receipt: Option<&'run ReceiptInfo>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Progress"))]
#[serde(rename_all = "camelCase")]
struct ProgressBody {
    /// `null` when the source could not say.
    total: Option<u64>,
    done: u64,
    succeeded: u64,
    failed: u64,
    skipped: u64,
    bytes: u64,
}

/// What came of a run, in the words of its action.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Result"))]
#[serde(untagged)]
pub(super) enum ResultBody<'run> {
    Migrate(MigrateBody<'run>),
    Validate(ValidateBody<'run>),
    Rollback(RollbackBody<'run>),
    Cleanup(CleanupBody<'run>),
    Backup(BackupBody<'run>),
    Complete(CompleteBody<'run>),
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "MigrateResult"))]
#[serde(rename_all = "camelCase")]
pub(super) struct MigrateBody<'run> {
    success: bool,
    total: u64,
    migrated: u64,
    failed: u64,
    skipped: u64,
    errors: Vec<ErrorBody<'run>>,
    warnings: &'run [String],
    /// Milliseconds at work.
    duration: u64,
    dry_run: bool,
    bytes: u64,
    operations: OperationsBody,
    estimated_cost_usd: f64,
    /// Texts of the application that name copies now, in place of objects; a dry run counts those that hold such URLs.
    references: u64,
    /// For sources of links: how many cannot be fetched in time, and what fetching the others takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<Forecast>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ValidateResult"))]
#[serde(rename_all = "camelCase")]
pub(super) struct ValidateBody<'run> {
    is_valid: bool,
    total_checked: u64,
    valid: u64,
    invalid: u64,
    missing: Vec<ErrorBody<'run>>,
    corrupted: Vec<ErrorBody<'run>>,
    orphaned: Vec<ErrorBody<'run>>,
    errors: Vec<ErrorBody<'run>>,
    warnings: &'run [String],
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RollbackResult"))]
#[serde(rename_all = "camelCase")]
pub(super) struct RollbackBody<'run> {
    success: bool,
    total: u64,
    rolled_back: u64,
    failed: u64,
    skipped: u64,
    errors: Vec<ErrorBody<'run>>,
    dry_run: bool,
    /// Texts of the application that have their old URLs again.
    references: u64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "CleanupResult"))]
#[serde(rename_all = "camelCase")]
pub(super) struct CleanupBody<'run> {
    success: bool,
    total: u64,
    cleaned: u64,
    kept: u64,
    failed: u64,
    skipped: u64,
    errors: Vec<ErrorBody<'run>>,
    freed_bytes: u64,
    dry_run: bool,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "BackupResult"))]
#[serde(rename_all = "camelCase")]
pub(super) struct BackupBody<'run> {
    success: bool,
    total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved: Option<u64>,
    /// As `saved`, which is what known clients call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    record_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<u64>,
    failed: u64,
    skipped: u64,
    errors: Vec<ErrorBody<'run>>,
    warnings: &'run [String],
    bytes: u64,
    /// What the keys of the backup's parts start with.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_prefix: Option<String>,
    dry_run: bool,
}

/// Whether a source can be switched off.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "CompleteResult"))]
#[serde(rename_all = "camelCase")]
pub(super) struct CompleteBody<'run> {
    is_complete: bool,
    /// Why the source is needed still: `left-at-source`, `not-verified`, `references-left`, `read-through`, `run-in-progress`.
    open: &'run [String],
    /// Items that the source has and R2 has not, or in another state.
    left: u64,
    verified: u64,
    /// Copies that are missing or wrong, or could not be looked at.
    wrong: u64,
    /// Texts of the application that hold URLs of the source.
    references: u64,
    /// When the source was gone through, from and until; `null` until it was.
    listed_from: Option<String>,
    listed_until: Option<String>,
    /// When the copies were looked at.
    verified_from: Option<String>,
    verified_until: Option<String>,
    /// When a reader last fetched something of the source.
    last_read_through: Option<String>,
    errors: Vec<ErrorBody<'run>>,
    warnings: &'run [String],
}

impl<'run> CompleteBody<'run> {
    fn new(run: &'run Run) -> Self {
        static NOTHING: LazyLock<Completion> = LazyLock::new(Completion::default);
        let completion = run.progress.completion.as_ref().unwrap_or(&NOTHING);
        let text = |moment: Option<Timestamp>| moment.map(Timestamp::to_iso8601);
        Self {
            is_complete: is_success(run),
            open: &completion.open,
            left: completion.left,
            verified: completion.verified,
            wrong: completion.wrong,
            references: completion.references,
            listed_from: text(completion.listed_from),
            listed_until: text(completion.listed_until),
            verified_from: text(completion.verified_from),
            verified_until: text(completion.verified_until),
            last_read_through: text(completion.last_read_through),
            errors: all_findings(&run.progress),
            warnings: &run.progress.warnings,
        }
    }
}

/// Whether nothing of a run failed; of one that looks whether its source can be switched off, whether it can.
pub(super) fn is_success(run: &Run) -> bool {
    let is_complete = run.progress.completion.as_ref().is_some_and(Completion::is_complete);
    run.progress.failures() == 0
        && !matches!(run.state, State::Failed | State::Cancelled)
        && (run.action() != Action::Complete || is_complete)
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Finding"))]
pub(super) struct ErrorBody<'run> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'run str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'run str>,
}

impl<'run> RunBody<'run> {
    /// The run as it is now.
    pub fn new(run: &'run Run) -> Self {
        let progress = &run.progress;
        let (failed, skipped) = (progress.failures(), progress.of(Verdict::Skipped));
        Self {
            id: &run.id,
            action: run.action(),
            source: &run.source,
            dry_run: run.is_dry_run(),
            state: run.state,
            requested: run.requested,
            progress: ProgressBody {
                total: run.total(),
                done: progress.done(),
                succeeded: progress.done() - failed - skipped,
                failed,
                skipped,
                bytes: progress.bytes,
            },
            result: ResultBody::new(run),
            created_at: run.created_at.to_iso8601(),
            updated_at: run.updated_at.to_iso8601(),
            finished_at: run.finished_at.map(Timestamp::to_iso8601),
            receipt: run.receipt.as_ref(),
        }
    }
}

impl<'run> ResultBody<'run> {
    /// What came of the run so far.
    pub fn new(run: &'run Run) -> Self {
        let progress = &run.progress;
        let (failed, skipped) = (progress.failures(), progress.of(Verdict::Skipped));
        let success = failed == 0 && !matches!(run.state, State::Failed | State::Cancelled);
        let references = progress.texts();
        let total = run.total().unwrap_or_else(|| progress.done() - references);
        let dry_run = run.is_dry_run();
        let errors = findings(progress, Verdict::Failed);
        let is_backup = run.action() == Action::Backup;
        match run.action() {
            Action::Migrate => {
                let migrated = progress.of(if dry_run { Verdict::WouldMove } else { Verdict::Moved });
                let operations = OperationsBody::new(run, migrated);
                Self::Migrate(MigrateBody {
                    success,
                    total,
                    migrated,
                    failed,
                    skipped,
                    errors,
                    warnings: &progress.warnings,
                    duration: progress.active_ms,
                    dry_run,
                    bytes: progress.bytes,
                    estimated_cost_usd: operations.cost_usd(),
                    operations,
                    references,
                    links: progress.forecast,
                })
            }
            Action::Validate => Self::Validate(ValidateBody {
                is_valid: success && progress.of(Verdict::Orphaned) == 0 && run.state == State::Completed,
                total_checked: progress.of(Verdict::Valid) + failed,
                valid: progress.of(Verdict::Valid),
                invalid: failed,
                missing: findings(progress, Verdict::Missing),
                corrupted: findings(progress, Verdict::Corrupted),
                orphaned: findings(progress, Verdict::Orphaned),
                errors,
                warnings: &progress.warnings,
            }),
            Action::Rollback => Self::Rollback(RollbackBody {
                success,
                total,
                rolled_back: progress.of(if dry_run { Verdict::WouldRestore } else { Verdict::Restored }),
                failed,
                skipped,
                errors: all_findings(progress),
                dry_run,
                references,
            }),
            Action::Cleanup => Self::Cleanup(CleanupBody {
                success,
                total,
                cleaned: progress.of(if dry_run { Verdict::WouldClean } else { Verdict::Cleaned }),
                kept: progress.of(Verdict::Kept),
                failed,
                skipped,
                errors: all_findings(progress),
                freed_bytes: progress.freed_bytes,
                dry_run,
            }),
            Action::Complete => Self::Complete(CompleteBody::new(run)),
            Action::Backup | Action::Restore => Self::Backup(BackupBody {
                success,
                total,
                saved: is_backup.then(|| progress.of(Verdict::Saved)),
                record_count: is_backup.then(|| progress.of(Verdict::Saved)),
                restored: (!is_backup)
                    .then(|| progress.of(if dry_run { Verdict::WouldRestore } else { Verdict::Restored })),
                failed,
                skipped,
                errors: all_findings(progress),
                warnings: &progress.warnings,
                key_prefix: is_backup
                    .then(|| run.id.backup_prefix())
                    .or_else(|| restored_backup(run).map(|backup| backup.run_id.backup_prefix())),
                bytes: progress.bytes,
                dry_run,
            }),
        }
    }
}

fn all_findings(progress: &Progress) -> Vec<ErrorBody<'_>> {
    progress.findings.iter().map(ErrorBody::new).collect()
}

fn findings(progress: &Progress, verdict: Verdict) -> Vec<ErrorBody<'_>> {
    progress.findings.iter().filter(|line| line.verdict() == verdict).map(ErrorBody::new).collect()
}

impl<'run> ErrorBody<'run> {
    fn new(line: &'run Line) -> Self {
        Self { id: line.id().to_string(), reason: line.reason(), detail: line.detail() }
    }
}

/// The backup that a run restores.
const fn restored_backup(run: &Run) -> Option<&BackupRef> {
    match &run.parameters.action {
        ActionParameters::Restore { backup, .. } => Some(backup),
        _ => None,
    }
}
