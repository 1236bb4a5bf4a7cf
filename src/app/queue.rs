//! Messages of the queue.

use super::App;
use crate::image::CollectionId;
use crate::jobs::Worked;
use crate::library::{Cleared, SLICES_AT_ONCE};
use crate::queue::Message;
use crate::telemetry::Event;

/// What to tell the queue about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is done with.
    Acknowledge,
    /// It is to come again.
    Retry,
    /// It is to come again after so many seconds.
    RetryAfter { delay_s: u32 },
}

/// How the names of queues end that hold what another queue gave up.
const DEAD_LETTERS: &str = "-dead-letters";
/// How long to wait before a job is looked at again, in seconds, when the database did not answer: five deliveries take two and a half minutes.
const DATABASE_WAIT_S: u32 = 30;

impl App {
    /// [`App::deliver`] for a message of the queue called `queue`, or of one that holds what it gave up: the jobs of those fail. Runs and
    /// collections are cron's to take up.
    pub async fn deliver_from(&self, queue: &str, body: Option<String>) -> Delivery {
        if !queue.ends_with(DEAD_LETTERS) {
            return self.deliver(body).await;
        }
        let started_at = self.services.runtime.now();
        let mut delivery = Delivery::Acknowledge;
        if let Some(Message::Job { job_id }) = body.and_then(|json| serde_json::from_str(&json).ok())
            && let Ok(id) = job_id.parse()
            && !self.services.jobs(&self.services.library("dead-letters")).bury(id).await
        {
            delivery = Delivery::RetryAfter { delay_s: DATABASE_WAIT_S };
        }
        let duration_ms = self.services.runtime.now().millis_since(started_at);
        let event = Event::Message { run_id: None, duration_ms, outcome: "dead-letter" };
        self.services.recorder("dead-letters").record(&event);
        delivery
    }

    /// Works on one message of the queue, whose body is `body` as JSON; `None` when it has none. Never fails, and logs how it
    /// went. A body that is no [`Message`] would be none the next time either, so that it is done with: cron takes up its run.
    pub async fn deliver(&self, body: Option<String>) -> Delivery {
        let runtime = &self.services.runtime;
        let started_at = runtime.now();
        let (run_id, delivery, outcome) = match body.and_then(|json| serde_json::from_str(&json).ok()) {
            None => (None, Delivery::Acknowledge, "message-unreadable"),
            Some(Message::Run { run_id, source: _ }) => {
                let is_done = self.continue_run(&run_id).await;
                let (delivery, outcome) =
                    if is_done { (Delivery::Acknowledge, "ok") } else { (Delivery::Retry, "retry") };
                (Some(run_id), delivery, outcome)
            }
            Some(Message::Collection { collection_id }) => {
                let (delivery, outcome) = self.continue_clearing(collection_id).await;
                (None, delivery, outcome)
            }
            Some(Message::Job { job_id }) => {
                let (delivery, outcome) = self.continue_job(&job_id).await;
                (None, delivery, outcome)
            }
            Some(Message::Thumbnails { image_id }) => {
                let is_done = match image_id.parse() {
                    Ok(id) => self.make_thumbnails(id).await,
                    Err(_) => true,
                };
                let (delivery, outcome) =
                    if is_done { (Delivery::Acknowledge, "ok") } else { (Delivery::Retry, "retry") };
                (None, delivery, outcome)
            }
        };
        let duration_ms = runtime.now().millis_since(started_at);
        self.services.recorder("queue").record(&Event::Message { run_id, duration_ms, outcome });
        delivery
    }

    /// Removes members of a collection, and sends the message again when some are left.
    async fn continue_clearing(&self, collection_id: String) -> (Delivery, &'static str) {
        let Ok(id) = CollectionId::try_from(collection_id.clone()) else { return (Delivery::Acknowledge, "ok") };
        match self.services.library("queue").clear_collection(&id, SLICES_AT_ONCE).await {
            // Whoever has it sends a message of their own when members are left.
            Ok(Cleared::All | Cleared::NotClaimed) => (Delivery::Acknowledge, "ok"),
            Ok(Cleared::Some) => {
                let Some(queue) = &self.services.runs else { return (Delivery::Acknowledge, "ok") };
                match queue.send(&Message::Collection { collection_id }).await {
                    Ok(()) => (Delivery::Acknowledge, "ok"),
                    Err(_) => (Delivery::Retry, "retry"),
                }
            }
            Err(_) => (Delivery::Retry, "retry"),
        }
    }

    /// Works on a job, unless another worker does.
    async fn continue_job(&self, job_id: &str) -> (Delivery, &'static str) {
        let Ok(id) = job_id.parse() else { return (Delivery::Acknowledge, "ok") };
        match self.services.jobs(&self.services.library("queue")).work_on(id).await {
            Worked::Done => (Delivery::Acknowledge, "ok"),
            Worked::Later { delay_s } => (Delivery::RetryAfter { delay_s }, "ok"),
            Worked::Unknown => (Delivery::RetryAfter { delay_s: DATABASE_WAIT_S }, "retry"),
        }
    }

    /// Drives a run on. False when that failed and is worth another delivery.
    async fn continue_run(&self, run_id: &str) -> bool {
        let Ok(id) = run_id.parse() else { return true };
        match self.services.engine(&self.services.library("queue")) {
            Some(engine) => engine.work_on(&id).await,
            None => true,
        }
    }
}
