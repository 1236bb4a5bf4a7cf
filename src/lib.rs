//! Stillstore: a Cloudflare Worker that generates, stores, serves and migrates images.
//!
//! Everything but `platform` compiles and is tested on the host; `platform` alone knows the Workers runtime. `ARCHITECTURE.md` draws the
//! layers.

pub mod api;
pub mod app;
pub mod bytes;
pub mod catalog;
pub mod config;
pub mod edit;
pub mod fetch;
pub mod generate;
pub mod http;
pub mod image;
pub mod jobs;
pub mod jwt;
pub mod library;
pub mod migrate;
pub mod multipart;
pub mod prices;
pub mod queue;
pub mod runtime;
pub mod s3;
pub mod sql;
pub mod store;
pub mod telemetry;
pub mod upload;
pub mod variants;
pub mod vision;

#[cfg(target_arch = "wasm32")]
mod platform;
