//! Routes that check the adapters on real bindings, in builds with the feature `conformance` only.
//!
//! - `GET /conformance`: the names of all cases as `suite/case`, a line each
//! - `GET /conformance/{suite}/{case}`: runs one; 200, or 500 with what did not hold
//! - `PUT`, `GET`, `HEAD`, `DELETE /conformance/objects/{r2|d1}/{key}`: bytes into and out of a store, as the product moves them
//! - `GET /conformance/outside?call`: a call through `WorkerHttp`, of which the query is the JSON
//! - `GET /conformance/model?input`: the binding `AI`, run on the query's JSON
//! - `GET /conformance/panic`: panics
//! - `GET /conformance/limit/{id}`: an image with nothing but its row looked at, for the bench

mod bodies;
mod bucket;
mod case;
mod database;
mod limit;
mod objects;
mod outside;
mod surroundings;

use std::rc::Rc;

use wasm_bindgen::JsValue;

use super::environment::{Environment, PerEnvironment};
use super::messages::IncomingRequest;
use super::runtime::WorkerRuntime;
use crate::api::Response;
use crate::sql::conformance as sql_suite;
use crate::store::conformance::{self as store_suite, Outcome};
use crate::store::{EmbeddedStore, Fallback, ImageStore};
use case::{Case, text};

const SUITES: [(&str, &[Case]); 4] = [
    ("bodies", bodies::CASES),
    ("bucket", bucket::CASES),
    ("database", database::CASES),
    ("surroundings", surroundings::CASES),
];

/// The suite of parts, which R2 alone takes.
const PARTS: &str = "r2-parts";
const STORES: [&str; 3] = ["r2", "d1", "fallback"];

/// How long each home of a fallback pair may take in a test, in milliseconds.
const DEADLINE_MS: u64 = 60_000;

thread_local! {
    static ENVIRONMENT: PerEnvironment<Environment> = const { PerEnvironment::new() };
}

/// The answer, or the request when it is for the product.
pub async fn answer(request: IncomingRequest, env: &JsValue) -> Result<Response, IncomingRequest> {
    let environment = ENVIRONMENT.with(|known| known.get(env, |environment| environment));
    let path = request.url.split(['?', '#']).next().unwrap_or_default();
    let segments: Vec<String> = path.splitn(7, '/').skip(3).map(str::to_owned).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    Ok(match segments[..] {
        ["conformance"] => text(200, names().join("\n")),
        ["conformance", "objects", home, ref key @ ..] => match store(home, &environment) {
            Some(store) => objects::answer(request, &*store, key.join("/")).await,
            None => text(404, "no such store"),
        },
        ["conformance", "panic"] => panic(),
        ["conformance", "limit", id] => limit::answer(&request, id, &environment).await,
        ["conformance", "outside"] => outside::send(&request.url).await,
        ["conformance", "model"] => outside::run_model(&request.url, &environment).await,
        ["conformance", suite, case] => match run(suite, case, environment).await {
            Some(Ok(())) => text(200, "holds"),
            Some(Err(reason)) => text(500, reason),
            None => text(404, "no such case"),
        },
        _ => return Err(request),
    })
}

#[expect(clippy::panic, reason = "a test asks what becomes of it")]
fn panic() -> Response {
    panic!("as asked")
}

fn names() -> Vec<String> {
    let own = SUITES.iter().flat_map(|(suite, cases)| cases.iter().map(move |case| format!("{suite}/{}", case.name)));
    let stores = STORES.iter().flat_map(|store| {
        let cases = store_suite::CASES.iter().filter(|case| *store != "fallback" || !case.streams);
        cases.map(move |case| format!("{store}/{}", case.name))
    });
    let texts = sql_suite::CASES.iter().map(|case| format!("texts/{}", case.name));
    let parts = store_suite::MULTIPART_CASES.iter().map(|case| format!("{PARTS}/{}", case.name));
    own.chain(texts).chain(stores).chain(parts).collect()
}

/// `None` when there is no such case.
async fn run(suite: &str, name: &str, environment: Rc<Environment>) -> Option<Outcome> {
    if let Some((_, cases)) = SUITES.iter().find(|(own, _)| *own == suite) {
        let case = cases.iter().find(|case| case.name == name)?;
        return Some((case.check)(environment).await);
    }
    if suite == "texts" {
        let case = sql_suite::CASES.iter().find(|case| case.name == name)?;
        return Some(sql_suite::run(case, environment.database.clone()?).await);
    }
    if suite == PARTS {
        let case = store_suite::MULTIPART_CASES.iter().find(|case| case.name == name)?;
        let bucket = environment.images.clone()?;
        return Some(store_suite::run_multipart(case, &*bucket, &*bucket, suite).await);
    }
    let store = store(suite, &environment)?;
    let case = store_suite::CASES.iter().find(|case| case.name == name)?;
    Some(store_suite::run(case, &*store, suite).await)
}

fn store(name: &str, environment: &Environment) -> Option<Rc<dyn ImageStore>> {
    let database = environment.database.clone()?;
    let embedded = Rc::new(EmbeddedStore::new(database, Rc::new(WorkerRuntime)));
    match name {
        "r2" => Some(environment.images.clone()?),
        "d1" => Some(embedded),
        "fallback" => Some(Rc::new(Fallback {
            primary: environment.images.clone()?,
            secondary: embedded,
            runtime: Rc::new(WorkerRuntime),
            deadline_ms: DEADLINE_MS,
        })),
        _ => None,
    }
}
