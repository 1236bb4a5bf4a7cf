//! The queue binding as a [`RunQueue`], and the messages that it delivers.
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use async_trait::async_trait;
use js_sys::JSON;
use wasm_bindgen::prelude::*;
use worker::{MessageBatch, MessageExt, QueueRetryOptionsBuilder};

use super::bytes::message_of;
use crate::app::{App, Delivery};
use crate::queue::{Message, RunQueue};

#[wasm_bindgen(module = "/src/platform/js/queue.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = send)]
    async fn send_json(queue: &JsValue, messages_json: &str, delay_s: u32) -> Result<JsValue, JsValue>;
}

/// A queue that this Worker also consumes.
pub struct WorkerQueue {
    queue: JsValue,
}

impl WorkerQueue {
    /// The queue behind the binding `queue`.
    pub fn new(queue: JsValue) -> Self {
        Self { queue }
    }
}

#[async_trait(?Send)]
impl RunQueue for WorkerQueue {
    async fn send_all(&self, messages: &[Message], delay_s: u32) -> Result<(), String> {
        let json = serde_json::to_string(messages).map_err(|error| error.to_string())?;
        send_json(&self.queue, &json, delay_s).await.map(drop).map_err(|error| message_of(&error))
    }
}

/// Works on the messages one after the other, and tells the queue about each as soon as it is done.
pub async fn deliver(batch: &MessageBatch<Message>, app: &App) {
    for message in batch.raw_iter() {
        let body = JSON::stringify(&message.body()).ok().and_then(|json| json.as_string());
        match app.deliver_from(&batch.queue(), body).await {
            Delivery::Acknowledge => message.ack(),
            Delivery::Retry => message.retry(),
            Delivery::RetryAfter { delay_s } => {
                message.retry_with_options(&QueueRetryOptionsBuilder::new().with_delay_seconds(delay_s).build());
            }
        }
    }
}
