//! Keys of images that came from an application's table.

use crate::image::{Format, ImageId, ObjectKey, Sha256Digest};

/// The first segment of such a key.
const ROOT: &str = "tables";

/// What the keys of a source's images start with.
pub fn prefix(source: &str) -> String {
    [ROOT, "/", source, "/"].concat()
}

/// The key of an image: `tables/{source}/{id}.{ext}`. `source` is the name of a source, 32 bytes of lower-case ASCII at most.
pub fn object_key(source: &str, id: ImageId, format: Format) -> ObjectKey {
    ObjectKey::of_ours([&prefix(source), &id.to_string(), ".", format.extension()].concat())
}

/// The key of a value that an image cannot give back: `stillstore/originals/{source}/{id}/{sha256 of the value}.txt`.
pub fn original_key(source: &str, id: ImageId, sha256: Sha256Digest) -> ObjectKey {
    ObjectKey::of_ours(
        ["stillstore/originals/", source, "/", &id.to_string(), "/", &sha256.to_string(), ".txt"].concat(),
    )
}

/// The image that a key `tables/{source}/{id}.{ext}` is for; `None` for any other key.
pub fn image_id(key: &ObjectKey) -> Option<ImageId> {
    let mut segments = key.as_str().split('/');
    let (root, _source, file) = (segments.next()?, segments.next()?, segments.next()?);
    if root != ROOT || segments.next().is_some() {
        return None;
    }
    file.split_once('.')?.0.parse().ok()
}
