//! What events come to in this isolate since it started, in the Prometheus text format.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::event::Event;

/// Operations of R2, as they are billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct R2Operations {
    /// Puts and listings.
    pub class_a: u64,
    /// Reads.
    pub class_b: u64,
}

/// A metric.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Metric {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
}

/// Makes the constants and [`METRICS`], in alphabetical order of names.
macro_rules! metrics {
    ($($constant:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(const $constant: Metric = Metric { name: $name, help: $help, labels: &[$($label),*] };)+

        /// Every counter.
        const METRICS: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    DEFAULT_IMAGES "default_images_total" [] "Uploads that were answered with the default image.";
    GENERATION_ERRORS "generation_errors_total" ["provider"] "Generations that failed, by the provider that was asked last.";
    GENERATION_OUTCOMES "generation_outcomes_total" ["provider", "outcome"] "Generations, by provider and how they ended.";
    GENERATIONS "generations_total" ["provider"] "Images that a provider made.";
    JOB_ATTEMPTS "job_attempts_total" ["outcome"] "Attempts at jobs, by how they ended.";
    MESSAGES "queue_messages_total" ["outcome"] "Messages that the queue delivered.";
    UPLOAD_BYTES "r2_upload_bytes_total" [] "Bytes that were put into R2.";
    UPLOAD_ERRORS "r2_upload_errors_total" ["error_type"] "Puts into R2 that failed.";
    UPLOADS "r2_uploads_total" [] "Objects that were put into R2.";
    READ_THROUGHS "read_throughs_total" ["outcome"] "Images that were fetched for their readers, or could not be.";
    REQUESTS "requests_total" ["outcome"] "Requests that were answered.";
    RUN_FAILURES "run_failures_total" [] "Items of runs that failed.";
    RUN_ITEMS "run_items_total" [] "Items of runs that were worked on.";
    RUNS "run_stretches_total" ["outcome"] "Stretches of work on runs, by the run's state afterwards.";
    FALLBACKS "storage_fallbacks_total" [] "Images that D1 stored although they were meant for R2.";
    VARIANTS "variants_total" ["outcome"] "Variants that were made, or could not be.";
}

/// 1 KB to 100 MB, the largest upload.
const SIZE_BUCKETS_BYTES: &[u64] =
    &[1_000, 10_000, 100_000, 500_000, 1_000_000, 5_000_000, 10_000_000, 25_000_000, 100_000_000];
/// 5 ms to 30 s, after which a put has failed.
const LATENCY_BUCKETS_MS: &[u64] = &[5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

/// How often values lay below each of some bounds.
#[derive(Debug)]
struct Histogram {
    bounds: &'static [u64],
    /// Of values up to each bound and above the one before; the last is of those above all.
    counts: RefCell<Vec<u64>>,
    sum: Cell<u64>,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: RefCell::new(vec![0; bounds.len() + 1]), sum: Cell::new(0) }
    }

    fn observe(&self, value: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.borrow_mut().get_mut(at) {
            *count += 1;
        }
        self.sum.set(self.sum.get().saturating_add(value));
    }

    /// `unit` turns a value into the metric's unit.
    fn write(&self, text: &mut String, name: &str, help: &str, unit: fn(u64) -> f64) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
        let mut below = 0;
        let bounds = self.bounds.iter().map(|bound| unit(*bound).to_string()).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(self.counts.borrow().iter()) {
            below += count;
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(text, "{name}_sum {}\n{name}_count {below}", unit(self.sum.get()));
    }
}

/// Counters of this isolate since it started; an operator sums them over isolates.
#[derive(Debug)]
pub struct Counters {
    /// By name and the labels' values.
    values: RefCell<BTreeMap<(&'static str, Vec<&'static str>), u64>>,
    upload_sizes: Histogram,
    upload_latencies: Histogram,
    /// Billed operations that no image's row tells of, since they were taken.
    untold: Cell<R2Operations>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            values: RefCell::default(),
            upload_sizes: Histogram::new(SIZE_BUCKETS_BYTES),
            upload_latencies: Histogram::new(LATENCY_BUCKETS_MS),
            untold: Cell::default(),
        }
    }
}

impl Counters {
    fn add(&self, metric: &Metric, labels: &[&'static str], amount: u64) {
        *self.values.borrow_mut().entry((metric.name, labels.to_vec())).or_default() += amount;
    }

    /// Billed operations that no image's row tells of: reads, listings, and puts of objects that are no images.
    #[must_use]
    pub const fn untold(&self) -> R2Operations {
        self.untold.get()
    }

    /// Hands them out, once.
    #[must_use]
    pub fn take_untold(&self) -> R2Operations {
        self.untold.take()
    }

    /// All metrics in the Prometheus text format.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        let values = self.values.borrow();
        for Metric { name, help, labels } in METRICS {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
            if labels.is_empty() {
                let value = values.get(&(*name, Vec::new())).copied().unwrap_or(0);
                let _ = writeln!(text, "{name} {value}");
            }
            for ((_, given), value) in values.iter().filter(|((of, given), _)| of == name && !given.is_empty()) {
                let pairs: Vec<_> =
                    labels.iter().zip(given).map(|(label, value)| format!("{label}=\"{value}\"")).collect();
                let _ = writeln!(text, "{name}{{{}}} {value}", pairs.join(","));
            }
        }
        self.upload_sizes.write(&mut text, "r2_upload_size_bytes", "Sizes of objects put into R2.", float);
        let seconds = |milliseconds| float(milliseconds) / 1000.0;
        self.upload_latencies.write(&mut text, "r2_upload_latency_seconds", "How long puts into R2 took.", seconds);
        text
    }

    /// Moves the counters that the event is for.
    pub(super) fn count(&self, event: &Event) {
        self.bill(event);
        match event {
            Event::Request { status, .. } => {
                let outcome = match status {
                    0..400 => "ok",
                    400..500 => "client_error",
                    _ => "server_error",
                };
                self.add(&REQUESTS, &[outcome], 1);
            }
            Event::Storage { operation: "put", backend: "r2", outcome, bytes, duration_ms, .. } => {
                if *outcome == "ok" {
                    self.add(&UPLOADS, &[], 1);
                    self.add(&UPLOAD_BYTES, &[], *bytes);
                    self.upload_sizes.observe(*bytes);
                    self.upload_latencies.observe(*duration_ms);
                } else {
                    self.add(&UPLOAD_ERRORS, &[outcome], 1);
                }
            }
            Event::Fallback { .. } => self.add(&FALLBACKS, &[], 1),
            Event::Generation { provider, outcome, .. } => {
                self.add(if *outcome == "ok" { &GENERATIONS } else { &GENERATION_ERRORS }, &[provider], 1);
                self.add(&GENERATION_OUTCOMES, &[provider, outcome], 1);
            }
            Event::DefaultImage { .. } => self.add(&DEFAULT_IMAGES, &[], 1),
            Event::Job { outcome, .. } => self.add(&JOB_ATTEMPTS, &[outcome], 1),
            Event::Variant { outcome, .. } => self.add(&VARIANTS, &[outcome], 1),
            Event::ReadThrough { outcome, .. } => self.add(&READ_THROUGHS, &[outcome], 1),
            Event::Message { outcome, .. } => self.add(&MESSAGES, &[outcome], 1),
            Event::Run { outcome, items, failures, .. } => {
                self.add(&RUNS, &[outcome], 1);
                self.add(&RUN_ITEMS, &[], *items);
                self.add(&RUN_FAILURES, &[], *failures);
            }
            _ => {}
        }
    }

    fn bill(&self, event: &Event) {
        let mut untold = self.untold.get();
        match event {
            Event::Storage { backend: "r2", operation: "get" | "head", .. } => untold.class_b += 1,
            Event::Storage { backend: "r2", operation: "list", .. }
            | Event::Storage { backend: "r2", operation: "put", image_id: None, .. } => untold.class_a += 1,
            _ => return,
        }
        self.untold.set(untold);
    }
}

#[expect(clippy::cast_precision_loss, reason = "sums for dashboards")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageId;

    fn request(status: u16) -> Event {
        Event::Request { method: "GET".to_owned(), route: "health", status, outcome: "ok", duration_ms: 1, cause: None }
    }

    fn put(bytes: u64, duration_ms: u64, outcome: &'static str) -> Event {
        Event::Storage {
            operation: "put",
            backend: "r2",
            bucket: "R2_IMAGES",
            image_id: Some(ImageId::from_random_bytes([0; 16])),
            bytes,
            duration_ms,
            outcome,
            cause: None,
        }
    }

    fn lines(counters: &Counters, start: &str) -> Vec<String> {
        counters.prometheus().lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
    }

    #[test]
    fn labels_have_names_and_quoted_values() {
        let counters = Counters::default();
        for status in [200, 200, 503] {
            counters.count(&request(status));
        }
        assert_eq!(
            lines(&counters, "requests_total"),
            ["requests_total{outcome=\"ok\"} 2", "requests_total{outcome=\"server_error\"} 1"]
        );
        assert_eq!(lines(&counters, "storage_fallbacks_total"), ["storage_fallbacks_total 0"]);
        let image_id = ImageId::from_random_bytes([0; 16]);
        counters.count(&Event::Fallback { image_id, reason: "store-timeout".to_owned() });
        assert_eq!(lines(&counters, "storage_fallbacks_total"), ["storage_fallbacks_total 1"]);
    }

    #[test]
    fn histograms_count_what_is_up_to_each_bound() {
        let counters = Counters::default();
        for (bytes, duration_ms) in [(1_000, 5), (1_001, 6), (200_000_000, 40_000)] {
            counters.count(&put(bytes, duration_ms, "ok"));
        }
        counters.count(&put(1, 1, "store-unavailable"));
        let sizes = lines(&counters, "r2_upload_size_bytes_");
        assert_eq!(sizes.first().unwrap(), "r2_upload_size_bytes_bucket{le=\"1000\"} 1");
        assert_eq!(sizes[1], "r2_upload_size_bytes_bucket{le=\"10000\"} 2");
        assert_eq!(sizes[9], "r2_upload_size_bytes_bucket{le=\"+Inf\"} 3");
        assert_eq!(sizes[10..], ["r2_upload_size_bytes_sum 200002001", "r2_upload_size_bytes_count 3"]);
        let latencies = lines(&counters, "r2_upload_latency_seconds_");
        assert_eq!(latencies.first().unwrap(), "r2_upload_latency_seconds_bucket{le=\"0.005\"} 1");
        assert_eq!(latencies.last().unwrap(), "r2_upload_latency_seconds_count 3");
        assert_eq!(
            lines(&counters, "r2_upload_errors"),
            ["r2_upload_errors_total{error_type=\"store-unavailable\"} 1"]
        );
    }

    #[test]
    fn reads_listings_and_receipts_are_told_once() {
        let counters = Counters::default();
        counters.count(&put(1, 1, "ok"));
        assert_eq!(counters.take_untold(), R2Operations::default());
        let mut receipt = put(1, 1, "ok");
        if let Event::Storage { image_id, .. } = &mut receipt {
            *image_id = None;
        }
        counters.count(&receipt);
        for (operation, backend) in [("get", "r2"), ("head", "r2"), ("list", "r2"), ("delete", "r2"), ("get", "d1")] {
            let mut event = put(1, 1, "ok");
            if let Event::Storage { operation: of, backend: at, .. } = &mut event {
                (*of, *at) = (operation, backend);
            }
            counters.count(&event);
        }
        assert_eq!(counters.take_untold(), R2Operations { class_a: 2, class_b: 2 });
        assert_eq!(counters.take_untold(), R2Operations::default());
    }
}
