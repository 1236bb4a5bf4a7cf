//! What holds for whatever strangers send: one property for each parser, which panics where it does not hold.
//!
//! `npm run fuzz` searches for bytes that break one (`fuzz/fuzz_targets`, docs/fuzzing.md); `fuzz_bounded` tries some with every
//! `cargo test`.

mod codecs;
mod form;
mod image;
mod migrations;
mod names;
mod outside_url;
mod providers;
mod reading;
mod requests;
mod signed_url;
mod slow;
mod text;

pub use codecs::codecs;
pub use form::{End, Seen, multipart_form, read_form};
pub use image::image_format;
pub use migrations::{backup_lines, migration_sources, run_record};
pub use names::object_key;
pub use outside_url::outside_url;
pub use providers::{openai_answer, workers_ai_answer};
pub use reading::{conditional_read, route};
pub use requests::{generate_body, image_query, migrate_body};
pub use signed_url::signed_url;
pub use text::{column_value, text_encoding};
