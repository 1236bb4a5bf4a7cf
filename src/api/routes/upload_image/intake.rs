//! The bytes of an upload: what they are, and whether they are held in memory.

use std::cell::RefCell;
use std::rc::Rc;

use super::outcome::{Failure, too_large};
use crate::api::{Code, Exchange, Problem};
use crate::bytes::{Blob, Body, BodyError};
use crate::image::{Format, HeaderWalk, Rejection, SNIFF_BYTES};
use crate::library::{Measured, Share};

/// Largest upload in bytes whose length is not promised: it is held in memory, since a store needs to know the length.
const MAX_UNPROMISED_BYTES: u64 = 8 * 1024 * 1024;

/// An image on its way in.
pub(super) struct Arriving {
    pub body: Body,
    /// The length in bytes of a form's part if it is the last one.
    pub length_if_last: Option<u64>,
}

/// An image that was looked at.
pub(super) struct TakenIn<'app> {
    pub body: Body,
    pub format: Format,
    pub dimensions: Measured,
    pub share: Option<Share<'app>>,
}

/// Why an image was not taken in.
pub(super) enum Unfit {
    /// It did not arrive.
    Body(BodyError),
    /// It is too large, or no whole image.
    Refused(Problem),
}

impl From<BodyError> for Unfit {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<Problem> for Unfit {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<Unfit> for Problem {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Body(error) => error.into(),
            Unfit::Refused(problem) => problem,
        }
    }
}

impl From<Unfit> for Failure {
    fn from(unfit: Unfit) -> Self {
        Problem::from(unfit).into()
    }
}

impl TakenIn<'_> {
    /// Whether all of it is in memory.
    pub fn is_held(&self) -> bool {
        self.share.is_some()
    }
}

impl Arriving {
    /// Takes the image in:
    ///
    /// 1. refuse a promised length over the limit before a byte is read;
    /// 2. look at the first bytes: what they are decides, not what anybody says;
    /// 3. hold the body in memory where there is room, so that it can be looked at whole, hashed first and sent to a second store;
    /// 4. refuse a held body that is no whole image; follow the header of any other while its bytes pass by.
    pub async fn take_in<'app>(self, exchange: &Exchange<'app>, limit_bytes: u64) -> Result<TakenIn<'app>, Unfit> {
        let Self { mut body, length_if_last } = self;
        let promised_bytes = body.promised_bytes();
        if promised_bytes.is_some_and(|promised| promised > limit_bytes) {
            return Err(too_large(limit_bytes).into());
        }
        let prefix = body.peek(SNIFF_BYTES).await?;
        let format = Format::sniff(&prefix).ok_or_else(|| Problem::plain(Code::NotAnImage))?;

        // A form that ends without a line break is two bytes shorter than one that does.
        let most_bytes = promised_bytes.or(length_if_last.map(|bytes| bytes + 2));
        let (budget, runtime) = (&exchange.library.budget, &exchange.library.runtime);
        let share = match most_bytes {
            Some(most_bytes) => budget.take_for_upload(most_bytes, runtime.now()),
            None => budget.wait_for_upload(MAX_UNPROMISED_BYTES, runtime.as_ref()).await,
        };
        let streamed_bytes = promised_bytes.or(length_if_last);
        let (body, dimensions) = match (share.is_some(), streamed_bytes) {
            (true, Some(_)) => inspected(body.collect(most_bytes.unwrap_or(limit_bytes)).await?)?,
            (true, None) => {
                let collected = body.collect(MAX_UNPROMISED_BYTES.min(limit_bytes)).await;
                inspected(collected.map_err(unpromised)?)?
            }
            (false, Some(streamed_bytes)) if streamed_bytes > limit_bytes => return Err(too_large(limit_bytes).into()),
            (false, Some(streamed_bytes)) => {
                measured_in_passing(body.promising(streamed_bytes), format, streamed_bytes, prefix)
            }
            (false, None) => return Err(Problem::plain(Code::LengthRequired).into()),
        };
        Ok(TakenIn { body, format, dimensions, share })
    }
}

/// What a body came to whose length nobody promised.
fn unpromised(error: BodyError) -> Unfit {
    match error {
        BodyError::TooLong { .. } => Problem::plain(Code::LengthRequired).into(),
        error => error.into(),
    }
}

/// A body that is all there, which must be a whole image.
fn inspected(bytes: Blob) -> Result<(Body, Measured), Problem> {
    match Format::inspect_blob(&bytes) {
        Ok((_, dimensions)) => Ok((bytes.into(), Measured::Known(dimensions))),
        Err(Rejection::NotAnImage) => Err(Problem::plain(Code::NotAnImage)),
        Err(Rejection::Truncated) => Err(Problem::plain(Code::ImageTruncated)),
        Err(Rejection::Malformed) => Err(Problem::plain(Code::ImageMalformed)),
    }
}

/// A body that is still arriving, with the dimensions that its start tells or, if need be, what follows.
fn measured_in_passing(body: Body, format: Format, promised_bytes: u64, start: Vec<u8>) -> (Body, Measured) {
    let mut walk = HeaderWalk::new(format, promised_bytes);
    walk.pass(&start.into());
    walk.settle();
    if walk.is_done() {
        return (body, Measured::Known(walk.geometry()));
    }
    // The start comes once more when the body is read.
    let walk = Rc::new(RefCell::new(HeaderWalk::new(format, promised_bytes)));
    let watch = Rc::clone(&walk);
    (body.watched(move |run| watch.borrow_mut().pass(run)), Measured::Passing(walk))
}
