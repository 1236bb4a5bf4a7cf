//! Bodies that arrive as a client's do: bit by bit, and not always to the end.

use std::any::Any;
use std::future::poll_fn;
use std::task::Poll;

use async_trait::async_trait;
use futures::channel::oneshot;

use crate::bytes::{Blob, Body, BodyError, ByteSource};

/// Bytes that let others run before each read.
pub struct ArrivingBytes {
    rest: Blob,
    /// Whether the connection breaks after the last byte instead of ending.
    breaks: bool,
    gate: Option<(usize, Gate)>,
}

/// Stops a body in the middle until it is opened; see [`gate`].
pub struct Gate {
    reached: Option<oneshot::Sender<()>>,
    opened: oneshot::Receiver<()>,
}

/// A gate, a signal that a reader waits at it, and the way to open it.
pub fn gate() -> (Gate, oneshot::Receiver<()>, oneshot::Sender<()>) {
    let (reached_sender, reached) = oneshot::channel();
    let (open, opened) = oneshot::channel();
    (Gate { reached: Some(reached_sender), opened }, reached, open)
}

impl ArrivingBytes {
    /// `bytes`, then the end.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self { rest: bytes.to_vec().into(), breaks: false, gate: None }
    }

    /// The connection breaks after the bytes.
    #[must_use]
    pub fn then_breaks(mut self) -> Self {
        self.breaks = true;
        self
    }

    /// The last `held_bytes` arrive only once `gate` is opened.
    #[must_use]
    pub fn held_at(mut self, held_bytes: usize, gate: Gate) -> Self {
        self.gate = Some((held_bytes, gate));
        self
    }

    /// A body that promises `promised_bytes`, or nothing.
    #[must_use]
    pub fn into_body(self, promised_bytes: Option<u64>) -> Body {
        Body::from_source(Box::new(self), promised_bytes)
    }

    /// Waits as the reader of up to `max_bytes` has to.
    async fn arrive(&mut self, max_bytes: usize) -> Result<(), BodyError> {
        let mut waited = false;
        poll_fn(|context| {
            if waited {
                return Poll::Ready(());
            }
            waited = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let size_bytes = self.rest.size_bytes();
        if self.gate.as_ref().is_some_and(|(held_bytes, _)| size_bytes < held_bytes + max_bytes)
            && let Some((_, mut gate)) = self.gate.take()
        {
            gate.reached.take().map(|reached| reached.send(()));
            gate.opened.await.map_err(|_| BodyError::Interrupted("the gate was never opened".to_owned()))?;
        }
        if self.breaks && size_bytes < max_bytes {
            return Err(BodyError::Interrupted("the sender went away".to_owned()));
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl ByteSource for ArrivingBytes {
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        self.arrive(max_bytes).await?;
        Ok(self.rest.prefix(max_bytes))
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        self.arrive(max_bytes).await?;
        let run = self.rest.slice(0..max_bytes);
        self.rest = self.rest.slice(max_bytes..self.rest.size_bytes());
        Ok(Some(run).filter(|run| !run.is_empty()))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
