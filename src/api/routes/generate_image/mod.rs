//! `POST /api/generate-image`: a prompt becomes a stored image.

mod answer;
mod input;
mod made;

#[cfg(test)]
use serde_json::json;

#[cfg(test)]
pub use self::answer::OneOfThem;
use self::answer::{generate_answer, partly_made};
use self::input::GenerateInput;
use self::made::Made;
use super::upload_image::add_problem;
#[cfg(test)]
use crate::api::openapi::{
    ADDITION, BODY, DATABASE, JSON, OF_AN_IMAGE, Operation, Schemas, json_body, links, parameter,
};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::catalog::{Claim, IdempotencyKey, ImageRecord, Lease};
use crate::generate::{AllFailed, GenerateError, GenerateRequest, Generation, MAX_GENERATED_BYTES};
use crate::image::{ImageId, Labels};
use crate::library::{Measured, NewImage, Source};
use crate::runtime::Timestamp;
use crate::telemetry::Event;

/// What a generation may take beyond its providers and stores, in milliseconds, before another request may take over.
const LEASE_MARGIN_MS: u64 = 60_000;
/// How long a second request with a key is told to wait at most: the first usually ends long before its lease.
const MAX_RETRY_AFTER_SECONDS: u64 = 5;

/// The identity that an image has before it exists.
struct Claimed {
    id: Option<ImageId>,
    created_at: Timestamp,
    claim: Option<(IdempotencyKey, Lease)>,
}

/// Generates and keeps images, one after the other, so that memory holds one at a time:
///
/// 1. check every field;
/// 2. make or find each image, by [`make_image`];
/// 3. when one fails, stop: the answer is its problem, and names the images that are there.
pub async fn handle(exchange: &Exchange<'_>, mut request: Request) -> Result<Response, Problem> {
    let input = GenerateInput::try_from(request.json_object().await?.read::<input::Input>()?)?;
    let key = idempotency_key(&request)?.map(|key| key.of_caller(exchange.caller.principal.owner()));

    let mut images: Vec<Made> = Vec::new();
    for variation in 0..input.count {
        // The keys of the others hang on the first image, hence are new when its key is: no answer mixes two requests' images.
        let key = match images.first() {
            Some(first) => key.map(|key| key.of_further_image(first.record.description.id, variation)),
            None => key,
        };
        match make_image(exchange, &input, variation, key).await {
            Ok(image) => images.push(image),
            Err(problem) => {
                return Err(partly_made(exchange, problem, &images, &input, key.is_some(), &request.origin));
            }
        }
    }
    generate_answer(exchange, &images, &request.origin)
}

/// Makes an image, or finds the one that an earlier request with the key made:
///
/// 1. claim the idempotency key, if there is one: a finished claim is answered with its image, at no cost;
/// 2. take a share of memory, and ask the providers in order;
/// 3. add the image, which completes the key; a failure gives the key back, so that the caller may try again at once.
async fn make_image(
    exchange: &Exchange<'_>,
    input: &GenerateInput,
    variation: u8,
    key: Option<IdempotencyKey>,
) -> Result<Made, Problem> {
    let claimed = match key {
        None => Claimed { id: None, created_at: exchange.library.runtime.now(), claim: None },
        Some(key) => match claim(exchange, key, input).await? {
            Ok(claimed) => claimed,
            Err(record) => return Ok(Made { record, replayed: true }),
        },
    };
    let claim = claimed.claim;
    match within_limits(exchange, input, variation, claimed).await {
        Ok(record) => Ok(Made { record, replayed: false }),
        Err(problem) => {
            if let Some((key, lease)) = claim {
                // Best effort: a claim that stays is free again when its lease ends.
                let _ = exchange.library.catalog.release(&key, &lease).await;
            }
            Err(problem)
        }
    }
}

/// Claims the key, or finds the image that an earlier request with it made.
async fn claim(
    exchange: &Exchange<'_>,
    key: IdempotencyKey,
    input: &GenerateInput,
) -> Result<Result<Claimed, ImageRecord>, Problem> {
    let catalog = &exchange.library.catalog;
    let runtime = &exchange.library.runtime;
    let new_id = ImageId::from_random_bytes(runtime.random_bytes());
    let claim = || catalog.claim(&key, input.digest(), new_id, runtime.now(), lease_ms(exchange));
    // Once more after a failure: the claim may be ours already, and would keep the caller out until its lease ends.
    let claimed = match claim().await {
        Err(_) => claim().await?,
        Ok(claimed) => claimed,
    };
    match claimed {
        Claim::Claimed(lease) => {
            Ok(Ok(Claimed { id: Some(lease.image_id), created_at: lease.created_at, claim: Some((key, lease)) }))
        }
        Claim::InProgress { retry_after_ms } => Err(Problem::plain(Code::IdempotencyInProgress)
            .with_header("Retry-After", retry_after_ms.div_ceil(1000).clamp(1, MAX_RETRY_AFTER_SECONDS).to_string())),
        Claim::BodyMismatch => Err(Problem::plain(Code::IdempotencyKeyReused)),
        Claim::CompletedThenDeleted { .. } => Err(Problem::plain(Code::ImageDeleted)),
        Claim::Completed { image_id } => match catalog.find_stored(image_id).await? {
            Some(record) => Ok(Err(record)),
            None => Err(Problem::plain(Code::ImageDeleted)),
        },
    }
}

fn lease_ms(exchange: &Exchange<'_>) -> u32 {
    let config = &exchange.services.config;
    let providers = config.providers.len() as u64;
    let lease_ms = providers * config.provider_timeout_ms + 2 * config.store_timeout_ms + LEASE_MARGIN_MS;
    u32::try_from(lease_ms).unwrap_or(u32::MAX)
}

/// Counts the image for its owner before a provider is paid for it, and gives that back when it was not made.
async fn within_limits(
    exchange: &Exchange<'_>,
    input: &GenerateInput,
    variation: u8,
    mut claimed: Claimed,
) -> Result<ImageRecord, Problem> {
    let Exchange { library, .. } = exchange;
    let Some(owner) = library.catalog.limited(exchange.caller.principal.owner()) else {
        return generate_and_add(exchange, input, variation, claimed).await;
    };
    let id = claimed.id.unwrap_or_else(|| ImageId::from_random_bytes(library.runtime.random_bytes()));
    claimed.id = Some(id);
    library.catalog.claim_generation(owner, id, library.runtime.now()).await??;
    let added = generate_and_add(exchange, input, variation, claimed).await;
    if added.is_err() {
        // Best effort: the sweep gives back what stays.
        let _ = library.catalog.release_usage(id).await;
    }
    added
}

async fn generate_and_add(
    exchange: &Exchange<'_>,
    input: &GenerateInput,
    variation: u8,
    claimed: Claimed,
) -> Result<ImageRecord, Problem> {
    let started_at = exchange.library.runtime.now();
    let request = GenerateRequest { variation, ..input.request.clone() };
    let budget = &exchange.library.budget;
    let memory = budget
        .take_for_generation(
            request.prompt.as_str().len(),
            lease_ms(exchange).into(),
            exchange.library.runtime.as_ref(),
        )
        .ok_or_else(|| Problem::plain(Code::Busy))?;
    let outcome = exchange.services.generators.generate(&request, &memory).await;
    record_generation(exchange, &outcome, exchange.library.runtime.now().millis_since(started_at));
    let generation = outcome.map_err(|failure| generation_problem(&failure))?;
    let record = generation.record(&request);
    let file = generation.image.file;
    let image = NewImage {
        id: claimed.id,
        created_at: claimed.created_at,
        owner_id: exchange.caller.principal.owner().cloned(),
        format: file.format(),
        dimensions: Measured::Known(file.geometry()),
        body: file.into_bytes().into(),
        sha256: None,
        source: Source::Generated(record.into()),
        visibility: input.visibility,
        associations: input.associations.clone(),
        labels: Labels::default(),
        prompt_in_metadata: exchange.services.config.store_prompt_metadata,
        idempotency: claimed.claim.map(|(key, _)| key),
    };
    let added = exchange.library.add(image).await;
    drop(memory);
    added.map_err(|error| add_problem(error, MAX_GENERATED_BYTES))
}

fn record_generation(exchange: &Exchange<'_>, outcome: &Result<Generation, AllFailed>, duration_ms: u64) {
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
    exchange.library.recorder.record(&event);
}

/// The problem that a generation that failed makes.
fn generation_problem(failure: &AllFailed) -> Problem {
    let code = match failure.error {
        GenerateError::Timeout => Code::ProviderTimeout,
        GenerateError::Unavailable { .. } => Code::ProviderUnavailable,
        GenerateError::RateLimited { .. } => Code::ProviderRateLimited,
        GenerateError::Moderation | GenerateError::PromptRefused => Code::PromptRefused,
        GenerateError::PromptTooLong { limit_characters } => {
            let rule = match limit_characters {
                Some(limit) => format!("must be at most {limit} characters for this provider"),
                None => "is too long for this provider".to_owned(),
            };
            return Problem::field("prompt", format!("{rule}; shorten it, or name another provider in IMAGE_PROVIDER"))
                .because(failure);
        }
        GenerateError::Unsupported { field } => {
            let rule = "asks for what no configured provider has; leave it out, ask for something else, or name a provider \
                        that has it in IMAGE_PROVIDER";
            return Problem::field(field.as_str(), rule).because(failure);
        }
        GenerateError::QuotaExhausted
        | GenerateError::Unauthorized { .. }
        | GenerateError::ModelNotFound
        | GenerateError::OriginalRefused(_)
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

/// The `Idempotency-Key` of a request.
pub(super) fn idempotency_key(request: &Request) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = request.header("idempotency-key") else { return Ok(None) };
    let key =
        value.parse().map_err(|_| Problem::field("Idempotency-Key", "must be 1 to 255 visible ASCII characters"))?;
    Ok(Some(key))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let mut generated = crate::api::openapi::answer("The image is stored.", JSON, &schemas.answer::<answer::Answer>());
    generated["headers"]["Idempotency-Replayed"] = json!({ "schema": { "const": "true" } });
    generated["links"] = links(&OF_AN_IMAGE, "$response.body#/image/id");
    let key = json!({ "type": "string", "pattern": "^[!-~]{1,255}$" });
    let own = [
        Code::IdempotencyInProgress,
        Code::IdempotencyKeyReused,
        Code::ImageDeleted,
        Code::PromptRefused,
        Code::GenerationLimitReached,
        Code::ProviderRateLimited,
        Code::ProviderUnavailable,
        Code::ProviderRejected,
        Code::ProviderAnswerEmpty,
        Code::ProviderImageInvalid,
        Code::ProviderTimeout,
        Code::Busy,
        Code::StorageUnavailable,
    ];
    Operation {
        summary: "Generates an image from a prompt and stores it",
        parameters: vec![parameter("header", "Idempotency-Key", &key, "Makes a retry safe for 24 hours.")],
        body: Some(json_body(&schemas.request::<input::Input>())),
        answers: vec![(200, generated)],
        codes: [&BODY[..], &own, &ADDITION, &DATABASE].concat(),
    }
}
