//! A platform that answers as a test says, without a socket: for tests on a paused clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Client;
use super::call::Broken;

/// What a request is answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
    after: Duration,
    broken: Option<bool>,
}

impl Answer {
    pub fn of(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
            after: Duration::ZERO,
            broken: None,
        }
    }

    /// A message is taken.
    pub fn sent() -> Self {
        Self::of(
            200,
            json!({"id": "platform-1", "conversationId": "conversation-1"}),
        )
    }

    /// An error as the platform words it, which repeats what was sent.
    pub fn error(status: u16, code: &str) -> Self {
        let message = "the text was: hello, to ada@example.org";
        Self::of(
            status,
            json!({"code": code, "message": message, "status": status}),
        )
    }

    /// No connection.
    pub fn refused() -> Self {
        Self {
            broken: Some(true),
            ..Self::sent()
        }
    }

    /// The request went out, and nothing comes for so long; then the client gives up.
    pub fn silence(after: Duration) -> Self {
        Self {
            broken: Some(false),
            after,
            ..Self::sent()
        }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub at: Instant,
    pub path: String,
    pub token: String,
    pub body: Value,
}

type Play = dyn Fn(usize, &Heard) -> Answer + Send + Sync;

/// Answers messages as told, and grants tokens `token-1`, `token-2`, … Clones share what they heard.
#[derive(Clone)]
pub(crate) struct Script {
    play: Arc<Play>,
    heard: Arc<Mutex<Vec<Heard>>>,
    tokens: Arc<Mutex<usize>>,
    login: Arc<Mutex<Option<Answer>>>,
}

impl Script {
    /// `play` is given the number of the message's request, from 0.
    pub fn new(play: impl Fn(usize, &Heard) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            play: Arc::new(play),
            heard: Arc::default(),
            tokens: Arc::default(),
            login: Arc::default(),
        }
    }

    /// These one after the other; the last one stays.
    pub fn of(answers: Vec<Answer>) -> Self {
        Self::new(move |number, _| answers[number.min(answers.len() - 1)].clone())
    }

    /// What the login host answers from now on.
    pub fn login(&self, answer: Option<Answer>) {
        *self.login.lock().unwrap() = answer;
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub fn tokens(&self) -> usize {
        *self.tokens.lock().unwrap()
    }

    pub(super) fn play(
        &self,
        request: reqwest::RequestBuilder,
    ) -> BoxFuture<'static, Result<reqwest::Response, Broken>> {
        let request = request.build().unwrap();
        let answer = match request.url().path() {
            "/oauth/token" => {
                let mut tokens = self.tokens.lock().unwrap();
                *tokens += 1;
                let granted =
                    json!({"access_token": format!("token-{tokens}"), "expires_in": 86400});
                let login = self.login.lock().unwrap().clone();
                login.unwrap_or_else(|| Answer::of(200, granted))
            }
            path => {
                let body = request.body().and_then(|body| body.as_bytes());
                let token = request.headers().get("authorization");
                let one = Heard {
                    at: Instant::now(),
                    path: path.to_owned(),
                    token: token.map_or("", |it| it.to_str().unwrap()).to_owned(),
                    body: body.map_or(Value::Null, |body| serde_json::from_slice(body).unwrap()),
                };
                let mut heard = self.heard.lock().unwrap();
                let answer = (self.play)(heard.len(), &one);
                heard.push(one);
                answer
            }
        };
        Box::pin(async move {
            tokio::time::sleep(answer.after).await;
            if let Some(unsent) = answer.broken {
                let why = "scripted".to_owned();
                return Err(Broken { unsent, why });
            }
            let mut response = http::Response::builder().status(answer.status);
            for (name, value) in answer.headers {
                response = response.header(name, value);
            }
            Ok(response.body(answer.body.to_string()).unwrap().into())
        })
    }
}

impl Client {
    /// From now on the script answers.
    pub(crate) fn plays(&self, script: &Script) {
        let _ = self.0.script.set(script.clone());
    }
}
