//! What kind of image some bytes are, and whether they are all there.
//!
//! Nothing here decodes a picture: each format's structure is walked, in time linear in the bytes and without allocating by
//! numbers that a file claims.

mod cursor;
mod exif;
mod gif;
mod header;
mod heif_meta;
mod isobmff;
mod jpeg;
mod png;
mod reader;
mod svg;
mod svg_size;
mod webp;

use std::fmt;

pub use exif::{InvalidOrientation, Orientation};
pub use header::HeaderWalk;

use crate::bytes::Blob;
use reader::{Reader, Source};

/// How many bytes [`Format::sniff`] wants to see: an SVG may start with a byte order mark, an XML declaration, comments and a
/// document type; the binary formats need 32.
pub const SNIFF_BYTES: usize = 4096;

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

    /// The format that `prefix`, the first [`SNIFF_BYTES`] of a file or all of a shorter one, starts like.
    #[must_use]
    pub fn sniff(prefix: &[u8]) -> Option<Self> {
        if jpeg::matches(prefix) {
            Some(Self::Jpeg)
        } else if png::matches(prefix) {
            Some(Self::Png)
        } else if gif::matches(prefix) {
            Some(Self::Gif)
        } else if webp::matches(prefix) {
            Some(Self::Webp)
        } else if svg::matches(prefix) {
            Some(Self::Svg)
        } else {
            isobmff::sniff(prefix)
        }
    }

    /// The geometry of the image at whose start the reader is, from as little of it as tells it.
    fn header(self, reader: &mut Reader) -> Result<Option<Geometry>, Rejection> {
        let dimensions = match self {
            Self::Jpeg => return jpeg::header(reader).map(Some),
            Self::Png => return png::header(reader).map(Some),
            Self::Gif => gif::header(reader)?,
            Self::Webp => Some(webp::header(reader)?),
            Self::Svg => svg::header(reader)?,
            Self::Avif | Self::Heic => isobmff::header(reader, self)?,
        };
        Ok(dimensions.map(Geometry::from))
    }

    /// The format and geometry of a whole file, believed only when its own structure says that everything is there that
    /// its first picture needs. What browsers and other readers show is taken: with other bytes after the image, without an end marker
    /// that they do without. Pixels are not decoded: data that is broken without being shorter is not seen.
    ///
    /// The geometry is `None` where the format does not say: an SVG whose size depends on a font, an image sequence without a cover
    /// picture.
    ///
    /// # Errors
    /// [`Rejection`] when the bytes are no image, stop early, or contradict their format.
    pub fn inspect(bytes: &[u8]) -> Result<(Self, Option<Geometry>), Rejection> {
        Self::inspect_source(&bytes)
    }

    /// [`Format::inspect`] of bytes that may be outside wasm memory: they are copied in piece by piece.
    ///
    /// # Errors
    /// As [`Format::inspect`].
    pub fn inspect_blob(blob: &Blob) -> Result<(Self, Option<Geometry>), Rejection> {
        Self::inspect_source(blob)
    }

    fn inspect_source(source: &dyn Source) -> Result<(Self, Option<Geometry>), Rejection> {
        let mut reader = Reader::new(source);
        let prefix = reader.peek(SNIFF_BYTES)?;
        let format = Self::sniff(prefix).ok_or(Rejection::NotAnImage)?;
        let dimensions = match format {
            Self::Jpeg => return Ok((format, Some(jpeg::inspect(&mut reader)?))),
            Self::Png => return Ok((format, Some(png::inspect(&mut reader)?))),
            Self::Gif => gif::inspect(&mut reader)?,
            Self::Webp => Some(webp::inspect(&mut reader)?),
            Self::Svg => svg::inspect(&mut reader)?,
            Self::Avif | Self::Heic => isobmff::inspect(&mut reader, format)?,
        };
        Ok((format, dimensions.map(Geometry::from)))
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
