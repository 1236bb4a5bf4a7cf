//! The HTTP API: what a request may ask, who may ask it, and how answers look.

mod auth;
mod cors;
mod delivery;
mod generate_answer;
mod generate_image;
mod generate_input;
mod health;
mod images;
mod index;
mod metrics;
mod migrate_command;
mod migrate_fields;
mod migrate_images;
mod migration_stats;
mod migration_status;
mod openapi;
mod problem;
mod representation;
mod request;
mod response;
mod route;
mod run_body;
mod runs;
mod serve;
mod upload;

pub use auth::Gate;
pub use cors::CorsPolicy;
pub use delivery::Delivery;
pub use problem::{Code, Problem};
pub use request::{MAX_JSON_BYTES, Method, Request};
pub use response::Response;
pub use route::{Access, Route};

use std::rc::Rc;

use crate::catalog::Catalog;
use crate::config::{Config, ConfigProblem};
use crate::generate::Chain;
use crate::library::{EdgeCache, Library, MemoryBudget, Placement, Stores};
use crate::migrate::{Action, BeginError, EMBEDDED, Engine, Parameters, PublicBase};
use crate::queue::{RunMessage, RunQueue};
use crate::runtime::Runtime;
use crate::sql::Database;
use crate::store::{EmbeddedStore, ImageStore};
use crate::telemetry::{Counters, Event, Recorder, Sink};

/// Everything that lives as long as an isolate.
pub struct App {
    pub config: Config,
    pub problems: Vec<ConfigProblem>,
    pub cors: &'static CorsPolicy,
    pub catalog: Catalog,
    /// The bucket, when it is bound.
    pub r2: Option<Rc<dyn ImageStore>>,
    pub embedded: Rc<EmbeddedStore>,
    /// Further databases that `MIGRATION_SOURCES` names, by binding.
    pub databases: Rc<[(String, Rc<dyn Database>)]>,
    /// Takes messages that keep runs going, when it is bound.
    pub runs: Option<Rc<dyn RunQueue>>,
    pub generators: Chain,
    pub runtime: Rc<dyn Runtime>,
    pub sink: Rc<dyn Sink>,
    pub counters: Rc<Counters>,
    pub budget: Rc<MemoryBudget>,
    pub cache: Rc<dyn EdgeCache>,
}

/// What a handler works with: the app, and the library and recorder of this one request.
struct Exchange<'app> {
    app: &'app App,
    library: Library,
}

impl App {
    /// The library as seen by one piece of work, whose events carry `request_id`.
    #[must_use]
    pub fn library(&self, request_id: &str) -> Library {
        let recorder = Recorder::new(Rc::clone(&self.sink), Rc::clone(&self.counters), request_id);
        let placement = Placement {
            r2_enabled: self.config.r2_enabled,
            r2_is_public: self.config.r2_public_url.is_some(),
            timeout_ms: self.config.store_timeout_ms,
        };
        Library {
            catalog: self.catalog.clone(),
            stores: Stores::new(
                self.r2.clone(),
                Rc::clone(&self.embedded),
                Rc::clone(&self.runtime),
                &recorder,
                placement,
            ),
            runtime: Rc::clone(&self.runtime),
            recorder,
            budget: Rc::clone(&self.budget),
            cache: Rc::clone(&self.cache),
        }
    }

    /// Drives the run on that a message of the queue names. False when that failed and is worth another delivery.
    pub async fn continue_run(&self, message: RunMessage) -> bool {
        let Ok(id) = message.run_id.parse() else { return true };
        match self.engine(&self.library("queue")) {
            Some(engine) => engine.work_on(&id).await,
            None => true,
        }
    }

    /// What the cron event does: clears what interrupted work left, takes up runs whose worker is gone, and goes on with counts of large tables.
    pub async fn tick(&self) {
        let library = self.library("cron");
        library.sweep().await;
        let Some(engine) = self.engine(&library) else { return };
        let taken_up = engine.take_up().await.map_err(|error| error.to_string());
        let moved = if self.config.migrate_fallback_images && self.config.r2_enabled {
            self.move_fallback_images(&engine).await
        } else {
            Ok(())
        };
        let counted = engine.sources.count_on(&self.runtime).await.map_err(|error| error.to_string());
        for cause in [taken_up.err(), moved.err(), counted.err()].into_iter().flatten() {
            library.recorder.record(&Event::HandOn { run_id: "none".to_owned(), cause });
        }
    }

    /// Begins to move images that fell back to the database, unless the last time moved none of those that are left.
    async fn move_fallback_images(&self, engine: &Engine) -> Result<(), String> {
        let fallback_images = self.catalog.statistics().await.map_err(|error| error.to_string())?.fallback_images;
        let latest = engine.sources.latest_migration(EMBEDDED).await.map_err(|error| error.to_string())?;
        let left = latest.filter(|run| run.parameters.fallback_only).map_or(0, |run| run.progress.left_alone());
        if fallback_images <= left {
            return Ok(());
        }
        let public_base = PublicBase::Bucket(self.config.r2_public_url.clone().unwrap_or_default());
        let parameters = Parameters {
            fallback_only: true,
            ..Parameters::new(self.config.migration_batch_size, self.config.migration_concurrency, public_base)
        };
        match engine.begin(Action::Migrate, EMBEDDED, parameters).await {
            Ok(run) => {
                engine.work_on(&run.id).await;
                Ok(())
            }
            // Whatever run has the source: the next event looks again.
            Err(BeginError::Busy(_)) => Ok(()),
            Err(BeginError::Source(error)) => Err(error.to_string()),
            Err(BeginError::Database(error)) => Err(error.to_string()),
        }
    }

    /// Logs what is wrong with the configuration, once an isolate.
    pub fn report_configuration(&self) {
        if !self.problems.is_empty() {
            let recorder = Recorder::new(Rc::clone(&self.sink), Rc::clone(&self.counters), "start");
            recorder.record(&Event::Configuration { problems: self.problems.clone() });
        }
    }
}

/// Answers a request. Never fails: whatever goes wrong is a problem document.
pub async fn handle(app: &App, request: Request) -> Response {
    let started_at = app.runtime.now();
    let request_id = request_id(&request, app.runtime.as_ref());
    let exchange = Exchange { app, library: app.library(&request_id) };
    let method = request.method;
    let origin = request.header("origin").map(str::to_owned);
    let route = Route::parse(method, &request.path);
    let name = route.as_ref().map_or("none", Route::name);

    let (mut response, outcome, cause) = match exchange.answer(route, request).await {
        Ok(response) => (response, "ok", None),
        Err(problem) => (problem.clone().into_response(&request_id), problem.code.as_str(), problem.cause),
    };

    app.cors.apply(origin.as_deref(), &mut response);
    response.set_header("X-Request-Id", request_id);
    response.set_header("X-Content-Type-Options", "nosniff");
    if method == Method::Head {
        response.body = None;
    }
    exchange.library.recorder.record(&Event::Request {
        method: method.as_str().to_owned(),
        route: name,
        status: response.status,
        outcome,
        duration_ms: app.runtime.now().millis_since(started_at),
        cause,
    });
    response
}

impl Exchange<'_> {
    async fn answer(&self, route: Result<Route, Problem>, request: Request) -> Result<Response, Problem> {
        if request.method == Method::Options {
            return self.app.cors.preflight(&request).ok_or_else(|| Problem::plain(Code::RouteNotFound));
        }
        let route = route?;
        if route.access() == Access::Token {
            Gate::new(&self.app.config).require_token(&request)?;
            self.require_sound_configuration()?;
        }
        // A future has room for the largest of its branches, and is moved a few times for each request: the large ones are apart.
        match route {
            Route::GenerateImage => Box::pin(self.generate_image(request)).await,
            Route::UploadImage => Box::pin(self.upload_image(request)).await,
            Route::ListImages => self.list_images(&request).await,
            Route::DescribeImage(id) => self.describe_image(&request, id).await,
            Route::DeleteImage(id) => self.delete_image(id).await,
            Route::SignImageUrl(id) => self.sign_image_url(request, id).await,
            Route::ServeImage(id) => self.serve_image(&request, id).await,
            Route::MigrationStatus => Box::pin(self.migration_status()).await,
            Route::MigrateImages => Box::pin(self.migrate_images(request)).await,
            Route::DescribeRun(id) => self.describe_run(&id).await,
            Route::RunItems(id) => self.run_items(&request, &id).await,
            Route::RunReceipt(id) => self.run_receipt(&id).await,
            Route::Health => self.health().await,
            Route::Metrics => Ok(self.metrics()),
            Route::OpenApi => Ok(openapi::openapi()),
            Route::Index => Ok(index::index(&request)),
            Route::Docs => Ok(index::docs()),
        }
    }

    /// Stored images stay readable whatever is wrong with the configuration; everything else waits for its repair.
    fn require_sound_configuration(&self) -> Result<(), Problem> {
        if self.app.problems.is_empty() {
            return Ok(());
        }
        let problems = self.app.problems.iter().map(|problem| format!("{} {}", problem.variable, problem.rule));
        Err(Problem::new(Code::ConfigurationInvalid, problems.collect::<Vec<_>>().join("; ")))
    }
}

/// The caller's request id when it is a sane one, else a fresh one.
fn request_id(request: &Request, runtime: &dyn Runtime) -> String {
    let is_sane = |id: &&str| {
        (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    request.header("x-request-id").filter(is_sane).map_or_else(|| hex::encode(runtime.random_bytes()), str::to_owned)
}
