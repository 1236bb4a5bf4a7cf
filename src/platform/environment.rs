//! Variables, secrets and bindings.
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use js_sys::Array;
use wasm_bindgen::prelude::*;

use super::d1::D1Database;
use super::images::ImagesBinding;
use super::outside::WorkerAi;
use super::queue::WorkerQueue;
use super::r2::R2Store;

#[wasm_bindgen(module = "/src/platform/js/environment.js")]
extern "C" {
    fn read(env: &JsValue, database: &str, images: &str, ai: &str, runs: &str, transformer: &str) -> Array;

    #[wasm_bindgen(js_name = databaseOf)]
    fn database_of(env: &JsValue, name: &str) -> JsValue;
}

/// What an isolate was configured with.
pub struct Environment {
    env: JsValue,
    variables: HashMap<String, String>,
    /// The binding `DB`.
    pub database: Option<Rc<D1Database>>,
    /// The binding `R2_IMAGES`.
    pub images: Option<Rc<R2Store>>,
    /// The binding `AI`.
    pub ai: Option<Rc<WorkerAi>>,
    /// The binding `MIGRATIONS`.
    pub runs: Option<Rc<WorkerQueue>>,
    /// The binding `IMAGES`.
    pub transformer: Option<Rc<ImagesBinding>>,
}

impl Environment {
    /// The variable or secret called `name`.
    pub fn lookup(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    /// The D1 database bound as `name`.
    pub fn database_at(&self, name: &str) -> Option<D1Database> {
        Some(database_of(&self.env, name)).filter(|database| !database.is_null()).map(D1Database::new)
    }

    fn read(env: &JsValue) -> Self {
        let parts = read(env, "DB", "R2_IMAGES", "AI", "MIGRATIONS", "IMAGES");
        let variables = parts.get(0).as_string().and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        let binding = |index| Some(parts.get(index)).filter(|binding| !binding.is_null());
        Self {
            env: env.clone(),
            variables,
            database: binding(1).map(|database| Rc::new(D1Database::new(database))),
            images: binding(2).map(|bucket| Rc::new(R2Store::new(bucket))),
            ai: binding(3).map(|ai| Rc::new(WorkerAi::new(ai))),
            runs: binding(4).map(|queue| Rc::new(WorkerQueue::new(queue))),
            transformer: binding(5).map(|images| Rc::new(ImagesBinding::new(images))),
        }
    }
}

/// What is made of an environment once and kept for as long as the isolate hands out the same one.
pub struct PerEnvironment<T>(RefCell<Option<(JsValue, Rc<T>)>>);

impl<T> PerEnvironment<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// What `make_from` made of `env`, now or before.
    pub fn get(&self, env: &JsValue, make_from: impl FnOnce(Environment) -> T) -> Rc<T> {
        if let Some((known, made)) = &*self.0.borrow()
            && known == env
        {
            return Rc::clone(made);
        }
        let made = Rc::new(make_from(Environment::read(env)));
        self.0.replace(Some((env.clone(), Rc::clone(&made))));
        made
    }
}
