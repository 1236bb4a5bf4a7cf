//! What the environment binds, as the application takes it.
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use std::rc::Rc;

use async_trait::async_trait;
use wasm_bindgen::prelude::*;

use super::bytes::message_of;
use super::codecs::WasmCodecs;
use super::environment::{Environment, PerEnvironment};
use super::outside::WorkerHttp;
use super::runtime::WorkerRuntime;
use super::signatures::WorkerSignatures;
use crate::app::{App, Bindings};
use crate::config::{Config, ConfigProblem, JobVariables};
use crate::edit::builtin::{BuiltinEditor, BuiltinEditorSettings};
use crate::edit::openai::{OpenAiEditor, OpenAiEditorSettings};
use crate::edit::workers_ai::{WorkersAiEditor, WorkersAiEditorSettings};
use crate::edit::{Editor, EditorName};
use crate::generate::openai::{self, OpenAi, OpenAiSettings};
use crate::generate::placeholder::Placeholder;
use crate::generate::workers_ai::{self, WorkersAi, WorkersAiSettings};
use crate::generate::{Generator, ProviderName, Unconfigured};
use crate::http::AiBinding;
use crate::image::ImageId;
use crate::library::EdgeCache;
use crate::migrate::OWN_BINDING;
use crate::queue::RunQueue;
use crate::runtime::Runtime;
use crate::sql::{Database, DatabaseError, DatabaseErrorKind, QueryResult, Statement};
use crate::store::{ImageStore, MultipartStore};
use crate::telemetry::Sink;
use crate::variants::{Codecs, VariantMaker};
use crate::vision::builtin::BuiltinVision;
use crate::vision::openai::{OpenAiVision, OpenAiVisionSettings};
use crate::vision::workers_ai::WorkersAiVision;
use crate::vision::{Vision, VisionName};

#[wasm_bindgen(module = "/src/platform/js/cache.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = purge)]
    async fn purge_tags(tags: Vec<String>) -> Result<JsValue, JsValue>;
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn log(line: &str);

    #[wasm_bindgen(js_namespace = console)]
    fn error(line: &str);
}

thread_local! {
    static APP: PerEnvironment<App> = const { PerEnvironment::new() };
}

/// The application of this isolate.
pub fn app(env: &JsValue) -> Rc<App> {
    APP.with(|app| {
        app.get(env, |environment| {
            let app = assemble(&environment);
            app.report_configuration();
            app
        })
    })
}

fn assemble(environment: &Environment) -> App {
    let (config, mut problems) = Config::parse(|name| environment.lookup(name));
    let runtime: Rc<dyn Runtime> = Rc::new(WorkerRuntime);
    let database: Rc<dyn Database> = if let Some(database) = &environment.database {
        Rc::clone(database) as Rc<dyn Database>
    } else {
        problems.push(ConfigProblem { variable: "DB", rule: "must be bound to a D1 database".to_owned(), given: None });
        Rc::new(Unbound)
    };
    let mut databases: Vec<(String, Rc<dyn Database>)> = Vec::new();
    for (index, source) in config.migration_sources.iter().enumerate() {
        let binding = source.binding();
        if binding == OWN_BINDING || databases.iter().any(|(name, _)| *name == binding) {
            continue;
        }
        match environment.database_at(binding) {
            Some(database) => databases.push((binding.to_owned(), Rc::new(database))),
            None => problems.push(ConfigProblem {
                variable: "MIGRATION_SOURCES",
                rule: ["entry ", &(index + 1).to_string(), ": binding must be that of a D1 database"].concat(),
                given: Some(binding.to_owned()),
            }),
        }
    }
    let generators = config.providers.iter().map(|provider| generator(*provider, &config, environment, &runtime));
    let generators = generators.collect();
    let editor = editor(config.jobs.editor, &config, environment, &runtime);
    if let (EditorName::WorkersAi, None) = (config.jobs.editor, &environment.ai) {
        let rule = "must not be workers-ai unless the binding AI is there".to_owned();
        problems.push(ConfigProblem { variable: "EDIT_PROVIDER", rule, given: None });
    }
    let vision = vision(&config, environment, &runtime);
    if vision.is_none() {
        let rule = "must not be workers-ai unless the binding AI is there".to_owned();
        problems.push(ConfigProblem { variable: "VISION_PROVIDER", rule, given: None });
    }
    let codecs: Rc<dyn Codecs> = match (config.variants.maker, &environment.transformer) {
        (VariantMaker::Codecs, _) => Rc::new(WasmCodecs),
        (VariantMaker::Images, Some(images)) => Rc::clone(images) as Rc<dyn Codecs>,
        (VariantMaker::Images, None) => {
            let rule = "must not be images unless the binding IMAGES is there".to_owned();
            problems.push(ConfigProblem { variable: "VARIANT_MAKER", rule, given: None });
            Rc::new(WasmCodecs)
        }
    };
    App::new(Bindings {
        config,
        problems,
        database,
        databases: databases.into(),
        r2: environment.images.clone().map(|images| images as Rc<dyn ImageStore>),
        parts: environment.images.clone().map(|images| images as Rc<dyn MultipartStore>),
        runs: environment.runs.clone().map(|queue| queue as Rc<dyn RunQueue>),
        generators,
        editor,
        vision,
        http: Rc::new(WorkerHttp),
        signatures: Rc::new(WorkerSignatures),
        runtime,
        sink: Rc::new(Console),
        cache: Rc::new(WorkersCache),
        codecs,
    })
}

fn generator(
    provider: ProviderName,
    config: &Config,
    environment: &Environment,
    runtime: &Rc<dyn Runtime>,
) -> Box<dyn Generator> {
    let timeout_ms = config.provider_timeout_ms;
    match provider {
        ProviderName::Placeholder => Box::new(Placeholder),
        ProviderName::OpenAi => {
            let settings = OpenAiSettings {
                base_url: config.openai_base_url.clone().unwrap_or_default(),
                api_key: config.openai_api_key.clone(),
                model: config.openai_image_model.clone().unwrap_or_else(openai::default_model),
                timeout_ms,
            };
            Box::new(OpenAi::new(settings, Rc::new(WorkerHttp), Rc::clone(runtime)))
        }
        ProviderName::WorkersAi => match &environment.ai {
            None => Box::new(Unconfigured { provider, problem: "the binding AI is missing" }),
            Some(ai) => {
                let model = config.workers_ai_model.clone().unwrap_or_else(workers_ai::default_model);
                let settings = WorkersAiSettings { model, timeout_ms };
                Box::new(WorkersAi::new(settings, Rc::clone(ai) as Rc<dyn AiBinding>))
            }
        },
    }
}

/// The editor, unless its binding is missing.
fn editor(
    name: EditorName,
    config: &Config,
    environment: &Environment,
    runtime: &Rc<dyn Runtime>,
) -> Option<Rc<dyn Editor>> {
    let timeout_ms = config.provider_timeout_ms;
    let JobVariables { standard, premium, .. } = config.jobs.clone();
    match name {
        EditorName::Builtin => {
            let settings = BuiltinEditorSettings { standard, premium, max_pixels: config.variants.max_pixels };
            Some(Rc::new(BuiltinEditor::new(settings, Rc::new(WasmCodecs))))
        }
        EditorName::OpenAi => {
            let settings = OpenAiEditorSettings {
                base_url: config.openai_base_url.clone().unwrap_or_default(),
                api_key: config.openai_api_key.clone(),
                standard,
                premium,
                timeout_ms,
            };
            Some(Rc::new(OpenAiEditor::new(settings, Rc::new(WorkerHttp), Rc::clone(runtime))))
        }
        EditorName::WorkersAi => {
            let ai = Rc::clone(environment.ai.as_ref()?) as Rc<dyn AiBinding>;
            Some(Rc::new(WorkersAiEditor::new(WorkersAiEditorSettings { standard, premium, timeout_ms }, ai)))
        }
    }
}

/// The vision provider, unless its binding is missing.
fn vision(config: &Config, environment: &Environment, runtime: &Rc<dyn Runtime>) -> Option<Rc<dyn Vision>> {
    let timeout_ms = config.provider_timeout_ms;
    let model = config.vision.model.clone();
    match config.vision.provider {
        VisionName::Builtin => Some(Rc::new(BuiltinVision::new(Rc::new(WasmCodecs), config.variants.max_pixels))),
        VisionName::OpenAi => {
            let settings = OpenAiVisionSettings {
                base_url: config.openai_base_url.clone().unwrap_or_default(),
                api_key: config.openai_api_key.clone(),
                model: model.unwrap_or_else(crate::vision::openai::default_model),
                timeout_ms,
            };
            Some(Rc::new(OpenAiVision::new(settings, Rc::new(WorkerHttp), Rc::clone(runtime))))
        }
        VisionName::WorkersAi => {
            let binding = Rc::clone(environment.ai.as_ref()?) as Rc<dyn AiBinding>;
            let model = model.unwrap_or_else(crate::vision::workers_ai::default_model);
            Some(Rc::new(WorkersAiVision { model, binding, timeout_ms }))
        }
    }
}

/// Stands in for a database that is not bound.
struct Unbound;

#[async_trait(?Send)]
impl Database for Unbound {
    async fn batch(&self, _statements: Vec<Statement>) -> Result<Vec<QueryResult>, DatabaseError> {
        Err(DatabaseError::new(DatabaseErrorKind::Unavailable, "the binding DB is missing"))
    }
}

/// The Worker's log.
struct Console;

impl Sink for Console {
    fn write(&self, line: &str, is_error: bool) {
        if is_error { error(line) } else { log(line) }
    }
}

/// The cache in front of the Worker.
struct WorkersCache;

#[async_trait(?Send)]
impl EdgeCache for WorkersCache {
    async fn purge(&self, ids: &[ImageId]) -> Result<(), String> {
        let tags = ids.iter().map(ToString::to_string).collect();
        purge_tags(tags).await.map(drop).map_err(|error| message_of(&error))
    }
}
