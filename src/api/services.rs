//! What lives as long as an isolate and handlers, the queue and cron work with.

use std::rc::Rc;

use super::Checks;
use super::signing::SigningKeys;
use crate::catalog::Catalog;
use crate::config::{Config, ConfigProblem};
use crate::edit::Editor;
use crate::generate::Chain;
use crate::http::HttpClient;
use crate::jobs::{JobSettings, Jobs};
use crate::jwt::Tokens;
use crate::library::{EdgeCache, Library, MemoryBudget, Placement, Stores};
use crate::migrate::seam::{Destination, InPartsSettings, Kind, PartSizes, Surroundings};
use crate::migrate::url::{Discord, HostTurns, LinkRefresher, Outside};
use crate::migrate::{Engine, PublicBase, ReadThrough, Settings, Sources, UnderWay};
use crate::queue::RunQueue;
use crate::runtime::Runtime;
use crate::sql::Database;
use crate::store::{EmbeddedStore, ImageStore, LatePuts, MultipartStore};
use crate::telemetry::{Counters, Recorder, Sink};
use crate::variants::Codecs;
use crate::vision::Vision;

/// What a job may take beyond its provider and its stores, in milliseconds: to wait for memory and to read the original.
const JOB_MARGIN_MS: u64 = 60_000;

/// The configuration, and what is behind the seams.
pub struct Services {
    pub config: Config,
    pub problems: Vec<ConfigProblem>,
    pub catalog: Catalog,
    /// The bucket, when it is bound.
    pub r2: Option<Rc<dyn ImageStore>>,
    /// The same bucket, as it takes one object in parts.
    pub parts: Option<Rc<dyn MultipartStore>>,
    pub embedded: Rc<EmbeddedStore>,
    /// Further databases that `MIGRATION_SOURCES` names, by binding.
    pub databases: Rc<[(String, Rc<dyn Database>)]>,
    /// Kinds of migration sources beside those that are built in.
    pub more_kinds: Vec<Rc<dyn Kind>>,
    /// Takes messages that keep runs and jobs going, when it is bound.
    pub runs: Option<Rc<dyn RunQueue>>,
    pub generators: Chain,
    /// The configured editor.
    pub editor: Option<Rc<dyn Editor>>,
    /// The configured vision provider.
    pub vision: Option<Rc<dyn Vision>>,
    /// Fetches what callers name by URL.
    pub http: Rc<dyn HttpClient>,
    /// Says whom users' tokens name, where there are users.
    pub tokens: Option<Tokens>,
    /// Says whom Cloudflare Access let in, where it is in front.
    pub assertions: Option<Tokens>,
    pub runtime: Rc<dyn Runtime>,
    pub sink: Rc<dyn Sink>,
    pub counters: Rc<Counters>,
    pub budget: Rc<MemoryBudget>,
    pub cache: Rc<dyn EdgeCache>,
    pub checks: Checks,
    /// What this isolate fetches for readers.
    pub under_way: Rc<UnderWay>,
    /// The turns that readers have at hosts.
    pub host_turns: Rc<HostTurns>,
    /// Which objects of other buckets are put in parts.
    pub part_sizes: PartSizes,
    /// Makes variants of images.
    pub codecs: Rc<dyn Codecs>,
}

impl Services {
    /// Records events of one piece of work, which carry `request_id`.
    #[must_use]
    pub fn recorder(&self, request_id: &str) -> Recorder {
        Recorder::new(Rc::clone(&self.sink), Rc::clone(&self.counters), request_id)
    }

    /// The library as seen by one piece of work, whose events carry `request_id`.
    #[must_use]
    pub fn library(&self, request_id: &str) -> Library {
        let recorder = self.recorder(request_id);
        let placement = Placement {
            r2_enabled: self.config.r2_enabled,
            r2_is_public: self.config.r2_public_url.is_some(),
            timeout_ms: self.config.store_timeout_ms,
        };
        Library {
            catalog: self.catalog.clone(),
            stores: Stores::new(
                self.r2.clone(),
                self.parts.clone(),
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

    /// The jobs as one piece of work sees them.
    #[must_use]
    pub fn jobs(&self, library: &Library) -> Jobs {
        let config = &self.config;
        let lease_ms = config.provider_timeout_ms + 2 * config.store_timeout_ms + JOB_MARGIN_MS;
        Jobs {
            library: library.clone(),
            editor: self.editor.clone(),
            vision: self.vision.clone(),
            queue: self.runs.clone(),
            settings: JobSettings {
                max_attempts: config.jobs.max_attempts,
                retention_days: config.jobs.retention_days,
                lease_ms: i64::try_from(lease_ms).unwrap_or(i64::MAX),
                timeout_ms: config.provider_timeout_ms,
                prompt_in_metadata: config.store_prompt_metadata,
            },
        }
    }

    /// Where images can come from.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let settings = &self.config.fetch;
        let token = self.config.discord_bot_token.as_ref();
        let discord =
            token.map(|token| Rc::new(Discord::new(Rc::clone(&self.http), token.expose())) as Rc<dyn LinkRefresher>);
        let outside = Outside {
            client: Rc::clone(&self.http),
            allowed_hosts: settings.allowed_hosts.clone(),
            timeout_ms: settings.timeout_ms,
            refreshers: discord.into_iter().collect(),
            turns: Rc::clone(&self.host_turns),
        };
        let configured = &self.config.migration_sources;
        let built_in = Sources::new(self.catalog.database(), self.databases.clone(), configured, outside);
        self.more_kinds.iter().cloned().fold(built_in, Sources::with_kind)
    }

    /// Fetches for readers what no run has moved yet; `None` where that is not wanted, or no bucket is bound.
    #[must_use]
    pub fn read_through(&self, library: &Library) -> Option<ReadThrough> {
        let settings = self.config.read_through.as_ref()?;
        self.reader_of(settings.source.clone(), library)
    }

    /// As [`Services::read_through`], for the upkeep that every deployment needs.
    #[must_use]
    pub fn read_through_sweeper(&self, library: &Library) -> Option<ReadThrough> {
        self.reader_of(String::new(), library)
    }

    fn reader_of(&self, source: String, library: &Library) -> Option<ReadThrough> {
        Some(ReadThrough {
            sources: Rc::new(self.sources()),
            source,
            public_base: self.config.public_base().unwrap_or_else(|| PublicBase::Worker(String::new())),
            surroundings: Surroundings {
                destination: Destination {
                    bucket: self.r2.clone()?,
                    runtime: Rc::clone(&self.runtime),
                    timeout_ms: self.config.store_timeout_ms,
                },
                embedded: Rc::clone(&self.embedded),
                bucket_is_public: self.config.r2_public_url.is_some(),
                prompt_in_metadata: self.config.store_prompt_metadata,
                in_parts: None,
                key_secrets: SigningKeys::new(&self.config.access, false).key_secrets(),
            },
            under_way: Rc::clone(&self.under_way),
            source_timeout_ms: self.config.fetch.timeout_ms,
            recorder: library.recorder.clone(),
        })
    }

    /// The migration engine as one piece of work sees it; `None` when no bucket is bound.
    #[must_use]
    pub fn engine(&self, library: &Library) -> Option<Engine> {
        Some(Engine {
            sources: self.sources(),
            bucket: Rc::new(LatePuts::new(self.r2.clone()?)),
            in_parts: self.parts.clone().map(|store| InPartsSettings { store, sizes: self.part_sizes }),
            embedded: self.embedded.clone(),
            runtime: self.runtime.clone(),
            recorder: library.recorder.clone(),
            library: library.clone(),
            queue: self.runs.clone(),
            settings: Settings {
                bucket_is_public: self.config.r2_public_url.is_some(),
                key_secrets: SigningKeys::new(&self.config.access, false).key_secrets(),
                prompt_in_metadata: self.config.store_prompt_metadata,
                timeout_ms: self.config.store_timeout_ms,
                retention_days: self.config.rollback_retention_days,
                operations_per_invocation: self.config.migration_operations,
            },
        })
    }
}
