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
    let (states_visibility, visibility) = match found {
        Some(ConfiguredSource::Bucket(source)) => (source.states_visibility, source.visibility),
        Some(ConfiguredSource::Url(source)) => (source.states_visibility, source.table.visibility),
        Some(ConfiguredSource::Table(_)) | None => {
            reader.problem(VARIABLE, "must be the name of a source in MIGRATION_SOURCES whose kind is bucket or url");
            return None;
        }
    };
    if !states_visibility {
        // Keys and ids can be guessed: whoever lets readers name them says whether they may.
        reader.problem(VARIABLE, "must name a source that says in its visibility who may read its images");
        return None;
    }
    let has_base = ["R2_PUBLIC_URL", "PUBLIC_ORIGIN"].into_iter().any(|variable| reader.text(variable).is_some());
    if matches!(found, Some(ConfiguredSource::Url(_))) && !has_base {
        // Whoever reads could otherwise choose the address that the row keeps.
        reader.problem(VARIABLE, "needs PUBLIC_ORIGIN or R2_PUBLIC_URL for a source of links, whose rows get URLs");
        return None;
    }
    Some(ReadThroughSettings { source: name, visibility })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_source_that_is_read_through_says_who_may_read_it_and_at_which_address() {
        let bucket = |more: &str| {
            format!(r#"[{{"kind":"bucket","name":"old","endpoint":"https://s3.example","bucket":"b"{more}}}]"#)
        };
        let links =
            |more: &str| format!(r#"[{{"kind":"url","name":"old","table":"posts","id":"id","url":"picture"{more}}}]"#);
        let table = r#"[{"name":"old","table":"t","id":"id","data":"d","url":"u","visibility":"public"}]"#.to_owned();
        let public = r#","visibility":"public""#;
        let origin = Some("https://images.example");
        for (sources, name, origin, rule) in [
            (bucket(public), "old", None, None),
            (bucket(""), "old", None, Some("must name a source that says")),
            (bucket(public), "other", None, Some("must be the name")),
            (table, "old", origin, Some("must be the name")),
            (links(public), "old", origin, None),
            (links(public), "old", None, Some("needs PUBLIC_ORIGIN")),
            (links(""), "old", origin, Some("must name a source that says")),
        ] {
            let (config, problems) = Config::parse(|variable| match variable {
                "MIGRATION_SOURCES" => Some(sources.clone()),
                "PUBLIC_ORIGIN" => origin.map(str::to_owned),
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
