//! Every var and secret, read once per isolate and checked as a whole.

mod access;
mod alerts;
mod cloudflare_access;
mod default_image;
mod fetch;
mod jobs;
mod loopback;
mod read_through;
mod reader;
mod secret;
mod uploads;
mod users;
mod variants;
mod vision;

use std::rc::Rc;

use reader::Reader;

use crate::edit::EditorName;
use crate::generate::{ApiKey, BaseUrl, InvalidParameter, ModelName, ProviderName};
use crate::migrate::{ConfiguredSource, InvalidSource, PublicBase};
use crate::s3::Credentials;
use crate::vision::VisionName;

pub use crate::telemetry::ConfigProblem;
pub use access::AccessSettings;
pub use alerts::AlertSettings;
pub use fetch::FetchSettings;
pub use jobs::JobVariables;
pub use loopback::is_loopback;
pub use read_through::ReadThroughSettings;
pub use secret::{GivenSecret, MIN_SECRET_CHARACTERS, Secret};
pub use uploads::{MOST_MULTIPART_BYTES, UploadSettings};
pub use users::{TokenKeys, TokenSettings, UserSettings};
pub use variants::VariantSettings;
pub use vision::VisionVariables;

/// Longest time to wait for one attempt of one provider, in milliseconds, unless `PROVIDER_TIMEOUT_MS` says otherwise: image
/// models answer in 5 to 60 s.
const DEFAULT_PROVIDER_TIMEOUT_MS: u64 = 90_000;
/// Longest time to wait for one store write, in milliseconds, unless `STORE_TIMEOUT_MS` says otherwise: 25 MiB at 1 MiB/s.
const DEFAULT_STORE_TIMEOUT_MS: u64 = 30_000;
const DEFAULT_MIGRATION_BATCH_SIZE: u16 = 10;
/// Workers may hold six connections open at once; see the platform's limits.
const DEFAULT_MIGRATION_CONCURRENCY: u16 = 5;
const DEFAULT_ROLLBACK_RETENTION_DAYS: u16 = 30;
/// Ten years.
const MAX_RETENTION_DAYS: u16 = 3_650;
/// D1 takes 1,000 statements an invocation on the paid plan; a slice of 100 items, which is never cut, makes about 210 with its puts.
/// On the free plan, with 50 of each, set 20 and a batch size of 10.
const DEFAULT_MIGRATION_OPERATIONS: u64 = 700;
/// As in the dashboards that warn of the end of what is free.
const DEFAULT_USAGE_ALERT_PERCENT: u16 = 80;

/// The whole configuration, with safe defaults in place of what could not be read.
#[derive(Debug, Clone)]
pub struct Config {
    /// `ENABLE_R2_STORAGE`: new images go to R2 when it is `"true"`, else into D1.
    pub r2_enabled: bool,
    /// `R2_PUBLIC_URL`: base URL of the bucket's public domain, without a trailing slash.
    pub r2_public_url: Option<String>,
    /// `PUBLIC_ORIGIN`: the Worker's own address in URLs that rows keep, without a trailing slash.
    pub public_origin: Option<String>,
    /// `MIGRATION_BATCH_SIZE`: images a slice, 1 to 100.
    pub migration_batch_size: u16,
    /// `MIGRATION_CONCURRENCY`: copies in flight, 1 to 16.
    pub migration_concurrency: u16,
    /// How many days an original stays in the database after its image moved.
    pub rollback_retention_days: u16,
    /// D1 statements and R2 operations that a run makes in one invocation before it hands on to the next.
    pub migration_operations: u64,
    /// Whether the cron event moves images that fell back to the database once R2 works again.
    pub migrate_fallback_images: bool,
    /// `MIGRATION_SOURCES`: where images can be moved from.
    pub migration_sources: Rc<[ConfiguredSource]>,
    /// `READ_THROUGH`: the source that readers may fetch images from which no run has moved yet.
    pub read_through: Option<ReadThroughSettings>,
    /// `DISCORD_BOT_TOKEN`: renews links to Discord's attachments.
    pub discord_bot_token: Option<Secret>,
    /// `IMAGE_PROVIDER`: providers in the order in which they are tried; never empty.
    pub providers: Vec<ProviderName>,
    /// `PROVIDER_TIMEOUT_MS`.
    pub provider_timeout_ms: u64,
    /// `STORE_TIMEOUT_MS`.
    pub store_timeout_ms: u64,
    /// `OPENAI_BASE_URL`; `None` for OpenAI's own.
    pub openai_base_url: Option<BaseUrl>,
    /// `OPENAI_API_KEY`.
    pub openai_api_key: Option<ApiKey>,
    /// `OPENAI_IMAGE_MODEL`; `None` for the default.
    pub openai_image_model: Option<ModelName>,
    /// `WORKERS_AI_MODEL`; `None` for the default.
    pub workers_ai_model: Option<ModelName>,
    /// Who may do what.
    pub access: AccessSettings,
    /// `CF_ACCESS_TEAM` and `CF_ACCESS_AUD`: what shows that Cloudflare Access let a request in.
    pub cloudflare_access: Option<TokenSettings>,
    /// How users show who they are.
    pub users: UserSettings,
    /// `FRAME_RETENTION_DAYS`: sessions that took no frame for as long are deleted.
    pub frame_retention_days: Option<u16>,
    /// `STORE_PROMPT_METADATA`: put the prompt itself, not only its digest, on the object.
    pub store_prompt_metadata: bool,
    pub fetch: FetchSettings,
    /// `DEFAULT_IMAGE_URL` or `DEFAULT_PORTRAIT_URL`: stands in for an upload that could not be stored.
    pub default_image_url: Option<String>,
    /// Presigned uploads and downloads.
    pub uploads: UploadSettings,
    pub jobs: JobVariables,
    pub vision: VisionVariables,
    pub variants: VariantSettings,
    /// Who is told of alerts, if anybody is.
    pub alerts: Option<AlertSettings>,
    /// `USAGE_ALERT_PERCENT`: the share of what is free from which on usage is an alert.
    pub usage_alert_percent: u16,
}

impl Config {
    /// Reads everything through `lookup`, which sees vars and secrets alike. Every problem is reported, not the first only.
    pub fn parse(lookup: impl Fn(&str) -> Option<String>) -> (Self, Vec<ConfigProblem>) {
        let mut reader = Reader { lookup, problems: Vec::new() };
        let migration_sources: Rc<[_]> = migration_sources(&mut reader).into();
        let config = Self {
            r2_enabled: reader.text("ENABLE_R2_STORAGE").as_deref() == Some("true"),
            r2_public_url: reader.parsed("R2_PUBLIC_URL", public_url),
            public_origin: reader.parsed("PUBLIC_ORIGIN", public_origin),
            migration_batch_size: reader.small_number("MIGRATION_BATCH_SIZE", DEFAULT_MIGRATION_BATCH_SIZE, 100),
            rollback_retention_days: reader.small_number(
                "ROLLBACK_RETENTION_DAYS",
                DEFAULT_ROLLBACK_RETENTION_DAYS,
                MAX_RETENTION_DAYS,
            ),
            migrate_fallback_images: reader.text("MIGRATE_FALLBACK_IMAGES").as_deref() == Some("true"),
            migration_operations: reader.number("MIGRATION_OPERATIONS", DEFAULT_MIGRATION_OPERATIONS, 20..=9_000),
            migration_concurrency: reader.small_number("MIGRATION_CONCURRENCY", DEFAULT_MIGRATION_CONCURRENCY, 16),
            read_through: read_through::read(&mut reader, &migration_sources),
            migration_sources,
            discord_bot_token: discord_bot_token(&mut reader),
            providers: reader
                .parsed("IMAGE_PROVIDER", ProviderName::parse_list)
                .unwrap_or_else(|| vec![ProviderName::Placeholder]),
            provider_timeout_ms: reader.number("PROVIDER_TIMEOUT_MS", DEFAULT_PROVIDER_TIMEOUT_MS, 1_000..=600_000),
            store_timeout_ms: reader.number("STORE_TIMEOUT_MS", DEFAULT_STORE_TIMEOUT_MS, 100..=300_000),
            openai_base_url: reader.parsed("OPENAI_BASE_URL", BaseUrl::parse),
            openai_api_key: reader.parsed("OPENAI_API_KEY", ApiKey::parse),
            openai_image_model: reader.parsed("OPENAI_IMAGE_MODEL", ModelName::parse),
            workers_ai_model: reader.parsed("WORKERS_AI_MODEL", ModelName::parse),
            access: AccessSettings::read(&mut reader),
            cloudflare_access: cloudflare_access::read(&mut reader),
            users: UserSettings::read(&mut reader),
            frame_retention_days: reader
                .text("FRAME_RETENTION_DAYS")
                .map(|_| reader.small_number("FRAME_RETENTION_DAYS", MAX_RETENTION_DAYS, MAX_RETENTION_DAYS)),
            store_prompt_metadata: reader.text("STORE_PROMPT_METADATA").as_deref() == Some("true"),
            fetch: FetchSettings::read(&mut reader),
            default_image_url: default_image::read(&mut reader),
            uploads: UploadSettings::read(&mut reader),
            jobs: JobVariables::read(&mut reader),
            vision: VisionVariables::read(&mut reader),
            variants: VariantSettings::read(&mut reader),
            alerts: alerts::read(&mut reader),
            usage_alert_percent: reader.small_number("USAGE_ALERT_PERCENT", DEFAULT_USAGE_ALERT_PERCENT, 100),
        };
        // Another server may do without a key.
        let named_by = [
            ("IMAGE_PROVIDER", config.providers.contains(&ProviderName::OpenAi)),
            ("EDIT_PROVIDER", config.jobs.editor == EditorName::OpenAi),
            ("VISION_PROVIDER", config.vision.provider == VisionName::OpenAi),
        ];
        let named_by = named_by.into_iter().find(|(_, is_openai)| *is_openai).map(|(variable, _)| variable);
        if let Some(variable) = named_by.filter(|_| config.openai_base_url.is_none())
            && reader.text("OPENAI_API_KEY").is_none()
        {
            reader.problem("OPENAI_API_KEY", format!("must be set when {variable} names openai"));
        }
        (config, reader.problems)
    }

    /// What the URLs start with that rows of an application get; `None` where nothing says it and a request's own address has to do.
    #[must_use]
    pub fn public_base(&self) -> Option<PublicBase> {
        let bucket = self.r2_public_url.clone().map(PublicBase::Bucket);
        bucket.or_else(|| self.public_origin.clone().map(PublicBase::Worker))
    }
}

fn migration_sources<Lookup: Fn(&str) -> Option<String>>(reader: &mut Reader<Lookup>) -> Vec<ConfiguredSource> {
    const VARIABLE: &str = "MIGRATION_SOURCES";
    let Some(text) = reader.text(VARIABLE) else { return Vec::new() };
    let sources = ConfiguredSource::parse_list(&text).unwrap_or_else(|InvalidSource { rule, given }| {
        reader.problems.push(ConfigProblem { variable: VARIABLE, rule, given });
        Vec::new()
    });
    sources.into_iter().map(|source| with_secrets(reader, source)).collect()
}

/// A bucket gets its access key.
fn with_secrets<Lookup: Fn(&str) -> Option<String>>(
    reader: &Reader<Lookup>,
    source: ConfiguredSource,
) -> ConfiguredSource {
    let ConfiguredSource::Bucket(bucket) = source else { return source };
    let credentials = match bucket.secrets().map(|name| reader.text(&name)) {
        [Some(id), Some(key)] => Some(Credentials::new(id, key)),
        // The source is unusable until both are set, and says so.
        _ => None,
    };
    ConfiguredSource::Bucket(bucket.with_credentials(credentials))
}

/// A token that goes into a header.
fn discord_bot_token<Lookup: Fn(&str) -> Option<String>>(reader: &mut Reader<Lookup>) -> Option<Secret> {
    const VARIABLE: &str = "DISCORD_BOT_TOKEN";
    let token = reader.text(VARIABLE)?;
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(Secret::new(token));
    }
    reader.problem(VARIABLE, "must be printable ASCII characters without spaces, and without the word Bot in front");
    None
}

/// An `https` URL of a host and perhaps a path, without a trailing slash.
fn public_url(text: &str) -> Result<String, InvalidParameter> {
    let refusal = || InvalidParameter("must be an https:// URL without user, query and fragment".to_owned());
    let url = text.trim_end_matches('/');
    BaseUrl::parse(url).map_err(|_| refusal())?;
    if url.starts_with("https://") { Ok(url.to_owned()) } else { Err(refusal()) }
}

/// An `https` URL of a host and nothing else, without a trailing slash; of this machine also an `http` one.
fn public_origin(text: &str) -> Result<String, InvalidParameter> {
    let refusal = || InvalidParameter("must be an https:// URL of a host and nothing else".to_owned());
    let origin = text.trim_end_matches('/');
    if is_own_machine(origin) {
        return Ok(origin.to_owned());
    }
    let origin = public_url(origin).map_err(|_| refusal())?;
    if origin["https://".len()..].contains('/') { Err(refusal()) } else { Ok(origin) }
}

fn is_own_machine(origin: &str) -> bool {
    let Some(authority) = origin.strip_prefix("http://") else { return false };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    is_loopback(host) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> (Config, Vec<&'static str>) {
        let (config, problems) = Config::parse(|name| {
            pairs.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        });
        (config, problems.into_iter().map(|problem| problem.variable).collect())
    }

    #[test]
    fn nothing_set_is_closed_embedded_and_placeholder() {
        let (config, problems) = parse(&[]);
        assert!(problems.is_empty());
        assert!(!config.r2_enabled && !config.access.allow_unauthenticated);
        assert_eq!(config.access.api_token, GivenSecret::Unset);
        assert_eq!(config.providers, [ProviderName::Placeholder]);
        assert_eq!(config.migration_batch_size, 10);
    }

    #[test]
    fn only_the_word_true_enables_r2() {
        for (value, enabled) in [("true", true), (" true ", true), ("TRUE", false), ("1", false), ("", false)] {
            assert_eq!(parse(&[("ENABLE_R2_STORAGE", value)]).0.r2_enabled, enabled, "{value}");
        }
    }

    #[test]
    fn every_problem_is_reported_at_once_by_name() {
        let (config, problems) = parse(&[
            ("IMAGE_PROVIDER", "dalle"),
            ("R2_PUBLIC_URL", "http://cdn.example.com"),
            ("MIGRATION_BATCH_SIZE", "0"),
            ("PROVIDER_TIMEOUT_MS", "soon"),
            ("API_TOKEN_PREVIOUS", "an old one that is a secret still"),
        ]);
        assert_eq!(
            problems,
            ["R2_PUBLIC_URL", "MIGRATION_BATCH_SIZE", "IMAGE_PROVIDER", "PROVIDER_TIMEOUT_MS", "API_TOKEN"]
        );
        assert_eq!(config.r2_public_url, None);
        assert_eq!(config.migration_batch_size, 10);
    }

    #[test]
    fn the_public_url_is_https_and_loses_its_trailing_slash() {
        let (config, problems) = parse(&[("R2_PUBLIC_URL", "https://cdn.example.com/")]);
        assert!(problems.is_empty());
        assert_eq!(config.r2_public_url.as_deref(), Some("https://cdn.example.com"));
        for url in ["http://cdn.example.com", "https://", "https://user@host", "ftp://x", "https://a?b", "https://a b"]
        {
            assert_eq!(parse(&[("R2_PUBLIC_URL", url)]).1, ["R2_PUBLIC_URL"], "{url}");
        }
    }

    #[test]
    fn the_public_origin_is_an_https_host_and_nothing_else() {
        let (config, problems) = parse(&[("PUBLIC_ORIGIN", "https://images.example.com:8443/")]);
        assert!(problems.is_empty());
        assert_eq!(config.public_origin.as_deref(), Some("https://images.example.com:8443"));
        for url in ["http://localhost:8787", "http://127.0.0.1", "http://[::1]:8787"] {
            assert_eq!(parse(&[("PUBLIC_ORIGIN", url)]).0.public_origin.as_deref(), Some(url));
        }
        for url in [
            "http://images.example.com",
            "https://a.example/images",
            "images.example.com",
            "https://",
            "http://localhost:8787/images",
            "http://localhost.example",
        ] {
            assert_eq!(parse(&[("PUBLIC_ORIGIN", url)]).1, ["PUBLIC_ORIGIN"], "{url}");
        }
    }

    #[test]
    fn openai_itself_wants_a_key_and_other_servers_may_not() {
        let openai = ("IMAGE_PROVIDER", "openai,placeholder");
        assert_eq!(parse(&[openai]).1, ["OPENAI_API_KEY"]);
        assert_eq!(parse(&[("EDIT_PROVIDER", "openai")]).1, ["OPENAI_API_KEY"]);
        assert!(parse(&[openai, ("OPENAI_API_KEY", "sk-1")]).1.is_empty());
        assert!(parse(&[openai, ("OPENAI_BASE_URL", "http://127.0.0.1:9090/v1")]).1.is_empty());
    }

    #[test]
    fn secrets_have_no_text_form() {
        let (config, _) =
            parse(&[("API_TOKEN", "hunter2 and 25 further characters"), ("OPENAI_API_KEY", "sk-hunter2")]);
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
