//! The properties of `tests/native`, with what they need of it, for the fuzz targets.
#![allow(dead_code, unused_imports, reason = "the modules serve the tests too")]

/// Where `migrations/` and `tests/` are.
const PROJECT_DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[path = "../../tests/native/fuzz_properties/mod.rs"]
pub mod fuzz_properties;

mod api {
    pub(crate) use crate::world;
}
#[path = "../../tests/native/api/contract.rs"]
mod contract;
#[path = "../../tests/native/generate_fakes.rs"]
mod generate_fakes;
#[path = "../../tests/native/image_fixtures.rs"]
mod image_fixtures;
#[path = "../../tests/native/image_read_model.rs"]
mod image_read_model;
#[path = "../../tests/native/api/job_fakes.rs"]
mod job_fakes;
#[path = "../../tests/native/runtime.rs"]
mod runtime;
#[path = "../../tests/native/sqlite.rs"]
mod sqlite;
#[path = "../../tests/native/variant_codecs.rs"]
mod variant_codecs;
#[path = "../../tests/native/api/world.rs"]
mod world;
