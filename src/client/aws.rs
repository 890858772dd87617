//! What every service of AWS shares: credentials, region, endpoint, and the way to speak HTTPS.
//!
//! The SDK is given the one HTTP stack of this program, not its own: that brings Mozilla's list of
//! authorities along, which a container without a system around it needs, and follows no redirects.
//! The SDK's own retries are off, since whoever calls has back-off; time-outs are the HTTP client's.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::{Credentials, SharedHttpClient};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use http_body_util::Limited;
use reqwest::Url;

use super::http;
use crate::failure::{Cause, Failure, Kind};
use crate::setting::{Fields, Secret};

/// A whole request: the largest range that is read at once, over a slow line.
pub(super) const REQUEST: Duration = Duration::from_secs(120);
/// Most of an answer that is read: the largest range there is ([`super::bucket::MOST_READ`]), and
/// whatever else comes is smaller.
pub(super) const MOST_ANSWER: usize = 65 << 20;
/// Region that is said to servers that are not Amazon's, and that want to hear one.
const ANY_REGION: &str = "us-east-1";

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

impl Keys {
    /// Reads the three fields; one of the first two without the other is a mistake. All may be empty
    /// variables, which is as good as absent.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let id = fields.filled("access_key_id");
        let secret = fields.filled("secret_access_key");
        let session_token = fields.filled("session_token");
        if id.is_some() != secret.is_some() {
            let (there, missing) = match id.is_some() {
                true => ("access_key_id", "secret_access_key"),
                false => ("secret_access_key", "access_key_id"),
            };
            let span = fields.span_of(there);
            let message = format!("`{there}` needs `{missing}` beside it");
            fields.error("missing-field", span, message);
        }
        Some(Self {
            access_key_id: id?,
            secret_access_key: secret?,
            session_token,
        })
    }

    fn credentials(&self) -> Credentials {
        let session = self.session_token.as_ref();
        Credentials::new(
            self.access_key_id.expose(),
            self.secret_access_key.expose(),
            session.map(|token| token.expose().to_owned()),
            None,
            "settings",
        )
    }
}

/// Reads `endpoint`: an `http` or `https` URL of a server, without credentials in it.
pub(super) fn read_endpoint(fields: &mut Fields<'_>, name: &'static str) -> Option<Url> {
    let text: String = fields.filled(name)?;
    let url = Url::parse(&text).ok().filter(|url| {
        let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        matches!(url.scheme(), "http" | "https") && url.has_host() && bare
    });
    if url.is_none() {
        let span = fields.span_of(name);
        fields
            .error(
                "bad-url",
                span,
                format!("`{name}` is not the URL of a server"),
            )
            .hint("write it as `https://s3.example.com`; credentials go into `auth`");
    }
    url
}

/// What all clients of AWS are made from. Without a region it asks the environment, the profile and
/// the machine; of a server that is not Amazon's the region does not matter.
///
/// # Errors
/// `Fatal` (`aws_region`) where no region is to be found.
pub(super) async fn config(
    region: Option<&str>,
    endpoint: Option<&Url>,
    keys: Option<&Keys>,
) -> Result<SdkConfig, Failure> {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(SharedHttpClient::new(Wire(http::client(REQUEST)?)))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let region = region.or(endpoint.map(|_| ANY_REGION));
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint.as_str().trim_end_matches('/'));
    }
    if let Some(keys) = keys {
        loader = loader.credentials_provider(keys.credentials());
    }
    let config = loader.load().await;
    if config.region().is_none() {
        let message = "no region of AWS: say `region`, or set AWS_REGION";
        return Err(Failure::fatal("aws_region", message));
    }
    Ok(config)
}

/// The way from the SDK to the HTTP client.
#[derive(Clone, Debug)]
struct Wire(reqwest::Client);

impl HttpClient for Wire {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let user = |_| ConnectorError::user("a request that HTTP cannot carry".into());
            let request = request.try_into_http1x().map_err(user)?;
            let request = request.map(reqwest::Body::wrap);
            let request = reqwest::Request::try_from(request)
                .map_err(|_| ConnectorError::user("a request that has no URL".into()))?;
            let response = client.execute(request).await.map_err(unsent)?;
            let response = ::http::Response::<reqwest::Body>::from(response);
            let limited = |body| SdkBody::from_body_1_x(Limited::new(body, MOST_ANSWER));
            HttpResponse::try_from(response.map(limited))
                .map_err(|_| ConnectorError::other("an answer that is no HTTP".into(), None))
        })
    }
}

fn unsent(error: reqwest::Error) -> ConnectorError {
    // A URL may be signed, so only words go on.
    let timeout = error.is_timeout();
    let told = http::told(error).into();
    match timeout {
        true => ConnectorError::timeout(told),
        false => ConnectorError::io(told),
    }
}

/// What a service said instead of what was asked for.
#[derive(Debug)]
pub(super) enum Answer {
    /// An error of its own.
    Error {
        /// Of HTTP.
        status: u16,
        /// Its name for the error, such as `NoSuchKey`; empty where it gave none.
        code: String,
        /// Whether the text of it speaks of the service for keys.
        kms: bool,
    },
    /// It could not be asked, or did not answer.
    None(Failure),
}

/// Reads an error of the SDK. `system` names the service for people.
pub(super) fn answer<E>(error: &SdkError<E, HttpResponse>, system: &str) -> Answer
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ServiceError(context) => {
            let (inner, raw) = (context.err(), context.raw());
            let message = inner.message().unwrap_or_default().to_ascii_lowercase();
            Answer::Error {
                status: raw.status().as_u16(),
                code: clean(inner.code().unwrap_or_default()),
                kms: message.contains("kms"),
            }
        }
        SdkError::DispatchFailure(failure) => {
            let error = failure.as_connector_error();
            let text = error.map_or_else(String::new, |error| chain(error));
            Answer::None(unanswered(
                &text,
                failure.is_timeout(),
                failure.is_io(),
                system,
            ))
        }
        SdkError::ResponseError(context) => match context.raw().status().as_u16() {
            status @ 300.. => Answer::Error {
                status,
                code: String::new(),
                kms: false,
            },
            _ => Answer::None(Failure::transient(
                "bucket_answer",
                format!("what {system} answered makes no sense"),
            )),
        },
        SdkError::TimeoutError(_) => Answer::None(timed_out(system)),
        other => Answer::None(unanswered(&chain(other), false, false, system)),
    }
}

fn timed_out(system: &str) -> Failure {
    Failure::transient("timeout", format!("{system} did not answer in time"))
}

fn unanswered(text: &str, timeout: bool, io: bool, system: &str) -> Failure {
    if timeout || text.contains("timed out") {
        return timed_out(system);
    }
    if io {
        return Failure::disconnected(
            "bucket_connection",
            format!("no connection to {system}: {text}"),
        );
    }
    if text.contains("credential") || text.contains("identity") {
        let message = format!(
            "no credentials for {system}: say `auth`, or give this machine some (environment, \
             profile, role)"
        );
        return Failure::fatal("aws_credentials", message);
    }
    Failure::transient("bucket_request", format!("{system} could not be asked"))
}

/// An error and its causes. Used to tell them apart, and shown only where this program wrote it.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        next = inner.source();
    }
    text
}

/// A code as it may be shown: a server that lies may put anything into it.
fn clean(code: &str) -> String {
    let known = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    code.chars().take(64).take_while(known).collect()
}

/// What is wrong with the credentials, where the code says so, and what to do. `None` for all others.
pub(super) fn bad_credentials(code: &str, system: &str) -> Option<Failure> {
    let what = match code {
        "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
            "does not know the access key"
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" => {
            "does not take the secret access key"
        }
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => {
            "says that the credentials have expired"
        }
        "InvalidToken" | "IncompleteSignature" | "MissingAuthenticationToken" => {
            "does not take the session token or signature"
        }
        "RequestTimeTooSkewed" => "says that the clock of this machine is wrong",
        "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError" => {
            "expects another region (or other credentials): see `region`"
        }
        "NotSignedUp" | "AccountProblem" | "InvalidPayer" => "says that the account is not active",
        _ => return None,
    };
    let message = format!("{system} {what} ({code})");
    Some(Failure::fatal("aws_credentials", message))
}

/// Whether the same request may go well later.
pub(super) fn is_passing(status: u16, code: &str) -> bool {
    let throttled = code.contains("Throttl") || code.starts_with("RequestLimit");
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
        || throttled
        || matches!(
            code,
            "SlowDown" | "RequestTimeout" | "OperationAborted" | "InternalError" | "OverLimit"
        )
}

/// A failure that waits.
pub(super) fn passing(system: &str, status: u16, code: &str) -> Failure {
    let code = if code.is_empty() {
        format!("status {status}")
    } else {
        code.to_owned()
    };
    let message = format!("{system} cannot answer now ({code})");
    let slow = matches!(status, 429 | 503) || is_passing(400, &code);
    let reason = if slow { "throttled" } else { "bucket_busy" };
    Failure::new(Kind::Transient, Cause::new(reason, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_shown_only_as_far_as_it_is_one() {
        assert_eq!(clean("KMS.DisabledException"), "KMS.DisabledException");
        assert_eq!(clean("Slow\u{1b}[31mDown"), "Slow");
        assert_eq!(clean(&"x".repeat(100)).len(), 64);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(is_passing(503, "SlowDown") && is_passing(400, "ThrottlingException"));
        assert!(is_passing(400, "RequestTimeout") && is_passing(500, ""));
        assert!(!is_passing(403, "AccessDenied") && !is_passing(400, "InvalidArgument"));
        assert_eq!(
            bad_credentials("SignatureDoesNotMatch", "S3").map(|f| f.kind()),
            Some(Kind::Fatal)
        );
        assert!(bad_credentials("AccessDenied", "S3").is_none());
    }

    #[test]
    fn a_person_is_told_of_missing_credentials_and_of_nothing_secret() {
        let text = "the credentials provider was not properly configured: AKIAHUSH";
        let failure = unanswered(text, false, false, "S3");
        assert_eq!(failure.kind(), Kind::Fatal);
        assert!(!format!("{failure:?}").contains("HUSH"));
        let failure = unanswered("connection refused", false, true, "S3");
        assert_eq!(failure.kind(), Kind::Disconnected);
        assert_eq!(
            unanswered("the provider timed out", false, false, "S3").kind(),
            Kind::Transient
        );
    }
}
