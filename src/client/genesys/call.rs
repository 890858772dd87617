//! One call: its turn in the budget, its token, its tries.

use std::time::Duration;

use futures::StreamExt;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use reqwest::Method;

use super::refusal::{CallError, Refusal, SendError, seconds};
use super::{Client, token::Token};
use crate::client::http::told;
use crate::failure::{Cause, Failure, Kind};

/// Longest body of an error that is looked at, in bytes.
const ERROR_BYTES: usize = 64 << 10;

/// Whether a call can wait for a better time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It goes as soon as the platform takes calls at all.
    Now,
    /// It is spread with others of its kind while the budget runs low.
    CanWait,
}

/// A call of the API.
#[derive(Clone)]
pub struct Call<'a> {
    what: &'static str,
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    urgency: Urgency,
    again: bool,
    secrets: Vec<&'a str>,
}

impl<'a> Call<'a> {
    /// Of `path`, which begins with a slash and stands behind `/api/v2`. `what` names the call in
    /// errors in place of the path, which may hold what is secret.
    pub fn new(what: &'static str, method: Method, path: impl Into<String>) -> Self {
        Self {
            what,
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            urgency: Urgency::Now,
            again: true,
            secrets: Vec::new(),
        }
    }

    /// With a parameter.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// It can wait.
    #[must_use]
    pub fn can_wait(mut self) -> Self {
        self.urgency = Urgency::CanWait;
        self
    }

    /// Not to be repeated when nobody knows whether it was done: it makes something.
    #[must_use]
    pub fn only_once(mut self) -> Self {
        self.again = false;
        self
    }

    /// A part of the path that no error may repeat.
    #[must_use]
    pub fn hiding(mut self, secret: &'a str) -> Self {
        self.secrets.push(secret);
        self
    }
}

/// Why a request has no answer.
pub(super) struct Broken {
    /// There was no connection: it carried nothing.
    pub unsent: bool,
    /// In words, without the address.
    pub why: String,
}

impl From<reqwest::Error> for Broken {
    fn from(error: reqwest::Error) -> Self {
        Self {
            unsent: error.is_connect(),
            why: told(error),
        }
    }
}

/// How one try ended.
enum Tried {
    Answered(Vec<u8>),
    /// It was done, and the rest of the answer is lost: only of calls that make something.
    Accepted,
    /// Try again, after so long if that was said.
    Again(CallError, Option<Duration>),
    Final(CallError),
}

impl Client {
    /// Makes a call and reads its answer. Tried again as [`Manner`](super::Manner) says.
    ///
    /// # Errors
    /// The last refusal, or a failure: `genesys_away` (disconnected: no connection, or a time-out),
    /// `genesys_answer` (transient: the answer is not what it should be or too long),
    /// `genesys_auth` (fatal: the credentials are refused).
    pub async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, CallError> {
        let what = call.what;
        let body = self.raw(call).await?;
        serde_json::from_slice(&body).map_err(|error| {
            // The error of the parser may quote the answer.
            let place = (error.line(), error.column());
            let message = format!("{what}: the answer is not what it should be, at {place:?}");
            CallError::Failed(Failure::transient("genesys_answer", message))
        })
    }

    /// The same, for an answer that is handed on as it came.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn raw(&self, call: Call<'_>) -> Result<Vec<u8>, CallError> {
        let manner = &self.0.manner;
        let (mut tried, mut renewed) = (0, false);
        loop {
            tried += 1;
            let (error, asked) = match self.attempt(&call, &mut renewed).await {
                Tried::Answered(body) => return Ok(body),
                Tried::Accepted => return Err(away(call.what, "the answer broke off")),
                Tried::Final(error) => return Err(error),
                Tried::Again(error, asked) => (error, asked),
            };
            let doubled = manner.first_wait.saturating_mul(1 << (tried - 1).min(16));
            let wait = asked.unwrap_or_else(|| jittered(doubled.min(manner.most_wait)));
            if tried >= manner.tries || wait > manner.most_wait {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes a call that must not be made twice: one try, and another at once when the token was not
    /// good any more. It does not wait for the budget: whoever sends has taken a place
    /// ([`turn`](Self::turn)) before. An answer whose body broke off is an empty one: the status said
    /// that it is done.
    pub(super) async fn once_only(&self, call: Call<'_>) -> Result<Vec<u8>, SendError> {
        let call = call.only_once();
        match self.with_token(&call, &mut false).await {
            Tried::Answered(body) => Ok(body),
            Tried::Accepted => Ok(Vec::new()),
            Tried::Again(CallError::Failed(failure), _) => Err(SendError::Unsent(failure)),
            Tried::Again(CallError::Refused { refusal, .. }, asked) => {
                Err(SendError::Refused(Refusal {
                    retry_after: refusal.retry_after.or(asked),
                    ..refusal
                }))
            }
            Tried::Final(CallError::Refused { refusal, .. }) => Err(SendError::Refused(refusal)),
            Tried::Final(CallError::Failed(failure)) if failure.kind() == Kind::Fatal => {
                // Nothing was sent without a token; what is wrong with one organisation's credentials
                // does not end the run of all.
                let cause = failure
                    .losses()
                    .first()
                    .map(|loss| loss.cause.message.clone());
                let message = cause.unwrap_or_default();
                Err(SendError::Unsent(Failure::transient(
                    "genesys_auth",
                    message,
                )))
            }
            Tried::Final(CallError::Failed(failure)) => Err(SendError::Uncertain(failure)),
        }
    }

    /// One try; a second one at once, when the token was not good any more.
    async fn attempt(&self, call: &Call<'_>, renewed: &mut bool) -> Tried {
        let wait = self.0.budget.take(call.urgency == Urgency::Now);
        if wait > Duration::ZERO {
            tokio::time::sleep(wait).await;
        }
        self.0.window.passed();
        self.with_token(call, renewed).await
    }

    async fn with_token(&self, call: &Call<'_>, renewed: &mut bool) -> Tried {
        let token = match self.token().await {
            Ok(token) => token,
            Err(failure) => return of_token(failure),
        };
        let tried = self.once(call, &token).await;
        match &tried {
            Tried::Final(CallError::Refused { refusal, .. })
                if refusal.is_unauthorized() && !*renewed => {}
            _ => return tried,
        }
        *renewed = true;
        match self.renewed(&token).await {
            Ok(token) => self.once(call, &token).await,
            Err(failure) => of_token(failure),
        }
    }

    /// Puts a request on its way.
    pub(super) async fn dispatch(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, Broken> {
        #[cfg(test)]
        if let Some(script) = self.0.script.get() {
            return script.play(request).await;
        }
        Ok(request.send().await?)
    }

    /// The request of a call.
    pub(super) fn request_of(&self, call: &Call<'_>, token: &str) -> reqwest::RequestBuilder {
        let request = self
            .0
            .http
            .request(call.method.clone(), self.0.endpoints.api(&call.path))
            .bearer_auth(token)
            .query(&call.query);
        match &call.body {
            Some(body) => request.json(body),
            None if call.method == Method::GET || call.method == Method::HEAD => request,
            // Without it some gateways answer 411.
            None => request.header("content-length", "0"),
        }
    }

    async fn once(&self, call: &Call<'_>, token: &Token) -> Tried {
        let what = call.what;
        let request = self.request_of(call, token.expose());
        let response = match self.dispatch(request).await {
            Ok(response) => response,
            Err(broken) => {
                let safe = call.again || broken.unsent;
                let failure = away(what, &broken.why);
                return if safe {
                    Tried::Again(failure, None)
                } else {
                    Tried::Final(failure)
                };
            }
        };
        self.0.budget.learn(response.headers());
        self.0.window.learn(response.headers());
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if response.status().is_success() {
            return match read(response, self.0.manner.answer_bytes).await {
                Ok(body) => Tried::Answered(body),
                Err(_) if !call.again => Tried::Accepted,
                Err(Unread::Long) => Tried::Final(too_long(what)),
                Err(Unread::Broken(why)) => Tried::Again(away(what, &why), None),
            };
        }
        let body = read(response, ERROR_BYTES).await.unwrap_or_default();
        let mut secrets = call.secrets.clone();
        secrets.push(token.expose());
        secrets.push(self.0.tokens.secret());
        let refusal = Refusal::read(status, &headers, &body, &secrets);
        let asked = refusal.retry_after;
        let error = CallError::Refused { what, refusal };
        match status {
            429 => {
                let asked = asked.or_else(|| seconds(&headers, "inin-ratelimit-reset"));
                if let Some(asked) = asked {
                    self.0.budget.pause(asked);
                }
                if let CallError::Refused { refusal, .. } = &error {
                    self.0.window.refused(asked, refusal.limit.as_ref());
                }
                if let Some(asked) = asked {
                    self.0.window.tell_pause(asked).await;
                }
                Tried::Again(error, asked)
            }
            408 | 500 | 502 | 503 | 504 if call.again => Tried::Again(error, asked),
            _ => Tried::Final(error),
        }
    }
}

/// No token, no call.
fn of_token(failure: Failure) -> Tried {
    let asked = failure.retry_after();
    let fatal = failure.kind() == Kind::Fatal;
    let error = CallError::Failed(failure);
    if fatal {
        Tried::Final(error)
    } else {
        Tried::Again(error, asked)
    }
}

fn away(what: &'static str, why: &str) -> CallError {
    let cause = Cause::new("genesys_away", format!("{what}: {why}"));
    CallError::Failed(Failure::new(Kind::Disconnected, cause))
}

fn too_long(what: &'static str) -> CallError {
    let message = format!("{what}: the answer is longer than is read");
    CallError::Failed(Failure::transient("genesys_answer", message))
}

/// Shortened by up to a half at random, so that workers which failed together part.
pub(super) fn jittered(full: Duration) -> Duration {
    // Where the system has no randomness, the full wait does no harm.
    let random = getrandom::u32().unwrap_or(0);
    full - full.mul_f64(0.5 * f64::from(random) / f64::from(u32::MAX))
}

/// Why an answer was not read to its end.
pub(super) enum Unread {
    /// It is longer than the limit.
    Long,
    /// It broke off.
    Broken(String),
}

/// The whole body, up to a limit.
pub(super) async fn read(response: reqwest::Response, most: usize) -> Result<Vec<u8>, Unread> {
    let mut stream = response.bytes_stream();
    let mut body = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| Unread::Broken(told(error)))?;
        if body.len() + piece.len() > most {
            return Err(Unread::Long);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Of a header map, what the login host asks to wait.
pub(super) fn asked(headers: &HeaderMap) -> Option<Duration> {
    seconds(headers, "retry-after").or_else(|| seconds(headers, "inin-ratelimit-reset"))
}
