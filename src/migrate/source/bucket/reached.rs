//! An object that a reader waits for.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::config::{BucketSource, Others};
use super::items::BucketItems;
use super::movable::SetAside;
use super::state::{self, ObjectState};
use crate::migrate::source::{Movable as _, Reached, ReachedImage, Surroundings};
use crate::migrate::task::Refusal;
use crate::s3::{Client, ReadError};
use crate::sql::{Database, DatabaseError};

/// Finds an object by its key and begins to read it, if it is an image that was not moved.
///
/// # Errors
/// When the database fails.
pub async fn reach(
    source: &Rc<BucketSource>,
    client: Rc<Client>,
    surroundings: &Surroundings,
    key: &str,
    database: &Rc<dyn Database>,
) -> Result<Result<Reached, Refusal>, DatabaseError> {
    if !key.starts_with(&source.prefix) {
        return Ok(Err(not_found()));
    }
    let object = match client.find(key).await {
        Ok(Some(object)) => object,
        Ok(None) => return Ok(Err(not_found())),
        Err(error) => return Ok(Err(of_listing(error))),
    };
    let asked = state::known(source, std::slice::from_ref(&object))?;
    let known = state::known_of(&database.batch(Vec::from(asked)).await?)?;
    let items = BucketItems {
        source: Rc::clone(source),
        client,
        bucket_is_public: surroundings.bucket_is_public,
        // Whoever reads does not wait for parts.
        in_parts: None,
        destination: surroundings.destination.clone(),
        page: RefCell::new(None),
        has_changed: Rc::new(Cell::new(false)),
        set_aside: SetAside::default(),
    };
    if source.others == Others::Skip && known.is_set_aside(key, &ObjectState::of(&object)) {
        return Ok(Err(not_an_image()));
    }
    let movable = match items.copy_of(&object, &known) {
        Some(Ok(movable)) => movable,
        Some(Err(refusal)) => return Ok(Err(refusal)),
        None => return Ok(Err(Refusal::of_source("changed-meanwhile", "somebody else moved the object"))),
    };
    let body = match movable.open().await {
        Ok(body) => body,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(format) = movable.format() else {
        return Ok(Err(not_an_image()));
    };
    Ok(Ok(Reached::Found(Box::new(ReachedImage {
        image_id: movable.image_id,
        key: movable.key.clone(),
        format,
        visibility: source.visibility,
        filename: movable.filename(),
        body,
        movable: Box::new(movable),
    }))))
}

fn not_an_image() -> Refusal {
    Refusal::skipped("not-an-image", "only images are served")
}

fn not_found() -> Refusal {
    Refusal::failed("not-found", "the bucket has no such object under the prefix")
}

/// Whoever reads an image can do nothing about a bucket that cannot be listed, and may find it repaired.
fn of_listing(error: ReadError) -> Refusal {
    Refusal::of_source("unreachable", error.to_string())
}
