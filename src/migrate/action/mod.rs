//! What runs do: a file an action, written once over the seam of the sources.

mod backup;
mod cleanup;
mod complete;
mod migrate;
mod moved_items;
mod orphans;
mod putting_back;
mod restore;
mod rewriting;
mod rollback;
mod validate;

use super::archive::PartWriter;
use super::destination::Destination;
use super::runs::{ActionParameters, Run};
use super::source::Source;
use super::task::{Interruption, Task};

/// What a run is to do with the items of its source.
///
/// # Errors
/// [`Interruption::Fatal`] when the source's rows cannot be saved and the run is to do that.
pub fn task_of(
    run: &Run,
    mut source: Source,
    destination: Destination,
    retention_ms: i64,
) -> Result<Box<dyn Task>, Interruption> {
    let no_archive = || Interruption::Fatal {
        reason: "source-not-saved",
        detail: format!("the rows of the source {} cannot be saved", run.source),
    };
    Ok(match run.parameters.action.clone() {
        ActionParameters::Migrate { .. } => {
            let references = source.references.take();
            let items = Box::new(migrate::Migrate { source, destination: destination.clone() });
            match references {
                Some(references) => Box::new(rewriting::Rewriting { items, references, destination }),
                None => items,
            }
        }
        ActionParameters::Rollback { delete_from_r2, .. } => {
            let references = source.references.take();
            let items = Box::new(rollback::RollBack { source, delete_from_r2 });
            match references {
                Some(references) => Box::new(putting_back::PuttingBack { items, references }),
                None => items,
            }
        }
        ActionParameters::Cleanup { force, moved_by, .. } => {
            let moved_until = (!force).then(|| run.created_at.plus_millis(-retention_ms));
            Box::new(cleanup::CleanUp { source, moved_until, moved_by })
        }
        ActionParameters::Validate { check_integrity, sample_size } => {
            Box::new(validate::Validate { source, destination, check_integrity, sample_size })
        }
        ActionParameters::Complete { check_integrity, quiet_hours } => {
            let references = source.references.take();
            let moved = validate::Validate { source, destination, check_integrity, sample_size: None };
            Box::new(complete::Complete { moved, references, quiet_hours })
        }
        ActionParameters::Backup => {
            let archive = source.archive.ok_or_else(no_archive)?;
            Box::new(backup::Backup { rows: archive.saved, writer: PartWriter { destination } })
        }
        ActionParameters::Restore { backup, .. } => {
            let archive = source.archive.ok_or_else(no_archive)?;
            Box::new(restore::Restore { rows: archive.returned, bucket: destination.bucket, ids: source.ids, backup })
        }
    })
}
