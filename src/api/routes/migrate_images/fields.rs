//! The fields of a migration request, and the actions that each is for.

use crate::api::Problem;
use crate::api::json_object::JsonObject;

/// Every action, as callers write them.
pub const ACTIONS: [&str; 12] = [
    "migrate", "validate", "rollback", "stats", "backup", "restore", "pause", "resume", "cancel", "status", "cleanup",
    "complete",
];

const RUNS: &[&str] = &["migrate", "validate", "rollback", "cleanup", "backup", "restore"];

/// The fields, each with the actions that it is for. `batchSize` and `concurrency` are for all, since known clients send them with each.
pub const FIELDS: [(&str, &[&str]); 15] = [
    ("action", &ACTIONS),
    (
        "source",
        &[
            "migrate", "validate", "rollback", "cleanup", "backup", "restore", "complete", "status", "pause", "resume",
            "cancel",
        ],
    ),
    ("dryRun", &["migrate", "rollback", "cleanup", "restore"]),
    ("imageIds", RUNS),
    ("batchSize", &ACTIONS),
    ("concurrency", &ACTIONS),
    ("background", &["migrate", "validate", "rollback", "cleanup", "backup", "restore", "complete"]),
    ("fallbackOnly", &["migrate"]),
    ("checkIntegrity", &["validate", "complete"]),
    ("sampleSize", &["validate"]),
    ("quietHours", &["complete"]),
    ("deleteFromR2", &["rollback"]),
    ("force", &["cleanup"]),
    ("confirmRunId", &["cleanup"]),
    ("runId", &["status", "pause", "resume", "cancel", "cleanup", "restore"]),
];

/// Refuses fields of other actions, since what they ask for would not happen. `null` and `false` ask for nothing: known clients send them
/// with every action.
pub fn require_fields_of(action: &str, fields: &JsonObject) -> Result<(), Problem> {
    let foreign = FIELDS.iter().find(|(field, actions)| !actions.contains(&action) && fields.asks(field));
    match foreign {
        Some((field, actions)) => {
            Err(Problem::field(*field, format!("is for {}, not for {action}", actions.join(", "))))
        }
        None => Ok(()),
    }
}

/// The actions that a field is for, in words: `runs` for those that begin one.
#[cfg(test)]
pub fn in_words(actions: &[&str]) -> String {
    if actions.len() == ACTIONS.len() {
        return "all".to_owned();
    }
    match actions.strip_prefix(RUNS) {
        Some(others) => [&["runs"], others].concat().join(", "),
        None => actions.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = include_str!("../../../../docs/API.md");

    #[test]
    fn every_field_names_actions_that_exist_each_once() {
        for (field, actions) in FIELDS {
            assert!(actions.iter().all(|action| ACTIONS.contains(action)), "{field}");
            assert!((1..actions.len()).all(|at| !actions[at..].contains(&actions[at - 1])), "{field}");
        }
    }

    #[test]
    fn the_documented_fields_and_their_actions_are_those_of_the_table() {
        let rows = API.lines().skip_while(|line| *line != "| Field | For | Rule |").skip(2);
        let rows = rows.take_while(|line| line.starts_with('|'));
        let documented: Vec<_> = rows.map(|row| row.split(" | ").take(2).collect::<Vec<_>>().join(" | ")).collect();
        let expected = FIELDS.map(|(field, actions)| ["| `", field, "` | ", &in_words(actions)].concat());
        assert_eq!(documented, expected);
        let runs = ["*runs* are `", &RUNS.join("` `"), "`"].concat();
        assert!(API.contains(&runs), "{runs}");
    }
}
