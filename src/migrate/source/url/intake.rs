//! What a link gave: whether it is a whole image, and where its bytes are kept until they are put.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;

use super::cause::Failure;
use crate::bytes::{Blob, Body, BodyError};
use crate::catalog::Content;
use crate::fetch::{FetchError, FetchLimits, Fetcher};
use crate::image::{Format, HeaderWalk, Rejection, SNIFF_BYTES, Sha256Digest};
use crate::migrate::source::table::{ImageBytes, of_rejection};
use crate::migrate::task::{Refusal, SLICE_BYTES};
use crate::runtime::Runtime;

/// The largest image, that of an upload.
const MAX_IMAGE_BYTES: u64 = 100 * 1000 * 1000;
/// Larger ones are not held: they are fetched once to be hashed and once more to be put.
const HELD_BYTES: u64 = 8 * 1024 * 1024;
const RUN_BYTES: usize = 1024 * 1024;
/// What an image is taken to have before any was seen: a photograph of a phone.
const USUAL_BYTES: u64 = 4 * 1024 * 1024;
/// Sixteen of them, the most that a run fetches at once, fill a slice.
const LEAST_USUAL_BYTES: u64 = SLICE_BYTES / 16;

/// Fetches images, and holds as many bytes of them as a slice may.
pub struct Intake {
    pub fetcher: Rc<Fetcher>,
    pub runtime: Rc<dyn Runtime>,
    pub timeout_ms: u64,
    held_bytes: Rc<Cell<u64>>,
    usual_bytes: Cell<u64>,
}

/// A share of the bytes that a slice may hold, given back when it is dropped.
pub struct Room {
    held_bytes: Rc<Cell<u64>>,
    own_bytes: u64,
}

/// A whole image.
pub struct Taken {
    pub bytes: Box<dyn ImageBytes>,
    pub format: Format,
    pub content: Content,
}

/// An image that is held.
struct Held {
    bytes: Blob,
    _room: Room,
}

/// An image that is fetched again when it is put.
struct FetchedAgain {
    fetcher: Rc<Fetcher>,
    link: String,
    limits: FetchLimits,
    size_bytes: u64,
}

impl Room {
    /// Whether there is room for `bytes` in all; takes it if there is.
    fn resize(&mut self, bytes: u64) -> bool {
        let held_bytes = self.held_bytes.get() - self.own_bytes + bytes;
        let fits = held_bytes <= SLICE_BYTES;
        if fits {
            self.held_bytes.set(held_bytes);
            self.own_bytes = bytes;
        }
        fits
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.held_bytes.update(|held_bytes| held_bytes - self.own_bytes);
    }
}

impl Intake {
    pub fn new(fetcher: Fetcher, timeout_ms: u64) -> Self {
        let runtime = Rc::clone(&fetcher.runtime);
        Self {
            fetcher: Rc::new(fetcher),
            runtime,
            timeout_ms,
            held_bytes: Rc::default(),
            usual_bytes: Cell::new(USUAL_BYTES),
        }
    }

    /// Room for an image of the size that images had lately, so that few are asked for and then left.
    pub fn room(&self) -> Option<Room> {
        let mut room = Room { held_bytes: Rc::clone(&self.held_bytes), own_bytes: 0 };
        room.resize(self.usual_bytes.get()).then_some(room)
    }

    /// Fetches what `link` names. `None` when there is no room for it beside the others.
    ///
    /// # Errors
    /// When it is no whole image, or does not come.
    pub async fn take(&self, link: &str, mut room: Room) -> Result<Option<Taken>, Failure> {
        let (mut body, format) = self.open(link).await?;
        let promised_bytes = body.promised_bytes();
        if promised_bytes.is_some_and(|promised_bytes| promised_bytes > HELD_BYTES) {
            drop(room);
            return Ok(Some(self.pass(link, body, format, Vec::new()).await?));
        }
        let mut runs: Vec<Blob> = Vec::new();
        let mut size_bytes = 0;
        loop {
            let needed_bytes = promised_bytes.unwrap_or(size_bytes.max(room.own_bytes));
            if !room.resize(needed_bytes) {
                self.expect(needed_bytes);
                return Ok(None);
            }
            match next(&mut body).await? {
                None => break,
                Some(run) => {
                    size_bytes += run.size_bytes() as u64;
                    runs.push(run);
                }
            }
            if size_bytes > HELD_BYTES {
                return Ok(Some(self.pass(link, body, format, runs).await?));
            }
        }
        self.expect(size_bytes);
        room.resize(size_bytes);
        Ok(Some(self.hold(Blob::joined(&runs), room).await?))
    }

    /// The SHA-256 of the image that `link` names, which is not held.
    ///
    /// # Errors
    /// As [`Intake::take`].
    pub async fn digest(&self, link: &str) -> Result<Sha256Digest, Failure> {
        let (body, format) = self.open(link).await?;
        Ok(self.pass(link, body, format, Vec::new()).await?.content.sha256)
    }

    async fn open(&self, link: &str) -> Result<(Body, Format), Failure> {
        let mut body = self.fetcher.fetch(link, self.limits()).await?.body;
        let prefix = body.peek(SNIFF_BYTES).await.map_err(of_body)?;
        let format = Format::sniff(&prefix).ok_or_else(|| of_rejection(Rejection::NotAnImage))?;
        Ok((body, format))
    }

    fn expect(&self, size_bytes: u64) {
        self.usual_bytes.update(|usual| ((3 * usual + size_bytes) / 4).max(LEAST_USUAL_BYTES));
    }

    async fn hold(&self, bytes: Blob, room: Room) -> Result<Taken, Failure> {
        let (format, geometry) = Format::inspect_blob(&bytes).map_err(of_rejection)?;
        let content = Content {
            size_bytes: bytes.size_bytes() as u64,
            sha256: self.runtime.sha256(&bytes).await,
            dimensions: geometry.map(|geometry| geometry.dimensions),
            orientation: geometry.and_then(|geometry| geometry.orientation),
        };
        Ok(Taken { bytes: Box::new(Held { bytes, _room: room }), format, content })
    }

    /// Reads the image to its end, behind the `runs` that were read, without holding it. As with an upload that streams, its header is
    /// followed and its end believed.
    async fn pass(&self, link: &str, mut body: Body, format: Format, runs: Vec<Blob>) -> Result<Taken, Failure> {
        let mut walk = HeaderWalk::new(format, body.promised_bytes().unwrap_or(MAX_IMAGE_BYTES));
        let mut digest = self.runtime.passing_sha256();
        let mut size_bytes = 0;
        let mut runs = runs.into_iter();
        loop {
            let run = match runs.next() {
                Some(run) => run,
                None => match next(&mut body).await? {
                    Some(run) => run,
                    None => break,
                },
            };
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
impl ImageBytes for Held {
    async fn open(&self) -> Result<Body, Refusal> {
        Ok(self.bytes.clone().into())
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
