//! The queue that keeps runs going after the request that started them, behind a seam so that tests can hold its messages.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Asks whoever gets it to drive a run on. It may come twice, late or never: the run's row holds the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunMessage {
    pub run_id: String,
    /// The source the run works through.
    pub source: String,
}

/// Where messages to ourselves go.
#[async_trait(?Send)]
pub trait RunQueue {
    /// Hands the message over to be delivered at least once.
    ///
    /// # Errors
    /// The platform's words when the queue did not take it, or its answer was lost; then it may be delivered all the same.
    async fn send(&self, message: &RunMessage) -> Result<(), String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_json_that_waits_in_deployed_queues() {
        let message = RunMessage { run_id: "run-1".to_owned(), source: "embedded".to_owned() };
        let json = r#"{"runId":"run-1","source":"embedded"}"#;
        assert_eq!(serde_json::to_string(&message).unwrap_or_default(), json);
        assert_eq!(serde_json::from_str::<RunMessage>(json).ok(), Some(message));
    }

    #[test]
    fn a_message_without_a_field_is_none() {
        for json in [r#"{"runId":"run-1"}"#, r#"{"source":"embedded"}"#, r#"{"run_id":"1","source":"x"}"#, "null", ""] {
            assert!(serde_json::from_str::<RunMessage>(json).is_err(), "{json}");
        }
    }
}
