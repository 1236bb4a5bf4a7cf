//! What lives as long as an isolate, put together from what is bound, and what it does: answer requests, work on messages of the queue,
//! and tick.

mod alerts;
mod cron;
mod queue;
mod request;
mod thumbnails;
mod untold;

use std::rc::Rc;

pub use self::queue::Delivery;
pub use self::untold::BUNDLE;
use crate::api::{Checks, CorsPolicy, Services};
use crate::catalog::Catalog;
use crate::config::{Config, ConfigProblem};
use crate::edit::Editor;
use crate::generate::{Chain, Generator};
use crate::http::HttpClient;
use crate::jwt::{SignatureCheck, Tokens};
use crate::library::{EdgeCache, MemoryBudget};
use crate::migrate::seam::PartSizes;
use crate::queue::RunQueue;
use crate::runtime::Runtime;
use crate::sql::Database;
use crate::store::{EmbeddedStore, ImageStore, MultipartStore};
use crate::telemetry::{Counters, Event, Sink};
use crate::variants::Codecs;
use crate::vision::Vision;

/// Everything that lives as long as an isolate.
pub struct App {
    pub services: Services,
    pub cors: &'static CorsPolicy,
}

/// What a deployment is configured with, and the adapters of its bindings.
pub struct Bindings {
    pub config: Config,
    pub problems: Vec<ConfigProblem>,
    pub database: Rc<dyn Database>,
    /// Further databases that `MIGRATION_SOURCES` names, by binding.
    pub databases: Rc<[(String, Rc<dyn Database>)]>,
    /// The bucket, when it is bound.
    pub r2: Option<Rc<dyn ImageStore>>,
    /// The same bucket, as it takes one object in parts.
    pub parts: Option<Rc<dyn MultipartStore>>,
    /// Takes messages that keep runs going, when it is bound.
    pub runs: Option<Rc<dyn RunQueue>>,
    /// In the order in which they are tried.
    pub generators: Vec<Box<dyn Generator>>,
    /// The configured editor.
    pub editor: Option<Rc<dyn Editor>>,
    /// The configured vision provider.
    pub vision: Option<Rc<dyn Vision>>,
    pub http: Rc<dyn HttpClient>,
    pub signatures: Rc<dyn SignatureCheck>,
    pub runtime: Rc<dyn Runtime>,
    pub sink: Rc<dyn Sink>,
    pub cache: Rc<dyn EdgeCache>,
    pub codecs: Rc<dyn Codecs>,
}

impl App {
    /// The application over these bindings.
    #[must_use]
    pub fn new(bindings: Bindings) -> Self {
        let Bindings {
            config,
            problems,
            database,
            databases,
            r2,
            parts,
            runs,
            generators,
            editor,
            vision,
            http,
            signatures,
            runtime,
            sink,
            cache,
            codecs,
        } = bindings;
        let checked_by =
            |settings| Tokens::new(settings, Rc::clone(&http), Rc::clone(&signatures), Rc::clone(&runtime));
        let tokens = config.users.tokens.as_ref().map(checked_by);
        let assertions = config.cloudflare_access.as_ref().map(checked_by);
        let services = Services {
            catalog: Catalog::new(Rc::clone(&database))
                .with_others(Rc::clone(&databases), Rc::clone(&runtime))
                .with_limits(config.users.limits),
            databases,
            more_kinds: Vec::new(),
            r2,
            parts,
            embedded: Rc::new(EmbeddedStore::new(database, Rc::clone(&runtime))),
            runs,
            generators: Chain::new(generators, config.provider_timeout_ms, Rc::clone(&runtime)),
            editor,
            vision,
            http,
            tokens,
            assertions,
            runtime,
            sink,
            counters: Rc::new(Counters::default()),
            budget: Rc::new(MemoryBudget::default()),
            cache,
            codecs,
            checks: Checks::default(),
            under_way: Rc::default(),
            host_turns: Rc::default(),
            part_sizes: PartSizes::default(),
            config,
            problems,
        };
        Self { services, cors: CorsPolicy::built_in() }
    }

    /// Logs what is wrong with the configuration, once an isolate.
    pub fn report_configuration(&self) {
        let problems = &self.services.problems;
        if !problems.is_empty() {
            self.services.recorder("start").record(&Event::Configuration { problems: problems.clone() });
        }
    }
}
