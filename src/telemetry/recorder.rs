//! Where events go: a log line, and the counters.

use std::rc::Rc;

use serde::Serialize;

use super::counters::Counters;
use super::event::Event;

/// Where log lines go: one JSON object a line.
pub trait Sink: 'static {
    /// Writes one line; `error` chooses the level.
    fn write(&self, line: &str, error: bool);
}

/// Records the events of one request.
#[derive(Clone)]
pub struct Recorder {
    sink: Rc<dyn Sink>,
    counters: Rc<Counters>,
    request_id: Rc<str>,
}

#[derive(Serialize)]
struct Line<'event> {
    #[serde(flatten)]
    event: &'event Event,
    request_id: &'event str,
}

impl Recorder {
    /// A recorder for the request `request_id`.
    #[must_use]
    pub fn new(sink: Rc<dyn Sink>, counters: Rc<Counters>, request_id: &str) -> Self {
        Self { sink, counters, request_id: request_id.into() }
    }

    /// Logs the event and moves its counters.
    pub fn record(&self, event: &Event) {
        self.counters.count(event);
        if let Ok(line) = serde_json::to_string(&Line { event, request_id: &self.request_id }) {
            self.sink.write(&line, event.is_error());
        }
    }

    /// The id that ties the events of one request together.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }
}
