//! Values that must not be shown.

use std::fmt;

/// Fewest characters of a secret that somebody could guess at offline, which one signed URL is enough for: 32 hexadecimal digits are 128
/// bits.
pub const MIN_SECRET_CHARACTERS: usize = 32;

/// A secret value. It has no text form, so that it cannot reach a log by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// A secret that a variable gives, as far as it can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenSecret {
    /// The variable is not set.
    Unset,
    /// The value is shorter than [`MIN_SECRET_CHARACTERS`]: it counts as a problem and opens nothing.
    TooShort,
    Usable(Secret),
}

impl GivenSecret {
    /// The secret, unless it is missing or too short.
    #[must_use]
    pub const fn usable(&self) -> Option<&Secret> {
        match self {
            Self::Usable(secret) => Some(secret),
            Self::Unset | Self::TooShort => None,
        }
    }
}
