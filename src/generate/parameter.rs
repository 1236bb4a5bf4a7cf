//! Why a value is refused, by callers and operators alike.

use std::fmt;

/// The rule that a value broke, as the rest of a sentence that starts with the field's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidParameter(pub String);

impl fmt::Display for InvalidParameter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for InvalidParameter {}

/// The value of `all` whose text form is `text`.
pub(super) fn find<T: Copy>(all: &[T], as_str: fn(T) -> &'static str, text: &str) -> Result<T, InvalidParameter> {
    all.iter().copied().find(|value| as_str(*value) == text).ok_or_else(|| {
        let accepted: Vec<_> = all.iter().map(|value| as_str(*value)).collect();
        InvalidParameter(format!("must be one of {}", accepted.join(", ")))
    })
}
