//! Amazon S3 and what speaks like it.

use std::ops::Range;
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{EncodingType, RequestPayer};
use bytes::Bytes;
use futures::StreamExt;

use super::read::{collect, is_range, quoted, same, unquoted};
use super::{Listing, Object, PAGE, ReadError, location};
use crate::client::aws::{self, Answer};
use crate::failure::Failure;

/// What people call it.
pub(super) const NAME: &str = "S3";

/// A bucket.
#[derive(Clone)]
pub(super) struct S3 {
    pub(super) client: Client,
    pub(super) settings: Arc<location::S3>,
}

impl S3 {
    pub(super) async fn open(settings: &location::S3) -> Result<Self, Failure> {
        let shared = aws::config(
            settings.region.as_deref(),
            settings.endpoint.as_ref(),
            settings.keys.as_ref(),
        )
        .await?;
        let config = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(settings.path_style)
            .build();
        Ok(Self {
            client: Client::from_conf(config),
            settings: Arc::new(settings.clone()),
        })
    }

    fn payer(&self) -> Option<RequestPayer> {
        self.settings
            .request_payer
            .then_some(RequestPayer::Requester)
    }

    pub(super) fn owner(&self) -> Option<String> {
        self.settings.expected_bucket_owner.clone()
    }

    pub(super) fn list(&self, prefix: String, after: Option<String>) -> Listing {
        let walk = Walk {
            s3: self.clone(),
            prefix,
            last: after,
            token: None,
            ended: false,
        };
        Box::pin(futures::stream::try_unfold(walk, Walk::next))
    }

    pub(super) async fn head(&self, key: &str) -> Result<Object, ReadError> {
        let asked = self
            .client
            .head_object()
            .bucket(&self.settings.bucket)
            .key(key)
            .set_expected_bucket_owner(self.owner())
            .set_request_payer(self.payer())
            .send()
            .await;
        let found = asked.map_err(|error| read_error(&error))?;
        let size = found.content_length().unwrap_or(-1);
        object(
            key.to_owned(),
            size,
            found.last_modified(),
            found.e_tag().unwrap_or_default(),
        )
        .map_err(ReadError::Failed)
    }

    pub(super) async fn read(
        &self,
        key: &str,
        range: Range<u64>,
        version: Option<&str>,
    ) -> Result<Bytes, ReadError> {
        let asked = self
            .client
            .get_object()
            .bucket(&self.settings.bucket)
            .key(key)
            // Both ends are part of an HTTP range.
            .range(format!("bytes={}-{}", range.start, range.end - 1))
            .set_if_match(version.map(quoted))
            .set_expected_bucket_owner(self.owner())
            .set_request_payer(self.payer())
            .send()
            .await;
        let answer = asked.map_err(|error| read_error(&error))?;
        body(answer, range, version).await
    }
}

/// The bytes of an answer, once it is known to be what was asked for.
async fn body(
    answer: GetObjectOutput,
    range: Range<u64>,
    version: Option<&str>,
) -> Result<Bytes, ReadError> {
    if version.is_some_and(|version| !same(answer.e_tag(), version)) {
        return Err(ReadError::Changed);
    }
    is_range(answer.content_range(), &range)?;
    let parts = futures::stream::unfold(answer.body, |mut body: ByteStream| async move {
        let part = body.next().await?;
        Some((part.map_err(drop), body))
    });
    collect(parts.boxed(), range.end - range.start).await
}

/// A listing under way.
struct Walk {
    s3: S3,
    prefix: String,
    /// The last key there was: all others come after it.
    last: Option<String>,
    token: Option<String>,
    ended: bool,
}

impl Walk {
    async fn next(mut self) -> Result<Option<(Vec<Object>, Self)>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let answer = self.ask().await?;
        let page = page(&answer)?;
        let mut objects = Vec::with_capacity(page.len());
        for object in page {
            // A store that lists in another order would make whoever remembers the last key skip
            // some; and one that goes round in a circle would never end.
            let in_turn = self.last.as_ref().is_none_or(|last| *last < object.key);
            if !in_turn || !object.key.starts_with(&self.prefix) {
                return Err(senseless("lists keys that are not in their turn"));
            }
            self.last = Some(object.key.clone());
            objects.push(object);
        }
        let token = answer
            .next_continuation_token
            .filter(|_| answer.is_truncated == Some(true));
        if token.is_some() && (token == self.token || objects.is_empty()) {
            return Err(senseless("says that there is more, and lists nothing"));
        }
        self.ended = token.is_none();
        self.token = token;
        Ok(Some((objects, self)))
    }

    async fn ask(&self) -> Result<ListObjectsV2Output, Failure> {
        let first = self.token.is_none();
        self.s3
            .client
            .list_objects_v2()
            .bucket(&self.s3.settings.bucket)
            .prefix(&self.prefix)
            .set_start_after(self.last.clone().filter(|_| first))
            .set_continuation_token(self.token.clone())
            .max_keys(PAGE)
            // Keys may hold characters that XML cannot.
            .encoding_type(EncodingType::Url)
            .set_expected_bucket_owner(self.s3.owner())
            .set_request_payer(self.s3.payer())
            .send()
            .await
            .map_err(|error| failure(&error))
    }
}

fn page(answer: &ListObjectsV2Output) -> Result<Vec<Object>, Failure> {
    let encoded = answer.encoding_type() == Some(&EncodingType::Url);
    let read = |listed: &aws_sdk_s3::types::Object| {
        let key = listed.key().unwrap_or_default();
        let key = if encoded {
            decoded(key)
        } else {
            key.to_owned()
        };
        let version = listed.e_tag().unwrap_or_default();
        object(
            key,
            listed.size().unwrap_or(-1),
            listed.last_modified(),
            version,
        )
    };
    answer.contents().iter().map(read).collect()
}

fn object(
    key: String,
    size: i64,
    modified: Option<&DateTime>,
    version: &str,
) -> Result<Object, Failure> {
    let size = u64::try_from(size).map_err(|_| senseless("tells no size of an object"))?;
    let micros = |at: &DateTime| {
        let whole = at.secs().saturating_mul(1_000_000);
        whole.saturating_add(i64::from(at.subsec_nanos() / 1_000))
    };
    Ok(Object {
        key,
        size,
        modified_micros: modified.map_or(0, micros),
        version: unquoted(version).to_owned(),
    })
}

/// What `encoding-type=url` made of a key, undone: a form's encoding, in which `+` is a space.
pub(in crate::client) fn decoded(key: &str) -> String {
    let pairs = format!("k={}", key.replace('&', "%26").replace('=', "%3D"));
    url::form_urlencoded::parse(pairs.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

pub(super) fn senseless(what: &str) -> Failure {
    Failure::transient("bucket_answer", format!("the store {what}"))
}

/// An error of a call that is about the whole bucket.
pub(super) fn failure<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match aws::answer(error, NAME) {
        Answer::None(failure) => failure,
        Answer::Error { status, code, kms } => of_bucket(status, &code, kms),
    }
}

fn of_bucket(status: u16, code: &str, kms: bool) -> Failure {
    if let Some(failure) = aws::bad_credentials(code, NAME) {
        return failure;
    }
    if aws::is_passing(status, code) {
        return aws::passing(NAME, status, code);
    }
    match (status, code) {
        (_, "NoSuchBucket") | (404, _) => {
            Failure::fatal("bucket_missing", "there is no bucket of this name")
        }
        (301 | 307 | 308, _) => Failure::fatal(
            "bucket_region",
            "the bucket is in another region, or behind another endpoint: see `region`",
        ),
        _ if kms || code.starts_with("KMS.") => kms_denied(code),
        (401 | 403, _) => Failure::fatal(
            "bucket_denied",
            "the credentials may not do this: they need s3:ListBucket on the bucket and \
             s3:GetObject on its objects (or the bucket has another owner than expected)",
        ),
        _ => {
            let code = if code.is_empty() { "no code" } else { code };
            let message = format!("S3 does not take the request (status {status}, {code})");
            Failure::fatal("bucket_refused", message)
        }
    }
}

fn kms_denied(code: &str) -> Failure {
    let told = match code {
        "" | "AccessDenied" => String::new(),
        code => format!(" ({code})"),
    };
    let message = format!(
        "the object is encrypted with a key of KMS that the credentials may not use{told}: they need \
         kms:Decrypt, and the key must be enabled"
    );
    Failure::fatal("kms_denied", message)
}

/// An error of a call that is about one object.
fn read_error<E>(error: &SdkError<E, HttpResponse>) -> ReadError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match aws::answer(error, NAME) {
        Answer::None(failure) => ReadError::Failed(failure),
        Answer::Error { status, code, kms } => of_object(status, &code, kms),
    }
}

fn of_object(status: u16, code: &str, kms: bool) -> ReadError {
    match (status, code) {
        (_, "NoSuchBucket") => ReadError::Failed(of_bucket(status, code, kms)),
        (_, "NoSuchKey" | "NoSuchVersion" | "NotFound") | (404 | 410, _) => ReadError::Gone,
        (412, _) | (_, "PreconditionFailed") => ReadError::Changed,
        (_, "InvalidObjectState") => ReadError::Failed(archived()),
        (416, _) => ReadError::Failed(Failure::rejected(
            "object_range",
            "the object is shorter than the range that was asked for",
        )),
        _ if kms || code.starts_with("KMS.") => ReadError::Denied(kms_denied(code)),
        (403, "AccessDenied" | "Forbidden" | "AllAccessDisabled" | "") => {
            ReadError::Denied(of_bucket(status, "AccessDenied", false))
        }
        _ => ReadError::Failed(of_bucket(status, code, kms)),
    }
}

pub(super) fn archived() -> Failure {
    Failure::rejected(
        "object_archived",
        "the object is archived (Glacier, Deep Archive or the archive tier): restore it first",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    #[test]
    fn keys_are_what_they_were_before_they_were_encoded() {
        for (encoded, key) in [
            ("a+b%2Bc%25", "a b+c%"),
            ("x%26y%3Dz&1=2", "x&y=z&1=2"),
            ("%C3%BC/%F0%9F%93%9E", "ü/📞"),
            ("", ""),
            ("%zz", "%zz"),
        ] {
            assert_eq!(decoded(encoded), key);
        }
    }

    #[test]
    fn each_error_is_of_its_kind() {
        assert_eq!(of_object(404, "NoSuchKey", false), ReadError::Gone);
        assert_eq!(
            of_object(412, "PreconditionFailed", false),
            ReadError::Changed
        );
        assert!(matches!(
            of_object(403, "AccessDenied", false),
            ReadError::Denied(_)
        ));
        let kms = of_object(403, "AccessDenied", true);
        assert!(matches!(kms, ReadError::Denied(f) if f.losses()[0].cause.reason == "kms_denied"));
        let kms = of_object(400, "KMS.DisabledException", false);
        assert!(matches!(kms, ReadError::Denied(_)));
        let archived = of_object(403, "InvalidObjectState", false);
        assert!(matches!(archived, ReadError::Failed(f) if f.kind() == Kind::Rejected));
        for (status, code, kind) in [
            (503, "SlowDown", Kind::Transient),
            (500, "InternalError", Kind::Transient),
            (403, "SignatureDoesNotMatch", Kind::Fatal),
            (404, "NoSuchBucket", Kind::Fatal),
            (301, "PermanentRedirect", Kind::Fatal),
            (400, "ExpiredToken", Kind::Fatal),
            (400, "", Kind::Fatal),
        ] {
            let ReadError::Failed(failure) = of_object(status, code, false) else {
                panic!("{code}")
            };
            assert_eq!(failure.kind(), kind, "{code}");
        }
    }
}
