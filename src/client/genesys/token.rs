//! The access token: asked for once, renewed in time by one caller, never shown.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::call::{asked, jittered, read};
use super::refusal::{Refusal, tidy};
use super::{Client, Credentials};
use crate::failure::{Cause, Failure, Kind};

/// A token is renewed so long before it expires.
const EARLY: Duration = Duration::from_secs(300);
/// Life of a token whose answer does not say it: the platform's default.
const LIFE: Duration = Duration::from_secs(86_400);
/// Longest life that is believed: the platform's longest is two days.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// Until the renewal is tried again, after one in the background went wrong.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// A token of this age is newer than the word that it is revoked.
const JUST_NOW: Duration = Duration::from_secs(2);
/// Longest answer of the login host, in bytes.
const ANSWER_BYTES: usize = 64 << 10;

/// An access token. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// The token itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[secret]")
    }
}

/// The token of one OAuth client.
pub(super) struct Tokens {
    credentials: Credentials,
    state: Mutex<State>,
    /// Held by whoever asks for a token; others wait for it, or go on with the old one.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    /// Whether it is being renewed in the background.
    renewing: bool,
    /// The last failure: who waited for that very try does not try again.
    failed: Option<(Instant, Failure)>,
}

struct Current {
    token: Token,
    granted: Instant,
    renew_at: Instant,
    expires: Instant,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<f64>,
}

impl Tokens {
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            state: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The client's secret, so that no message repeats it.
    pub fn secret(&self) -> &str {
        self.credentials.client_secret.expose()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn granted(&self, granted: Granted) -> Token {
        let said = granted
            .expires_in
            .and_then(|s| Duration::try_from_secs_f64(s).ok());
        let life = said.unwrap_or(LIFE).min(LONGEST);
        // A short life is used for nine tenths: five minutes early would be never.
        let early = EARLY.min(life / 10);
        let now = Instant::now();
        let token = Token(granted.access_token.into());
        let mut state = self.state();
        state.failed = None;
        state.current = Some(Current {
            token: token.clone(),
            granted: now,
            renew_at: now + (life - early),
            expires: now + life,
        });
        token
    }
}

impl Client {
    /// A token that is good now. When it is due for renewal, one caller starts that in the
    /// background and all go on with the old one; when there is none, all wait for one request.
    ///
    /// # Errors
    /// `genesys_auth`: fatal, when the login host refuses the credentials. `genesys_login`:
    /// transient, when it is away or busy.
    pub async fn token(&self) -> Result<Token, Failure> {
        let began = Instant::now();
        if let Some(token) = self.cached(began) {
            return Ok(token);
        }
        let _turn = self.0.tokens.asking.lock().await;
        if let Some(token) = self.cached(Instant::now()) {
            return Ok(token);
        }
        self.ask_unless_failed_since(began).await
    }

    /// Another token than this one, which was refused: whoever comes first asks for it.
    ///
    /// # Errors
    /// As [`token`](Self::token).
    pub async fn renewed(&self, refused: &Token) -> Result<Token, Failure> {
        let began = Instant::now();
        let _turn = self.0.tokens.asking.lock().await;
        {
            let mut state = self.0.tokens.state();
            match &state.current {
                Some(current) if current.token.0 != refused.0 => return Ok(current.token.clone()),
                _ => state.current = None,
            }
        }
        self.ask_unless_failed_since(began).await
    }

    /// The platform said that the token is revoked: the next call asks for another. Several
    /// channels say it at the same time, so a token that is only seconds old is kept.
    pub fn revoked(&self) {
        let mut state = self.0.tokens.state();
        let old = |current: &mut Current| current.granted.elapsed() > JUST_NOW;
        state.current.take_if(old);
    }

    async fn ask_unless_failed_since(&self, began: Instant) -> Result<Token, Failure> {
        if let Some((at, failure)) = &self.0.tokens.state().failed
            && *at >= began
        {
            return Err(failure.clone());
        }
        self.ask().await
    }

    fn cached(&self, now: Instant) -> Option<Token> {
        let mut state = self.0.tokens.state();
        let current = state
            .current
            .as_ref()
            .filter(|current| current.expires > now)?;
        let token = current.token.clone();
        if current.renew_at <= now && !state.renewing {
            state.renewing = true;
            tokio::spawn(self.clone().renew_in_background());
        }
        Some(token)
    }

    async fn renew_in_background(self) {
        let asked = {
            let _turn = self.0.tokens.asking.lock().await;
            self.ask().await
        };
        let mut state = self.0.tokens.state();
        state.renewing = false;
        let Err(failure) = asked else { return };
        // The old one is good for a while: the next caller after a pause tries again.
        let pause = failure.retry_after().unwrap_or_default();
        let pause = pause.max(jittered(AFTER_FAILURE));
        if let Some(current) = state.current.as_mut() {
            current.renew_at = Instant::now() + pause;
        }
        drop(state);
        tracing::warn!(%failure, "the access token could not be renewed yet");
    }

    /// One request to the login host.
    async fn ask(&self) -> Result<Token, Failure> {
        let tokens = &self.0.tokens;
        match self.request().await {
            Ok(granted) => Ok(tokens.granted(granted)),
            Err(failure) => {
                tokens.state().failed = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    async fn request(&self) -> Result<Granted, Failure> {
        let Credentials {
            client_id,
            client_secret,
        } = &self.0.tokens.credentials;
        let request = self
            .0
            .http
            .post(self.0.endpoints.token())
            .basic_auth(client_id, Some(client_secret.expose()))
            .form(&[("grant_type", "client_credentials")]);
        let response = self
            .dispatch(request)
            .await
            .map_err(|broken| busy(format!("the login host: {}", broken.why), None))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read(response, ANSWER_BYTES).await;
        let body = body.map_err(|_| busy("the login host's answer broke off".to_owned(), None))?;
        if status.is_success() {
            let granted = serde_json::from_slice(&body).ok();
            let granted = granted.filter(|granted: &Granted| !granted.access_token.is_empty());
            // The parser's own words could repeat the token.
            return granted.ok_or_else(|| busy("the login host gave no token".to_owned(), None));
        }
        let secrets = [client_secret.expose()];
        let refusal = Refusal::read(status.as_u16(), &headers, &body, &secrets);
        let message = tidy(&format!("the login host: {refusal}"), &secrets);
        match status.as_u16() {
            408 | 429 | 500.. => Err(busy(message, asked(&headers))),
            _ => Err(Failure::fatal("genesys_auth", message)),
        }
    }
}

fn busy(message: String, retry_after: Option<Duration>) -> Failure {
    let mut cause = Cause::new("genesys_login", message);
    cause.retry_after = retry_after;
    Failure::new(Kind::Transient, cause)
}
