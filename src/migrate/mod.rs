//! Moving images from where an application kept them.

pub mod value;
