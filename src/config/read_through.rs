//! `READ_THROUGH`: whether readers may fetch what no run has moved yet.

use super::reader::Reader;
use crate::image::Visibility;
use crate::migrate::ConfiguredSource;

const VARIABLE: &str = "READ_THROUGH";

/// A source that is read through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadThroughSettings {
    pub source: String,
    /// Of its images. What is private is fetched for the operator only.
    pub visibility: Visibility,
}

pub fn read<Lookup: Fn(&str) -> Option<String>>(
    reader: &mut Reader<Lookup>,
    sources: &[ConfiguredSource],
) -> Option<ReadThroughSettings> {
    let name = reader.text(VARIABLE)?;
    let found = sources.iter().find(|source| source.name() == name);
    let Some(ConfiguredSource::Bucket(source)) = found else {
        reader.problem(VARIABLE, "must be the name of a source in MIGRATION_SOURCES whose kind is bucket");
        return None;
    };
    if !source.states_visibility {
        // Keys can be guessed: whoever lets readers name them says whether they may.
        reader.problem(VARIABLE, "must name a source that says in its visibility who may read its images");
        return None;
    }
    Some(ReadThroughSettings { source: name, visibility: source.visibility })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_source_that_is_read_through_is_a_bucket_that_says_who_may_read_it() {
        let bucket = |more: &str| {
            format!(r#"[{{"kind":"bucket","name":"old","endpoint":"https://s3.example","bucket":"b"{more}}}]"#)
        };
        let table = r#"[{"name":"old","table":"t","id":"id","data":"d","url":"u"}]"#.to_owned();
        for (sources, name, rule) in [
            (bucket(r#","visibility":"public""#), "old", None),
            (bucket(""), "old", Some("must name a source that says")),
            (bucket(r#","visibility":"public""#), "other", Some("must be the name")),
            (table, "old", Some("must be the name")),
        ] {
            let (config, problems) = Config::parse(|variable| match variable {
                "MIGRATION_SOURCES" => Some(sources.clone()),
                VARIABLE => Some(name.to_owned()),
                _ => None,
            });
            assert_eq!(config.read_through.is_some(), rule.is_none(), "{sources}");
            let problem = problems.iter().find(|problem| problem.variable == VARIABLE);
            assert_eq!(problem.is_some(), rule.is_some(), "{problems:?}");
            assert!(problem.is_none_or(|problem| problem.rule.starts_with(rule.unwrap_or_default())), "{problem:?}");
        }
    }
}
