//! Keys of images that came from an application's table.

use crate::image::{Format, ImageId, KeySecret, ObjectKey, Sha256Digest};

/// The first segment of such a key.
const ROOT: &str = "tables";
/// Comes before the secret in the key of a private image.
const SEPARATOR: char = '_';

/// What the keys of a source's images start with.
pub fn prefix(source: &str) -> String {
    [ROOT, "/", source, "/"].concat()
}

/// The key of an image: `tables/{source}/{id}.{ext}`, or `{id}_{secret}.{ext}` of a private image. `source` is the name of a source, 32 bytes of lower-case ASCII at most.
pub fn object_key(source: &str, id: ImageId, secret: Option<KeySecret>, format: Format) -> ObjectKey {
    let secret = KeySecret::with_separator(secret, SEPARATOR);
    ObjectKey::of_ours([&prefix(source), &id.to_string(), &secret, ".", format.extension()].concat())
}

/// The key of a value that an image cannot give back: `stillstore/originals/{source}/{id}/{sha256 of the value}.txt`.
pub fn original_key(source: &str, id: ImageId, sha256: Sha256Digest) -> ObjectKey {
    ObjectKey::of_ours(
        ["stillstore/originals/", source, "/", &id.to_string(), "/", &sha256.to_string(), ".txt"].concat(),
    )
}

/// The image that such a key is for; `None` for any other key.
pub fn image_id(key: &ObjectKey) -> Option<ImageId> {
    let mut segments = key.as_str().split('/');
    let (root, _source, file) = (segments.next()?, segments.next()?, segments.next()?);
    if root != ROOT || segments.next().is_some() {
        return None;
    }
    let (name, _extension) = file.split_once('.')?;
    KeySecret::split(name, SEPARATOR)?.0.parse().ok()
}
