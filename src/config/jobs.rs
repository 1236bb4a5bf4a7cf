//! Jobs, and the editor that works on them.

use super::reader::Reader;
use crate::edit::{EditorName, TierSettings, builtin, workers_ai};
use crate::generate::{InvalidParameter, ModelName, Quality, openai};

/// Workers that a job has at most, unless `JOB_MAX_ATTEMPTS` says otherwise: with the waits between them, about 10 minutes.
const DEFAULT_MAX_ATTEMPTS: u16 = 5;
const MOST_ATTEMPTS: u16 = 20;
/// How many days a job is remembered, unless `JOB_RETENTION_DAYS` says otherwise.
const DEFAULT_RETENTION_DAYS: u16 = 30;
const MOST_RETENTION_DAYS: u16 = 3_650;

/// What the configuration says about jobs.
#[derive(Debug, Clone)]
pub struct JobVariables {
    /// `EDIT_PROVIDER`.
    pub editor: EditorName,
    /// `EDIT_MODEL` and `EDIT_QUALITY`.
    pub standard: TierSettings,
    /// `EDIT_PREMIUM_MODEL` and `EDIT_PREMIUM_QUALITY`.
    pub premium: TierSettings,
    /// `JOB_MAX_ATTEMPTS`.
    pub max_attempts: u16,
    /// `JOB_RETENTION_DAYS`.
    pub retention_days: u16,
}

impl JobVariables {
    pub(super) fn read<Lookup: Fn(&str) -> Option<String>>(reader: &mut Reader<Lookup>) -> Self {
        let editor = reader.parsed("EDIT_PROVIDER", EditorName::parse).unwrap_or(EditorName::Builtin);
        let model = reader.parsed("EDIT_MODEL", ModelName::parse).unwrap_or_else(|| default_model(editor));
        let standard =
            TierSettings { model, quality: reader.parsed("EDIT_QUALITY", quality).or(Some(Quality::Medium)) };
        let premium = TierSettings {
            model: reader.parsed("EDIT_PREMIUM_MODEL", ModelName::parse).unwrap_or_else(|| standard.model.clone()),
            quality: reader.parsed("EDIT_PREMIUM_QUALITY", quality).or(Some(Quality::High)),
        };
        Self {
            editor,
            standard,
            premium,
            max_attempts: reader.small_number("JOB_MAX_ATTEMPTS", DEFAULT_MAX_ATTEMPTS, MOST_ATTEMPTS),
            retention_days: reader.small_number("JOB_RETENTION_DAYS", DEFAULT_RETENTION_DAYS, MOST_RETENTION_DAYS),
        }
    }
}

fn default_model(editor: EditorName) -> ModelName {
    match editor {
        EditorName::Builtin => builtin::default_model(),
        EditorName::WorkersAi => workers_ai::default_model(),
        EditorName::OpenAi => openai::default_model(),
    }
}

fn quality(text: &str) -> Result<Quality, InvalidParameter> {
    Quality::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (JobVariables, Vec<&'static str>) {
        let lookup = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut reader = Reader { lookup, problems: Vec::new() };
        let variables = JobVariables::read(&mut reader);
        (variables, reader.problems.into_iter().map(|problem| problem.variable).collect())
    }

    #[test]
    fn a_premium_edit_differs_in_quality_unless_it_has_a_model_of_its_own() {
        let (variables, problems) = read(&[("EDIT_PROVIDER", "openai")]);
        assert!(problems.is_empty());
        assert_eq!(variables.standard.model, variables.premium.model);
        assert_eq!(
            (variables.standard.quality, variables.premium.quality),
            (Some(Quality::Medium), Some(Quality::High))
        );
        let (variables, _) = read(&[("EDIT_MODEL", "a"), ("EDIT_PREMIUM_MODEL", "b"), ("EDIT_QUALITY", "low")]);
        assert_eq!((variables.standard.model.as_str(), variables.premium.model.as_str()), ("a", "b"));
        assert_eq!(variables.standard.quality, Some(Quality::Low));
        let (variables, _) = read(&[("EDIT_PROVIDER", "workers-ai")]);
        assert!(variables.standard.model.as_str().starts_with("@cf/"));
    }

    #[test]
    fn the_editor_is_the_one_without_a_key_unless_a_known_one_is_named() {
        assert_eq!(read(&[]).0.editor, EditorName::Builtin);
        for name in ["built-in", "placeholder", "OpenAI"] {
            let (variables, problems) = read(&[("EDIT_PROVIDER", name)]);
            assert_eq!((variables.editor, problems), (EditorName::Builtin, vec!["EDIT_PROVIDER"]), "{name}");
        }
    }
}
