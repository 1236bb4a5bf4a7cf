//! `POST /api/generate-image`: a prompt becomes a stored image.

use super::request::JsonObject;
use super::upload::add_problem;
use super::{Code, Exchange, Problem, Request, Response};
use crate::catalog::{Associations, Claim, IdempotencyKey, ImageRecord, Lease};
use crate::generate::{
    AllFailed, GenerateError, GenerateRequest, Generation, InvalidParameter, MAX_GENERATED_BYTES, Prompt, Quality,
    Size, Style,
};
use crate::image::{ImageId, Labels, Sha256Digest, Visibility};
use crate::library::{Measured, NewImage, Source};
use crate::runtime::Timestamp;
use crate::telemetry::Event;

/// Longest id of a persona, session, participant or table, in bytes: an id, not a text.
pub(super) const MAX_ASSOCIATION_BYTES: usize = 200;
/// What a generation may take beyond its providers and stores, in milliseconds, before another request may take over.
const LEASE_MARGIN_MS: u64 = 60_000;
/// How long a second request with a key is told to wait at most: the first usually ends long before its lease.
const MAX_RETRY_AFTER_SECONDS: u64 = 5;

/// A generate request, checked.
#[derive(Debug)]
struct GenerateInput {
    request: GenerateRequest,
    associations: Associations,
    visibility: Visibility,
}

/// The identity that an image has before it exists.
struct Claimed {
    id: Option<ImageId>,
    created_at: Timestamp,
    claim: Option<(IdempotencyKey, Lease)>,
}

impl Exchange<'_> {
    /// Generates and keeps an image:
    ///
    /// 1. check every field;
    /// 2. claim the idempotency key, if there is one: a finished claim is answered with its image, at no cost;
    /// 3. ask the providers in order;
    /// 4. add the image, which completes the key; a failure gives the key back, so that the caller may try again at once.
    pub(super) async fn generate_image(&self, mut request: Request) -> Result<Response, Problem> {
        let fields = request.json_object().await?;
        let input = parse_input(&fields)?;
        let key = idempotency_key(&request)?;

        let claimed = match key {
            None => Claimed { id: None, created_at: self.library.runtime.now(), claim: None },
            Some(key) => match self.claim(key, &input).await? {
                Ok(claimed) => claimed,
                Err(record) => return self.generate_answer(&record, &request.origin, true),
            },
        };
        let claim = claimed.claim;
        match self.generate_and_add(input, claimed).await {
            Ok(record) => self.generate_answer(&record, &request.origin, false),
            Err(problem) => {
                if let Some((key, lease)) = claim {
                    // Best effort: a claim that stays is free again when its lease ends.
                    let _ = self.library.catalog.release(&key, &lease).await;
                }
                Err(problem)
            }
        }
    }

    /// Claims the key, or finds the image that an earlier request with it made.
    async fn claim(&self, key: IdempotencyKey, input: &GenerateInput) -> Result<Result<Claimed, ImageRecord>, Problem> {
        let catalog = &self.library.catalog;
        let runtime = &self.library.runtime;
        let new_id = ImageId::from_random_bytes(runtime.random_bytes());
        let claim = || catalog.claim(&key, input.digest(), new_id, runtime.now(), self.lease_ms());
        // Once more after a failure: the claim may be ours already, and would keep the caller out until its lease ends.
        let claimed = match claim().await {
            Err(_) => claim().await?,
            Ok(claimed) => claimed,
        };
        match claimed {
            Claim::Claimed(lease) => {
                Ok(Ok(Claimed { id: Some(lease.image_id), created_at: lease.created_at, claim: Some((key, lease)) }))
            }
            Claim::InProgress { retry_after_ms } => Err(Problem::plain(Code::IdempotencyInProgress).with_header(
                "Retry-After",
                retry_after_ms.div_ceil(1000).clamp(1, MAX_RETRY_AFTER_SECONDS).to_string(),
            )),
            Claim::BodyMismatch => Err(Problem::plain(Code::IdempotencyKeyReused)),
            Claim::CompletedThenDeleted { .. } => Err(Problem::plain(Code::ImageDeleted)),
            Claim::Completed { image_id } => match catalog.find_stored(image_id).await? {
                Some(record) => Ok(Err(record)),
                None => Err(Problem::plain(Code::ImageDeleted)),
            },
        }
    }

    fn lease_ms(&self) -> u32 {
        let config = &self.app.config;
        let providers = config.providers.len() as u64;
        let lease_ms = providers * config.provider_timeout_ms + 2 * config.store_timeout_ms + LEASE_MARGIN_MS;
        u32::try_from(lease_ms).unwrap_or(u32::MAX)
    }

    async fn generate_and_add(&self, input: GenerateInput, claimed: Claimed) -> Result<ImageRecord, Problem> {
        let started_at = self.library.runtime.now();
        let outcome = self.app.generators.generate(&input.request).await;
        self.record_generation(&outcome, self.library.runtime.now().millis_since(started_at));
        let generation = outcome.map_err(|failure| generation_problem(&failure))?;
        let record = generation.record(&input.request);
        let file = generation.image.file;
        let image = NewImage {
            id: claimed.id,
            created_at: claimed.created_at,
            format: file.format(),
            dimensions: Measured::Known(file.dimensions()),
            body: file.into_bytes().into(),
            sha256: None,
            source: Source::Generated(record),
            visibility: input.visibility,
            associations: input.associations,
            labels: Labels::default(),
            prompt_in_metadata: self.app.config.store_prompt_metadata,
            idempotency: claimed.claim.map(|(key, _)| key),
        };
        self.library.add(image).await.map_err(|error| add_problem(error, MAX_GENERATED_BYTES))
    }

    fn record_generation(&self, outcome: &Result<Generation, AllFailed>, duration_ms: u64) {
        let event = match outcome {
            Ok(generation) => Event::Generation {
                provider: generation.provider,
                outcome: "ok",
                duration_ms,
                total_tokens: generation.image.total_tokens,
                failed_providers: generation.failed_providers.clone(),
            },
            Err(failure) => Event::Generation {
                provider: failure.provider,
                outcome: failure.error.reason(),
                duration_ms,
                total_tokens: None,
                failed_providers: failure.failed_providers.clone(),
            },
        };
        self.library.recorder.record(&event);
    }
}

/// The problem that a generation that failed makes.
fn generation_problem(failure: &AllFailed) -> Problem {
    let code = match failure.error {
        GenerateError::Timeout => Code::ProviderTimeout,
        GenerateError::Unavailable { .. } => Code::ProviderUnavailable,
        GenerateError::RateLimited { .. } => Code::ProviderRateLimited,
        GenerateError::Moderation | GenerateError::PromptRefused => Code::PromptRefused,
        GenerateError::PromptTooLong { limit_characters } => {
            return Problem::field(
                "prompt",
                format!("must be at most {limit_characters} characters for this provider"),
            );
        }
        GenerateError::QuotaExhausted
        | GenerateError::Unauthorized { .. }
        | GenerateError::ModelNotFound
        | GenerateError::RequestRefused { .. }
        | GenerateError::Misconfigured(_) => Code::ProviderRejected,
        GenerateError::EmptyAnswer | GenerateError::UnreadableAnswer => Code::ProviderAnswerEmpty,
        GenerateError::NotAnImage | GenerateError::Truncated | GenerateError::TooLarge { .. } => {
            Code::ProviderImageInvalid
        }
    };
    let problem = Problem::new(code, failure.to_string()).because(failure);
    match failure.error {
        GenerateError::RateLimited { retry_after_ms } => {
            problem.with_header("Retry-After", retry_after_ms.unwrap_or(30_000).div_ceil(1000).to_string())
        }
        GenerateError::Timeout | GenerateError::Unavailable { .. } => problem.with_header("Retry-After", "30"),
        _ => problem,
    }
}

impl GenerateInput {
    /// A digest of everything that the request asks for, to tell whether a key is used for the same request again.
    fn digest(&self) -> Sha256Digest {
        let GenerateRequest { prompt, size, quality, style } = &self.request;
        let associations = &self.associations;
        let parts = [
            Some(prompt.as_str()),
            Some(size.as_str()),
            quality.map(Quality::as_str),
            style.map(Style::as_str),
            Some(self.visibility.as_str()),
            associations.persona_id.as_deref(),
            associations.session_id.as_deref(),
            associations.participant_id.as_deref(),
            associations.table_id.as_deref(),
        ];
        // Serialising strings cannot fail; JSON keeps the parts apart.
        Sha256Digest::of(&serde_json::to_vec(&parts).unwrap_or_default())
    }
}

fn parse_input(fields: &JsonObject) -> Result<GenerateInput, Problem> {
    let required = |field: &'static str| fields.text(field)?.ok_or_else(|| Problem::field(field, "is required"));
    let refuse = |field: &'static str| move |InvalidParameter(rule): InvalidParameter| Problem::field(field, rule);
    let prompt = Prompt::parse(required("prompt")?).map_err(refuse("prompt"))?;
    let persona_id = association("personaId", required("personaId")?)?;
    let optional = |field: &'static str| fields.text(field)?.map(|value| association(field, value)).transpose();
    let request = GenerateRequest {
        prompt,
        size: fields.text("size")?.map_or(Ok(Size::default()), Size::parse).map_err(refuse("size"))?,
        quality: fields.text("quality")?.map(Quality::parse).transpose().map_err(refuse("quality"))?,
        style: fields.text("style")?.map(Style::parse).transpose().map_err(refuse("style"))?,
    };
    Ok(GenerateInput {
        request,
        associations: Associations {
            persona_id: Some(persona_id),
            session_id: optional("sessionId")?,
            participant_id: optional("participantId")?,
            table_id: optional("tableId")?,
        },
        visibility: fields
            .text("visibility")?
            .map_or(Some(Visibility::Public), Visibility::from_text)
            .ok_or_else(|| Problem::field("visibility", "must be public or private"))?,
    })
}

/// An id of the caller's own.
pub(super) fn association(field: &'static str, value: &str) -> Result<String, Problem> {
    if value.trim().is_empty() || value.len() > MAX_ASSOCIATION_BYTES || value.chars().any(char::is_control) {
        return Err(Problem::field(
            field,
            format!("must be 1 to {MAX_ASSOCIATION_BYTES} bytes, not blank, without control characters"),
        ));
    }
    Ok(value.to_owned())
}

fn idempotency_key(request: &Request) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = request.header("idempotency-key") else { return Ok(None) };
    let key =
        value.parse().map_err(|_| Problem::field("Idempotency-Key", "must be 1 to 255 visible ASCII characters"))?;
    Ok(Some(key))
}
