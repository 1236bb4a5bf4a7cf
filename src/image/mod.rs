//! Pure values: what an image is called, what it is made of, where it is kept, how a read of it is answered.

mod calendar;
mod collection_id;
mod conditional;
mod entity_tag;
mod failed_provider;
mod format;
mod frame_id;
mod http_date;
mod id;
mod job_id;
mod key;
mod key_secret;
mod labels;
mod owner_segment;
mod range;
mod shoot_id;
mod user_id;
mod variant;

pub use crate::bytes::Sha256Digest;
pub use calendar::CalendarMonth;
pub use collection_id::{CollectionId, InvalidCollectionId};
pub use conditional::{ReadMethod, ReadRequest, Representation, ServeDecision};
pub use entity_tag::EntityTag;
pub use failed_provider::FailedProvider;
pub use format::{Dimensions, Format, Geometry, HeaderWalk, InvalidOrientation, Orientation, Rejection, SNIFF_BYTES};
pub use frame_id::{FrameId, FrameNumber, InvalidFrameId, InvalidFrameNumber, InvalidSessionId, SessionId};
pub use http_date::{format_http_date, parse_http_date};
pub use id::{ImageId, InvalidImageId, ShortId};
pub use job_id::{BatchId, InvalidJobId, JobId};
pub use key::{AssetPlace, ImageKey, ObjectKey, PUBLIC_CACHE_CONTROL, ParsedKey, SafeName};
pub use key_secret::{KeySecret, KeySecrets};
pub use labels::{Context, Labels, Visibility};
pub use shoot_id::{InvalidShootId, ShootId};
pub use user_id::{InvalidUserId, UserId};
pub use variant::{Fit, VariantForm, VariantFormat};
