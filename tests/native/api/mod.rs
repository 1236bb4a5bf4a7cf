//! The API as callers see it, through `handle()`, over real SQL and a bucket in memory.

mod access;
mod by_key;
pub mod callers;
pub mod contract;
mod crash;
mod delivery;
mod documentation;
mod generate;
mod generate_several;
mod images;
mod late_puts;
mod limits;
mod migrate;
mod migrate_backup_crash;
mod migrate_backup_memory;
mod migrate_backup_run;
pub mod migrate_crash;
mod migrate_operations;
mod migrate_plans;
mod migrate_refusals;
mod migrate_table_crash;
mod reads_under_way;
mod serve;
mod upload;
mod upload_by_url;
mod upload_form;
pub mod world;
