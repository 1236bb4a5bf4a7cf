//! How shoots and their assets look in answers. Names are those that the clients of shoots know, with underscores.

use serde::Serialize;

use super::Exchange;
use super::representation::url_of;
use crate::catalog::{Collection, ImageRecord};
use crate::image::{ImageId, ShootId};

/// A shoot.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Shoot"))]
pub struct ShootBody<'shoot> {
    #[cfg_attr(test, schemars(with = "ShootId"))]
    id: &'shoot str,
    name: &'shoot str,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    created_at: String,
}

/// An image of a shoot that a client sent.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Asset"))]
pub struct AssetBody<'record> {
    #[serde(flatten)]
    file: ShootFile<'record>,
    shoot_id: ShootId,
    filename: Option<&'record str>,
    /// What was made from it, oldest first.
    outputs: Vec<ShootFile<'record>>,
}

/// An image of a shoot.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ShootFile<'record> {
    id: ImageId,
    content_type: &'static str,
    file_size: Option<u64>,
    /// The key of the object.
    file_path: &'record str,
    width: Option<u32>,
    height: Option<u32>,
    /// evanw's `ThumbHash` in base64; absent until the image was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbhash: Option<&'record str>,
    /// `#rrggbb`, the most frequent colour; absent until the image was measured, and of one in which nothing is visible.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(regex(pattern = "^#[0-9a-f]{6}$")))]
    dominant_color: Option<String>,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    created_at: String,
    /// Lives for an hour if the image is private.
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    download_url: String,
}

impl<'shoot> ShootBody<'shoot> {
    /// The shoot as answers show it.
    pub(super) fn new(shoot: &'shoot Collection) -> Self {
        Self {
            id: shoot.id.as_str(),
            name: shoot.name.as_deref().unwrap_or_default(),
            created_at: shoot.created_at.to_iso8601(),
        }
    }
}

impl<'record> AssetBody<'record> {
    /// The asset as answers show it, with those of `made` that were made from it.
    pub(super) fn new(
        exchange: &Exchange<'_>,
        shoot_id: ShootId,
        asset: &'record ImageRecord,
        made: &'record [ImageRecord],
        origin: &str,
    ) -> Self {
        let outputs = made.iter().filter(|output| output.description.parent_id == Some(asset.description.id));
        Self {
            file: ShootFile::new(exchange, asset, origin),
            shoot_id,
            filename: asset.description.filename.as_deref(),
            outputs: outputs.map(|output| ShootFile::new(exchange, output, origin)).collect(),
        }
    }
}

impl<'record> ShootFile<'record> {
    fn new(exchange: &Exchange<'_>, record: &'record ImageRecord, origin: &str) -> Self {
        let description = &record.description;
        let content = record.content.as_ref();
        let dimensions = content.and_then(|content| content.dimensions);
        let placeholder = record.placeholder.as_ref();
        let (download_url, _) = url_of(exchange, record, origin);
        Self {
            id: description.id,
            content_type: description.format.content_type(),
            file_size: content.map(|content| content.size_bytes),
            file_path: description.key.as_str(),
            width: dimensions.map(|dimensions| dimensions.width),
            height: dimensions.map(|dimensions| dimensions.height),
            thumbhash: placeholder.map(|placeholder| placeholder.thumbhash.as_str()),
            dominant_color: placeholder.and_then(|placeholder| placeholder.dominant_colour).map(String::from),
            created_at: description.created_at.to_iso8601(),
            download_url,
        }
    }
}
