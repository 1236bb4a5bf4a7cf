//! What kinds of object a store holds.

use crate::image::{Format, PUBLIC_CACHE_CONTROL, Visibility};

/// The kind of an object: what it says of itself to those who read the bucket without the Worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Media {
    /// An image for everyone.
    Image(Format),
    /// An image that only some may see.
    PrivateImage(Format),
    /// A record of a migration: JSON values, one a line.
    Ndjson,
    /// A value of an application's column, as it was.
    Original,
}

impl Media {
    /// An image that those may see whom `visibility` says.
    #[must_use]
    pub const fn image(format: Format, visibility: Visibility) -> Self {
        match visibility {
            Visibility::Public => Self::Image(format),
            Visibility::Private => Self::PrivateImage(format),
        }
    }

    /// The media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Image(format) | Self::PrivateImage(format) => format.content_type(),
            Self::Ndjson => "application/x-ndjson",
            Self::Original => "application/octet-stream",
        }
    }

    /// The `Content-Disposition`, for those that must be saved rather than opened.
    #[must_use]
    pub const fn content_disposition(self) -> Option<&'static str> {
        match self {
            Self::Image(format) | Self::PrivateImage(format) => format.content_disposition(),
            Self::Ndjson | Self::Original => Some("attachment"),
        }
    }

    /// The `Cache-Control`. Public images never change under their key; nothing between the bucket and a reader may keep the others.
    #[must_use]
    pub const fn cache_control(self) -> &'static str {
        match self {
            Self::Image(_) => PUBLIC_CACHE_CONTROL,
            Self::PrivateImage(_) | Self::Ndjson | Self::Original => "private, no-store",
        }
    }
}

impl From<Format> for Media {
    fn from(format: Format) -> Self {
        Self::Image(format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_images_are_for_caches() {
        assert_eq!(Media::Ndjson.content_type(), "application/x-ndjson");
        assert_eq!(Media::Ndjson.cache_control(), "private, no-store");
        assert_eq!(Media::Ndjson.content_disposition(), Some("attachment"));
        for format in Format::ALL {
            let media = Media::from(format);
            assert_eq!(media.content_type(), format.content_type());
            assert_eq!(media.cache_control(), "public, max-age=31536000, immutable");
            assert_eq!(media.content_disposition(), (format == Format::Svg).then_some("attachment"));
            let private = Media::image(format, Visibility::Private);
            assert_eq!(private.cache_control(), "private, no-store");
            assert_eq!(private.content_type(), media.content_type());
            assert_eq!(private.content_disposition(), media.content_disposition());
            assert_eq!(Media::image(format, Visibility::Public), media);
        }
    }
}
