//! The texts that hold URLs of the old bucket, as `MIGRATION_SOURCES` has them.

use serde_json::{Map, Value as Json};

use crate::image::Visibility;
use crate::migrate::source::OWN_BINDING;
use crate::migrate::source::table::{Identifier, InvalidSource, TableSource, fields};

const FIELDS: [&str; 3] = ["table", "column", "idColumn"];
/// Each is read once for each URL of these.
const MAX_BASES: usize = 4;
const MAX_COLUMNS: usize = 8;
const MAX_BASE_BYTES: usize = 512;

/// Columns whose texts hold URLs of the old bucket's objects.
#[derive(Debug, Clone)]
pub struct ReferencesConfig {
    /// What the URLs start with, a slash at the end.
    pub bases: Vec<String>,
    /// Their url column is the one that holds the texts.
    pub columns: Vec<TableSource>,
}

impl ReferencesConfig {
    /// Reads `publicUrl` and `references` of an entry of `MIGRATION_SOURCES`; `None` when it has no references.
    ///
    /// # Errors
    /// [`InvalidSource`]: the rule that it breaks.
    pub fn parse(entry: &Map<String, Json>, visibility: Visibility) -> Result<Option<Self>, InvalidSource> {
        let refusal =
            || format!("references must be a list of 1 to {MAX_COLUMNS} objects of table, column and idColumn");
        let bases = bases(entry)?;
        let given = match entry.get("references") {
            None | Some(Json::Null) => return Ok(None),
            Some(Json::Array(given)) if (1..=MAX_COLUMNS).contains(&given.len()) => given,
            Some(_) => return Err(refusal().into()),
        };
        if bases.is_empty() {
            return Err("references need publicUrl".to_owned().into());
        }
        if visibility == Visibility::Private {
            return Err("references need visibility public: nobody could open the new URLs".to_owned().into());
        }
        let mut columns = Vec::<TableSource>::new();
        for column in given {
            let column = column_of(column.as_object().ok_or_else(refusal)?, &fields::name(entry)?)?;
            if columns.iter().any(|other| other.table.is(&column.table) && other.url.is(&column.url)) {
                return Err("references must name a column once".to_owned().into());
            }
            columns.push(column);
        }
        Ok(Some(Self { bases, columns }))
    }
}

fn bases(entry: &Map<String, Json>) -> Result<Vec<String>, InvalidSource> {
    let refusal = || {
        let rule = "publicUrl must be an https:// or http:// URL without user, query and fragment, at most 512 bytes, or a list of";
        format!("{rule} at most {MAX_BASES}")
    };
    let given = match entry.get("publicUrl") {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::String(url)) => vec![url.as_str()],
        Some(Json::Array(urls)) if (1..=MAX_BASES).contains(&urls.len()) => {
            urls.iter().map(Json::as_str).collect::<Option<_>>().ok_or_else(refusal)?
        }
        Some(_) => return Err(refusal().into()),
    };
    given.into_iter().map(|url| base(url).ok_or_else(|| refusal().into())).collect()
}

fn base(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let is_plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\\\"<>`".contains(&byte));
    let is_url = matches!(scheme, "https" | "http") && !rest.is_empty() && !rest.starts_with('/') && is_plain;
    (is_url && url.len() <= MAX_BASE_BYTES).then(|| [url.trim_end_matches('/'), "/"].concat())
}

fn column_of(entry: &Map<String, Json>, source: &str) -> Result<TableSource, InvalidSource> {
    fields::require_known(entry, &FIELDS)?;
    let column = fields::required(entry, "column")?;
    let id = fields::identifier(entry, "idColumn")?.or_else(|| Identifier::new("id"));
    TableSource {
        name: source.to_owned(),
        binding: OWN_BINDING.to_owned(),
        table: fields::required(entry, "table")?,
        id: id.ok_or_else(|| "idColumn must be a name".to_owned())?,
        data: column.clone(),
        media_type: None,
        url: column,
        key: None,
        status: None,
        migrated_at: None,
        metadata: Vec::new(),
        visibility: Visibility::Public,
        context: None,
        matching: None,
        filter: Vec::new(),
    }
    .checked()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(entry: &Json) -> Result<Option<ReferencesConfig>, String> {
        let mut entry = entry.as_object().unwrap().clone();
        entry.insert("name".to_owned(), json!("old"));
        ReferencesConfig::parse(&entry, Visibility::Public).map_err(|invalid| invalid.rule)
    }

    #[test]
    fn columns_and_bases_are_read() {
        let posts =
            json!([{"table": "posts", "column": "body"}, {"table": "users", "column": "avatar", "idColumn": "uid"}]);
        let read = parse(&json!({"publicUrl": "https://old.example.com/pics", "references": posts})).unwrap().unwrap();
        assert_eq!(read.bases, ["https://old.example.com/pics/"]);
        let columns: Vec<_> = read
            .columns
            .iter()
            .map(|column| (column.table.as_str(), column.url.as_str(), column.id.as_str()))
            .collect();
        assert_eq!(columns, [("posts", "body", "id"), ("users", "avatar", "uid")]);
        let list = json!({"publicUrl": ["https://a.example/", "http://a.example"], "references": posts});
        assert_eq!(parse(&list).unwrap().unwrap().bases, ["https://a.example/", "http://a.example/"]);
        assert!(parse(&json!({"publicUrl": "https://a.example"})).unwrap().is_none());
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        let posts = json!([{"table": "posts", "column": "body"}]);
        for (entry, rule) in [
            (json!({"references": posts}), "references need publicUrl"),
            (json!({"publicUrl": "ftp://a", "references": posts}), "publicUrl must"),
            (json!({"publicUrl": "https://a?b", "references": posts}), "publicUrl must"),
            (json!({"publicUrl": [], "references": posts}), "publicUrl must"),
            (json!({"publicUrl": "https://a", "references": []}), "references must be"),
            (json!({"publicUrl": "https://a", "references": "posts"}), "references must be"),
            (json!({"publicUrl": "https://a", "references": [{"table": "posts"}]}), "column is missing"),
            (
                json!({"publicUrl": "https://a", "references": [{"table": "stillstore_images", "column": "x"}]}),
                "table must",
            ),
            (
                json!({"publicUrl": "https://a", "references": [{"table": "a", "column": "b", "key": "c"}]}),
                "may have no",
            ),
            (json!({"publicUrl": "https://a", "references": [posts[0], posts[0]]}), "references must name"),
        ] {
            let refused = parse(&entry).unwrap_err();
            assert!(refused.starts_with(rule), "{entry}: {refused}");
        }
        let entry = json!({"name": "old", "publicUrl": "https://a", "references": posts});
        assert!(ReferencesConfig::parse(entry.as_object().unwrap(), Visibility::Private).is_err());
    }
}
