//! The HTTP API: what a request may ask, who may ask it, and how answers look.

mod auth;
mod billing;
mod checks;
mod clearing;
mod cors;
mod exchange;
mod field;
mod json_object;
mod migration_stats;
mod openapi;
mod page;
mod part_list;
mod part_token;
mod principal;
mod problem;
mod representation;
mod request;
mod response;
mod router;
mod routes;
mod run_body;
mod services;
mod shoot_body;
mod signing;
mod upload_token;

pub use auth::Gate;
pub use checks::Checks;
pub use cors::CorsPolicy;
pub use exchange::Exchange;
pub use principal::{Access, Caller, Grant, KnownTokens, Principal};
pub use problem::{Code, Problem};
pub use request::{MAX_JSON_BYTES, Method, Request};
pub use response::Response;
pub use router::{PathIds, ROUTES, Route, Target};
pub use services::Services;
pub use signing::{Purpose, SigningKeys};
