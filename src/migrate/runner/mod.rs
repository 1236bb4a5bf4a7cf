//! Drives a run slice by slice. Knows neither actions nor sources.

mod commit;
mod counters;
mod decide;
mod driver;
mod receipt;

pub use driver::{Budget, Driver};
