//! The handlers, one route a file: what its request may say, what it does, how it answers, and its operation in the `OpenAPI` document.
#![allow(clippy::unused_async, reason = "the table of routes holds futures, also of handlers that wait for nothing")]

pub(super) mod confirm_upload;
pub(super) mod create_session;
pub(super) mod create_shoot;
pub(super) mod delete_frames;
pub(super) mod delete_image;
pub(super) mod delete_image_by_key;
pub(super) mod delete_shoot;
pub(super) mod describe_caller;
pub(super) mod describe_image;
pub(super) mod describe_run;
pub(super) mod describe_shoot;
pub(super) mod docs;
pub(super) mod generate_image;
pub(super) mod health;
pub(super) mod index;
pub(super) mod list_assets;
pub(super) mod list_frames;
pub(super) mod list_images;
pub(super) mod list_shoots;
pub(super) mod metrics;
pub(super) mod migrate_images;
pub(super) mod migration_status;
pub(super) mod openapi;
pub(super) mod presign_upload;
pub(super) mod receive_upload;
pub(super) mod receive_upload_form;
pub(super) mod run_items;
pub(super) mod run_receipt;
pub(super) mod serve_frame;
pub(super) mod serve_image;
pub(super) mod sign_image_url;
pub(super) mod upload_frames;
pub(super) mod upload_image;
pub(super) mod usage;
