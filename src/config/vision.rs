//! The provider that looks at pictures.

use super::reader::Reader;
use crate::generate::ModelName;
use crate::vision::{VisionName, openai, workers_ai};

/// What the configuration says about vision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisionVariables {
    /// `VISION_PROVIDER`.
    pub provider: VisionName,
    /// `VISION_MODEL`; `None` where the provider has none.
    pub model: Option<ModelName>,
}

impl VisionVariables {
    pub(super) fn read<Lookup: Fn(&str) -> Option<String>>(reader: &mut Reader<Lookup>) -> Self {
        let provider = reader.parsed("VISION_PROVIDER", VisionName::parse).unwrap_or(VisionName::Builtin);
        let model = reader.parsed("VISION_MODEL", ModelName::parse);
        let model = match provider {
            VisionName::Builtin => None,
            VisionName::OpenAi => Some(model.unwrap_or_else(openai::default_model)),
            VisionName::WorkersAi => Some(model.unwrap_or_else(workers_ai::default_model)),
        };
        Self { provider, model }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_without_a_key_looks_unless_another_is_named() {
        let read = |pairs: &[(&str, &str)]| {
            let lookup = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            let mut reader = Reader { lookup, problems: Vec::new() };
            let VisionVariables { provider, model } = VisionVariables::read(&mut reader);
            (provider, model.map(|model| model.as_str().to_owned()), reader.problems.len())
        };
        assert_eq!(read(&[("VISION_MODEL", "x")]), (VisionName::Builtin, None, 0));
        assert_eq!(read(&[("VISION_PROVIDER", "openai")]), (VisionName::OpenAi, Some("gpt-4.1-mini".to_owned()), 0));
        let named = read(&[("VISION_PROVIDER", "workers-ai"), ("VISION_MODEL", "@cf/a/b")]);
        assert_eq!(named, (VisionName::WorkersAi, Some("@cf/a/b".to_owned()), 0));
        assert_eq!(read(&[("VISION_PROVIDER", "eyes")]), (VisionName::Builtin, None, 1));
    }
}
