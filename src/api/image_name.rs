//! What an image is asked for by.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::image::ImageId;
use crate::migrate::item::ITEM_ID_MAX_BYTES;

/// An image by its id, or what a source calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageName {
    Id(ImageId),
    Item {
        /// As it stands in the path.
        encoded: String,
        name: String,
    },
}

/// The text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidImageName;

impl FromStr for ImageName {
    type Err = InvalidImageName;

    /// `text` is percent-encoded, as in a path. What looks like an id is one.
    fn from_str(text: &str) -> Result<Self, InvalidImageName> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let item = percent_decode_str(text).decode_utf8().map_err(|_| InvalidImageName)?;
        let is_one = (1..=ITEM_ID_MAX_BYTES).contains(&item.len()) && !item.contains('\0');
        if is_one {
            Ok(Self::Item { encoded: text.to_owned(), name: item.into_owned() })
        } else {
            Err(InvalidImageName)
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(formatter),
            Self::Item { encoded, .. } => formatter.write_str(encoded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_an_id_is_one_and_anything_else_is_decoded() {
        let id = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert_eq!(id.parse(), Ok(ImageName::Id(id.parse().unwrap())));
        let item = |text: &str| match text.parse()? {
            ImageName::Item { name, encoded } => {
                assert_eq!(encoded, text);
                Ok(name)
            }
            ImageName::Id(id) => Ok(id.to_string()),
        };
        assert_eq!(item("pics/%C3%BC%20b.png").as_deref(), Ok("pics/\u{fc} b.png"));
        assert_eq!(item("a%2Fb").as_deref(), Ok("a/b"));
        for text in ["", "%ff", "a%00", &"x".repeat(1_025)] {
            assert_eq!(item(text), Err(InvalidImageName), "{text}");
        }
    }
}
