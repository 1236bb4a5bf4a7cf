//! Placeholders of images, measured by whoever decodes them for another reason.

use crate::image::{ImageId, Placeholder};
use crate::sql::Statement;

// The first one stays. It is a fact of the bytes, so that the row's version stays too, and whoever moves the image is not disturbed.
const KEEP: &str = "UPDATE stillstore_images SET thumbhash = ?2, dominant_color = ?3 \
    WHERE id = ?1 AND status = 'stored' AND thumbhash IS NULL";

/// Keeps what was measured of a readable image that has no placeholder.
pub(super) fn keep_placeholder(image_id: ImageId, placeholder: &Placeholder) -> Statement {
    Statement::new(KEEP)
        .bind(image_id.to_string())
        .bind(placeholder.thumbhash.as_str())
        .bind(placeholder.dominant_colour.map(String::from))
}
