//! The size of a picture, as callers ask for it.

use std::borrow::Cow;

use super::InvalidParameter;
use crate::image::Dimensions;

/// The size asked for. A provider that does not have it makes the nearest one that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Size {
    Square256,
    Square512,
    #[default]
    Square1024,
    Landscape1792,
    Portrait1792,
    Landscape1536,
    Portrait1536,
    /// Another size that gpt-image-2 takes.
    Custom(CustomSize),
    /// The provider chooses.
    Auto,
}

/// A size within gpt-image-2's limits: both sides divisible by 16, the longer one at most 3,840 pixels and at most three times the
/// shorter one, 655,360 to 8,294,400 pixels in all.
///
/// OpenAI's reference names the first and the third rule and "at most 3840x2160"; its guide says what that means: the longest edge,
/// and 3,840 x 2,160 pixels in all, so that 2160x3840 and 2880x2880 are sizes too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CustomSize(Dimensions);

impl Size {
    /// Every size that has a name of its own, in the order in which documentation lists them.
    pub const FIXED: [Self; 8] = [
        Self::Square256,
        Self::Square512,
        Self::Square1024,
        Self::Landscape1792,
        Self::Portrait1792,
        Self::Landscape1536,
        Self::Portrait1536,
        Self::Auto,
    ];

    /// The text form: `{width}x{height}` or `auto`.
    #[must_use]
    pub fn text(self) -> Cow<'static, str> {
        match self.dimensions() {
            Some(Dimensions { width, height }) => format!("{width}x{height}").into(),
            None => "auto".into(),
        }
    }

    /// Width and height in pixels, unless the provider chooses.
    #[must_use]
    pub const fn dimensions(self) -> Option<Dimensions> {
        let (width, height) = match self {
            Self::Square256 => (256, 256),
            Self::Square512 => (512, 512),
            Self::Square1024 => (1024, 1024),
            Self::Landscape1792 => (1792, 1024),
            Self::Portrait1792 => (1024, 1792),
            Self::Landscape1536 => (1536, 1024),
            Self::Portrait1536 => (1024, 1536),
            Self::Custom(CustomSize(dimensions)) => return Some(dimensions),
            Self::Auto => return None,
        };
        Some(Dimensions { width, height })
    }

    /// The size with this text form.
    ///
    /// # Errors
    /// [`InvalidParameter`] with the rule that it breaks, or with all forms when it has none of them.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        if let Some(fixed) = Self::FIXED.into_iter().find(|size| size.text() == text) {
            return Ok(fixed);
        }
        let dimensions = dimensions(text).ok_or_else(|| {
            let fixed: Vec<_> = Self::FIXED.into_iter().map(Self::text).collect();
            InvalidParameter(format!("must be one of {}, or another WIDTHxHEIGHT in pixels", fixed.join(", ")))
        })?;
        CustomSize::new(dimensions).map(Self::Custom)
    }
}

impl CustomSize {
    /// What each side must be divisible by.
    pub const STEP: u32 = 16;
    /// The longest side, in pixels.
    pub const MAX_SIDE: u32 = 3840;
    /// How many times the shorter side the longer one may be.
    pub const MAX_RATIO: u32 = 3;
    /// The fewest pixels.
    pub const MIN_PIXELS: u32 = 655_360;
    /// The most pixels: 3840x2160.
    pub const MAX_PIXELS: u32 = 8_294_400;

    fn new(dimensions: Dimensions) -> Result<Self, InvalidParameter> {
        let Dimensions { width, height } = dimensions;
        let (longer, shorter) = (width.max(height), width.min(height));
        let refuse = |rule: String| Err(InvalidParameter(rule));
        if longer > Self::MAX_SIDE {
            return refuse(format!("must have no side longer than {} pixels", Self::MAX_SIDE));
        }
        if !width.is_multiple_of(Self::STEP) || !height.is_multiple_of(Self::STEP) {
            return refuse(format!("must have sides divisible by {}", Self::STEP));
        }
        if longer > Self::MAX_RATIO * shorter {
            return refuse(format!("must have a ratio between 1:{0} and {0}:1", Self::MAX_RATIO));
        }
        // Both sides are at most 3,840, hence the product fits.
        if !(Self::MIN_PIXELS..=Self::MAX_PIXELS).contains(&(width * height)) {
            return refuse(format!("must have {} to {} pixels in all", Self::MIN_PIXELS, Self::MAX_PIXELS));
        }
        Ok(Self(dimensions))
    }
}

/// Width and height of `{width}x{height}`, in plain digits without a leading zero.
fn dimensions(text: &str) -> Option<Dimensions> {
    let side = |digits: &str| {
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        digits.parse().ok().filter(|_| is_plain)
    };
    let (width, height) = text.split_once('x')?;
    Some(Dimensions { width: side(width)?, height: side(height)? })
}
