//! Values in columns that hold JSON.

use serde::de::DeserializeOwned;

use super::DatabaseError;

/// A value as JSON text, for a column that holds JSON.
///
/// # Errors
/// When the value has no JSON form.
pub fn to_json(value: &(impl serde::Serialize + ?Sized)) -> Result<String, DatabaseError> {
    Ok(serde_json::to_string(value)?)
}

/// The value of a column that holds JSON.
///
/// # Errors
/// [`super::DatabaseErrorKind::Corrupt`] when it is not such a value.
pub fn from_json<T: DeserializeOwned>(json: &str) -> Result<T, DatabaseError> {
    Ok(serde_json::from_str(json)?)
}
