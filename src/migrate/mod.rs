//! Moving images between a database and R2, with records of it that anyone can check.

pub mod backup;
pub mod item;
mod json_text;
pub mod line;
pub mod record;
