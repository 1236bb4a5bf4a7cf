//! What the row of a new image says, by where the image comes from.

use super::add::{NewImage, Output, Source};
use crate::catalog::{Associations, Description, Frame, GenerationRecord};
use crate::image::{Context, ImageId, ImageKey, KeySecret, ParsedKey, SafeName};

/// What depends on where an image comes from.
struct Place {
    key: ImageKey,
    context: Option<Context>,
    filename: Option<String>,
    associations: Associations,
    frame: Option<Frame>,
    parent_id: Option<ImageId>,
}

impl NewImage {
    /// How a provider made it.
    pub(super) fn generation(&self) -> Option<&GenerationRecord> {
        match &self.source {
            Source::Generated(generation) => Some(generation),
            Source::Output(output) => Some(&output.generation),
            Source::Uploaded { .. } => None,
        }
    }

    /// What is known of it before its bytes are stored.
    pub(super) fn describe(&self, id: ImageId, secret: Option<KeySecret>) -> Description {
        let Place { key, context, filename, associations, frame, parent_id } = self.place(id, secret);
        Description {
            id,
            key: key.object_key(),
            format: self.format,
            visibility: self.visibility,
            filename,
            context,
            associations,
            labels: self.labels.clone(),
            owner_id: self.owner_id.clone(),
            frame,
            parent_id,
            moved_from: None,
            created_at: self.created_at,
        }
    }

    fn place(&self, id: ImageId, secret: Option<KeySecret>) -> Place {
        let (created_at, format) = (self.created_at, self.format);
        let alone = |key| Place {
            key,
            context: None,
            filename: None,
            associations: self.associations.clone(),
            frame: None,
            parent_id: None,
        };
        match &self.source {
            Source::Generated(_) => alone(ImageKey::Generated { id, secret, created_at, format }),
            Source::Uploaded { context, filename } => {
                let name = SafeName::from_filename(filename.as_deref().unwrap_or_default());
                let key = ImageKey::Uploaded { context: context.clone(), id, secret, created_at, name, format };
                Place { context: Some(context.clone()), filename: filename.clone(), ..alone(key) }
            }
            // The job's id is not the image's, which its URLs show.
            Source::Output(output) => {
                let Output { job, parent, .. } = &**output;
                let place = ParsedKey::parse(&parent.key).and_then(|key| key.asset_place());
                let frame = place.as_ref().map(|place| Frame::of_shoot(&place.shoot, created_at));
                let key = ImageKey::Output { place, job: *job, format };
                Place { frame, parent_id: Some(parent.id), ..alone(key) }
            }
        }
    }
}
