//! Drives a run slice by slice. Knows neither actions nor sources.

mod commit;
mod counters;
mod decide;
mod driver;
mod leased_run;
mod receipt;

pub use driver::Budget;
pub use leased_run::Driver;
