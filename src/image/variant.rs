//! Other sizes and formats of an image: what is asked for, in its one spelling.

use std::fmt;

use super::{ImageId, ObjectKey, Sha256Digest};

/// What the keys of variants start with.
const VARIANTS_PREFIX: &str = "stillstore/variants/";

/// How an image is brought to a width and a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fit {
    /// As large as possible within both, larger than the image if need be.
    Contain,
    /// As `Contain`, and never larger than the image.
    ScaleDown,
    /// Exactly both: what is over is cut off at both sides.
    Cover,
    /// As `Cover`, and never larger than the image.
    Crop,
}

/// Which format a variant has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VariantFormat {
    /// That of the image, as far as it can be made: PNG of a GIF, JPEG of a WebP that is opaque.
    Original,
    Jpeg,
    Png,
    Webp,
    /// PNG of an image that shows through somewhere, JPEG of others.
    JpegOrPng,
    /// WebP of an image that shows through somewhere, JPEG of others.
    JpegOrWebp,
}

/// A variant of an image. Two that would be the same have the same form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VariantForm {
    width: Option<u32>,
    height: Option<u32>,
    fit: Fit,
    format: VariantFormat,
    /// Of JPEG; `None` where the format has none.
    quality: Option<u8>,
}

impl Fit {
    /// Every fit.
    pub const ALL: [Self; 4] = [Self::Contain, Self::ScaleDown, Self::Cover, Self::Crop];

    /// The fit as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contain => "contain",
            Self::ScaleDown => "scale-down",
            Self::Cover => "cover",
            Self::Crop => "crop",
        }
    }
}

impl VariantFormat {
    /// The format as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Webp => "webp",
            Self::JpegOrPng => "jpeg-or-png",
            Self::JpegOrWebp => "jpeg-or-webp",
        }
    }
}

impl VariantForm {
    /// The form of what is asked for: without what makes no difference.
    #[must_use]
    pub const fn new(width: Option<u32>, height: Option<u32>, fit: Fit, format: VariantFormat, quality: u8) -> Self {
        let fit = match (width, height, fit) {
            (Some(_), Some(_), fit) => fit,
            // Nothing is cut off where one side follows from the other.
            (None, None, _) | (_, _, Fit::ScaleDown | Fit::Crop) => Fit::ScaleDown,
            (_, _, Fit::Contain | Fit::Cover) => Fit::Contain,
        };
        let quality = match format {
            VariantFormat::Png | VariantFormat::Webp => None,
            VariantFormat::Original | VariantFormat::Jpeg | VariantFormat::JpegOrPng | VariantFormat::JpegOrWebp => {
                Some(quality)
            }
        };
        Self { width, height, fit, format, quality }
    }

    /// The largest width, in pixels.
    #[must_use]
    pub const fn width(&self) -> Option<u32> {
        self.width
    }

    /// The largest height, in pixels.
    #[must_use]
    pub const fn height(&self) -> Option<u32> {
        self.height
    }

    /// How the image is brought to these.
    #[must_use]
    pub const fn fit(&self) -> Fit {
        self.fit
    }

    /// The format.
    #[must_use]
    pub const fn format(&self) -> VariantFormat {
        self.format
    }

    /// The quality of JPEG, where the format has one.
    #[must_use]
    pub const fn quality(&self) -> Option<u8> {
        self.quality
    }

    /// Where the variant of an image lies whose own bytes lie under `original`: nobody finds it who does not know that key.
    #[must_use]
    pub fn object_key(&self, id: ImageId, original: &ObjectKey) -> ObjectKey {
        let digest = Sha256Digest::of(format!("{original}\n{self}").as_bytes()).to_string();
        let digits = digest.get(..32).unwrap_or(&digest);
        ObjectKey::of_ours(format!("{VARIANTS_PREFIX}{id}/{digits}"))
    }

    /// The image whose variant a key is for; `None` for any other key.
    #[must_use]
    pub fn image_of(key: &ObjectKey) -> Option<ImageId> {
        let (id, _digits) = key.as_str().strip_prefix(VARIANTS_PREFIX)?.split_once('/')?;
        id.parse().ok()
    }
}

/// Never changed: rows are found by it.
impl fmt::Display for VariantForm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(width) = self.width {
            write!(formatter, "w={width},")?;
        }
        if let Some(height) = self.height {
            write!(formatter, "h={height},")?;
        }
        write!(formatter, "fit={},", self.fit.as_str())?;
        if let Some(quality) = self.quality {
            write!(formatter, "q={quality},")?;
        }
        write!(formatter, "fm={}", self.format.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_difference_is_not_in_the_form() {
        use VariantFormat::{Jpeg, JpegOrWebp, Original, Png, Webp};
        for (width, height, fit, format, text) in [
            (Some(640), None, Fit::ScaleDown, Original, "w=640,fit=scale-down,q=75,fm=original"),
            (Some(640), None, Fit::Crop, Jpeg, "w=640,fit=scale-down,q=75,fm=jpeg"),
            (None, Some(360), Fit::Cover, Jpeg, "h=360,fit=contain,q=75,fm=jpeg"),
            (Some(640), Some(360), Fit::Cover, JpegOrWebp, "w=640,h=360,fit=cover,q=75,fm=jpeg-or-webp"),
            (None, None, Fit::Contain, Png, "fit=scale-down,fm=png"),
            (Some(1), Some(1), Fit::Contain, Webp, "w=1,h=1,fit=contain,fm=webp"),
        ] {
            assert_eq!(VariantForm::new(width, height, fit, format, 75).to_string(), text);
        }
    }

    #[test]
    fn a_key_is_a_function_of_image_key_and_form() {
        let id = ImageId::from_random_bytes([7; 16]);
        let original = ObjectKey::of_ours("a/b.png".to_owned());
        let form = VariantForm::new(Some(640), None, Fit::ScaleDown, VariantFormat::Jpeg, 75);
        let key = form.object_key(id, &original);
        assert_eq!(
            key.as_str(),
            "stillstore/variants/07070707-0707-4707-8707-070707070707/074fa507cb89b831bdbec05449c67429"
        );
        assert_ne!(key, form.object_key(id, &ObjectKey::of_ours("a/c.png".to_owned())));
    }
}
