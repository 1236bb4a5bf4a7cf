//! The queue that carries messages to ourselves, behind a seam so that tests can hold them.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// What whoever gets it is asked for. It may come twice, late or never: the database holds the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase", try_from = "Written")]
pub enum Message {
    /// Drive a run on.
    Run {
        run_id: String,
        /// The source the run works through.
        source: String,
    },
    /// Go on removing the members of a collection.
    Collection { collection_id: String },
    /// Work on a job.
    Job { job_id: String },
    /// Make the variants of an asset that are wanted of each.
    Thumbnails { image_id: String },
}

/// A message as it waits in a queue. Earlier versions write no kind, and ignore it when they read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    kind: Kind,
    run_id: Option<String>,
    source: Option<String>,
    collection_id: Option<String>,
    job_id: Option<String>,
    image_id: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    Run,
    Collection,
    Job,
    Thumbnails,
}

impl TryFrom<Written> for Message {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        const MISSING: &str = "a field of its kind is missing";
        match written.kind {
            Kind::Run => match (written.run_id, written.source) {
                (Some(run_id), Some(source)) => Ok(Self::Run { run_id, source }),
                _ => Err(MISSING),
            },
            Kind::Collection => {
                let collection_id = written.collection_id.ok_or(MISSING)?;
                Ok(Self::Collection { collection_id })
            }
            Kind::Job => Ok(Self::Job { job_id: written.job_id.ok_or(MISSING)? }),
            Kind::Thumbnails => Ok(Self::Thumbnails { image_id: written.image_id.ok_or(MISSING)? }),
        }
    }
}

/// Where messages to ourselves go.
#[async_trait(?Send)]
pub trait RunQueue {
    /// Hands the message over to be delivered at least once.
    ///
    /// # Errors
    /// The platform's words when the queue did not take it, or its answer was lost; then it may be delivered all the same.
    async fn send(&self, message: &Message) -> Result<(), String> {
        self.send_all(std::slice::from_ref(message), 0).await
    }

    /// Hands messages over, at most [`MESSAGES_AT_ONCE`] of them, to be delivered at least once, not before `delay_s` seconds have passed.
    ///
    /// # Errors
    /// As [`RunQueue::send`]; some may be delivered all the same.
    async fn send_all(&self, messages: &[Message], delay_s: u32) -> Result<(), String>;
}

/// Messages that the platform takes in one call.
pub const MESSAGES_AT_ONCE: usize = 100;
/// The longest delay of a message that the platform takes, in seconds: 12 hours.
pub const MOST_DELAY_S: u32 = 12 * 60 * 60;

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
    fn a_message_about_a_collection_is_none_to_versions_before() {
        let json = r#"{"kind":"collection","collectionId":"s1"}"#;
        let message = Message::Collection { collection_id: "s1".to_owned() };
        assert_eq!(serde_json::to_string(&message).unwrap(), json);
        assert_eq!(read(json).unwrap(), message);
        assert!(serde_json::from_str::<RunMessage>(json).is_err());
    }

    #[test]
    fn a_message_about_a_job_is_none_to_versions_before() {
        let json = r#"{"kind":"job","jobId":"j1"}"#;
        let message = Message::Job { job_id: "j1".to_owned() };
        assert_eq!(serde_json::to_string(&message).unwrap(), json);
        assert_eq!(read(json).unwrap(), message);
        assert!(serde_json::from_str::<RunMessage>(json).is_err());
    }

    #[test]
    fn a_message_about_thumbnails_is_none_to_versions_before() {
        let json = r#"{"kind":"thumbnails","imageId":"i1"}"#;
        let message = Message::Thumbnails { image_id: "i1".to_owned() };
        assert_eq!(serde_json::to_string(&message).unwrap(), json);
        assert_eq!(read(json).unwrap(), message);
        assert!(serde_json::from_str::<RunMessage>(json).is_err());
    }

    #[test]
    fn a_message_of_an_unknown_kind_or_without_a_field_is_none() {
        for json in [
            r#"{"runId":"run-1"}"#,
            r#"{"source":"embedded"}"#,
            r#"{"run_id":"1","source":"x"}"#,
            r#"{"kind":"other","runId":"1","source":"x"}"#,
            r#"{"kind":"run","source":"x"}"#,
            r#"{"kind":"collection","runId":"1","source":"x"}"#,
            r#"{"kind":"job","runId":"1","collectionId":"x"}"#,
            r#"{"kind":"thumbnails","jobId":"1"}"#,
            r#"{"kind":null,"runId":"1","source":"x"}"#,
            "null",
            "[]",
            "",
        ] {
            assert!(read(json).is_none(), "{json}");
        }
    }
}
