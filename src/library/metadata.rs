//! What goes with an object in the bucket: derived from the image's row, so that a copy made later carries the same.

use crate::catalog::{Description, GenerationRecord};
use crate::image::{ImageId, ParsedKey, Sha256Digest};
use crate::store::{ObjectInfo, ObjectMetadata};

/// The object metadata that names the image.
pub const IMAGE_ID: &str = "image-id";

/// Longest prompt in bytes that fits on an object beside the rest of its 8,192 bytes of metadata.
const MAX_PROMPT_METADATA_BYTES: usize = 2048;

/// The metadata of an image's object: whose it is, its labels, and for a generated one the prompt's digest; the prompt itself only
/// where the operator asks for it.
#[must_use]
pub fn object_metadata(
    description: &Description,
    generation: Option<&GenerationRecord>,
    with_prompt: bool,
) -> ObjectMetadata {
    let labels = description.labels.iter().map(|(name, value)| (format!("meta-{name}"), value.to_owned()));
    let mut metadata: ObjectMetadata = labels.collect();
    metadata.insert(IMAGE_ID.to_owned(), description.id.to_string());
    let associations = &description.associations;
    for (name, value) in [("persona-id", &associations.persona_id), ("session-id", &associations.session_id)] {
        if let Some(value) = value {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(ParsedKey::Frame { frame, .. }) = ParsedKey::parse(&description.key) {
        metadata.insert("session-id".to_owned(), frame.session.to_string());
        metadata.insert("frame-number".to_owned(), frame.number.to_string());
    }
    if let Some(generation) = generation {
        metadata.insert("provider".to_owned(), generation.provider.clone());
        metadata.insert("generated-at".to_owned(), description.created_at.to_iso8601());
        let digest = Sha256Digest::of(generation.prompt.as_bytes());
        metadata.insert("prompt-sha256".to_owned(), digest.to_string());
        if with_prompt && generation.prompt.len() <= MAX_PROMPT_METADATA_BYTES {
            metadata.insert("prompt".to_owned(), generation.prompt.clone());
        }
    }
    metadata
}

/// Whether an object was put for this image, and not by another program or deployment that shares the bucket.
#[must_use]
pub fn belongs_to(info: &ObjectInfo, id: ImageId) -> bool {
    info.metadata.get(IMAGE_ID) == Some(&id.to_string())
}
