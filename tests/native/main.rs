//! Native tests of the domain: real SQL on SQLite, fakes and faults at the other seams.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod api;
mod bytes_text;
mod catalog_database;
mod catalog_faults;
mod catalog_idempotency;
mod catalog_lifecycle;
mod catalog_list;
mod catalog_lookup;
mod catalog_schema;
mod catalog_statistics;
mod catalog_sweep;
mod fuzz_bounded;
mod fuzz_properties;
mod generate_chain;
mod generate_fakes;
mod generate_openai_answers;
mod generate_openai_failures;
mod generate_openai_requests;
mod generate_placeholder;
mod generate_request;
mod generate_settings;
mod generate_workers_ai;
mod image_fixtures;
mod image_format;
mod image_format_blob;
mod image_format_heif;
mod image_format_rules;
mod image_key;
mod image_read;
mod image_read_model;
mod migrate_backup;
mod migrate_line;
mod migrate_record;
mod migrate_record_faults;
mod migrate_table;
mod migrate_table_config;
mod migrate_table_forms;
mod migrate_table_races;
mod migrate_table_sources;
mod migrate_value;
mod properties;
mod reference_sha256;
mod runtime;
mod simulation;
mod sql_conformance;
mod sqlite;
mod store_conformance;
mod store_crash;
mod store_database;
mod store_embedded;
mod store_fakes;
mod store_fallback;
mod store_sweep;

/// Where `migrations/` and `tests/` are; the fuzz targets, which share modules with these tests, are another package.
const PROJECT_DIR: &str = env!("CARGO_MANIFEST_DIR");
