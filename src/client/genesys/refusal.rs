//! What the platform says when it refuses, in both of its dialects.
//!
//! The login host speaks OAuth (`error`, `error_description`, `description`), the API's hosts speak
//! `ErrorBody` (`code`, `message`, `limit`). Which of the two an error at a gateway has is not
//! known, so both are read everywhere.

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::failure::{Cause, Failure, Kind};

/// Longest text of the platform that is repeated.
const TOLD: usize = 300;

/// What is shorter is no secret of the platform's, and would be found in every word.
const SHORT: usize = 4;

/// A limit that a call ran into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Such as `client.credentials.token.rate.per.minute`.
    pub key: String,
    /// Such as `platform.api`.
    pub namespace: String,
    /// Its value, as it was written.
    pub value: String,
}

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Such as `not.found` or `invalid_client`; empty where none was given. Not a closed set.
    pub code: String,
    /// For people: shortened, and without anything secret.
    pub message: String,
    /// What the platform's support asks for.
    pub correlation: Option<String>,
    /// How long the platform asked to wait.
    pub retry_after: Option<Duration>,
    /// The limit that it named.
    pub limit: Option<Limit>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Option<serde_json::Value>,
    error_description: Option<String>,
    description: Option<String>,
    code: Option<String>,
    message: Option<String>,
    limit: Option<LimitBody>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LimitBody {
    key: Option<String>,
    namespace: Option<String>,
    value: serde_json::Value,
}

impl Refusal {
    /// Reads an answer. None of `secrets` is repeated.
    pub(super) fn read(status: u16, headers: &HeaderMap, body: &[u8], secrets: &[&str]) -> Self {
        let said: Body = serde_json::from_slice(body).unwrap_or_default();
        let clean = |text: &str| tidy(text, secrets);
        let error = said.error.as_ref().and_then(|error| error.as_str());
        let code = said.code.as_deref().or(error).unwrap_or_default();
        let message = said.message.or(said.error_description).or(said.description);
        let limit = said.limit.map(|limit| Limit {
            key: clean(&limit.key.unwrap_or_default()),
            namespace: clean(&limit.namespace.unwrap_or_default()),
            value: clean(&plain(&limit.value)),
        });
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let correlation = text("inin-correlation-id").or_else(|| text("genesys-correlation-id"));
        Self {
            status,
            code: clean(code),
            message: clean(&message.unwrap_or_default()),
            correlation: correlation.map(clean),
            retry_after: seconds(headers, "retry-after"),
            limit,
        }
    }

    /// Whether the credentials themselves are refused.
    pub fn is_unauthorized(&self) -> bool {
        self.status == 401
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.status)?;
        if !self.code.is_empty() {
            write!(out, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(out, ": {}", self.message)?;
        }
        if let Some(limit) = &self.limit {
            write!(out, " (limit {} = {})", limit.key, limit.value)?;
        }
        if let Some(correlation) = &self.correlation {
            write!(out, " [correlation {correlation}]")?;
        }
        Ok(())
    }
}

/// Why a message was not sent, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The platform answered, and refused.
    Refused(Refusal),
    /// It was certainly not sent: there was no token, or no connection.
    Unsent(Failure),
    /// The request went out and there was no answer: nobody knows.
    Uncertain(Failure),
}

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The platform answered, and refused.
    Refused {
        /// Which call, in words.
        what: &'static str,
        /// What it said.
        refusal: Refusal,
    },
    /// There was no answer that says anything: no connection, no token, an answer that cannot be
    /// read.
    Failed(Failure),
}

impl CallError {
    /// The status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.status),
            Self::Failed(_) => None,
        }
    }

    /// Whether nothing will go well until a person acts: the credentials are refused.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.kind() == Kind::Fatal)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { what, refusal } => write!(out, "{what}: {refusal}"),
            Self::Failed(failure) => failure.fmt(out),
        }
    }
}

impl std::error::Error for CallError {}

impl From<CallError> for Failure {
    /// Refusals that a later try may not meet are transient, all others are rejections.
    fn from(error: CallError) -> Self {
        let CallError::Refused { refusal, .. } = &error else {
            let CallError::Failed(failure) = error else {
                unreachable!("it is one or the other");
            };
            return failure;
        };
        let kind = match refusal.status {
            401 | 408 | 429 | 500.. => Kind::Transient,
            _ => Kind::Rejected,
        };
        let mut cause = Cause::new("genesys_refused", error.to_string());
        cause.retry_after = refusal.retry_after;
        Failure::new(kind, cause)
    }
}

/// What an answer says of the limit that it was counted against.
pub(super) struct Told {
    /// Calls in the window so far, this one included.
    pub count: u64,
    pub allowed: u64,
    /// Until the window ends.
    pub reset: Duration,
}

/// The three `inin-ratelimit-` headers; nothing where one of them is missing or no number.
pub(super) fn told(headers: &HeaderMap) -> Option<Told> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
    Some(Told {
        count: number("inin-ratelimit-count")?,
        allowed: number("inin-ratelimit-allowed")?,
        reset: seconds(headers, "inin-ratelimit-reset")?,
    })
}

/// A header that counts seconds. Fractions are taken; negative numbers and dates are not.
pub(super) fn seconds(headers: &HeaderMap, name: &str) -> Option<Duration> {
    let text = headers.get(name)?.to_str().ok()?;
    let seconds: f64 = text.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// One line, shortened, with every secret taken out.
pub(super) fn tidy(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORT) {
        text = text.replace(secret, "[secret]");
    }
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TOLD)
        .collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dialects_are_read() {
        let mut headers = HeaderMap::new();
        headers.insert("ININ-Correlation-Id", "c-1".parse().unwrap());
        headers.insert("Retry-After", "7".parse().unwrap());
        let body = br#"{"error":"invalid_client","description":"client not found","error_description":"client not found"}"#;
        let oauth = Refusal::read(400, &headers, body, &[]);
        assert_eq!(
            oauth.to_string(),
            "400 invalid_client: client not found [correlation c-1]"
        );
        assert_eq!(oauth.retry_after, Some(Duration::from_secs(7)));
        let body = br#"{"message":"slow","code":"too.many.requests","status":429,"limit":{"key":"k","namespace":"n","value":300}}"#;
        let api = Refusal::read(429, &HeaderMap::new(), body, &[]);
        let limit = Limit {
            key: "k".into(),
            namespace: "n".into(),
            value: "300".into(),
        };
        assert_eq!(
            (api.code.as_str(), api.limit),
            ("too.many.requests", Some(limit))
        );
    }

    #[test]
    fn nothing_secret_is_repeated_and_nothing_long() {
        let body =
            serde_json::json!({"message": format!("channel abc-1 of tok-1\n{}", "x".repeat(9999))});
        let body = body.to_string();
        let refusal = Refusal::read(
            404,
            &HeaderMap::new(),
            body.as_bytes(),
            &["abc-1", "tok-1", "x", ""],
        );
        assert!(
            refusal
                .message
                .starts_with("channel [secret] of [secret] xx")
        );
        assert_eq!(refusal.message.len(), TOLD);
    }

    #[test]
    fn what_is_no_error_body_is_no_obstacle() {
        for body in [
            &b"<html>"[..],
            b"",
            b"[1]",
            b"{\"error\":{\"a\":1}}",
            b"\xff",
        ] {
            let refusal = Refusal::read(503, &HeaderMap::new(), body, &[]);
            assert_eq!(refusal.to_string(), "503");
        }
    }
}
