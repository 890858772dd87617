//! Object storage as one thing: Amazon S3 and what speaks like it, Google Cloud Storage, Azure Blob
//! Storage, and a local folder.
//!
//! One meaning for all of them: keys are text and come in the order of their UTF-8 bytes; an object
//! has a version that changes whenever its bytes may have; what is read is the whole range that was
//! asked for, of the version that was asked for, or an error. Nothing is ever written.

mod about;

pub use about::ABOUT;

mod cloud;
mod folder;
mod location;
mod names;
mod probe;
mod read;
mod rights;
mod s3;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;

use crate::failure::{Failure, Kind};

pub use location::{Azure, Google, Location, S3, Store};
pub(in crate::client) use s3::decoded;

pub use super::aws::Keys;

/// Most bytes that one call of [`Bucket::read`] takes; whoever wants more reads in parts.
pub const MOST_READ: u64 = 64 << 20;

/// Objects of a page of a listing: the most that S3 gives.
const PAGE: i32 = 1_000;

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its whole name, the prefix included.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// When it was last changed, in microseconds since 1970; whole seconds in most stores.
    pub modified_micros: i64,
    /// Changes whenever its bytes may have: the entity tag, or, where a store lists none, the second
    /// of the last change and the length.
    pub version: String,
}

impl Object {
    /// Whether this is the version of another look at it: some stores tell more in one look than in
    /// another.
    pub fn is_version(&self, version: &str) -> bool {
        let seconds = self.modified_micros.div_euclid(1_000_000);
        self.version == version || read::makeshift(seconds, self.size) == version
    }
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
    location: Arc<Location>,
    access: Access,
}

#[derive(Clone)]
enum Access {
    S3(s3::S3),
    Cloud(cloud::Cloud),
    Folder(folder::Folder),
}

/// What [`Bucket::list`] gives.
pub type Listing = BoxStream<'static, Result<Vec<Object>, Failure>>;

impl fmt::Display for Bucket {
    /// Such as `s3://bucket`: without prefix and credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.location.fmt(f)
    }
}

impl Bucket {
    /// Reads credentials and prepares connections; asks the store for nothing yet.
    ///
    /// # Errors
    /// `Fatal` where a setting does not make sense to the store (`bucket_settings`), or no region of
    /// AWS is to be found (`aws_region`).
    pub async fn open(location: &Location) -> Result<Self, Failure> {
        let access = match &location.store {
            Store::S3(settings) => Access::S3(s3::S3::open(settings).await?),
            Store::Google(settings) => Access::Cloud(cloud::Cloud::google(settings)?),
            Store::Azure(settings) => Access::Cloud(cloud::Cloud::azure(settings)?),
            Store::Folder(path) => Access::Folder(folder::Folder::new(path)),
        };
        let location = Arc::new(location.clone());
        Ok(Self { location, access })
    }

    /// With what all keys of the location begin: the folder of its `url` and its `prefix`; empty for
    /// the whole bucket.
    pub fn prefix(&self) -> &str {
        &self.location.prefix
    }

    /// All objects whose keys begin with `prefix` (the characters, not folders) and come after
    /// `after`, page by page (at most 1,000), in the order of their keys' bytes. A page may be empty.
    /// The stream ends after an error.
    pub fn list(&self, prefix: &str, after: Option<&str>) -> Listing {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        match &self.access {
            Access::S3(s3) => s3.list(prefix, after),
            Access::Cloud(cloud) => cloud.list(prefix, after),
            Access::Folder(folder) => folder.list(prefix, after),
        }
    }

    /// The object as it is now.
    ///
    /// # Errors
    /// As [`ReadError`] says; never `Changed`.
    pub async fn head(&self, key: &str) -> Result<Object, ReadError> {
        match &self.access {
            Access::S3(s3) => s3.head(key).await,
            Access::Cloud(cloud) => cloud.head(key).await,
            Access::Folder(folder) => folder.head(key).await,
        }
    }

    /// The bytes of this range, all of them; of this version, where one is given. At most
    /// [`MOST_READ`].
    ///
    /// # Errors
    /// As [`ReadError`] says. Half a range is an error, and so are bytes of another version.
    pub async fn read(
        &self,
        key: &str,
        range: Range<u64>,
        if_version: Option<&str>,
    ) -> Result<Bytes, ReadError> {
        if range.is_empty() {
            // No HTTP range is empty, but whether the object is there and the same still counts.
            let found = self.head(key).await?;
            let is_same = if_version.is_none_or(|version| found.is_version(version));
            return is_same.then(Bytes::new).ok_or(ReadError::Changed);
        }
        if range.end - range.start > MOST_READ {
            let message = "a range of more than 64 MiB is not read at once";
            return Err(ReadError::Failed(Failure::rejected(
                "object_range",
                message,
            )));
        }
        match &self.access {
            Access::S3(s3) => s3.read(key, range, if_version).await,
            Access::Cloud(cloud) => cloud.read(key, range, if_version).await,
            Access::Folder(folder) => folder.read(key, range, if_version).await,
        }
    }
}
