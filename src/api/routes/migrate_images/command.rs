//! What a migration request asks for.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::fields::{ACTIONS, require_fields_of};
use crate::api::field::{Flag, FromText, Parsed, Whole, is_set};
use crate::api::json_object::JsonObject;
use crate::api::request::host_of;
use crate::api::{Code, Problem};
use crate::config::{Config, is_loopback};
use crate::migrate::item::ITEM_ID_MAX_BYTES;
use crate::migrate::{Action, ActionParameters, Parameters, PublicBase, QUIET_HOURS, RunId};

/// Most ids in a request. Together they fit in a JSON body, and so in the run's row.
const MAX_IDS: usize = 1_000;
/// Most items in a sample: the run's row holds their ids.
const MAX_SAMPLE: u64 = 1_000;
/// A year.
const MAX_QUIET_HOURS: u64 = 8_760;
const MAX_BATCH_SIZE: u64 = 100;
const MAX_CONCURRENCY: u64 = 16;

/// `null` means absent. A field that is not for the action is refused, unless it is `null` or `false`.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "MigrateRequest", transform = schema::name_actions))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    #[cfg_attr(test, schemars(with = "String", extend("enum" = ACTIONS)))]
    action: Option<Parsed<Asked>>,
    /// `embedded` or a source of `MIGRATION_SOURCES`.
    source: Option<String>,
    #[cfg_attr(test, schemars(with = "Option<bool>"))]
    dry_run: Option<Flag>,
    #[cfg_attr(test, schemars(
        with = "Option<Vec<String>>",
        length(min = 1, max = MAX_IDS),
        inner(length(min = 1, max = ITEM_ID_MAX_BYTES)),
        extend("uniqueItems" = true)
    ))]
    image_ids: Option<ItemIds>,
    #[cfg_attr(test, schemars(with = "Option<u64>", range(min = 1, max = MAX_BATCH_SIZE)))]
    batch_size: Option<Whole<1, MAX_BATCH_SIZE>>,
    #[cfg_attr(test, schemars(with = "Option<u64>", range(min = 1, max = MAX_CONCURRENCY)))]
    concurrency: Option<Whole<1, MAX_CONCURRENCY>>,
    #[cfg_attr(test, schemars(with = "Option<bool>"))]
    background: Option<Flag>,
    #[cfg_attr(test, schemars(with = "Option<bool>"))]
    fallback_only: Option<Flag>,
    #[cfg_attr(test, schemars(with = "Option<bool>"))]
    check_integrity: Option<Flag>,
    #[cfg_attr(test, schemars(with = "Option<u64>", range(min = 1, max = MAX_SAMPLE)))]
    sample_size: Option<Whole<1, MAX_SAMPLE>>,
    /// 24 when absent.
    #[cfg_attr(test, schemars(with = "Option<u64>", range(min = 1, max = MAX_QUIET_HOURS)))]
    quiet_hours: Option<Whole<1, MAX_QUIET_HOURS>>,
    #[serde(rename = "deleteFromR2")]
    #[cfg_attr(test, schemars(with = "Option<bool>"))]
    delete_from_r2: Option<Flag>,
    #[cfg_attr(test, schemars(with = "Option<bool>"))]
    force: Option<Flag>,
    /// Repeats `runId` where `force` is set.
    confirm_run_id: Option<Parsed<RunId>>,
    /// Required by `restore`, and by `cleanup` with `force`.
    run_id: Option<Parsed<RunId>>,
}

/// What is asked for, by the name of the action.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Begin(Action),
    Control(Control),
    Stats,
}

/// 1 to [`MAX_IDS`] ids, without repetitions.
#[derive(Debug)]
struct ItemIds(Vec<String>);

#[derive(Debug)]
struct ItemIdText(String);

/// What a request asks for.
pub enum Command {
    Begin {
        source: Option<String>,
        parameters: Box<Parameters>,
        background: bool,
    },
    /// Begin to restore a backup, to the source that it is of unless another is named.
    Restore {
        backup: RunId,
        source: Option<String>,
        dry_run: bool,
        /// Those of the backup's own action, which becomes the restore.
        parameters: Box<Parameters>,
        background: bool,
    },
    Control {
        control: Control,
        run_id: Option<RunId>,
        source: Option<String>,
    },
    Stats,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    Status,
    Pause,
    Resume,
    Cancel,
}

impl Input {
    /// The request in `fields`.
    ///
    /// # Errors
    /// The field that breaks a rule or is for another action.
    pub fn read(fields: &JsonObject) -> Result<Self, Problem> {
        let input: Self = fields.read()?;
        if let Some(Parsed(asked)) = input.action {
            require_fields_of(asked.as_str(), fields)?;
        }
        Ok(input)
    }

    /// What every run is told, whatever its action.
    fn into_parameters(self, action: ActionParameters, config: &Config, origin: &str) -> Result<Parameters, Problem> {
        Ok(Parameters {
            batch_size: self.batch_size.and_then(Whole::small).unwrap_or(config.migration_batch_size),
            concurrency: self.concurrency.and_then(Whole::small).unwrap_or(config.migration_concurrency),
            item_ids: self.image_ids.map(|ItemIds(ids)| ids),
            public_base: match config.public_base() {
                Some(base) => base,
                None => PublicBase::Worker(lasting(origin)?.to_owned()),
            },
            action,
        })
    }

    /// What the run of `action` is told. `run_id` is the field of that name, which `restore` and `cleanup` have a use for; a restore's
    /// backup is looked up later.
    fn action_parameters(&mut self, action: Action, run_id: Option<RunId>) -> ActionParameters {
        let dry_run = is_set(self.dry_run);
        match action {
            Action::Migrate => ActionParameters::Migrate { dry_run, fallback_only: is_set(self.fallback_only) },
            Action::Validate => ActionParameters::Validate {
                check_integrity: is_set(self.check_integrity),
                sample_size: self.sample_size.take().and_then(Whole::small),
            },
            Action::Rollback => ActionParameters::Rollback { dry_run, delete_from_r2: is_set(self.delete_from_r2) },
            Action::Cleanup => ActionParameters::Cleanup { dry_run, force: is_set(self.force), moved_by: run_id },
            Action::Complete => ActionParameters::Complete {
                check_integrity: is_set(self.check_integrity),
                quiet_hours: self.quiet_hours.take().and_then(Whole::small).map_or(QUIET_HOURS, |hours: u32| hours),
            },
            Action::Backup | Action::Restore => ActionParameters::Backup,
        }
    }
}

/// The address that a request came to, where it may stand in the rows of an application for good: nobody shows an image over http by
/// accident, but on the machine that it is on.
fn lasting(origin: &str) -> Result<&str, Problem> {
    let may_stand = origin.starts_with("https://") || is_loopback(host_of(origin));
    may_stand.then_some(origin).ok_or_else(|| Problem::plain(Code::PublicOriginMissing))
}

impl Command {
    /// What `input` asks for, which came to the Worker at `origin`.
    ///
    /// # Errors
    /// The field that is missing, or that does not fit another.
    pub fn new(mut input: Input, config: &Config, origin: &str) -> Result<Self, Problem> {
        let Parsed(asked) = input.action.take().ok_or_else(|| Problem::field("action", Asked::rule()))?;
        let run_id = input.run_id.take().map(|Parsed(id)| id);
        let confirmed = input.confirm_run_id.take().map(|Parsed(id)| id);
        if is_set(input.force) {
            require_confirmation(run_id.as_ref(), confirmed.as_ref())?;
        } else if confirmed.is_some() {
            return Err(Problem::field("confirmRunId", "is for force, which is not set"));
        }
        let (source, background) = (input.source.take(), is_set(input.background));
        match asked {
            Asked::Begin(Action::Restore) => {
                let backup = run_id.ok_or_else(|| Problem::field("runId", "must name the backup to restore"))?;
                let dry_run = is_set(input.dry_run);
                let parameters = Box::new(input.into_parameters(ActionParameters::Backup, config, origin)?);
                Ok(Self::Restore { backup, source, dry_run, parameters, background })
            }
            Asked::Begin(action) => {
                let action = input.action_parameters(action, run_id);
                let parameters = Box::new(input.into_parameters(action, config, origin)?);
                Ok(Self::Begin { source, parameters, background })
            }
            Asked::Control(control) => Ok(Self::Control { control, run_id, source }),
            Asked::Stats => Ok(Self::Stats),
        }
    }
}

impl Asked {
    fn rule() -> String {
        format!("must be one of {}", ACTIONS.join(", "))
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Begin(action) => action.as_str(),
            Self::Control(control) => control.as_str(),
            Self::Stats => "stats",
        }
    }
}

impl FromText for Asked {
    fn from_text(text: String) -> Result<Self, String> {
        Ok(match text.as_str() {
            "migrate" => Self::Begin(Action::Migrate),
            "validate" => Self::Begin(Action::Validate),
            "rollback" => Self::Begin(Action::Rollback),
            "cleanup" => Self::Begin(Action::Cleanup),
            "backup" => Self::Begin(Action::Backup),
            "complete" => Self::Begin(Action::Complete),
            "restore" => Self::Begin(Action::Restore),
            "status" => Self::Control(Control::Status),
            "pause" => Self::Control(Control::Pause),
            "resume" => Self::Control(Control::Resume),
            "cancel" => Self::Control(Control::Cancel),
            "stats" => Self::Stats,
            _ => return Err(Self::rule()),
        })
    }
}

impl<'de> Deserialize<'de> for ItemIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdsVisitor;

        impl<'de> Visitor<'de> for IdsVisitor {
            type Value = ItemIds;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a list of 1 to {MAX_IDS} different strings of 1 to {ITEM_ID_MAX_BYTES} bytes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ItemIds, A::Error> {
                let (mut ids, mut seen) = (Vec::new(), BTreeSet::new());
                while let Some(ItemIdText(id)) = items.next_element()? {
                    seen.insert(id.clone());
                    ids.push(id);
                }
                if (1..=MAX_IDS).contains(&ids.len()) && seen.len() == ids.len() {
                    Ok(ItemIds(ids))
                } else {
                    Err(A::Error::invalid_length(ids.len(), &self))
                }
            }
        }

        deserializer.deserialize_seq(IdsVisitor)
    }
}

impl<'de> Deserialize<'de> for ItemIdText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer) {
            Ok(id) if (1..=ITEM_ID_MAX_BYTES).contains(&id.len()) => Ok(Self(id)),
            _ => Err(D::Error::custom(format_args!("must be a string of 1 to {ITEM_ID_MAX_BYTES} bytes"))),
        }
    }
}

impl Control {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }
}

/// Originals that are dropped before their time are those of one run, which the caller names twice.
fn require_confirmation(run: Option<&RunId>, confirmed: Option<&RunId>) -> Result<(), Problem> {
    let Some(run) = run else {
        return Err(Problem::field("runId", "must name the run whose originals are to be dropped before their time"));
    };
    if confirmed == Some(run) { Ok(()) } else { Err(Problem::field("confirmRunId", "must repeat runId")) }
}

#[cfg(test)]
mod schema {
    use schemars::Schema;
    use serde_json::Value;

    use super::super::fields::{FIELDS, in_words};

    /// Says of each field which actions it is for.
    pub fn name_actions(schema: &mut Schema) {
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
        for (field, actions) in FIELDS {
            let Some(property) = properties.get_mut(field).and_then(Value::as_object_mut) else { continue };
            let rest = property.get("description").and_then(Value::as_str).map(|rest| [" ", rest].concat());
            let description = ["For ", &in_words(actions), ".", &rest.unwrap_or_default()].concat();
            property.insert("description".to_owned(), description.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The field and the words of the refusal.
    fn refusal(body: Value) -> (String, String) {
        let Value::Object(fields) = body else { panic!("no object: {body}") };
        let problem = Input::read(&JsonObject::new(fields)).unwrap_err();
        (problem.field.unwrap().into(), problem.detail)
    }

    #[test]
    fn an_id_that_breaks_the_rule_is_named_by_its_place() {
        let of = |ids: Value| refusal(json!({"action": "migrate", "imageIds": ids}));
        for wrong in [json!(1), json!(""), json!("a".repeat(1025)), Value::Null] {
            let words = "imageIds[1] must be a string of 1 to 1024 bytes";
            assert_eq!(of(json!(["a", wrong])), ("imageIds".to_owned(), words.to_owned()));
        }
        let too_many: Vec<_> = (0..1001).map(|id| id.to_string()).collect();
        for wrong in [json!("a"), json!({}), json!([]), json!(["a", "b", "a"]), json!(too_many)] {
            let words = "imageIds must be a list of 1 to 1000 different strings of 1 to 1024 bytes";
            assert_eq!(of(wrong), ("imageIds".to_owned(), words.to_owned()));
        }
    }

    #[test]
    fn an_unknown_field_is_told_the_known_ones_in_the_order_of_the_table() {
        let known = super::super::fields::FIELDS.map(|(field, _)| field).join(", ");
        let words = format!("dryrun is not a field; the fields are {known}");
        assert_eq!(refusal(json!({"action": "migrate", "dryrun": null})), ("dryrun".to_owned(), words));
    }
}
