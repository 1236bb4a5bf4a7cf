//! What an upload says about its image, in the query, in a form's fields or in JSON.

use std::collections::BTreeMap;

use crate::api::Problem;
use crate::api::field::{Association, Filename, parameter};
use crate::catalog::Associations;
use crate::image::{Context, Labels, Sha256Digest, Visibility};

/// Longest value of a field in bytes. The longest that any may have is that of a label, 512 bytes.
pub(super) const MAX_FIELD_BYTES: u64 = 4096;
/// Prefix of fields that are free string pairs.
const LABEL_PREFIX: &str = "meta.";

/// What an upload says about its image.
#[derive(Debug, Default)]
pub(super) struct UploadFields {
    pub filename: Option<String>,
    pub context: Context,
    pub associations: Associations,
    pub visibility: Visibility,
    pub sha256: Option<Sha256Digest>,
    pub labels: Labels,
    pub on_failure: OnFailure,
}

/// What to answer when the image could not be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum OnFailure {
    #[default]
    Error,
    /// The configured default image, unless the request itself is wrong.
    DefaultImage,
}

impl UploadFields {
    /// Takes in some more fields; of one that is there twice, the last counts.
    ///
    /// # Errors
    /// 400 that names the field and the rule that it breaks.
    pub fn take_in(&mut self, pairs: Vec<(String, String)>) -> Result<(), Problem> {
        let mut labels: BTreeMap<String, String> =
            self.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, value) in pairs {
            match name.as_str() {
                "filename" => self.filename = Some(filename(value)?),
                "context" => {
                    self.context =
                        Context::try_from(value).map_err(|rule| Problem::field("context", rule.to_string()))?;
                }
                "personaId" => self.associations.persona_id = Some(id("personaId", value)?),
                "sessionId" => self.associations.session_id = Some(id("sessionId", value)?),
                "participantId" => self.associations.participant_id = Some(id("participantId", value)?),
                "tableId" => self.associations.table_id = Some(id("tableId", value)?),
                "visibility" => self.visibility = parameter("visibility", value)?,
                "sha256" => {
                    let digest = value.to_ascii_lowercase().parse();
                    self.sha256 = Some(digest.map_err(|_| Problem::field("sha256", "must be 64 hexadecimal digits"))?);
                }
                "onFailure" => self.on_failure = on_failure(&value)?,
                _ => match name.strip_prefix(LABEL_PREFIX) {
                    Some(label) => {
                        labels.insert(label.to_owned(), value);
                    }
                    None => {
                        return Err(Problem::field(
                            name,
                            "is not a parameter; the parameters are filename, context, personaId, sessionId, participantId, \
                             tableId, visibility, sha256, onFailure and meta.<name>",
                        ));
                    }
                },
            }
        }
        self.labels = Labels::try_new(labels).map_err(|rule| Problem::field("meta", rule.to_string()))?;
        Ok(())
    }

    /// The name that whoever has the image gives it, when the upload gives none. It may be a path; what cannot be a name is none.
    pub fn name_after(&mut self, given: &str) {
        let name = given.rsplit(['/', '\\']).next().unwrap_or_default();
        if self.filename.is_none() {
            self.filename = filename(name.to_owned()).ok();
        }
    }
}

fn on_failure(text: &str) -> Result<OnFailure, Problem> {
    match text {
        "error" => Ok(OnFailure::Error),
        "default" => Ok(OnFailure::DefaultImage),
        _ => Err(Problem::field("onFailure", "must be error or default")),
    }
}

fn filename(value: String) -> Result<String, Problem> {
    parameter("filename", value).map(|Filename(filename)| filename)
}

fn id(name: &'static str, value: String) -> Result<String, Problem> {
    parameter(name, value).map(|Association(id)| id)
}
