//! Object storage as one thing: Amazon S3 and what speaks like it, Google Cloud Storage, Azure Blob
//! Storage, and a local folder.
//!
//! One meaning for all of them: keys are text and come in the order of their UTF-8 bytes; an object
//! has a version that changes whenever its bytes may have; what is read is the whole range that was
//! asked for, of the version that was asked for, or an error. Nothing is ever written.

mod location;

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use futures::stream::BoxStream;

use crate::failure::{Failure, Kind};
use crate::layer::Finding;

pub use location::{Azure, Google, Location, S3, Store};

/// Most bytes that one call of [`Bucket::read`] takes; whoever wants more reads in parts.
pub const MOST_READ: u64 = 256 << 20;

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its whole name, the prefix included.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// When it was last changed, in microseconds since 1970; whole seconds in most stores.
    pub modified_micros: i64,
    /// Changes whenever its bytes may have: the entity tag, or what comes closest to one.
    pub version: String,
}

/// Why a range was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The object is another one than `if_version` says, or was replaced while it was read.
    Changed,
    /// There is no such object.
    Gone,
    /// The credentials may not read this object; the failure says what they lack.
    Denied(Failure),
    /// Anything else. `Rejected` where this one object will never be read as it is (archived,
    /// shorter than the range).
    Failed(Failure),
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Changed => {
                Failure::transient("object_changed", "the object changed while it was read")
            }
            ReadError::Gone => Failure::rejected("object_gone", "the object is not there"),
            ReadError::Denied(failure) | ReadError::Failed(failure) => failure,
        }
    }
}

impl ReadError {
    /// Whether trying again may help with the same version.
    pub fn is_passing(&self) -> bool {
        match self {
            ReadError::Failed(failure) => {
                matches!(failure.kind(), Kind::Transient | Kind::Disconnected)
            }
            ReadError::Changed | ReadError::Gone | ReadError::Denied(_) => false,
        }
    }
}

/// A bucket, container or folder. Clones share the connections; how much is done at the same time is
/// the caller's affair. Every request has a time limit, and none is repeated here.
#[derive(Clone)]
pub struct Bucket {
    name: String,
    prefix: String,
}

impl fmt::Display for Bucket {
    /// Such as `s3://bucket`: without prefix and credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Bucket {
    /// Reads credentials and prepares connections; asks the store for nothing yet.
    ///
    /// # Errors
    /// `Fatal` where a setting does not make sense to the store (`bucket_settings`).
    pub async fn open(location: &Location) -> Result<Self, Failure> {
        Ok(Self {
            name: location.to_string(),
            prefix: location.prefix.clone(),
        })
    }

    /// With what all keys of the location begin: the folder of its `url` and its `prefix`; empty for
    /// the whole bucket.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// All objects whose keys begin with `prefix` (the characters, not folders) and come after
    /// `after`, page by page (at most 1,000), in the order of their keys' bytes. A page may be empty.
    /// The stream ends after an error.
    pub fn list(&self, _prefix: &str, _after: Option<&str>) -> Listing {
        Box::pin(futures::stream::empty())
    }

    /// The object as it is now.
    ///
    /// # Errors
    /// As [`ReadError`] says; never `Changed`.
    pub async fn head(&self, _key: &str) -> Result<Object, ReadError> {
        Err(ReadError::Gone)
    }

    /// The bytes of this range, all of them; of this version, where one is given. At most
    /// [`MOST_READ`].
    ///
    /// # Errors
    /// As [`ReadError`] says. Half a range is an error, and so are bytes of another version.
    pub async fn read(
        &self,
        _key: &str,
        _range: Range<u64>,
        _if_version: Option<&str>,
    ) -> Result<Bytes, ReadError> {
        Err(ReadError::Gone)
    }

    /// Looks, without changing anything, whether the store can be reached and read, whether it is
    /// encrypted on the way and at rest, whether it is public, and whether the credentials can do
    /// more than they need.
    pub async fn probe(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// What [`Bucket::list`] gives.
pub type Listing = BoxStream<'static, Result<Vec<Object>, Failure>>;
