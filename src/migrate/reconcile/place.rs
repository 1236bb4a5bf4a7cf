//! What a key says of the object under it.

use crate::image::{ImageId, ObjectKey, ParsedKey, VariantForm};
use crate::migrate::source::table;

/// What the keys of Stillstore's own records start with.
const OWN_PREFIX: &str = "stillstore/";

/// Which object a key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An image's, by what its key says.
    Image(ParsedKey),
    /// An image's that was moved out of a table.
    Moved(ImageId),
    /// A variant's of the image.
    Variant(ImageId),
    /// A receipt, a backup or an original: nothing of the catalogue names it.
    Record,
    /// None of ours.
    Foreign,
}

impl Place {
    /// What `key` says.
    pub fn of(key: &ObjectKey) -> Self {
        if let Some(image) = VariantForm::image_of(key) {
            return Self::Variant(image);
        }
        if key.as_str().starts_with(OWN_PREFIX) {
            return Self::Record;
        }
        match (ParsedKey::parse(key), table::image_of_key(key)) {
            (Some(parsed), _) => Self::Image(parsed),
            (None, Some(image)) => Self::Moved(image),
            (None, None) => Self::Foreign,
        }
    }
}
