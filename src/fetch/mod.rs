//! Fetching what a URL of a stranger names: which addresses are fetched at all, and the fetch. docs/fetching.md publishes the rules.

mod address;
mod allowed_hosts;
mod deadline;
mod fetcher;
mod outside_url;
mod refusal;
mod rules;

pub use allowed_hosts::AllowedHosts;
pub use deadline::{deadline, is_of_discord};
pub use fetcher::{FetchError, FetchLimits, Fetched, Fetcher};
pub use outside_url::OutsideUrl;
pub use refusal::{MAX_URL_BYTES, Refusal};
pub use rules::{OwnHost, Rules};
