//! Uploads whose bytes the client sends to the bucket, or to the Worker, before there is a row of the catalogue:
//!
//! 1. [`grant`] promises a key, and records what may be put under it;
//! 2. the bytes arrive: at the bucket by a presigned request ([`put_request`]), or by way of the Worker ([`receive`]); those of a large
//!    file in parts ([`begin_parts`], [`put_part`], [`complete_parts`]);
//! 3. [`confirm`] reads them once, and makes them an image of the catalogue if they are what was promised;
//! 4. [`sweep`] removes what was never confirmed, and forgets the grant when no put of it can be under way.
//!
//! Invariants, held through any failure of any call and checked by `tests/native/api/upload_crash.rs`:
//! - an object that a grant let in is named by a row of `stillstore_uploads` or of the catalogue;
//! - a grant never overwrites an object;
//! - what a confirmed upload shows was read from the bytes themselves.

mod confirm;
mod grant;
mod inspect;
mod part_id;
mod parts;
mod receive;
mod sweep;

pub use confirm::{Claims, ConfirmError, confirm};
pub use grant::{GRANT_LIFETIME_MS, GrantError, NewUpload, grant, limit_bytes, put_request};
pub use part_id::{InvalidPartId, PartId};
pub use parts::{
    MOST_PART_BYTES, MULTIPART_LIFETIME_MS, abort_parts, begin_parts, complete_parts, list_parts, put_part,
};
pub use receive::{ReceiveError, receive};
pub use sweep::sweep;
