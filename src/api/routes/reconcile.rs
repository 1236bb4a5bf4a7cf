//! `POST /api/reconcile`: a slice of the bucket against the rows.

use serde::{Deserialize, Serialize};

use crate::api::field::{FromText, Parsed, Whole};
#[cfg(test)]
use crate::api::openapi::{BODY, DATABASE, JSON, Operation, Schemas, answer, json_body};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::image::{ImageId, ObjectKey};
use crate::library::{AdoptError, RemoveError};
use crate::migrate::reconcile::{Fate, ReconcileError, Reconciled, Treatment, Wanted, reconcile};

const MAX_GRACE_HOURS: u64 = 24 * 365;
/// Longer than any grant of an upload and the uploads that it lets in.
const DEFAULT_GRACE_HOURS: i64 = 24;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// What to do with objects that nothing names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum ReconcileAction {
    /// Nothing.
    Report,
    /// Make images of them.
    Adopt,
    /// Remove them.
    Remove,
}

/// What became of an object that nothing names.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum OrphanOutcome {
    /// It was only reported.
    Found,
    /// It is an image now.
    Adopted,
    /// It is gone.
    Removed,
    /// It is as it was; `reason` says why.
    Kept,
}

/// Fields of other names are ignored; `null` means absent.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ReconcileRequest"))]
#[serde(rename_all = "camelCase")]
struct Input {
    /// `report` when absent.
    #[cfg_attr(test, schemars(with = "Option<ReconcileAction>"))]
    action: Option<Parsed<ReconcileAction>>,
    /// What changed within these hours is left alone; 24 when absent.
    #[cfg_attr(test, schemars(with = "Option<u64>", range(min = 1, max = MAX_GRACE_HOURS)))]
    grace_hours: Option<Whole<1, MAX_GRACE_HOURS>>,
    /// `cursor` of the slice before.
    #[cfg_attr(test, schemars(with = "Option<ObjectKey>"))]
    cursor: Option<Parsed<ObjectKey>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ReconcileSlice"))]
#[serde(rename_all = "camelCase")]
struct Answer {
    action: ReconcileAction,
    /// Objects of the bucket that were looked at.
    objects: u64,
    /// Rows whose image is in the bucket that were looked at.
    rows: u64,
    /// Objects that no row names and whose keys are none of Stillstore's. They are never touched.
    foreign_objects: u64,
    foreign_bytes: u64,
    /// Objects that nothing names.
    orphans: Vec<OrphanBody>,
    /// Images whose object is not in the bucket. They are reported whatever the action.
    missing: Vec<MissingBody>,
    /// Pass as `cursor` for the next slice; `null` at the end of the bucket.
    cursor: Option<ObjectKey>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OrphanedObject"))]
#[serde(rename_all = "camelCase")]
struct OrphanBody {
    key: ObjectKey,
    bytes: u64,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    stored_at: String,
    outcome: OrphanOutcome,
    /// The image that it became.
    image_id: Option<ImageId>,
    /// Why it was kept: a short word.
    reason: Option<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "MissingObject"))]
struct MissingBody {
    id: ImageId,
    key: ObjectKey,
    bytes: u64,
}

impl FromText for ReconcileAction {
    fn from_text(text: String) -> Result<Self, String> {
        match text.as_str() {
            "report" => Ok(Self::Report),
            "adopt" => Ok(Self::Adopt),
            "remove" => Ok(Self::Remove),
            _ => Err("must be report, adopt or remove".to_owned()),
        }
    }
}

pub async fn handle(exchange: &Exchange<'_>, mut request: Request) -> Result<Response, Problem> {
    let input: Input = request.json_object().await?.read()?;
    let action = input.action.map_or(ReconcileAction::Report, |action| action.0);
    let grace_hours = input.grace_hours.and_then(Whole::small).unwrap_or(DEFAULT_GRACE_HOURS);
    let wanted = Wanted {
        treatment: match action {
            ReconcileAction::Report => Treatment::Report,
            ReconcileAction::Adopt => Treatment::Adopt,
            ReconcileAction::Remove => Treatment::Remove,
        },
        after: input.cursor.map(|key| key.0),
        unchanged_since: exchange.services.runtime.now().plus_millis(-grace_hours * HOUR_MS),
    };
    let reconciled = reconcile(exchange.library, &exchange.services.sources(), &wanted).await?;
    let Reconciled { objects, rows, foreign, orphans, missing, until } = reconciled;
    let orphans = orphans.into_iter().map(|(object, fate)| {
        let (outcome, image_id, reason) = match fate {
            Fate::Found => (OrphanOutcome::Found, None, None),
            Fate::Adopted(id) => (OrphanOutcome::Adopted, Some(id), None),
            Fate::Removed => (OrphanOutcome::Removed, None, None),
            Fate::Kept(reason) => (OrphanOutcome::Kept, None, Some(reason)),
        };
        let (key, bytes, stored_at) = (object.key, object.size_bytes, object.stored_at.to_iso8601());
        OrphanBody { key, bytes, stored_at, outcome, image_id, reason }
    });
    let missing = missing.into_iter().map(|row| MissingBody { id: row.id, key: row.key, bytes: row.size_bytes });
    let body = Answer {
        action,
        objects,
        rows,
        foreign_objects: foreign.objects,
        foreign_bytes: foreign.bytes,
        orphans: orphans.collect(),
        missing: missing.collect(),
        cursor: until,
    };
    Ok(Response::json(200, &body))
}

impl From<ReconcileError> for Problem {
    fn from(error: ReconcileError) -> Self {
        let unavailable =
            |cause: &str| Self::new(Code::StorageUnavailable, "the bucket could not be looked through").because(&cause);
        match error {
            ReconcileError::NoBucket => Self::plain(Code::BucketNotBound),
            ReconcileError::Catalog(error)
            | ReconcileError::Adopt(AdoptError::Catalog(error) | AdoptError::Remove(RemoveError::Catalog(error))) => {
                error.into()
            }
            ReconcileError::Database(error) => error.into(),
            ReconcileError::Store(error)
            | ReconcileError::Adopt(AdoptError::Store(error) | AdoptError::Remove(RemoveError::Store(error))) => {
                unavailable(&error.to_string())
            }
            ReconcileError::Adopt(AdoptError::Unread(detail)) => unavailable(&detail),
            ReconcileError::Adopt(AdoptError::Remove(RemoveError::NotFound | RemoveError::Moved(_))) => {
                Self::plain(Code::InternalError)
            }
        }
    }
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "Compares a slice of the bucket with the rows",
        answers: vec![(200, answer("The slice.", JSON, &schemas.answer::<Answer>()))],
        codes: [&BODY[..], &[Code::BucketNotBound, Code::StorageUnavailable], &DATABASE].concat(),
        body: Some(json_body(&schemas.request::<Input>())),
        ..Operation::default()
    }
}
