//! Who is told of alerts.

use super::reader::Reader;
use super::secret::{GivenSecret, Secret};
use super::users::keys_url;

/// Where messages go, and what they are signed with.
#[derive(Debug, Clone)]
pub struct AlertSettings {
    /// `ALERT_WEBHOOK_URL`.
    pub url: String,
    /// `ALERT_WEBHOOK_SECRET`.
    pub secret: Secret,
}

pub(super) fn read<Lookup: Fn(&str) -> Option<String>>(reader: &mut Reader<Lookup>) -> Option<AlertSettings> {
    let is_url_set = reader.text("ALERT_WEBHOOK_URL").is_some();
    let url = reader.parsed("ALERT_WEBHOOK_URL", keys_url);
    match (reader.secret("ALERT_WEBHOOK_SECRET"), url) {
        (GivenSecret::Usable(secret), Some(url)) => Some(AlertSettings { url, secret }),
        // A receiver could not tell a message from anybody's.
        (GivenSecret::Unset, _) if is_url_set => {
            reader.problem("ALERT_WEBHOOK_SECRET", "must be set when ALERT_WEBHOOK_URL is");
            None
        }
        (GivenSecret::Usable(_), None) if !is_url_set => {
            reader.problem("ALERT_WEBHOOK_URL", "must be set when ALERT_WEBHOOK_SECRET is");
            None
        }
        _ => None,
    }
}
