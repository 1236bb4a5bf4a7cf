//! A variant of an image: what was kept of it, or what is made now.

use super::answer::{Decision, decide, head, open_problem, read_request, serve, with_validators};
use crate::api::{Code, Exchange, Method, Principal, Problem, Request, Response};
use crate::bytes::Blob;
use crate::catalog::{ServableImage, Serving, StoredVariant, VariantName, VariantState};
use crate::image::{Format, ImageId, VariantForm, Visibility};
use crate::library::OpenError;
use crate::variants::{Asked, InvalidQuery, Maker, Outcome, Refusal, VariantError};

/// Says that the variant shows the first frame of an animation.
const FRAME: &str = "X-Variant-Frame";
/// Says why the image itself is the answer.
const FELL_BACK: &str = "X-Variant-Fallback";
/// What stands in for a variant may be another thing tomorrow.
const FALLBACK_CACHE_CONTROL: &str = "public, max-age=3600";
/// How often a variant is made anew whose bytes are not what its row says.
const MAX_TRIES: usize = 3;

/// A variant on its way into an answer.
struct Variant {
    stored: StoredVariant,
    bytes: Option<Blob>,
}

pub async fn handle(
    exchange: &Exchange<'_>,
    request: &Request,
    id: ImageId,
    asked: &Asked,
) -> Result<Response, Problem> {
    let settings = &exchange.services.config.variants;
    let is_signed =
        matches!(&exchange.caller.principal, Principal::Holder(grant) if grant.image == id && grant.names_variant);
    let form = settings
        .policy
        .admit(asked, takes_webp(request), is_signed)
        .map_err(|InvalidQuery { field, rule }| Problem::field(field, rule))?;
    let varies = settings.policy.varies(asked);
    let reader = exchange.caller.owner_filter();
    let is_plain = read_request(request).is_plain_get();
    let name = VariantName { image_id: id, form: &form };
    let (serving, state, bytes) = exchange.library.catalog.find_variant(name, &reader, is_plain).await?;
    let image = match serving {
        Serving::Found(image) => image,
        Serving::Gone => return Err(Problem::plain(Code::ImageDeleted)),
        Serving::Unknown => return Err(Problem::plain(Code::ImageNotFound)),
        Serving::Unasked => return Err(Problem::plain(Code::Busy)),
    };
    match image.visibility {
        Visibility::Private => exchange.caller.require_reader_of(id)?,
        // One URL, so that caches keep one answer; but for a variant that nothing but its signature admits.
        Visibility::Public if !is_signed && carries_signature(request)? => return bare_url(request, id),
        Visibility::Public => {}
    }
    let answer = match answer(exchange, request, &image, &form, state, bytes).await {
        Err(problem) if asked.falls_back => fall_back(exchange, request, image, problem).await,
        other => other,
    };
    answer.map(|mut response| {
        if varies {
            response.set_header("Vary", "Accept");
        }
        response
    })
}

/// Answers with the variant of an image that the caller may read.
async fn answer(
    exchange: &Exchange<'_>,
    request: &Request,
    image: &ServableImage,
    form: &VariantForm,
    mut state: VariantState,
    mut bytes: Option<Blob>,
) -> Result<Response, Problem> {
    let settings = &exchange.services.config.variants;
    let maker = Maker {
        library: exchange.library,
        codecs: &*exchange.services.codecs,
        max_pixels: settings.max_pixels,
        most: settings.most,
    };
    for _ in 0..MAX_TRIES {
        let variant = match state {
            VariantState::Stored(stored) => Variant { stored, bytes: bytes.take() },
            state => {
                let Outcome { variant, bytes } =
                    maker.variant(image, form, state).await.map_err(|error| problem(error, image))?;
                Variant { stored: variant, bytes }
            }
        };
        if let Some(response) = send(exchange, request, image, &variant).await? {
            return Ok(response);
        }
        // Its bytes are gone, or others: it is made anew.
        let name = VariantName { image_id: image.id, form };
        exchange.library.catalog.give_up_variant(name, &variant.stored, exchange.services.runtime.now()).await?;
        state = VariantState::Unknown;
    }
    Err(open_problem(OpenError::Missing))
}

/// The answer, or `None` when the bytes are not there.
async fn send(
    exchange: &Exchange<'_>,
    request: &Request,
    image: &ServableImage,
    variant: &Variant,
) -> Result<Option<Response>, Problem> {
    let Variant { stored, bytes } = variant;
    let shown = as_image(image, stored);
    let part = match decide(request, &shown)? {
        Decision::NotModified => return Ok(Some(with_frame(with_validators(Response::empty(304), &shown), stored))),
        Decision::Send(part) => part,
    };
    let mut response = with_frame(head(&shown, part), stored);
    if request.method == Method::Head {
        return Ok(Some(response));
    }
    response.body = Some(match (bytes, part) {
        (Some(bytes), None) => bytes.clone().into(),
        (Some(bytes), Some(part)) => {
            // Both are within a blob that is in memory.
            let place = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
            bytes.slice(place(part.offset_bytes)..place(part.offset_bytes + part.length_bytes)).into()
        }
        (None, part) => match exchange.library.open_variant(image.id, stored, part).await.map_err(open_problem)? {
            Some(body) => body,
            None => return Ok(None),
        },
    });
    Ok(Some(response))
}

/// The image with the bytes of a variant.
fn as_image(image: &ServableImage, variant: &StoredVariant) -> ServableImage {
    ServableImage {
        storage: variant.storage,
        key: variant.key.clone(),
        format: variant.format,
        size_bytes: variant.size_bytes,
        sha256: variant.sha256,
        created_at: variant.created_at,
        filename: image.filename.as_deref().map(|filename| renamed(filename, variant.format)),
        ..image.clone()
    }
}

/// A file name with the extension of another format.
fn renamed(filename: &str, format: Format) -> String {
    let stem = filename.rsplit_once('.').map_or(filename, |(stem, _)| stem);
    format!("{stem}.{}", format.extension())
}

fn with_frame(mut response: Response, variant: &StoredVariant) -> Response {
    if variant.is_of_animation {
        response.set_header(FRAME, "first");
    }
    response
}

/// Answers with the image itself, where it cannot become the variant.
async fn fall_back(
    exchange: &Exchange<'_>,
    request: &Request,
    image: ServableImage,
    problem: Problem,
) -> Result<Response, Problem> {
    let is_of_image = matches!(
        problem.code,
        Code::VariantUnsupported | Code::VariantImpossible | Code::VariantTooLarge | Code::VariantLimit
    );
    if !is_of_image {
        return Err(problem);
    }
    let is_public = image.visibility == Visibility::Public;
    let mut response = serve(exchange, request, image, None).await?;
    response.set_header(FELL_BACK, problem.code.as_str());
    if is_public {
        response.set_header("Cache-Control", FALLBACK_CACHE_CONTROL);
    }
    Ok(response)
}

fn problem(error: VariantError, image: &ServableImage) -> Problem {
    match error {
        VariantError::Refused(Refusal::Unsupported) => {
            Problem::new(Code::VariantUnsupported, format!("{} is not decoded", image.format.content_type()))
        }
        VariantError::Refused(Refusal::Impossible) => Problem::plain(Code::VariantImpossible),
        VariantError::Refused(Refusal::TooLarge) => Problem::plain(Code::VariantTooLarge),
        VariantError::LimitReached => Problem::plain(Code::VariantLimit),
        VariantError::Busy => Problem::plain(Code::Busy),
        VariantError::Unavailable(cause) => Problem::plain(Code::Busy).because(&cause),
        VariantError::Open(error) => open_problem(error),
        VariantError::Catalog(error) => error.into(),
    }
}

/// Whether the client says that it takes WebP. That it takes anything is no word about WebP.
fn takes_webp(request: &Request) -> bool {
    let accept = request.header("accept").unwrap_or_default();
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_webp = parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case("image/webp"));
        let is_refused =
            parts.any(|part| matches!(part.to_ascii_lowercase().as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        is_webp && !is_refused
    })
}

/// Whether a parameter is of a signature, and not of the variant.
fn is_of_signature(name: &str) -> bool {
    matches!(name, "expires" | "signature")
}

fn carries_signature(request: &Request) -> Result<bool, Problem> {
    Ok(request.query_pairs()?.iter().any(|(name, _)| is_of_signature(name)))
}

/// The variant of a public image, which needs no signature.
fn bare_url(request: &Request, id: ImageId) -> Result<Response, Problem> {
    let pairs = request.query_pairs()?.into_iter().filter(|(name, _)| !is_of_signature(name));
    // Names and values of a variant are letters, digits and what stands for itself in a query.
    let query: Vec<String> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
    let mut response = Response::empty(302);
    response.set_header("Location", format!("/images/{id}?{}", query.join("&")));
    response.set_header("Cache-Control", "no-store");
    Ok(response)
}
