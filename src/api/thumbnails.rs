//! Has variants made before anybody asks for them.

use super::Exchange;
use crate::catalog::ImageRecord;
use crate::queue::Message;
use crate::telemetry::Event;

impl Exchange<'_> {
    /// Has the queue make the variants of an asset that `THUMBNAIL_VARIANTS` names. Best effort: one that is not made is made when it is
    /// asked for.
    pub(super) async fn announce_thumbnails(&self, asset: &ImageRecord) {
        let services = self.services;
        let is_wanted = !services.config.variants.at_registration.is_empty();
        if is_wanted
            && services.codecs.decodes(asset.description.format)
            && let Some(queue) = &services.runs
            && let Err(cause) = queue.send(&Message::Thumbnails { image_id: asset.description.id.to_string() }).await
        {
            self.library.recorder.record(&Event::HandOn { run_id: "none".to_owned(), cause });
        }
    }
}
