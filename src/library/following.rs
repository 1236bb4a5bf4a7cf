//! A read that goes on where its image has moved to.

use std::any::Any;

use async_trait::async_trait;

use super::Library;
use crate::bytes::{Blob, Body, BodyError, BodyParts, ByteSource};
use crate::catalog::{OwnerFilter, ServableImage, Serving};
use crate::store::{ByteRange, StorageKind};

/// Looks at the row in one read. It takes two runs over the source to break a read off, one that moves the image and one that drops its
/// original, so that a second look is rare already; the limit is for a row that never comes to rest.
const MAX_LOOKS: u8 = 4;

/// The bytes of an embedded image, fetched chunk by chunk. When they are gone and the row has changed since, the rest comes from where it
/// says now: no byte twice, none left out. Costs nothing until then.
struct Following {
    library: Library,
    /// As its row was when `body` was opened.
    image: ServableImage,
    body: Body,
    /// How far into the image was handed out.
    position: u64,
    end: u64,
    looks_left: u8,
}

/// `body`, which begins at `offset_bytes` of `image`, made to follow the image where it comes out of the database chunk by chunk. All else
/// stays what it is: JS hands a stream of R2 on untouched.
pub(super) fn follow(library: &Library, image: &ServableImage, offset_bytes: u64, body: Body) -> Body {
    if image.storage != StorageKind::D1 {
        return body;
    }
    let promised_bytes = body.promised_bytes();
    let source = match body.into_parts() {
        BodyParts::Blob(blob) => return blob.into(),
        BodyParts::Source(source) => source,
    };
    let following = Following {
        library: library.clone(),
        image: image.clone(),
        body: Body::from_source(source, promised_bytes),
        position: offset_bytes,
        end: promised_bytes.map_or(image.size_bytes, |promised| offset_bytes.saturating_add(promised)),
        looks_left: MAX_LOOKS,
    };
    Body::from_source(Box::new(following), promised_bytes)
}

impl Following {
    /// Opens the rest of the image where it is now; `error` when there is no such place.
    async fn recover(&mut self, error: BodyError) -> Result<(), BodyError> {
        if !matches!(error, BodyError::Interrupted(_)) {
            return Err(error);
        }
        while self.looks_left > 0 {
            self.looks_left -= 1;
            let Ok(Serving::Found(image)) =
                self.library.catalog.find_for_serving(self.image.id, &OwnerFilter::Any).await
            else {
                break;
            };
            if image.sha256 != self.image.sha256 || image.version == self.image.version {
                break;
            }
            self.image = image;
            let rest = ByteRange { offset_bytes: self.position, length_bytes: self.end - self.position };
            match self.library.open_at(&self.image, Some(rest)).await {
                Ok(Some(object)) => {
                    self.body = object.body;
                    return Ok(());
                }
                // It has moved on.
                Ok(None) => {}
                Err(_) => break,
            }
        }
        Err(error)
    }
}

#[async_trait(?Send)]
impl ByteSource for Following {
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        loop {
            match self.body.peek(max_bytes).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => self.recover(error).await?,
            }
        }
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        loop {
            match self.body.next(max_bytes).await {
                Ok(run) => {
                    self.position += run.as_ref().map_or(0, |run| run.size_bytes() as u64);
                    return Ok(run);
                }
                Err(error) => self.recover(error).await?,
            }
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
