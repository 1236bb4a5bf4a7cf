//! The name of a part in a path.

use std::fmt;
use std::str::FromStr;

use crate::image::ImageId;
use crate::store::PartNumber;

/// A part of an upload by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartId {
    pub asset_id: ImageId,
    pub number: PartNumber,
}

/// The text is no id and number with a slash between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPartId;

impl FromStr for PartId {
    type Err = InvalidPartId;

    fn from_str(text: &str) -> Result<Self, InvalidPartId> {
        let (asset_id, number) = text.split_once('/').ok_or(InvalidPartId)?;
        let asset_id = asset_id.parse().map_err(|_| InvalidPartId)?;
        let number = number.parse().map_err(|_| InvalidPartId)?;
        Ok(Self { asset_id, number })
    }
}

impl fmt::Display for PartId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.asset_id, self.number)
    }
}
