//! Messages of the queue: each asks for a run to be driven on.

use super::App;
use crate::queue::RunMessage;
use crate::telemetry::{Event, Recorder};

/// What to tell the queue about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is done with.
    Acknowledge,
    /// It is to come again.
    Retry,
}

impl App {
    /// Works on one message of the queue, whose body is `body` as JSON; `None` when it has none. Never fails, and logs how it
    /// went. A body that is no [`RunMessage`] would be none the next time either, so that it is done with.
    pub async fn deliver(&self, body: Option<String>) -> Delivery {
        let started_at = self.runtime.now();
        let message = body.and_then(|json| serde_json::from_str::<RunMessage>(&json).ok());
        let run_id = message.as_ref().map(|message| message.run_id.clone());
        let (delivery, outcome) = match message {
            None => (Delivery::Acknowledge, "message-unreadable"),
            Some(message) => {
                if self.continue_run(message).await {
                    (Delivery::Acknowledge, "ok")
                } else {
                    (Delivery::Retry, "retry")
                }
            }
        };
        let recorder = Recorder::new(self.sink.clone(), self.counters.clone(), "queue");
        let duration_ms = self.runtime.now().millis_since(started_at);
        recorder.record(&Event::Message { run_id, duration_ms, outcome });
        delivery
    }
}
