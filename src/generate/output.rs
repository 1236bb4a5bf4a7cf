//! What the picture's file is to be like.

use super::InvalidParameter;
use super::parameter::find;

/// What is behind the picture's subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    Transparent,
    Opaque,
    /// The provider chooses.
    Auto,
}

/// The format of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    Png,
    Jpeg,
    Webp,
}

/// How the file is to be made. What is `None` is the provider's to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Output {
    background: Option<Background>,
    format: Option<OutputFormat>,
    /// 0 to 100; only with a format that loses detail.
    compression: Option<u8>,
}

/// A field in which a caller may ask for what a provider does not have, where nothing near it will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Size,
    Background,
    OutputFormat,
    OutputCompression,
    /// Of an edit.
    Mask,
}

impl Output {
    /// The strongest compression.
    pub const MAX_COMPRESSION: u8 = 100;

    /// An output with these properties.
    ///
    /// # Errors
    /// The field that contradicts another one, with the rule.
    pub fn new(
        background: Option<Background>,
        format: Option<OutputFormat>,
        compression: Option<u8>,
    ) -> Result<Self, (Field, InvalidParameter)> {
        let refuse = |field, rule: &str| Err((field, InvalidParameter(rule.to_owned())));
        if background == Some(Background::Transparent) && format == Some(OutputFormat::Jpeg) {
            return refuse(Field::Background, "must not be transparent where outputFormat is jpeg; use png or webp");
        }
        match compression {
            Some(_) if !matches!(format, Some(OutputFormat::Jpeg | OutputFormat::Webp)) => {
                refuse(Field::OutputCompression, "is for outputFormat jpeg and webp only")
            }
            Some(percent) if percent > Self::MAX_COMPRESSION => {
                refuse(Field::OutputCompression, "must be a whole number from 0 to 100")
            }
            _ => Ok(Self { background, format, compression }),
        }
    }

    /// What is behind the subject.
    #[must_use]
    pub const fn background(&self) -> Option<Background> {
        self.background
    }

    /// The format of the file.
    #[must_use]
    pub const fn format(&self) -> Option<OutputFormat> {
        self.format
    }

    /// How strongly the file is compressed, 0 to 100.
    #[must_use]
    pub const fn compression(&self) -> Option<u8> {
        self.compression
    }

    /// The first property that a provider lacks which can do nothing of this; any provider chooses a background by itself.
    #[must_use]
    pub const fn first_asked(&self) -> Option<Field> {
        match self {
            Self { format: Some(_), .. } => Some(Field::OutputFormat),
            Self { background: Some(Background::Transparent | Background::Opaque), .. } => Some(Field::Background),
            _ => None,
        }
    }

    /// The first property that a provider lacks which makes opaque PNGs and nothing else.
    #[must_use]
    pub const fn first_beside_opaque_png(&self) -> Option<Field> {
        match self {
            Self { format: Some(OutputFormat::Jpeg | OutputFormat::Webp), .. } => Some(Field::OutputFormat),
            Self { background: Some(Background::Transparent), .. } => Some(Field::Background),
            _ => None,
        }
    }
}

impl Background {
    /// Every background, in the order in which documentation lists them.
    pub const ALL: [Self; 3] = [Self::Transparent, Self::Opaque, Self::Auto];

    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transparent => "transparent",
            Self::Opaque => "opaque",
            Self::Auto => "auto",
        }
    }

    /// The background with this text form.
    ///
    /// # Errors
    /// [`InvalidParameter`] with the list of all backgrounds.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        find(&Self::ALL, Self::as_str, text)
    }
}

impl OutputFormat {
    /// Every format, in the order in which documentation lists them.
    pub const ALL: [Self; 3] = [Self::Png, Self::Jpeg, Self::Webp];

    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
        }
    }

    /// The format with this text form.
    ///
    /// # Errors
    /// [`InvalidParameter`] with the list of all formats.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        find(&Self::ALL, Self::as_str, text)
    }
}

impl Field {
    /// The name in requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Background => "background",
            Self::OutputFormat => "outputFormat",
            Self::OutputCompression => "outputCompression",
            Self::Mask => "mask_id",
        }
    }
}
