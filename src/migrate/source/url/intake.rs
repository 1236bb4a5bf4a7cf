//! What a link gave: whether it is a whole image, and where its bytes are kept until they are put.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;

use super::cause::Failure;
use crate::bytes::{Blob, Body, BodyError};
use crate::catalog::Content;
use crate::fetch::{FetchError, FetchLimits, Fetcher};
use crate::image::{Format, HeaderWalk, SNIFF_BYTES};
use crate::migrate::source::table::{ImageBytes, of_rejection};
use crate::migrate::task::{Refusal, SLICE_BYTES};
use crate::runtime::Runtime;

/// The largest image, that of an upload.
const MAX_IMAGE_BYTES: u64 = 100 * 1000 * 1000;
/// Larger ones are not held: they are fetched once to be hashed and once more to be put.
const HELD_BYTES: u64 = 8 * 1024 * 1024;
const RUN_BYTES: usize = 1024 * 1024;

/// Fetches images, and holds as many bytes of them as a slice may.
pub struct Intake {
    pub fetcher: Rc<Fetcher>,
    pub runtime: Rc<dyn Runtime>,
    pub timeout_ms: u64,
    held_bytes: Cell<u64>,
}

/// A whole image.
pub struct Taken {
    pub bytes: Box<dyn ImageBytes>,
    pub format: Format,
    pub content: Content,
}

/// An image that is fetched again when it is put.
struct FetchedAgain {
    fetcher: Rc<Fetcher>,
    link: String,
    limits: FetchLimits,
    size_bytes: u64,
}

impl Intake {
    pub fn new(fetcher: Fetcher, timeout_ms: u64) -> Self {
        let runtime = Rc::clone(&fetcher.runtime);
        Self { fetcher: Rc::new(fetcher), runtime, timeout_ms, held_bytes: Cell::new(0) }
    }

    /// Forgets what an earlier slice held.
    pub fn begin_slice(&self) {
        self.held_bytes.set(0);
    }

    /// Whether there is room for another image of any size.
    pub fn has_room(&self) -> bool {
        self.held_bytes.get() + HELD_BYTES <= SLICE_BYTES
    }

    /// Fetches what `link` names.
    ///
    /// # Errors
    /// When it is no whole image, or does not come.
    pub async fn take(&self, link: &str) -> Result<Taken, Failure> {
        match self.fetch_and_hold(link).await? {
            Some(taken) => Ok(taken),
            None => self.fetch_and_hash(link).await,
        }
    }

    /// `None` when the image is too large to be held.
    async fn fetch_and_hold(&self, link: &str) -> Result<Option<Taken>, Failure> {
        let mut body = self.fetcher.fetch(link, self.limits()).await?.body;
        let promised_bytes = body.promised_bytes();
        let prefix = body.peek(SNIFF_BYTES).await.map_err(of_body)?;
        Format::sniff(&prefix).ok_or_else(|| of_rejection(crate::image::Rejection::NotAnImage))?;
        let room_bytes = promised_bytes.unwrap_or(HELD_BYTES);
        let held_bytes = self.held_bytes.get() + room_bytes;
        if room_bytes > HELD_BYTES || held_bytes > SLICE_BYTES {
            return Ok(None);
        }
        self.held_bytes.set(held_bytes);
        let bytes = match body.collect(room_bytes).await {
            Ok(bytes) => bytes,
            Err(BodyError::TooLong { .. }) if promised_bytes.is_none() => {
                self.held_bytes.update(|held_bytes| held_bytes - room_bytes);
                return Ok(None);
            }
            Err(error) => return Err(of_body(error)),
        };
        let size_bytes = bytes.size_bytes() as u64;
        self.held_bytes.update(|held_bytes| held_bytes - room_bytes + size_bytes);
        let (format, geometry) = Format::inspect_blob(&bytes).map_err(of_rejection)?;
        let content = Content {
            size_bytes,
            sha256: self.runtime.sha256(&bytes).await,
            dimensions: geometry.map(|geometry| geometry.dimensions),
            orientation: geometry.and_then(|geometry| geometry.orientation),
        };
        Ok(Some(Taken { bytes: Box::new(bytes), format, content }))
    }

    /// Reads the image to its end without holding it. As with an upload that streams, its header is followed and its end believed.
    async fn fetch_and_hash(&self, link: &str) -> Result<Taken, Failure> {
        let mut body = self.fetcher.fetch(link, self.limits()).await?.body;
        let prefix = body.peek(SNIFF_BYTES).await.map_err(of_body)?;
        let format = Format::sniff(&prefix).ok_or_else(|| of_rejection(crate::image::Rejection::NotAnImage))?;
        let mut walk = HeaderWalk::new(format, body.promised_bytes().unwrap_or(MAX_IMAGE_BYTES));
        let mut digest = self.runtime.passing_sha256();
        let mut size_bytes = 0;
        while let Some(run) = next(&mut body).await? {
            walk.pass(&run);
            digest.pass(&run).await;
            size_bytes += run.size_bytes() as u64;
        }
        walk.settle();
        let geometry = walk.geometry();
        let sha256 = digest.finish().await;
        let content = Content {
            size_bytes,
            sha256: sha256.ok_or_else(|| Refusal::of_source("unreachable", "no digest was computed"))?,
            dimensions: geometry.map(|geometry| geometry.dimensions),
            orientation: geometry.and_then(|geometry| geometry.orientation),
        };
        let again = FetchedAgain {
            fetcher: Rc::clone(&self.fetcher),
            link: link.to_owned(),
            limits: self.limits(),
            size_bytes,
        };
        Ok(Taken { bytes: Box::new(again), format, content })
    }

    fn limits(&self) -> FetchLimits {
        FetchLimits { timeout_ms: self.timeout_ms, max_bytes: MAX_IMAGE_BYTES }
    }
}

#[async_trait(?Send)]
impl ImageBytes for FetchedAgain {
    async fn open(&self) -> Result<Body, Refusal> {
        match self.fetcher.fetch(&self.link, self.limits).await {
            Ok(fetched) => Ok(fetched.body.promising(self.size_bytes)),
            Err(error) => Err(match error.into() {
                Failure::Item(refusal) => refusal,
                Failure::Host(failure) => Refusal::of_source(failure.cause.as_str(), failure.detail),
            }),
        }
    }
}

async fn next(body: &mut Body) -> Result<Option<Blob>, Failure> {
    body.next(RUN_BYTES).await.map_err(of_body)
}

fn of_body(error: BodyError) -> Failure {
    FetchError::from(error).into()
}
