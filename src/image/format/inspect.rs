//! A file's format, and whether it is all there.

use super::reader::{Reader, Source};
use super::{Format, Geometry, Rejection};
use super::{gif, isobmff, jpeg, png, svg, webp};
use crate::bytes::Blob;

/// How many bytes [`Format::sniff`] wants to see: an SVG may start with a byte order mark, an XML declaration, comments and a
/// document type; the binary formats need 32.
pub const SNIFF_BYTES: usize = 4096;

impl Format {
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
    pub(super) fn header(self, reader: &mut Reader) -> Result<Option<Geometry>, Rejection> {
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
