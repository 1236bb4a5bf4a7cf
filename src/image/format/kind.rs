//! The formats, and what is found out of a file.

use std::fmt;

use super::orientation::Orientation;

/// An image format that Stillstore stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    Webp,
    Svg,
    Avif,
    Heic,
}

/// Width and height in pixels as a browser shows the image: turned as EXIF data (JPEG, PNG) or HEIF properties ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Dimensions {
    pub width: u32,
    pub height: u32,
}

/// How an image is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    pub dimensions: Dimensions,
    /// What EXIF data (JPEG, PNG) asks for, which `dimensions` heed; `None` where there is none that browsers follow.
    pub orientation: Option<Orientation>,
}

/// Why bytes are not believed to be a whole image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// No known image format starts like this.
    NotAnImage,
    /// The format's own structure says that bytes are missing.
    Truncated,
    /// The bytes start like an image, but contradict its format, or more than an image is there.
    Malformed,
}

impl Format {
    /// Every format, in the order in which documentation lists them.
    pub const ALL: [Self; 7] = [Self::Jpeg, Self::Png, Self::Gif, Self::Webp, Self::Svg, Self::Avif, Self::Heic];

    /// The media type served and stored.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Svg => "image/svg+xml",
            Self::Avif => "image/avif",
            Self::Heic => "image/heic",
        }
    }

    /// The file name extension used in keys.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::Webp => "webp",
            Self::Svg => "svg",
            Self::Avif => "avif",
            Self::Heic => "heic",
        }
    }

    /// The format with this media type, as [`Format::content_type`] spells it.
    #[must_use]
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.content_type() == content_type)
    }

    /// The format with this extension, as [`Format::extension`] spells it.
    #[must_use]
    pub fn from_extension(extension: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.extension() == extension)
    }

    /// What the object must carry as `Content-Disposition`, for those who read the bucket without the Worker.
    ///
    /// An SVG can hold scripts, and a bucket's public domain sends no Content-Security-Policy; as an attachment it is saved
    /// rather than opened, and still shows in an `<img>`.
    #[must_use]
    pub const fn content_disposition(self) -> Option<&'static str> {
        match self {
            Self::Svg => Some("attachment"),
            Self::Jpeg | Self::Png | Self::Gif | Self::Webp | Self::Avif | Self::Heic => None,
        }
    }
}

impl Geometry {
    /// The geometry of a picture of `coded` dimensions whose EXIF data gives `orientation`.
    pub(super) fn of_coded(coded: Dimensions, orientation: Option<Orientation>) -> Self {
        let dimensions = if orientation.is_some_and(Orientation::is_quarter_turn) {
            Dimensions { width: coded.height, height: coded.width }
        } else {
            coded
        };
        Self { dimensions, orientation }
    }
}

impl From<Dimensions> for Geometry {
    /// Of an image without EXIF data that browsers follow.
    fn from(dimensions: Dimensions) -> Self {
        Self { dimensions, orientation: None }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAnImage => "the bytes are not a known image format",
            Self::Truncated => "the image is truncated",
            Self::Malformed => "the image does not keep to its own format",
        })
    }
}
