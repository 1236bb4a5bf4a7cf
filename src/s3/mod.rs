//! Requests to S3-compatible servers, signed with AWS Signature Version 4: as a URL that anyone may send, or by headers.
//!
//! ```
//! use stillstore::runtime::Timestamp;
//! use stillstore::s3::{Bucket, Credentials, ObjectRequest};
//!
//! let credentials = Credentials::new("access-key-id", "secret");
//! let bucket = Bucket::new("https://account.r2.cloudflarestorage.com/photos", "auto", credentials).unwrap();
//! let url = bucket.presign(&ObjectRequest::new("PUT", "a/b.png"), Timestamp::from_millis(0), 3600);
//! assert!(url.starts_with("https://account.r2.cloudflarestorage.com/photos/a/b.png?X-Amz-Algorithm=AWS4-HMAC-SHA256&"));
//! ```

mod bucket;
mod client;
mod credentials;
mod listing;
mod signature;

pub use bucket::{Bucket, InvalidBucketUrl, MAX_LIFETIME_SECONDS, ObjectRequest, Payload};
pub use client::{Client, LISTED_AT_ONCE, ReadError, ReadObject};
pub use credentials::Credentials;
pub use listing::{ListedObject, Listing, NoListing};
