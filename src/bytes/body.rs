//! A run of bytes that is still arriving.

use std::any::Any;
use std::fmt;

use async_trait::async_trait;

use super::Blob;

/// Length of the runs in which a body is read into wasm memory.
const RUN_BYTES: usize = 1024 * 1024;
/// What of such a body waits outside until it is clear how much follows.
const UNDECIDED_BYTES: usize = 4 * 1024 * 1024;

/// Where a [`Body`] gets its bytes. Implemented by the platform over its streams and by tests over vectors.
#[async_trait(?Send)]
pub trait ByteSource: Any {
    /// A copy of the next bytes without consuming them: `max_bytes` of them unless the end is nearer.
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError>;

    /// The next run: `max_bytes` long unless the end is nearer, `None` at the end. `max_bytes` is not zero.
    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError>;

    /// The concrete type, for the adapter that made it.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// Why a body could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// The sender stopped early, or the connection broke.
    Interrupted(String),
    /// More bytes than were promised or are allowed.
    TooLong { limit_bytes: u64 },
    /// The last byte did not arrive within the time for it.
    TimedOut,
    /// The body ended before its promised length.
    TooShort { expected_bytes: u64, actual_bytes: u64 },
}

impl fmt::Display for BodyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted(detail) => write!(formatter, "the body was interrupted: {detail}"),
            Self::TooLong { limit_bytes } => {
                write!(formatter, "the body is longer than {limit_bytes} bytes")
            }
            Self::TimedOut => formatter.write_str("the body took too long"),
            Self::TooShort { expected_bytes, actual_bytes } => {
                write!(formatter, "the body ended after {actual_bytes} of {expected_bytes} bytes")
            }
        }
    }
}

impl std::error::Error for BodyError {}

/// Bytes on their way: a promised length (or none), and a source that is read once.
pub struct Body {
    parts: BodyParts,
    promised_bytes: Option<u64>,
    read_bytes: u64,
}

/// What a [`Body`] is made of, for adapters that can move it without reading it.
pub enum BodyParts {
    /// Everything is there.
    Blob(Blob),
    /// The bytes are still arriving.
    Source(Box<dyn ByteSource>),
}

impl Body {
    /// A body read from `source`; `promised_bytes` is its promised length, when there is a promise.
    #[must_use]
    pub fn from_source(source: Box<dyn ByteSource>, promised_bytes: Option<u64>) -> Self {
        Self { parts: BodyParts::Source(source), promised_bytes, read_bytes: 0 }
    }

    /// A body of no bytes.
    #[must_use]
    pub fn empty() -> Self {
        Vec::new().into()
    }

    /// The promised length of the whole body in bytes, when there is a promise.
    #[must_use]
    pub fn promised_bytes(&self) -> Option<u64> {
        self.promised_bytes
    }

    /// The body, whose length is promised to be `promised_bytes`.
    #[must_use]
    pub fn promising(self, promised_bytes: u64) -> Self {
        Self { promised_bytes: Some(promised_bytes), ..self }
    }

    /// The body, with each run shown to `watch` when it is read; at once, when everything is there.
    #[must_use]
    pub fn watched(self, mut watch: impl FnMut(&Blob) + 'static) -> Self {
        let parts = match self.parts {
            BodyParts::Blob(blob) => {
                watch(&blob);
                BodyParts::Blob(blob)
            }
            BodyParts::Source(source) => BodyParts::Source(Box::new(Watched { source, watch })),
        };
        Self { parts, ..self }
    }

    /// Takes the body apart. What was read by [`Body::next`] is gone, what was peeked at is still there.
    #[must_use]
    pub fn into_parts(self) -> BodyParts {
        self.parts
    }

    /// A copy of the next bytes without consuming them: `max_bytes` of them unless the end is nearer.
    ///
    /// # Errors
    /// When the source fails before that many bytes have arrived.
    pub async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        match &mut self.parts {
            BodyParts::Blob(blob) => Ok(blob.prefix(max_bytes)),
            BodyParts::Source(source) => source.peek(max_bytes).await,
        }
    }

    /// The next run: `max_bytes` long unless the end is nearer, `None` at the end.
    ///
    /// # Errors
    /// When the source fails, or the promised length is not kept.
    pub async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        let max_bytes = max_bytes.max(1);
        let run = match &mut self.parts {
            BodyParts::Blob(blob) => {
                let run = blob.slice(0..max_bytes);
                *blob = blob.slice(max_bytes..blob.size_bytes());
                Some(run)
            }
            BodyParts::Source(source) => source.next(max_bytes).await?,
        };
        let run = run.filter(|run| !run.is_empty());
        self.read_bytes += run.as_ref().map_or(0, |run| run.size_bytes() as u64);
        match (self.promised_bytes, &run) {
            (Some(promised), None) if self.read_bytes < promised => {
                Err(BodyError::TooShort { expected_bytes: promised, actual_bytes: self.read_bytes })
            }
            (Some(promised), Some(_)) if self.read_bytes > promised => {
                Err(BodyError::TooLong { limit_bytes: promised })
            }
            _ => Ok(run),
        }
    }

    /// The whole body as one blob. Memory: its size, outside wasm when the source is outside.
    ///
    /// # Errors
    /// When the source fails, the promised length is not kept, or there are more than `limit_bytes`.
    pub async fn collect(mut self, limit_bytes: u64) -> Result<Blob, BodyError> {
        if self.promised_bytes.is_some_and(|promised| promised > limit_bytes) {
            return Err(BodyError::TooLong { limit_bytes });
        }
        let wanted_bytes = usize::try_from(self.promised_bytes.unwrap_or(limit_bytes)).unwrap_or(usize::MAX);
        let blob = self.next(wanted_bytes).await?.unwrap_or_else(|| Vec::new().into());
        match self.next(1).await? {
            None => Ok(blob),
            Some(_) => Err(BodyError::TooLong { limit_bytes }),
        }
    }

    /// The whole body in wasm memory, at most `limit_bytes` long.
    ///
    /// Up to 4 MiB stay where they are until the end, so that they take no more than their size. For more, `room_bytes` says how much is
    /// taken at once, at least `limit_bytes`: wasm memory never shrinks, and growing step by step would leave holes.
    ///
    /// # Errors
    /// [`BodyError::TooLong`] beyond the limit, or when the source fails.
    pub async fn into_vec(mut self, limit_bytes: u64, room_bytes: impl Fn() -> u64) -> Result<Vec<u8>, BodyError> {
        let mut bytes = Vec::new();
        let mut runs: Vec<Blob> = Vec::new();
        let mut size_bytes = 0;
        while let Some(run) = self.next(RUN_BYTES).await? {
            size_bytes += run.size_bytes();
            if size_bytes as u64 > limit_bytes {
                return Err(BodyError::TooLong { limit_bytes });
            }
            runs.push(run);
            if size_bytes > UNDECIDED_BYTES {
                if bytes.is_empty() {
                    bytes.reserve_exact(usize::try_from(room_bytes().max(limit_bytes)).unwrap_or(size_bytes));
                }
                runs.drain(..).for_each(|run| bytes.extend(run.to_vec()));
            }
        }
        bytes.reserve_exact(size_bytes - bytes.len());
        runs.drain(..).for_each(|run| bytes.extend(run.to_vec()));
        Ok(bytes)
    }
}

/// A source whose runs are shown to somebody.
struct Watched<Watch> {
    source: Box<dyn ByteSource>,
    watch: Watch,
}

#[async_trait(?Send)]
impl<Watch: FnMut(&Blob) + 'static> ByteSource for Watched<Watch> {
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        self.source.peek(max_bytes).await
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        let run = self.source.next(max_bytes).await?;
        if let Some(run) = &run {
            (self.watch)(run);
        }
        Ok(run)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl From<Blob> for Body {
    fn from(blob: Blob) -> Self {
        let promised_bytes = Some(blob.size_bytes() as u64);
        Self { parts: BodyParts::Blob(blob), promised_bytes, read_bytes: 0 }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Blob::from(bytes).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Body({:?} bytes promised)", self.promised_bytes)
    }
}
