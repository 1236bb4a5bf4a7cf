//! What is worth telling: events, the fields that they log, and the counters that they move.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;

use crate::image::{FailedProvider, ImageId};

/// How something ended: `ok`, or a stable kebab-case code.
pub type Outcome = &'static str;

/// One event. Fields never hold secrets, prompts or query strings.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A request was answered.
    Request {
        method: String,
        route: &'static str,
        status: u16,
        outcome: Outcome,
        duration_ms: u64,
        /// The inside message of an error, for the operator only.
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// A store did something.
    Storage {
        operation: &'static str,
        backend: &'static str,
        bucket: &'static str,
        /// Whose bytes they are; none of a receipt's. Never a key, which may hold a file name.
        #[serde(skip_serializing_if = "Option::is_none")]
        image_id: Option<ImageId>,
        bytes: u64,
        duration_ms: u64,
        outcome: Outcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// A provider was asked for an image.
    Generation {
        provider: &'static str,
        outcome: Outcome,
        duration_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        total_tokens: Option<u64>,
        /// Providers that were tried before, and why they did not do.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        failed_providers: Vec<FailedProvider>,
    },
    /// A variant of an image was made, or could not be.
    Variant {
        image_id: ImageId,
        outcome: Outcome,
        bytes: u64,
        /// Whether it was kept for the next request.
        kept: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// The first-choice store failed and the second took the bytes.
    Fallback { image_id: ImageId, reason: String },
    /// An upload came to nothing and was answered with the default image.
    DefaultImage {
        /// The code of the problem.
        outcome: Outcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// Vars or secrets that cannot be used.
    Configuration { problems: Vec<ConfigProblem> },
    /// A message of the queue was worked on.
    Message {
        /// The run that it names, when it can be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        run_id: Option<String>,
        duration_ms: u64,
        outcome: Outcome,
    },
    /// A worker did its part of a run.
    Run {
        run_id: String,
        /// The run's state, or why the worker stopped.
        outcome: Outcome,
        items: u64,
        failures: u64,
        duration_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// The queue did not take a run; cron takes it up.
    HandOn { run_id: String, cause: String },
    /// Moved images could not be made rows of the catalogue; cron does it.
    Adoption { cause: String },
    /// The images of a source could not be counted.
    Count { source: String, outcome: Outcome, cause: String },
    /// The cache in front was told to forget images.
    Purge {
        images: usize,
        duration_ms: u64,
        outcome: Outcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// Left-overs of interrupted work were cleared.
    Sweep {
        images: u64,
        blobs: u64,
        idempotency_keys: u64,
        outcome: Outcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// Uploads whose grants are over were looked at.
    UploadSweep {
        uploads: u64,
        outcome: Outcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
}

impl Event {
    /// Whether the event is a failure of ours, for the log level.
    #[must_use]
    pub fn is_error(&self) -> bool {
        match self {
            Self::Request { status, .. } => *status >= 500,
            Self::Storage { outcome, .. }
            | Self::Sweep { outcome, .. }
            | Self::Purge { outcome, .. }
            | Self::UploadSweep { outcome, .. }
            | Self::Generation { outcome, .. }
            | Self::Message { outcome, .. } => *outcome != "ok",
            Self::Run { cause, failures, .. } => cause.is_some() || *failures > 0,
            // That an image cannot be decoded is no failure of ours.
            Self::Variant { outcome, kept, .. } => *outcome == "ok" && !kept,
            Self::Fallback { .. }
            | Self::DefaultImage { .. }
            | Self::Configuration { .. }
            | Self::HandOn { .. }
            | Self::Adoption { .. }
            | Self::Count { .. } => true,
        }
    }
}

/// One variable that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigProblem {
    pub variable: &'static str,
    /// What is expected, for anyone to read. Never holds anything of the value.
    pub rule: String,
    /// The name in the value that breaks the rule, for the operator only. Never of a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
}

/// Where log lines go: one JSON object a line.
pub trait Sink: 'static {
    /// Writes one line; `error` chooses the level.
    fn write(&self, line: &str, error: bool);
}

/// Counters of this isolate since it started, by name and label; an operator sums them over isolates.
#[derive(Debug, Default)]
pub struct Counters(RefCell<BTreeMap<(&'static str, &'static str), u64>>);

impl Counters {
    fn add(&self, name: &'static str, label: &'static str, amount: u64) {
        *self.0.borrow_mut().entry((name, label)).or_default() += amount;
    }

    /// The value of one counter.
    #[must_use]
    pub fn get(&self, name: &'static str, label: &'static str) -> u64 {
        self.0.borrow().get(&(name, label)).copied().unwrap_or(0)
    }

    /// All counters with their values, as `name` or `name{label="value"}`, which is how the Prometheus text format has them.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, u64> {
        let named = |(name, value): &(&'static str, &'static str)| match label_of(name) {
            None => (*name).to_owned(),
            Some(label) => format!("{name}{{{label}=\"{value}\"}}"),
        };
        self.0.borrow().iter().map(|(key, value)| (named(key), *value)).collect()
    }

    fn count(&self, event: &Event) {
        match event {
            Event::Request { status, .. } => self.add(
                "requests_total",
                match status {
                    0..400 => "ok",
                    400..500 => "client_error",
                    _ => "server_error",
                },
                1,
            ),
            Event::Storage { operation: "put", backend: "r2", outcome, bytes, .. } => {
                if *outcome == "ok" {
                    self.add("r2_uploads_total", "", 1);
                    self.add("r2_upload_bytes_total", "", *bytes);
                } else {
                    self.add("r2_upload_errors_total", outcome, 1);
                }
            }
            Event::Fallback { .. } => self.add("storage_fallbacks_total", "", 1),
            Event::Generation { provider, outcome, .. } => {
                self.add(if *outcome == "ok" { "generations_total" } else { "generation_errors_total" }, provider, 1);
            }
            Event::DefaultImage { .. } => self.add("default_images_total", "", 1),
            Event::Variant { outcome, .. } => self.add("variants_total", outcome, 1),
            Event::Storage { .. }
            | Event::Configuration { .. }
            | Event::Message { .. }
            | Event::Run { .. }
            | Event::HandOn { .. }
            | Event::Adoption { .. }
            | Event::Count { .. }
            | Event::Purge { .. }
            | Event::Sweep { .. }
            | Event::UploadSweep { .. } => {}
        }
    }
}

/// What the values of a counter's label stand for.
fn label_of(counter: &str) -> Option<&'static str> {
    match counter {
        "requests_total" | "variants_total" => Some("outcome"),
        "r2_upload_errors_total" => Some("error_type"),
        "generations_total" | "generation_errors_total" => Some("provider"),
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_names_and_quoted_values() {
        let counters = Counters::default();
        for status in [200, 200, 503] {
            counters.count(&Event::Request {
                method: "GET".to_owned(),
                route: "health",
                status,
                outcome: "ok",
                duration_ms: 1,
                cause: None,
            });
        }
        let image_id = ImageId::from_random_bytes([0; 16]);
        counters.count(&Event::Fallback { image_id, reason: "store-timeout".to_owned() });
        let lines: Vec<_> = counters.snapshot().into_iter().map(|(name, value)| format!("{name} {value}")).collect();
        assert_eq!(
            lines,
            [
                "requests_total{outcome=\"ok\"} 2",
                "requests_total{outcome=\"server_error\"} 1",
                "storage_fallbacks_total 1",
            ]
        );
    }
}
