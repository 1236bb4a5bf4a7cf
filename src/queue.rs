//! The queue that carries messages to ourselves, behind a seam so that tests can hold them.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// What whoever gets it is asked for. It may come twice, late or never: the database holds the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase", from = "Written")]
pub enum Message {
    /// Drive a run on.
    Run {
        run_id: String,
        /// The source the run works through.
        source: String,
    },
}

/// A message as it waits in a queue. Earlier versions write no kind, and ignore it when they read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    kind: Kind,
    run_id: String,
    source: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    Run,
}

impl From<Written> for Message {
    fn from(Written { kind: Kind::Run, run_id, source }: Written) -> Self {
        Self::Run { run_id, source }
    }
}

/// Where messages to ourselves go.
#[async_trait(?Send)]
pub trait RunQueue {
    /// Hands the message over to be delivered at least once.
    ///
    /// # Errors
    /// The platform's words when the queue did not take it, or its answer was lost; then it may be delivered all the same.
    async fn send(&self, message: &Message) -> Result<(), String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What versions before the messages had kinds read and sent.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct RunMessage {
        run_id: String,
        source: String,
    }

    fn read(json: &str) -> Option<Message> {
        serde_json::from_str(json).ok()
    }

    fn message() -> Message {
        Message::Run { run_id: "run-1".to_owned(), source: "embedded".to_owned() }
    }

    #[test]
    fn a_message_has_the_json_that_waits_in_deployed_queues() {
        let json = r#"{"kind":"run","runId":"run-1","source":"embedded"}"#;
        assert_eq!(serde_json::to_string(&message()).unwrap(), json);
        assert_eq!(read(json).unwrap(), message());
    }

    #[test]
    fn versions_with_and_without_kinds_read_each_others_messages() {
        let earlier = RunMessage { run_id: "run-1".to_owned(), source: "embedded".to_owned() };
        let json = serde_json::to_string(&earlier).unwrap();
        assert_eq!(json, r#"{"runId":"run-1","source":"embedded"}"#);
        assert_eq!(read(&json).unwrap(), message());
        let json = serde_json::to_string(&message()).unwrap();
        assert_eq!(serde_json::from_str::<RunMessage>(&json).unwrap(), earlier);
    }

    #[test]
    fn a_message_of_an_unknown_kind_or_without_a_field_is_none() {
        for json in [
            r#"{"runId":"run-1"}"#,
            r#"{"source":"embedded"}"#,
            r#"{"run_id":"1","source":"x"}"#,
            r#"{"kind":"other","runId":"1","source":"x"}"#,
            r#"{"kind":"run","source":"x"}"#,
            r#"{"kind":null,"runId":"1","source":"x"}"#,
            "null",
            "[]",
            "",
        ] {
            assert!(read(json).is_none(), "{json}");
        }
    }
}
