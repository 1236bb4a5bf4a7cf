//! Keys of images that came from an application's table.

use crate::image::{ImageId, ObjectKey};

/// The first segment of such a key.
const ROOT: &str = "tables";

/// What the keys of a source's images start with.
pub(super) fn prefix(source: &str) -> String {
    format!("{ROOT}/{source}/")
}

/// The image that a key `tables/{source}/{id}.{ext}` is for; `None` for any other key.
pub(super) fn image_id(key: &ObjectKey) -> Option<ImageId> {
    let mut segments = key.as_str().split('/');
    let (root, _source, file) = (segments.next()?, segments.next()?, segments.next()?);
    if root != ROOT || segments.next().is_some() {
        return None;
    }
    file.split_once('.')?.0.parse().ok()
}
