//! Google Cloud Storage and Azure Blob Storage.
//!
//! Keys that have an empty part, `.` or `..` between slashes cannot be named by the crate that
//! speaks to both: they are listed (`names`), and reading them is rejected.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Full, Limited};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::path::Path;
use object_store::{
    ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt,
    RetryConfig,
};

use super::names;
use super::read::{collect, is_version, makeshift, tag, unquoted};
use super::s3::archived;
use super::{Listing, Object, PAGE, ReadError, location};
use crate::client::aws::{MOST_ANSWER, REQUEST};
use crate::client::http;
use crate::failure::{Failure, Kind};
use crate::setting::Secret;

/// A bucket of Google's or a container of Azure's.
#[derive(Clone)]
pub(super) struct Cloud {
    pub(super) name: &'static str,
    objects: Arc<dyn ObjectStore>,
    pages: Arc<dyn PaginatedListStore>,
    /// Where it is Google's.
    google: Option<Arc<GoogleCloudStorage>>,
}

impl Cloud {
    pub(super) fn google(settings: &location::Google) -> Result<Self, Failure> {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&settings.bucket)
            .with_http_connector(Wire(http::client(REQUEST)?))
            .with_retry(never());
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_base_url(endpoint.as_str().trim_end_matches('/'));
        }
        if let Some(account) = &settings.service_account {
            let account = account.expose();
            builder = match account.trim_start().starts_with('{') {
                true => builder.with_service_account_key(account),
                false => builder.with_service_account_path(account),
            };
        }
        let store = Arc::new(
            builder
                .build()
                .map_err(|_| unusable("the service account"))?,
        );
        Ok(Self {
            name: "Google Cloud Storage",
            objects: store.clone(),
            pages: store.clone(),
            google: Some(store),
        })
    }

    pub(super) fn azure(settings: &location::Azure) -> Result<Self, Failure> {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_account(&settings.account)
            .with_container_name(&settings.container)
            .with_http_connector(Wire(http::client(REQUEST)?))
            .with_retry(never());
        if let Some(endpoint) = &settings.endpoint {
            let is_plain = endpoint.scheme() == "http";
            let endpoint = endpoint.as_str().trim_end_matches('/').to_owned();
            builder = builder.with_endpoint(endpoint).with_allow_http(is_plain);
        }
        if let Some(key) = &settings.access_key {
            builder = builder.with_access_key(key.expose());
        }
        if let Some(token) = &settings.sas_token {
            builder = builder.with_sas_authorization(pairs(token.expose()));
        }
        let store = Arc::new(builder.build().map_err(|_| unusable("the access key"))?);
        Ok(Self {
            name: "Azure Blob Storage",
            objects: store.clone(),
            pages: store,
            google: None,
        })
    }

    pub(super) fn list(&self, prefix: String, after: Option<String>) -> Listing {
        let walk = Walk {
            cloud: self.clone(),
            prefix,
            after,
            token: None,
            ended: false,
        };
        Box::pin(futures::stream::try_unfold(walk, Walk::next))
    }

    pub(super) async fn head(&self, key: &str) -> Result<Object, ReadError> {
        let asked = self.objects.head(&path(key)?).await;
        asked.map(object).map_err(|error| self.read_error(&error))
    }

    pub(super) async fn read(
        &self,
        key: &str,
        range: Range<u64>,
        version: Option<&str>,
    ) -> Result<Bytes, ReadError> {
        let options = GetOptions {
            if_match: tag(version),
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let asked = self.objects.get_opts(&path(key)?, options).await;
        let answer = match asked.map_err(|error| self.read_error(&error)) {
            Ok(answer) => answer,
            // Azure says of an object that is gone that it is not of this version.
            Err(ReadError::Changed) => {
                return Err(self.head(key).await.err().unwrap_or(ReadError::Changed));
            }
            Err(error) => return Err(error),
        };
        let meta = &answer.meta;
        let seconds = Some(meta.last_modified.timestamp());
        is_version(version, meta.e_tag.as_deref(), seconds, Some(meta.size))?;
        if answer.range.start == range.start && answer.range.end < range.end {
            return Err(ReadError::Failed(Failure::rejected(
                "object_range",
                "the object is shorter than the range that was asked for",
            )));
        }
        let parts = answer.into_stream().map(|part| part.map_err(drop));
        collect(parts.boxed(), range.end - range.start).await
    }

    /// What Google takes as a sign of who asks; none where nobody in particular does, or no token is
    /// to be had.
    pub(super) async fn bearer(&self) -> Option<Secret> {
        let credential = self.google.as_ref()?.credentials().get_credential().await;
        let bearer = &credential.ok()?.bearer;
        (!bearer.is_empty()).then(|| Secret::new(bearer))
    }

    fn read_error(&self, error: &Error) -> ReadError {
        let text = error.to_string();
        match error {
            Error::NotFound { .. } if is_bucket(&text) => ReadError::Failed(missing()),
            Error::NotFound { .. } => ReadError::Gone,
            Error::Precondition { .. } | Error::NotModified { .. } => ReadError::Changed,
            _ if text.contains("BlobArchived") => ReadError::Failed(archived()),
            Error::PermissionDenied { .. } if !is_credential(&text) => {
                ReadError::Denied(self.denied())
            }
            _ if status(&text) == Some(416) || text.contains("but object was only") => {
                ReadError::Failed(Failure::rejected(
                    "object_range",
                    "the object is shorter than the range that was asked for",
                ))
            }
            _ => ReadError::Failed(self.failure(error)),
        }
    }

    fn denied(&self) -> Failure {
        let message = format!("{} does not let these credentials read here", self.name);
        Failure::fatal("bucket_denied", message)
    }

    /// What an error means. Its own text holds URLs, which may be signed, and is not shown.
    pub(super) fn failure(&self, error: &Error) -> Failure {
        let (name, text) = (self.name, error.to_string());
        if is_credential(&text) || matches!(error, Error::Unauthenticated { .. }) {
            let message = format!("{name} does not take the credentials: see `auth`");
            return Failure::fatal("bucket_credentials", message);
        }
        match error {
            Error::NotFound { .. } => return missing(),
            Error::PermissionDenied { .. } => return self.denied(),
            Error::InvalidPath { .. } => {
                let message = "a key has an empty part, `.` or `..` between its slashes, which \
                     cannot be named here";
                return Failure::fatal("bucket_key", message);
            }
            _ => {}
        }
        if let Some(kind) = http_kind(error) {
            let message = format!("no answer from {name}");
            return match kind {
                HttpErrorKind::Timeout => Failure::transient("timeout", message),
                HttpErrorKind::Decode => {
                    Failure::transient("bucket_answer", "an answer that makes no sense")
                }
                _ => Failure::disconnected("bucket_connection", message),
            };
        }
        match status(&text) {
            Some(429 | 503) => Failure::transient("throttled", format!("{name} cannot answer now")),
            Some(408 | 500..600) => {
                Failure::transient("bucket_busy", format!("{name} cannot answer now"))
            }
            Some(404) => missing(),
            Some(401 | 403) => self.denied(),
            Some(status) => Failure::fatal(
                "bucket_refused",
                format!("{name} does not take the request (status {status})"),
            ),
            None => Failure::transient(
                "bucket_answer",
                format!("what {name} answered makes no sense"),
            ),
        }
    }
}

fn never() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

fn unusable(what: &str) -> Failure {
    let message = format!("the settings of the bucket cannot be used: see {what} in `auth`");
    Failure::fatal("bucket_settings", message)
}

fn missing() -> Failure {
    Failure::fatal(
        "bucket_missing",
        "there is no bucket or container of this name",
    )
}

fn pairs(token: &str) -> Vec<(String, String)> {
    let token = token.trim_start_matches('?');
    let pairs = url::form_urlencoded::parse(token.as_bytes());
    pairs
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

fn path(key: &str) -> Result<Path, ReadError> {
    let path = Path::parse(key).map_err(|_| names::unnamed())?;
    // It leaves slashes at the ends away, which would be another object.
    match path.as_ref() == key {
        true => Ok(path),
        false => Err(names::unnamed()),
    }
}

fn object(meta: ObjectMeta) -> Object {
    let version = match unquoted(meta.e_tag.as_deref().unwrap_or_default()) {
        "" => makeshift(meta.last_modified.timestamp(), meta.size),
        tag => tag.to_owned(),
    };
    Object {
        version,
        key: names::unmarked(meta.location.as_ref()),
        size: meta.size,
        modified_micros: meta.last_modified.timestamp_micros(),
    }
}

fn is_bucket(text: &str) -> bool {
    text.contains("NoSuchBucket") || text.contains("ContainerNotFound")
}

/// Whether it is about who asks, and not about what that one may do.
fn is_credential(text: &str) -> bool {
    [
        "AuthenticationFailed",
        "Server failed to authenticate",
        "InvalidAuthenticationInfo",
        "invalid_grant",
        "token request",
    ]
    .iter()
    .any(|sign| text.contains(sign))
}

fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

fn http_kind(error: &Error) -> Option<HttpErrorKind> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = next {
        if let Some(found) = inner.downcast_ref::<HttpError>() {
            return Some(found.kind());
        }
        next = inner.source();
    }
    None
}

/// A listing under way.
struct Walk {
    cloud: Cloud,
    prefix: String,
    after: Option<String>,
    token: Option<String>,
    ended: bool,
}

impl Walk {
    async fn next(mut self) -> Result<Option<(Vec<Object>, Self)>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let answer = self.ask().await?;
        let wanted = |object: &Object| {
            let later = self.after.as_ref().is_none_or(|after| *after < object.key);
            later && object.key.starts_with(&self.prefix)
        };
        // Servers other than the real ones leave the mark out of account.
        let listed = answer.result.objects.into_iter().map(object);
        let mut page: Vec<_> = listed.filter(wanted).collect();
        if self.token.is_none() {
            page.extend(self.namesake(&page).await?);
        }
        // Azure sorts what is beyond the Basic Multilingual Plane by other rules.
        page.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        if answer.page_token.is_some() && answer.page_token == self.token {
            let message = "the store says that there is more, and lists the same again";
            return Err(Failure::transient("bucket_answer", message));
        }
        self.ended = answer.page_token.is_none();
        self.token = answer.page_token;
        Ok(Some((page, self)))
    }

    /// The object that is called as the prefix itself: of Azure the crate leaves it out, since it may
    /// stand for a folder.
    async fn namesake(&self, page: &[Object]) -> Result<Option<Object>, Failure> {
        let key = self.prefix.as_str();
        let passed = self.after.as_deref().is_some_and(|after| after >= key);
        let is_folder = key.is_empty() || key.ends_with('/');
        if passed || is_folder || page.iter().any(|object| object.key == key) {
            return Ok(None);
        }
        match self.cloud.head(key).await {
            Ok(object) => Ok(Some(object)),
            Err(ReadError::Failed(failure)) if failure.kind() != Kind::Rejected => Err(failure),
            // To list it is not to read it.
            Err(_) => Ok(None),
        }
    }

    async fn ask(&self) -> Result<PaginatedListResult, Failure> {
        let options = PaginatedListOptions {
            offset: self.after.clone().filter(|_| self.token.is_none()),
            max_keys: Some(PAGE as usize),
            page_token: self.token.clone(),
            ..PaginatedListOptions::default()
        };
        let prefix = Some(self.prefix.as_str()).filter(|prefix| !prefix.is_empty());
        let asked = self.cloud.pages.list_paginated(prefix, options).await;
        asked.map_err(|error| self.cloud.failure(&error))
    }
}

/// The HTTP client of this program, as the crate takes it; no answer is read without end.
#[derive(Clone, Debug)]
struct Wire(reqwest::Client);

impl HttpConnector for Wire {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

type Answered<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Wire {
    fn call<'s, 'a>(&'s self, request: HttpRequest) -> Answered<'a>
    where
        's: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            let lists = names::is_listing(request.uri().query());
            let request = request.map(reqwest::Body::wrap);
            let request = reqwest::Request::try_from(request).map_err(of_wire)?;
            let response = self.0.execute(request).await.map_err(of_wire)?;
            let response = ::http::Response::<reqwest::Body>::from(response);
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MOST_ANSWER).map_err(cut);
            if !lists || !parts.status.is_success() {
                return Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)));
            }
            let bytes = body.collect().await?.to_bytes();
            // What is no text is no listing either, and is refused by whoever reads it.
            let answer = match std::str::from_utf8(&bytes) {
                Ok(text) => Bytes::from(names::marked(text)),
                Err(_) => bytes,
            };
            let body = Full::new(answer).map_err(|never| match never {});
            Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
        })
    }
}

fn cut(error: Box<dyn std::error::Error + Send + Sync>) -> HttpError {
    HttpError::new_boxed(HttpErrorKind::Interrupted, error)
}

fn of_wire(error: reqwest::Error) -> HttpError {
    let kind = match &error {
        error if error.is_timeout() => HttpErrorKind::Timeout,
        error if error.is_connect() => HttpErrorKind::Connect,
        _ => HttpErrorKind::Request,
    };
    HttpError::new(kind, std::io::Error::other(http::told(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_taken_apart_and_its_letters_undone() {
        let pairs = pairs("?sv=2024&sp=rl&sig=a%2Bb%3D");
        assert_eq!(pairs[2], ("sig".to_owned(), "a+b=".to_owned()));
    }

    #[test]
    fn keys_that_would_become_others_are_nobodys() {
        assert!(path("a b/ü+%.gz").is_ok());
        for key in ["/a", "a/", "a//b", "a/../b", "."] {
            assert_eq!(path(key).unwrap_err(), names::unnamed(), "{key}");
        }
    }

    #[test]
    fn a_status_is_read_and_the_url_beside_it_not_shown() {
        let text = "Error performing GET http://h/c?sig=hush - Server returned non-2xx status \
             code: 403 Forbidden: AuthenticationFailed";
        assert_eq!(status(text), Some(403));
        let settings = location::Azure {
            container: "c".into(),
            account: "a".into(),
            access_key: None,
            sas_token: None,
            endpoint: None,
        };
        let cloud = Cloud::azure(&settings).unwrap();
        let error = Error::Generic {
            store: "s",
            source: text.into(),
        };
        let failure = cloud.failure(&error);
        assert_eq!(failure.losses()[0].cause.reason, "bucket_credentials");
        assert!(!format!("{failure:?}").contains("hush"));
    }
}
