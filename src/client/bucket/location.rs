//! Where a bucket is, as a pipeline file says it.

use std::fmt;
use std::path::PathBuf;

use reqwest::Url;

use crate::client::aws::{Keys, read_endpoint};
use crate::setting::{Fields, Secret};

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
    /// `endpoint`: of another server than Azure's, the account's name in its path where it wants that.
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

/// The settings beside the address, for whichever store.
#[derive(Default)]
struct Settings {
    region: Option<String>,
    endpoint: Option<Url>,
    path_style: Option<bool>,
    expected_bucket_owner: Option<String>,
    request_payer: Option<bool>,
    auth: Auth,
}

#[derive(Default)]
struct Auth {
    keys: Option<Keys>,
    service_account: Option<Secret>,
    account: Option<String>,
    access_key: Option<Secret>,
    sas_token: Option<Secret>,
}

/// The kinds of stores, as messages name them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    S3,
    Google,
    Azure,
    Folder,
}

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Sort::S3 => "S3",
            Sort::Google => "Google Cloud Storage",
            Sort::Azure => "Azure Blob Storage",
            Sort::Folder => "a local folder",
        }
    }
}

impl Location {
    /// Reads `url` (or `bucket`, for S3), `prefix`, `region`, `endpoint`, `path_style`, `auth`,
    /// `expected_bucket_owner` and `request_payer`. Where `url` comes from a variable, settings of
    /// another kind of store are left unused, so that one file can serve several.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let address = read_address(fields);
        let prefix = fields.filled("prefix").unwrap_or_else(String::new);
        let settings = read_settings(fields);
        let (sort, name, mut folder) = address?;
        let from_variable = |node: &crate::setting::Node| node.from_variable;
        if !fields.node("url").is_some_and(from_variable) {
            refuse_foreign(fields, sort, &settings);
        }
        if sort == Sort::Azure && settings.auth.account.is_none() {
            let span = fields.span_of("auth");
            let message = "a container of Azure needs the name of its storage account";
            fields
                .error("missing-field", span, message)
                .hint("say `auth: { account: ... }`");
            return None;
        }
        folder.push_str(&prefix);
        Some(Self {
            store: settings.store(sort, name),
            prefix: folder,
        })
    }
}

impl Settings {
    fn store(self, sort: Sort, name: String) -> Store {
        let Self { endpoint, auth, .. } = self;
        match sort {
            Sort::S3 => Store::S3(S3 {
                bucket: name,
                region: self.region,
                path_style: self.path_style.unwrap_or(endpoint.is_some()),
                endpoint,
                keys: auth.keys,
                expected_bucket_owner: self.expected_bucket_owner,
                request_payer: self.request_payer.unwrap_or(false),
            }),
            Sort::Google => Store::Google(Google {
                bucket: name,
                service_account: auth.service_account,
                endpoint,
            }),
            Sort::Azure => Store::Azure(Azure {
                container: name,
                account: auth.account.unwrap_or_default(),
                access_key: auth.access_key,
                sas_token: auth.sas_token,
                endpoint,
            }),
            Sort::Folder => Store::Folder(PathBuf::from(name)),
        }
    }
}

fn read_settings(fields: &mut Fields<'_>) -> Settings {
    let auth = fields.section("auth", "the `auth` of the bucket", |auth| {
        Some(Auth {
            keys: Keys::check(auth),
            service_account: auth.filled("service_account"),
            account: auth.filled("account"),
            access_key: auth.filled("access_key"),
            sas_token: auth.filled("sas_token"),
        })
    });
    Settings {
        region: fields.filled("region"),
        endpoint: read_endpoint(fields, "endpoint"),
        path_style: fields.filled("path_style"),
        expected_bucket_owner: fields.filled("expected_bucket_owner"),
        request_payer: fields.filled("request_payer"),
        auth: auth.unwrap_or_default(),
    }
}

/// The kind of store, its name, and the folder within it (empty, or closed by a `/`).
fn read_address(fields: &mut Fields<'_>) -> Option<(Sort, String, String)> {
    let bucket: Option<String> = fields.filled("bucket");
    if let Some(bucket) = bucket {
        if fields.node("url").is_some_and(|url| !url.is_unset()) {
            let span = fields.span_of("bucket");
            let message = "`url` and `bucket` both name a bucket";
            fields.error("conflicting-fields", span, message);
            return None;
        }
        if bucket.is_empty() || bucket.contains('/') {
            let span = fields.span_of("bucket");
            let message = "`bucket` is the name of a bucket and nothing else";
            fields
                .error("bad-name", span, message)
                .hint("the part of the bucket that is of interest goes into `prefix`");
            return None;
        }
        return Some((Sort::S3, bucket, String::new()));
    }
    let text = fields.required::<String>("url")?;
    let span = fields.span_of("url");
    split(&text)
        .map_err(|(message, hint)| {
            fields.error("bad-url", span, message).hint(hint);
        })
        .ok()
}

type Wrong = (&'static str, &'static str);

fn split(text: &str) -> Result<(Sort, String, String), Wrong> {
    const FORMS: &str = "write it as `s3://bucket/folder`, `gs://bucket/folder`, \
         `az://container/folder`, or as the path of a local folder";
    let Some((scheme, rest)) = text.split_once("://") else {
        return match text {
            "" => Err(("`url` is empty", FORMS)),
            text if text.contains('\0') => Err(("the path has a zero character in it", FORMS)),
            text => Ok((Sort::Folder, text.to_owned(), String::new())),
        };
    };
    let sort = match scheme {
        "s3" => Sort::S3,
        "gs" => Sort::Google,
        "az" => Sort::Azure,
        "file" if rest.starts_with('/') && !rest.contains('\0') => {
            return Ok((Sort::Folder, rest.to_owned(), String::new()));
        }
        "file" => return Err(("a `file` URL has no host", "write it as `file:///folder`")),
        _ => return Err(("this is not the URL of a bucket", FORMS)),
    };
    let (name, folder) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(plain) {
        // Also where somebody writes credentials in front of the name.
        return Err(("the URL names no bucket", FORMS));
    }
    // A folder, not the beginning of a name: `exports` shall not find `exports-old`.
    let folder = match folder {
        "" => String::new(),
        folder if folder.ends_with('/') => folder.to_owned(),
        folder => format!("{folder}/"),
    };
    Ok((sort, name.to_owned(), folder))
}

/// Says which settings this kind of store has no use for.
fn refuse_foreign(fields: &mut Fields<'_>, sort: Sort, settings: &Settings) {
    let auth = &settings.auth;
    let s3 = [Sort::S3].as_slice();
    let owners = [
        ("region", settings.region.is_some(), s3),
        ("path_style", settings.path_style.is_some(), s3),
        (
            "expected_bucket_owner",
            settings.expected_bucket_owner.is_some(),
            s3,
        ),
        ("request_payer", settings.request_payer.is_some(), s3),
        (
            "endpoint",
            settings.endpoint.is_some(),
            &[Sort::S3, Sort::Google, Sort::Azure],
        ),
        ("auth.access_key_id", auth.keys.is_some(), s3),
        (
            "auth.service_account",
            auth.service_account.is_some(),
            &[Sort::Google],
        ),
        ("auth.account", auth.account.is_some(), &[Sort::Azure]),
        ("auth.access_key", auth.access_key.is_some(), &[Sort::Azure]),
        ("auth.sas_token", auth.sas_token.is_some(), &[Sort::Azure]),
    ];
    for (name, given, of) in owners {
        if given && !of.contains(&sort) {
            let span = fields.span_of(name.split('.').next().unwrap_or(name));
            let message = format!("{} has no use for `{name}`", sort.name());
            fields.error("conflicting-fields", span, message);
        }
    }
    if auth.access_key.is_some() && auth.sas_token.is_some() {
        let span = fields.span_of("auth");
        let message = "`access_key` and `sas_token` are two ways to say who asks";
        fields.error("conflicting-fields", span, message);
    }
}

#[cfg(test)]
mod tests;
