//! Discord's attachments: their links expire within a day, and a bot can have them renewed.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use super::refresher::{LinkRefresher, RefreshError};
use crate::fetch::{OutsideUrl, is_of_discord};
use crate::http::{AnswerLimits, HttpClient, HttpRequest, Method};

const REFRESH_URLS: &str = "https://discord.com/api/v10/attachments/refresh-urls";
/// The most links in one request.
const AT_ONCE: usize = 50;
/// Fifty links of 4,096 bytes, old and new, and names.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;
const TIMEOUT_MS: u64 = 10_000;

/// Renews links with a bot's token, which has no debug form.
pub struct Discord {
    client: Rc<dyn HttpClient>,
    bot_token: String,
}

#[derive(Deserialize)]
struct Answer {
    refreshed_urls: Vec<Refreshed>,
}

#[derive(Deserialize)]
struct Refreshed {
    original: String,
    refreshed: Option<String>,
}

impl Discord {
    /// The refresher of the bot with this token.
    #[must_use]
    pub fn new(client: Rc<dyn HttpClient>, bot_token: impl Into<String>) -> Self {
        Self { client, bot_token: bot_token.into() }
    }
}

#[async_trait(?Send)]
impl LinkRefresher for Discord {
    fn knows(&self, link: &OutsideUrl) -> bool {
        is_of_discord(link)
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }

    async fn refresh(&self, links: &[String]) -> Result<Vec<Option<String>>, RefreshError> {
        let request = HttpRequest {
            method: Method::Post,
            url: REFRESH_URLS.to_owned(),
            headers: vec![
                ("authorization", format!("Bot {}", self.bot_token)),
                ("content-type", "application/json".to_owned()),
                // Discord asks bots for a user agent of this form.
                ("user-agent", "DiscordBot (stillstore, 1)".to_owned()),
            ],
            body: json!({ "attachment_urls": links }).to_string().into_bytes(),
            limits: AnswerLimits { timeout_ms: TIMEOUT_MS, max_response_bytes: MAX_ANSWER_BYTES },
            max_redirects: 0,
        };
        let unavailable = |status| RefreshError::Unavailable { status, retry_after_ms: None };
        let answer = self.client.send(request).await.map_err(|_| unavailable(None))?;
        let status = answer.status;
        match status {
            200 => {}
            401 | 403 => return Err(RefreshError::Refused { status }),
            _ => {
                let retry_after_ms = retry_after_ms(&answer.headers);
                return Err(RefreshError::Unavailable { status: Some(status), retry_after_ms });
            }
        }
        let body = answer.body.collect(MAX_ANSWER_BYTES).await.map_err(|_| unavailable(None))?;
        let answer: Answer = serde_json::from_slice(&body.to_vec()).map_err(|_| unavailable(Some(status)))?;
        let renewed = |link: &String| {
            let found = answer.refreshed_urls.iter().find(|renewed| renewed.original == *link);
            found.and_then(|renewed| renewed.refreshed.clone()).filter(|renewed| renewed != link)
        };
        Ok(links.iter().map(renewed).collect())
    }
}

/// Discord's `Retry-After` has seconds, perhaps with a fraction.
fn retry_after_ms(headers: &[(String, String)]) -> Option<u64> {
    let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
    let seconds = value.trim().split('.').next()?.parse::<u64>().ok()?;
    Some(seconds.saturating_add(1).saturating_mul(1000))
}
