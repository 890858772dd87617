//! What goes wrong with BigQuery, by what can be done about it.
//!
//! The reasons are those of the API's page "Error messages"; a job that failed says them in
//! `status.errorResult`, a request in `error.errors`.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::http;

/// Most letters of the server's message that are kept.
const MOST_MESSAGE: usize = 300;

/// What can be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It may go well if tried again: throttled, not available, another statement in the way.
    Busy,
    /// The statement, or a value that it was given, is not taken. BigQuery has one reason for both;
    /// [`super::Client::prove`] tells them apart.
    Query,
    /// Nothing goes well until a person acts: credentials, a right, a missing table.
    Setup,
}

/// An error. What `Display` and `Debug` print holds no value of a row and no secret.
#[derive(Clone)]
pub struct Error {
    /// What can be done.
    pub class: Class,
    /// The API's word, such as `rateLimitExceeded`.
    pub reason: String,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    shown: String,
    /// All that was said. Of a statement with values it may repeat one.
    said: String,
    status: Option<u16>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug
            .field("class", &self.class)
            .field("shown", &self.shown);
        debug.finish_non_exhaustive()
    }
}

impl std::error::Error for Error {}

impl Error {
    fn new(class: Class, reason: &str, shown: String) -> Self {
        Self {
            class,
            reason: reason.to_owned(),
            retry_after: None,
            said: String::new(),
            shown,
            status: None,
        }
    }

    pub(super) fn busy(reason: &str, shown: &str) -> Self {
        Self::new(Class::Busy, reason, shown.to_owned())
    }

    pub(super) fn setup(shown: impl Into<String>) -> Self {
        Self::new(Class::Setup, "setup", shown.into())
    }

    /// A request without an answer.
    pub(super) fn unsent(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::busy("timeout", "BigQuery did not answer in time");
        }
        let told = http::told(error);
        let shown = format!("BigQuery cannot be reached: {told}");
        Self::new(Class::Busy, "connection", shown)
    }

    /// What went wrong before a request could be sent.
    pub(super) fn before(mut self) -> Self {
        self.reason = "token".to_owned();
        self
    }

    /// An answer that is no success.
    pub(super) fn answered(status: u16, body: &Value, wait: Option<Duration>) -> Self {
        let error = body.get("error").unwrap_or(&Value::Null);
        let text = |pointer: &str| error.pointer(pointer).and_then(Value::as_str);
        let reason = text("/errors/0/reason").unwrap_or_default();
        let said = text("/message").unwrap_or_default();
        let class = match (status, reason) {
            (_, "") => by_status(status),
            // What it cannot do today it cannot do tomorrow.
            (501, _) => Class::Setup,
            // Any reason of one that is ill.
            (500.., _) => Class::Busy,
            _ => class(reason, said),
        };
        let mut made = Self::told(class, reason, said, Some(status));
        made.retry_after = wait;
        made
    }

    /// The `errorResult` of a job.
    pub(super) fn reported(error: &Value) -> Self {
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let (reason, said) = (text("reason"), text("message"));
        Self::told(class(reason, said), reason, said, None)
    }

    fn told(class: Class, reason: &str, said: &str, status: Option<u16>) -> Self {
        let what = match (reason, status) {
            ("", Some(status)) => format!("HTTP {status}"),
            ("", None) => "no reason".to_owned(),
            (reason, _) => word(reason),
        };
        let shown = match class {
            Class::Busy => format!("BigQuery could not do it now ({what})"),
            // What it says of these may repeat a value.
            Class::Query => format!("BigQuery refuses the statement ({what})"),
            Class::Setup => format!("BigQuery refuses: {} ({what})", shortened(said)),
        };
        Self {
            said: said.to_owned(),
            status,
            ..Self::new(class, reason, shown)
        }
    }

    /// All that the server said, for who knows that the statement had no values.
    pub fn in_full(&self) -> String {
        shortened(&self.said)
    }

    /// Whether what the server said names `word`.
    pub fn names(&self, word: &str) -> bool {
        let letters = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        self.said.split(letters).any(|said| said == word)
    }

    pub(super) fn is_unauthorized(&self) -> bool {
        self.status == Some(401)
    }

    /// Whether there is no such thing.
    pub fn is_missing(&self) -> bool {
        self.status == Some(404) || self.reason == "notFound"
    }

    /// Whether a job may have begun, though the answer says otherwise or nothing.
    pub(super) fn may_have_begun(&self) -> bool {
        let answered = self.status.is_some_and(|status| status < 500);
        let sent = self.reason != "token";
        self.reason == "duplicate" || (self.class == Class::Busy && sent && !answered)
    }
}

fn by_status(status: u16) -> Class {
    match status {
        408 | 409 | 429 | 500 | 502.. => Class::Busy,
        _ => Class::Setup,
    }
}

fn class(reason: &str, said: &str) -> Class {
    match reason {
        "backendError"
        | "internalError"
        | "rateLimitExceeded"
        | "quotaExceeded"
        | "jobRateLimitExceeded"
        | "jobBackendError"
        | "jobInternalError"
        | "tableUnavailable"
        | "resourceInUse"
        | "stopped"
        | "timeout"
        | "duplicate" => Class::Busy,
        // Two statements or transactions that change one table, or too many that wait to; BigQuery has
        // no reason of its own for it.
        _ if said.contains("concurrent update") => Class::Busy,
        _ if said.contains("Too many DML statements outstanding") => Class::Busy,
        "invalidQuery" | "invalid" => Class::Query,
        _ => Class::Setup,
    }
}

/// A word of the server's, so that nothing else can come with it.
fn word(text: &str) -> String {
    let word = text.chars().filter(char::is_ascii_alphanumeric);
    word.take(40).collect()
}

fn shortened(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ").chars().take(MOST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, reason: &str, message: &str) -> Error {
        let body = json!({ "error": { "message": message, "errors": [{ "reason": reason }] } });
        Error::answered(status, &body, None)
    }

    #[test]
    fn reasons_have_a_class() {
        for (what, status, reason, expected) in [
            ("throttled", 403, "rateLimitExceeded", Class::Busy),
            ("throttled", 400, "jobRateLimitExceeded", Class::Busy),
            ("throttled, no reason", 429, "", Class::Busy),
            ("over quota for the day", 403, "quotaExceeded", Class::Busy),
            (
                "another job at the table",
                400,
                "resourceInUse",
                Class::Busy,
            ),
            (
                "the table is not to be had",
                400,
                "tableUnavailable",
                Class::Busy,
            ),
            ("ill", 503, "backendError", Class::Busy),
            ("ill", 500, "internalError", Class::Busy),
            ("ill", 400, "jobBackendError", Class::Busy),
            ("ill", 400, "jobInternalError", Class::Busy),
            ("ill, no reason", 500, "", Class::Busy),
            ("ill, whatever it says", 502, "accessDenied", Class::Busy),
            ("out of time", 400, "timeout", Class::Busy),
            ("stopped by somebody", 200, "stopped", Class::Busy),
            ("there already", 409, "duplicate", Class::Busy),
            ("a value or a statement", 400, "invalidQuery", Class::Query),
            ("a value or a statement", 400, "invalid", Class::Query),
            ("no such table", 404, "notFound", Class::Setup),
            ("no right", 403, "accessDenied", Class::Setup),
            ("an expired token", 401, "authError", Class::Setup),
            ("nobody pays", 403, "billingNotEnabled", Class::Setup),
            ("blocked", 403, "blocked", Class::Setup),
            ("more than it has", 400, "resourcesExceeded", Class::Setup),
            ("not made yet", 501, "notImplemented", Class::Setup),
            ("not made yet, no reason", 501, "", Class::Setup),
            ("no reason", 400, "", Class::Setup),
        ] {
            assert_eq!(
                answer(status, reason, "m").class,
                expected,
                "{what}: {status} {reason}"
            );
        }
        for (reason, message) in [
            (
                "invalidQuery",
                "Could not serialize access to table t due to concurrent update",
            ),
            (
                "invalidQuery",
                "Query error: Transaction is aborted due to concurrent update against table t. Transaction ID: x at [3:1]",
            ),
            (
                "resourcesExceeded",
                "Resources exceeded during query execution: Too many DML statements outstanding against table t, limit is 20.",
            ),
        ] {
            let error = json!({ "reason": reason, "message": message });
            assert_eq!(Error::reported(&error).class, Class::Busy, "{message}");
        }
    }

    #[test]
    fn a_job_says_the_same_as_a_request() {
        let error = json!({ "reason": "invalidQuery", "message": "m" });
        assert_eq!(Error::reported(&error).class, Class::Query);
        assert_eq!(Error::reported(&json!({})).class, Class::Setup);
        let wait = Some(Duration::from_secs(7));
        assert_eq!(Error::answered(429, &json!({}), wait).retry_after, wait);
    }

    #[test]
    fn a_lost_answer_is_told_from_a_refusal() {
        assert!(answer(503, "backendError", "").may_have_begun());
        assert!(answer(409, "duplicate", "").may_have_begun());
        assert!(Error::busy("timeout", "").may_have_begun());
        assert!(!Error::busy("timeout", "").before().may_have_begun());
        assert!(!answer(403, "rateLimitExceeded", "").may_have_begun());
        assert!(!answer(400, "invalidQuery", "").may_have_begun());
    }

    #[test]
    fn values_are_not_shown() {
        let error = answer(400, "invalidQuery", "Bad int64 value: +14155551234");
        assert!(!format!("{error} {error:?}").contains("4155551234"));
        let error = answer(
            400,
            "invalidQuery",
            "Required field agent_id cannot be null",
        );
        assert!(error.names("agent_id") && !error.names("agent"));
    }
}
