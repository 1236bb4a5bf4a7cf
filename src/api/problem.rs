//! Errors as callers see them: RFC 9457 problem documents with a stable code, and an inside message for the log.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

use super::response::Response;
use crate::bytes::BodyError;
use crate::catalog::{CatalogError, Limit, LimitReached};
use crate::multipart::FormError;
use crate::sql::{DatabaseError, DatabaseErrorKind};

/// How long to wait, in seconds, before trying again when a service is down.
const RETRY_AFTER_SECONDS: &str = "5";

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:literal $code:literal $title:literal => $remedy:literal;)+) => {
        /// Every code that an error can carry. Codes are stable: clients branch on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code as text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The HTTP status; never 2xx.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// What went wrong, the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// What to do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)+ }
            }
        }
    };
}

codes! {
    /// A field breaks a rule; `field` names it.
    InvalidField = 400 "invalid-field" "A field is missing or breaks a rule" => "Correct the field named in `field` and send the request again.";
    /// The body is not a JSON object.
    InvalidJson = 400 "invalid-json" "The body is not a JSON object" => "Send one JSON object as the body.";
    /// The body is not a form.
    InvalidForm = 400 "invalid-form" "The body is not a form" => "Send multipart/form-data whose Content-Type names the boundary.";
    /// The body did not arrive whole.
    BodyInterrupted = 400 "body-interrupted" "The body did not arrive whole" => "Nothing was stored; send the request again.";
    /// No or wrong token.
    Unauthorized = 401 "unauthorized" "A valid token is required" => "Send `Authorization: Bearer` with API_TOKEN, or with a user's token that is valid.";
    /// A page of another site asks a Worker that needs no token.
    OriginNotLocal = 403 "origin-not-local" "Pages of other sites may not use a Worker that needs no token" => "Ask from a page on localhost, or set API_TOKEN and send it.";
    /// A user on a route of the operator's.
    Forbidden = 403 "forbidden" "The route is the operator's" => "Ask the operator of this deployment.";
    /// The signature of a URL does not fit.
    SignatureInvalid = 403 "signature-invalid" "The image is private" => "Ask the owner for a signed URL, or send the API token.";
    /// The signed URL is too old.
    SignatureExpired = 403 "signature-expired" "The signed URL has expired" => "Ask the owner for a new signed URL.";
    /// The signature of a request that sends an upload does not fit.
    UploadSignatureInvalid = 403 "upload-signature-invalid" "The request has no signature that fits it" => "Send the method, URL, headers and fields as presign answered them.";
    /// No such route.
    RouteNotFound = 404 "route-not-found" "There is no such route" => "See the API documentation for the routes.";
    /// No such image.
    ImageNotFound = 404 "image-not-found" "There is no image with this id" => "Check the id; GET /api/images lists the images.";
    /// The route exists, the method does not.
    MethodNotAllowed = 405 "method-not-allowed" "The route does not answer this method" => "Use one of the methods in the Allow header.";
    /// No such run.
    RunNotFound = 404 "run-not-found" "There is no run with this id" => "Check the id; GET /api/migrate-images shows the latest run.";
    /// No such shoot.
    ShootNotFound = 404 "shoot-not-found" "There is no shoot with this id" => "Check the id; GET /shoots lists the shoots.";
    /// No such upload.
    UploadNotFound = 404 "upload-not-found" "There is no upload with this id" => "Check asset_id and shoot_id, or presign the upload again.";
    /// No such session.
    SessionNotFound = 404 "session-not-found" "There is no session with this id" => "Check the id; its first frames, or POST /sessions, make a session.";
    /// No such frame.
    FrameNotFound = 404 "frame-not-found" "The session has no frame with this number" => "Check the number; GET /sessions/{id}/frames lists the frames.";
    /// Nobody has looked at it, or what was found went with a frame.
    AnalysisNotFound = 404 "analysis-not-found" "It has not been looked at" => "POST to describe or analyze it, and wait until that job is completed.";
    /// No such job.
    JobNotFound = 404 "job-not-found" "There is no job with this id" => "Check the id; GET /jobs lists the jobs.";
    /// No such batch.
    BatchNotFound = 404 "batch-not-found" "There is no batch with this id" => "Check the id; POST /shoots/{id}/jobs answers with it.";
    /// The receipt is written when the run ends.
    ReceiptNotReady = 404 "receipt-not-ready" "The run has no receipt yet" => "Ask again when the run has ended.";
    /// Another run changes the same source.
    RunInProgress = 409 "run-in-progress" "Another run is changing this source" => "Wait until the run named in `runId` has ended, or cancel it.";
    /// What is to be restored is something else, or not finished.
    NotABackup = 409 "not-a-backup" "The run is not a backup that has ended" => "Name a backup; wait until it has ended.";
    /// A run would write the address of the request into rows.
    PublicOriginMissing = 409 "public-origin-missing" "Rows would keep an http:// address" => "Set PUBLIC_ORIGIN, or send the request to the Worker's https:// address.";
    /// The run has ended.
    RunEnded = 409 "run-ended" "The run has ended" => "Begin a new run.";
    /// A source's configuration and the live schema contradict each other.
    SourceUnusable = 409 "source-unusable" "The source's table is not as it is configured" => "Correct the field named in `field` of the source in MIGRATION_SOURCES, or the table.";
    /// The application's row still names an image that was moved out of it.
    ImageInUse = 409 "image-in-use" "A row of the application still shows the image" => "Roll its move back, or delete with force=true.";
    /// An upload is confirmed before its bytes are there.
    UploadNotReceived = 409 "upload-not-received" "No bytes have arrived for the upload" => "Send the bytes, then confirm the upload.";
    /// A grant takes one object.
    UploadUsed = 409 "upload-used" "The upload has been used already" => "Presign another upload.";
    /// Another frame has the number.
    FrameTaken = 409 "frame-taken" "The session has another frame with this number" => "Use another number, or send the frame with replace=true.";
    /// An image has as many variants as it may.
    VariantLimit = 409 "variant-limit" "The image has as many variants as an image may have" => "Use one of the sizes that the image was asked for before, or ask the operator of this deployment.";
    /// Frames are being deleted.
    SessionBusy = 409 "session-busy" "Frames of the session are being deleted" => "Wait as long as Retry-After says, then send the frames again.";
    /// There is nothing to look at.
    SessionEmpty = 409 "session-empty" "The session has no frames" => "Add frames to the session.";
    /// A batch without jobs.
    ShootEmpty = 409 "shoot-empty" "The shoot has no asset that the editor takes" => "Add assets to the shoot, of a format that the editor takes.";
    /// More assets than a batch has jobs.
    ShootTooLarge = 409 "shoot-too-large" "The shoot has more assets than a batch may have jobs" => "Make jobs for single assets with POST /jobs.";
    /// A job that has ended cannot be cancelled.
    JobEnded = 409 "job-ended" "The job has ended" => "Nothing is left to cancel; GET /jobs/{id} says how it ended.";
    /// The same idempotency key is being worked on.
    IdempotencyInProgress = 409 "idempotency-in-progress" "A request with this Idempotency-Key is being worked on" => "Wait as long as Retry-After says, then send the same request again.";
    /// The image was deleted.
    ImageDeleted = 410 "image-deleted" "The image was deleted" => "Stop asking for it.";
    /// An upload is too late.
    UploadExpired = 410 "upload-expired" "The upload has expired, or was given up" => "Presign the upload again.";
    /// An unpromised body over the buffer's size.
    LengthRequired = 411 "length-required" "A Content-Length is required for a body of this size" => "Send the Content-Length header.";
    /// If-Match or If-Unmodified-Since does not hold.
    PreconditionFailed = 412 "precondition-failed" "A precondition of the request does not hold" => "Read the image again without the precondition.";
    /// The body is over the limit.
    BodyTooLarge = 413 "body-too-large" "The body is over the limit" => "Send fewer bytes; the limit is in `detail`.";
    /// The wrong content type for the route.
    UnsupportedMediaType = 415 "unsupported-media-type" "The route does not take this content type" => "Send the content type named in `detail`.";
    /// The bytes are no image.
    NotAnImage = 415 "not-an-image" "The bytes are not an image that Stillstore knows" => "Send a JPEG, PNG, GIF, WebP, SVG, AVIF or HEIC file.";
    /// The Range lies outside the image.
    RangeNotSatisfiable = 416 "range-not-satisfiable" "The range lies outside the image" => "Ask for a range within the size given by Content-Range.";
    /// The digest that the client sent does not fit its bytes.
    ChecksumMismatch = 422 "checksum-mismatch" "The bytes do not have the given SHA-256" => "Nothing was stored; compute the digest again, or send the bytes again.";
    /// An upload is longer or shorter than promised.
    UploadSizeDiffers = 422 "upload-size-differs" "The upload has another size than was promised, or is over the limit" => "Nothing was kept; presign the upload again with the size that it has.";
    /// An upload is of another format than promised.
    UploadTypeDiffers = 422 "upload-type-differs" "The bytes of the upload are not an image of the promised type" => "Nothing was kept; presign the upload again with the type that it has.";
    /// The image's own structure says that bytes are missing.
    ImageTruncated = 422 "truncated" "The image is cut off" => "Nothing was stored; send the whole file.";
    /// The parts of an upload cannot make a file.
    PartsRefused = 422 "parts-refused" "The parts do not make the file" => "List the parts, send the missing or wrong ones again, and complete the upload again.";
    /// The bytes start like an image and contradict its format.
    ImageMalformed = 422 "malformed" "The bytes start like an image and contradict its format" => "Nothing was stored; send a file that image viewers open.";
    /// Images of the format are not decoded.
    VariantUnsupported = 422 "variant-unsupported" "Images of this format have no variants here" => "Ask for the image itself, or with fallback=original.";
    /// The image cannot be decoded.
    VariantImpossible = 422 "variant-impossible" "The image cannot be decoded" => "Ask for the image itself, or with fallback=original.";
    /// The image has too many pixels for a variant, or takes too much memory.
    VariantTooLarge = 422 "variant-too-large" "The image is too large for this variant" => "Ask for a smaller variant, for the image itself, or with fallback=original.";
    /// The rules of docs/fetching.md refuse a URL.
    RefusedAddress = 422 "refused-address" "The URL is not one that is fetched" => "Name a public https:// URL; docs/fetching.md has the rules.";
    /// The URL's host answered with 404 or 410.
    SourceGone = 422 "source-gone" "There is nothing at the URL any more" => "Name a URL that still works.";
    /// The URL's host answered with 401 or 403.
    SourceForbidden = 422 "source-forbidden" "The URL's host refuses access" => "Name a URL that needs no credentials and has not expired.";
    /// More bytes than are fetched.
    SourceTooLarge = 422 "source-too-large" "The URL gives more bytes than are taken" => "Name a smaller image, or upload it.";
    /// The same idempotency key with another body.
    IdempotencyKeyReused = 422 "idempotency-key-reused" "The Idempotency-Key was used with another body" => "Use a new key for a new request.";
    /// The provider refused the prompt.
    PromptRefused = 422 "prompt-refused" "The provider's moderation refused the prompt" => "Change the prompt.";
    /// A user has added as many images as they may in a day.
    ImageLimitReached = 429 "image-limit-reached" "The user has added as many images today as a user may" => "Wait as long as Retry-After says: until the next day begins in UTC.";
    /// A user has had as many images generated as they may in a day.
    GenerationLimitReached = 429 "generation-limit-reached" "The user has had as many generations and looks of a model today as a user may" => "Wait as long as Retry-After says: until the next day begins in UTC.";
    /// The provider says that there were too many requests.
    ProviderRateLimited = 429 "provider-rate-limited" "The image provider is rate limited" => "Wait as long as Retry-After says, then try again.";
    /// A bug.
    InternalError = 500 "internal-error" "Something failed that should not" => "Try again; if it persists, report the request id.";
    /// The row is there, its bytes are not.
    BytesMissing = 500 "bytes-missing" "The stored bytes cannot be found" => "Report the request id; the operator should run validate.";
    /// The provider failed or could not be reached.
    ProviderUnavailable = 502 "provider-unavailable" "The image provider failed" => "Try again later, or name another provider in IMAGE_PROVIDER.";
    /// The provider refused our request or our credentials.
    ProviderRejected = 502 "provider-rejected" "The image provider rejected the request" => "Check the provider's credentials, model and parameters.";
    /// The provider answered without an image.
    ProviderAnswerEmpty = 502 "provider-answer-empty" "The image provider answered without an image" => "Try again, or change the prompt.";
    /// The provider's bytes are no whole image, or too large.
    ProviderImageInvalid = 502 "provider-image-invalid" "The image provider answered with bytes that are not a whole image within the limit" => "Try again, or name another provider in IMAGE_PROVIDER.";
    /// The URL's host failed or could not be reached.
    SourceFailed = 502 "source-failed" "The URL's host did not give the image" => "Try again later, or upload the image.";
    /// The keys of users' tokens cannot be fetched.
    TokenKeysUnavailable = 503 "token-keys-unavailable" "The keys that tokens are checked with cannot be fetched" => "Wait as long as Retry-After says, then try again.";
    /// No token is configured.
    TokenNotConfigured = 503 "token-not-configured" "API_TOKEN is not set, so this route is closed" => "Set it with `npx wrangler secret put API_TOKEN`.";
    /// No bucket is bound.
    BucketNotBound = 503 "bucket-not-bound" "The bucket R2_IMAGES is not bound" => "Bind a bucket as R2_IMAGES in wrangler.toml and deploy again.";
    /// Uploads in parts need R2.
    MultipartUnavailable = 503 "multipart-unavailable" "Uploads in parts need R2 storage, which new images do not go to here" => "Send the file as one upload, or set ENABLE_R2_STORAGE, bind R2_IMAGES and leave R2_PUBLIC_URL empty.";
    /// The binding of the configured provider is missing.
    VisionNotConfigured = 503 "vision-not-configured" "No vision provider can be used" => "Set VISION_PROVIDER to one that is configured and deploy again.";
    /// Nothing edits images.
    EditorNotConfigured = 503 "editor-not-configured" "No image editor is configured" => "Set EDIT_PROVIDER to an editor and deploy again.";
    /// There is no memory for more work of this kind.
    Busy = 503 "busy" "The Worker has as much work as it has memory for" => "Wait as long as Retry-After says, then try again.";
    /// Vars or secrets are wrong.
    ConfigurationInvalid = 503 "configuration-invalid" "The configuration has problems" => "Correct the variables named in `detail`; GET /health lists them.";
    /// No store takes or gives the bytes.
    StorageUnavailable = 503 "storage-unavailable" "Image storage is unavailable" => "Wait as long as Retry-After says, then try again.";
    /// Whoever gives the bytes of a migration's source does not.
    SourceUnavailable = 503 "source-unavailable" "The source of the images is unavailable" => "Wait: a run goes on by itself when the source answers again; an image can be asked for again.";
    /// The database does not answer.
    DatabaseUnavailable = 503 "database-unavailable" "The database is unavailable" => "Wait as long as Retry-After says, then try again.";
    /// The database has no tables.
    DatabaseNotMigrated = 503 "database-not-migrated" "The database lacks Stillstore's tables" => "Run `npx wrangler d1 migrations apply DB --remote`.";
    /// The URL's host took too long.
    SourceTimeout = 504 "source-timeout" "The URL's host did not answer in time" => "Try again, or raise FETCH_TIMEOUT_MS.";
    /// The provider took too long.
    ProviderTimeout = 504 "provider-timeout" "The image provider did not answer in time" => "Try again, or raise PROVIDER_TIMEOUT_MS.";
    /// A user would have more bytes than they may.
    ByteLimitReached = 507 "byte-limit-reached" "The user's images would have more bytes than a user may have" => "Delete images, or ask the operator of this deployment.";
}

/// An error on its way to a caller.
#[derive(Debug, Clone)]
pub struct Problem {
    pub code: Code,
    /// For the caller: what was wrong this time.
    pub detail: String,
    /// The field that breaks a rule.
    pub field: Option<Box<str>>,
    /// The run that the error is about.
    pub run_id: Option<Box<str>>,
    /// The images that were made before the request failed.
    pub images: Option<Box<MadeImages>>,
    /// For the log only.
    pub cause: Option<String>,
    /// Headers that belong to the error: `Allow`, `Retry-After`, `Content-Range`, `WWW-Authenticate`.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
}

/// Images as an answer shows them. Their prompts may hold personal text, and debug output ends in logs.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct MadeImages(Box<RawValue>);

impl MadeImages {
    /// `images` as JSON.
    pub(super) fn of(images: &[impl Serialize]) -> Option<Box<Self>> {
        serde_json::value::to_raw_value(images).ok().map(|json| Box::new(Self(json)))
    }
}

impl fmt::Debug for MadeImages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MadeImages(..)")
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Problem"))]
pub(super) struct Document<'problem> {
    r#type: String,
    title: &'static str,
    status: u16,
    #[cfg_attr(test, schemars(with = "Code"))]
    code: &'static str,
    detail: &'problem str,
    remedy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'problem str>,
    #[serde(rename = "runId", skip_serializing_if = "Option::is_none")]
    run_id: Option<&'problem str>,
    /// The images that were made before the request for several of them failed; they are stored.
    #[cfg_attr(test, schemars(with = "Vec<super::routes::generate_image::OneOfThem<'problem>>"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<&'problem MadeImages>,
    request_id: &'problem str,
}

impl Problem {
    /// A problem with what was wrong this time.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let headers = match code {
            Code::Busy
            | Code::StorageUnavailable
            | Code::SourceUnavailable
            | Code::DatabaseUnavailable
            | Code::TokenKeysUnavailable => {
                vec![("Retry-After", RETRY_AFTER_SECONDS.into())]
            }
            Code::Unauthorized => vec![("WWW-Authenticate", "Bearer".into())],
            _ => Vec::new(),
        };
        Self { code, detail: detail.into(), field: None, run_id: None, images: None, cause: None, headers }
    }

    /// A problem that its title says in full.
    #[must_use]
    pub fn plain(code: Code) -> Self {
        Self::new(code, code.title())
    }

    /// A field that breaks `rule`.
    #[must_use]
    pub fn field(field: impl Into<String>, rule: impl Into<String>) -> Self {
        let field = field.into();
        let name = if field.is_empty() { "the empty name" } else { &field };
        let detail = format!("{name} {}", rule.into());
        Self { field: Some(field.into()), ..Self::new(Code::InvalidField, detail) }
    }

    /// Adds the inside message for the log.
    #[must_use]
    pub fn because(mut self, cause: &impl ToString) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Names the run that the error is about.
    #[must_use]
    pub fn about_run(mut self, run_id: &impl ToString) -> Self {
        self.run_id = Some(run_id.to_string().into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The answer that carries the problem.
    #[must_use]
    pub fn into_response(self, request_id: &str) -> Response {
        let document = Document {
            r#type: format!("urn:stillstore:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status(),
            code: self.code.as_str(),
            detail: &self.detail,
            remedy: self.code.remedy(),
            field: self.field.as_deref(),
            run_id: self.run_id.as_deref(),
            images: self.images.as_deref(),
            request_id,
        };
        let mut response = Response::json(self.code.status(), &document);
        response.set_header("Content-Type", "application/problem+json");
        response.set_header("Cache-Control", "no-store");
        for (name, value) in self.headers {
            response.set_header(name, value);
        }
        response
    }
}

impl From<LimitReached> for Problem {
    fn from(LimitReached { limit, clears_in_ms }: LimitReached) -> Self {
        let problem = Self::plain(match limit {
            Limit::Bytes => Code::ByteLimitReached,
            Limit::ImagesADay => Code::ImageLimitReached,
            Limit::GenerationsADay => Code::GenerationLimitReached,
        });
        match clears_in_ms {
            Some(clears_in_ms) => problem.with_header("Retry-After", clears_in_ms.div_ceil(1000).to_string()),
            None => problem,
        }
    }
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        let cause = error.to_string();
        Self::from(error.source).because(&cause)
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        let code = match error.kind {
            DatabaseErrorKind::Schema => Code::DatabaseNotMigrated,
            DatabaseErrorKind::Unavailable => Code::DatabaseUnavailable,
            DatabaseErrorKind::Constraint | DatabaseErrorKind::Corrupt => Code::InternalError,
        };
        Self::plain(code).because(&error)
    }
}

impl From<FormError> for Problem {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Body(error) => error.into(),
            FormError::Malformed(_) | FormError::TooManyParts { .. } | FormError::HeadTooLong { .. } => {
                Self::new(Code::InvalidForm, error.to_string())
            }
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLong { limit_bytes } => {
                Self::new(Code::BodyTooLarge, format!("the body may have at most {limit_bytes} bytes"))
            }
            BodyError::TooShort { .. } => Self::new(Code::BodyInterrupted, error.to_string()),
            BodyError::Interrupted(_) | BodyError::TimedOut => Self::plain(Code::BodyInterrupted).because(&error),
        }
    }
}
