//! Parameters as a run's row has them: one object for every action, whose fields never change their meaning.

use serde::{Deserialize, Serialize};

use super::id::RunId;
use super::parameters::{ActionParameters, BackupRef, Parameters, PublicBase};
use super::state::Action;
use crate::sql::{DatabaseError, DatabaseErrorKind};

/// For how long nobody may have read through, where nobody says: a day has all that visitors do.
pub const QUIET_HOURS: u32 = 24;

/// The stored form. A Worker of another version reads it too.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of a request")]
struct Stored {
    #[serde(default)]
    dry_run: bool,
    batch_size: u16,
    concurrency: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    item_ids: Option<Vec<String>>,
    #[serde(default)]
    check_integrity: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample_size: Option<u32>,
    #[serde(default)]
    delete_from_r2: bool,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    fallback_only: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moved_by: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quiet_hours: Option<u32>,
    public_base: PublicBase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backup: Option<BackupRef>,
}

/// The stored form of `parameters`, as JSON.
///
/// # Errors
/// When a value has no JSON form.
pub fn to_stored(parameters: &Parameters) -> Result<String, DatabaseError> {
    let Parameters { batch_size, concurrency, item_ids, public_base, action } = parameters.clone();
    let dry_run = action.is_dry_run();
    let common = Stored {
        dry_run,
        batch_size,
        concurrency,
        item_ids,
        check_integrity: false,
        sample_size: None,
        delete_from_r2: false,
        force: false,
        fallback_only: false,
        moved_by: None,
        quiet_hours: None,
        public_base,
        backup: None,
    };
    let stored = match action {
        ActionParameters::Migrate { fallback_only, .. } => Stored { fallback_only, ..common },
        ActionParameters::Validate { check_integrity, sample_size } => {
            Stored { check_integrity, sample_size, ..common }
        }
        ActionParameters::Rollback { delete_from_r2, .. } => Stored { delete_from_r2, ..common },
        ActionParameters::Cleanup { force, moved_by, .. } => Stored { force, moved_by, ..common },
        ActionParameters::Backup => common,
        ActionParameters::Complete { check_integrity, quiet_hours } => {
            Stored { check_integrity, quiet_hours: Some(quiet_hours), ..common }
        }
        ActionParameters::Restore { backup, .. } => Stored { backup: Some(backup), ..common },
    };
    Ok(serde_json::to_string(&stored)?)
}

/// What the stored form says to a run of `action`.
///
/// # Errors
/// [`DatabaseErrorKind::Corrupt`] when it is not one.
pub fn from_stored(action: Action, json: &str) -> Result<Parameters, DatabaseError> {
    let stored: Stored = serde_json::from_str(json)?;
    let dry_run = stored.dry_run;
    Ok(Parameters {
        batch_size: stored.batch_size,
        concurrency: stored.concurrency,
        item_ids: stored.item_ids,
        public_base: stored.public_base,
        action: match action {
            Action::Migrate => ActionParameters::Migrate { dry_run, fallback_only: stored.fallback_only },
            Action::Validate => {
                ActionParameters::Validate { check_integrity: stored.check_integrity, sample_size: stored.sample_size }
            }
            Action::Rollback => ActionParameters::Rollback { dry_run, delete_from_r2: stored.delete_from_r2 },
            Action::Cleanup => ActionParameters::Cleanup { dry_run, force: stored.force, moved_by: stored.moved_by },
            Action::Backup => ActionParameters::Backup,
            Action::Complete => ActionParameters::Complete {
                check_integrity: stored.check_integrity,
                quiet_hours: stored.quiet_hours.unwrap_or(QUIET_HOURS),
            },
            Action::Restore => ActionParameters::Restore {
                dry_run,
                backup: stored.backup.ok_or_else(|| {
                    DatabaseError::new(DatabaseErrorKind::Corrupt, "the parameters of a restore name no backup")
                })?,
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::runs::ReceiptInfo;

    #[test]
    fn the_stored_form_is_that_of_every_version() {
        let id: RunId = "0f8fad5bd9cb469fa16570867728950e".parse().unwrap();
        let receipt =
            ReceiptInfo { key: id.receipt_key(), sha256: crate::image::Sha256Digest::of(b""), bytes: 1, lines: 2 };
        let backup = BackupRef { run_id: id.clone(), receipt, items: 3 };
        for (action, stored) in [
            (ActionParameters::Migrate { dry_run: true, fallback_only: true }, r#""dryRun":true,"fallbackOnly":true"#),
            (
                ActionParameters::Validate { check_integrity: true, sample_size: Some(7) },
                r#""checkIntegrity":true,"sampleSize":7"#,
            ),
            (ActionParameters::Rollback { dry_run: false, delete_from_r2: true }, r#""deleteFromR2":true"#),
            (
                ActionParameters::Cleanup { dry_run: false, force: true, moved_by: Some(id.clone()) },
                r#""force":true,"movedBy":"0f8fad5bd9cb469fa16570867728950e""#,
            ),
            (ActionParameters::Backup, r#""dryRun":false"#),
            (
                ActionParameters::Complete { check_integrity: true, quiet_hours: 5 },
                r#""checkIntegrity":true,"quietHours":5"#,
            ),
            (ActionParameters::Restore { dry_run: true, backup: backup.clone() }, r#""dryRun":true"#),
        ] {
            let parameters = Parameters {
                batch_size: 9,
                concurrency: 4,
                item_ids: Some(vec!["a".to_owned()]),
                public_base: PublicBase::Bucket("https://b.example".to_owned()),
                action,
            };
            let json = to_stored(&parameters).unwrap();
            let common = r#""batchSize":9,"concurrency":4,"itemIds":["a"],"publicBase":{"bucket":"https://b.example"}"#;
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            let expected: serde_json::Value = serde_json::from_str(&format!("{{{common},{stored}}}")).unwrap();
            for (field, said) in expected.as_object().unwrap() {
                assert_eq!(&value[field], said, "{json}");
            }
            assert_eq!(from_stored(parameters.action.action(), &json).unwrap(), parameters);
        }
        let least = r#"{"batchSize":9,"concurrency":4,"publicBase":{"worker":"https://w.example"}}"#;
        assert!(from_stored(Action::Migrate, least).is_ok() && from_stored(Action::Restore, least).is_err());
    }
}
