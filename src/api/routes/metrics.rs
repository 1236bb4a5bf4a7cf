//! `GET /metrics`, in the Prometheus text format: what the whole store holds, from the database, and the counters of the isolate that answers.

use std::fmt::Write as _;

#[cfg(test)]
use serde_json::json;

use crate::api::billing::shares;
#[cfg(test)]
use crate::api::openapi::{Operation, Schemas, answer};
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::Usage;

pub async fn handle(exchange: &Exchange<'_>, _request: Request) -> Result<Response, Problem> {
    let mut text = exchange.services.counters.prometheus();
    let now = exchange.services.runtime.now();
    let catalog = &exchange.library.catalog;
    // The counters are told all the same.
    let (usage, statistics) = futures::join!(catalog.totals(now), catalog.statistics());
    let up = usage.is_ok() && statistics.is_ok();
    gauge(&mut text, "stillstore_database_up", "Whether the database answered.", &[("", f64::from(u8::from(up)))]);
    if let (Ok(usage), Ok(statistics)) = (usage, statistics) {
        write_usage(&mut text, &usage);
        let fallbacks = [("", float(statistics.fallback_images))];
        gauge(&mut text, "stillstore_fallback_images", "Images in the database that were meant for R2.", &fallbacks);
    }
    let mut response = Response::empty(200);
    response.set_header("Content-Type", "text/plain; version=0.0.4");
    response.set_header("Content-Length", text.len().to_string());
    response.set_header("Cache-Control", "no-store");
    response.body = Some(text.into_bytes().into());
    Ok(response)
}

fn write_usage(text: &mut String, usage: &Usage) {
    let homes = |of: fn(&crate::catalog::Home) -> u64| {
        [("storage=\"r2\"", float(of(&usage.r2))), ("storage=\"d1\"", float(of(&usage.d1)))]
    };
    gauge(text, "stillstore_images", "Images that can be read.", &homes(|home| home.images));
    gauge(text, "stillstore_image_bytes", "Bytes of images that can be read.", &homes(|home| home.bytes));
    let operations = usage.operations;
    let classes = [("class=\"a\"", float(operations.class_a)), ("class=\"b\"", float(operations.class_b))];
    gauge(text, "stillstore_r2_operations_this_month", "Operations of R2 since the month began in UTC.", &classes);
    let labels = shares(usage).map(|share| (format!("resource=\"{}\"", share.resource), share.percent / 100.0));
    let labels: Vec<_> = labels.iter().map(|(label, ratio)| (label.as_str(), *ratio)).collect();
    gauge(text, "stillstore_free_tier_used_ratio", "Used of what R2 has free each month.", &labels);
    if let Some(bytes) = usage.database_bytes {
        gauge(text, "stillstore_database_bytes", "What the whole database takes.", &[("", float(bytes))]);
    }
}

fn gauge(text: &mut String, name: &str, help: &str, values: &[(&str, f64)]) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (labels, value) in values {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges for dashboards")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    Operation {
        summary: "What the store holds, and counters of the isolate that answers, in the Prometheus text format",
        answers: vec![(200, answer("The metrics.", "text/plain", &json!({ "type": "string" })))],
        ..Operation::default()
    }
}
