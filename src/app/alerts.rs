//! Telling somebody outside when something needs attention: cron looks, and sends what has changed.

use hmac::{Hmac, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::App;
use crate::api::shares;
use crate::catalog::{Condition, DueAlert};
use crate::config::AlertSettings;
use crate::http::{AnswerLimits, HttpRequest, Method};
use crate::library::Library;
use crate::migrate::{Run, State};
use crate::telemetry::Event;

/// Messages that one cron event sends.
const SENT_AT_ONCE: u16 = 10;
/// Runs that are looked at, the latest; as many begin in no ten minutes.
const LATEST_RUNS: u16 = 20;
/// Runs that ended longer ago are nobody's news: one day.
const NEWS_MS: i64 = 24 * 60 * 60 * 1000;
const TIMEOUT_MS: u64 = 10_000;
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// What is sent, as JSON.
#[derive(Serialize)]
struct Message<'alert> {
    /// The same when a message is sent again.
    id: String,
    alert: &'alert str,
    state: &'static str,
    text: &'alert str,
    at: String,
}

impl App {
    /// Notes what holds now, and sends what has changed. Never fails, and logs how it went.
    pub(super) async fn tell_alerts(&self, library: &Library) {
        let Some(settings) = &self.services.config.alerts else { return };
        if let Err(cause) = self.note_alerts().await {
            library.recorder.record(&alert_event("none", "not-noted", Some(cause)));
        }
        if let Err(cause) = self.send_alerts(settings, library).await {
            library.recorder.record(&alert_event("none", "not-sent", Some(cause)));
        }
    }

    async fn note_alerts(&self) -> Result<(), String> {
        let now = self.services.runtime.now();
        let catalog = &self.services.catalog;
        let (usage, statistics) =
            futures::try_join!(catalog.totals(now), catalog.statistics()).map_err(|e| e.to_string())?;
        let least = f64::from(self.services.config.usage_alert_percent);
        let mut conditions: Vec<Condition> = shares(&usage)
            .into_iter()
            .map(|share| Condition {
                name: format!("free-tier/{}", share.resource),
                raised: (share.percent >= least)
                    .then(|| format!("{} % of the {} that is free this month is used.", share.percent, share.resource)),
                settled: None,
            })
            .collect();
        let fallbacks = statistics.fallback_images;
        conditions.push(Condition {
            name: "fallback".to_owned(),
            raised: (fallbacks > 0).then(|| {
                format!("R2 does not take images: {fallbacks} went into the database. GET /health says more.")
            }),
            settled: Some("No image is in the database any more that was meant for R2.".to_owned()),
        });
        for run in self.services.sources().latest_runs(LATEST_RUNS).await.map_err(|error| error.to_string())? {
            let is_news = run.finished_at.is_some_and(|ended| now.millis_since(ended) < NEWS_MS.unsigned_abs());
            if is_news && matches!(run.state, State::Failed | State::CompletedWithErrors) {
                conditions.push(failed(&run));
            }
        }
        catalog.note_conditions(&conditions, now).await.map_err(|error| error.to_string())
    }

    async fn send_alerts(&self, settings: &AlertSettings, library: &Library) -> Result<(), String> {
        let runtime = &self.services.runtime;
        let catalog = &self.services.catalog;
        let due = catalog.due_alerts(runtime.now(), SENT_AT_ONCE).await.map_err(|error| error.to_string())?;
        for alert in due {
            let refusal = self.send_alert(settings, &alert).await.err();
            library.recorder.record(&alert_event(
                &alert.name,
                if refusal.is_none() { "ok" } else { "refused" },
                refusal.clone(),
            ));
            catalog.settle_alert(&alert, refusal.is_none(), runtime.now()).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn send_alert(&self, settings: &AlertSettings, alert: &DueAlert) -> Result<(), String> {
        let message = Message {
            id: format!("{}#{}", alert.name, alert.change),
            alert: &alert.name,
            state: if alert.is_on == 1 { "on" } else { "off" },
            text: &alert.message,
            at: alert.changed_at_ms.to_iso8601(),
        };
        // Texts only, so that this cannot fail.
        let body = serde_json::to_vec(&message).unwrap_or_default();
        let sent_at_s = self.services.runtime.now().as_millis() / 1000;
        let request = HttpRequest {
            method: Method::Post,
            url: settings.url.clone(),
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("stillstore-signature", signature(settings, sent_at_s, &body)),
            ],
            body,
            limits: AnswerLimits { timeout_ms: TIMEOUT_MS, max_response_bytes: MAX_ANSWER_BYTES },
            max_redirects: 0,
        };
        let answer = self.services.http.send(request).await.map_err(|error| format!("{error:?}"))?;
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(format!("HTTP {}", answer.status)) }
    }
}

fn failed(run: &Run) -> Condition {
    let how = if run.state == State::Failed { "failed" } else { "ended with errors" };
    let (action, source, failures) = (run.action().as_str(), &run.source, run.progress.failures());
    Condition {
        name: format!("run/{}", run.id),
        raised: Some(format!("The run {} ({action} of {source}) {how}; {failures} of its items failed.", run.id)),
        settled: None,
    }
}

/// `t=` seconds since 1970, `v1=` HMAC-SHA256 of that number, a dot and the body. The time keeps an old message from passing for a new one.
fn signature(settings: &AlertSettings, sent_at_s: i64, body: &[u8]) -> String {
    // HMAC takes keys of every length.
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(settings.secret.expose().as_bytes()) else { return String::new() };
    let mac = mac.chain_update(sent_at_s.to_string()).chain_update(b".").chain_update(body);
    format!("t={sent_at_s},v1={}", hex::encode(mac.finalize().into_bytes()))
}

fn alert_event(name: &str, outcome: &'static str, cause: Option<String>) -> Event {
    Event::Alert { name: name.to_owned(), outcome, cause }
}
