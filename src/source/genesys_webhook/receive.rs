//! Requests and their answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::config::Config;
use super::signature::{HEADER, Secrets};
use crate::observe::NodeMeter;

/// A post that is in order.
pub(super) struct Arrival {
    pub body: Bytes,
    /// Told whether what it brought was settled well.
    pub answer: oneshot::Sender<bool>,
}

/// What all requests share.
pub(super) struct Receiver {
    secrets: Secrets,
    arrivals: mpsc::Sender<Arrival>,
    meter: NodeMeter,
    max_body: usize,
    answer_within: Duration,
}

impl Receiver {
    pub fn new(config: &Config, arrivals: mpsc::Sender<Arrival>, meter: NodeMeter) -> Arc<Self> {
        Arc::new(Self {
            secrets: config.secrets.clone(),
            arrivals,
            meter,
            max_body: config.max_body,
            answer_within: config.answer_within,
        })
    }

    async fn take(&self, request: Request) -> Answer {
        let end = Instant::now() + self.answer_within;
        let (head, body) = request.into_parts();
        let body = match tokio::time::timeout_at(end, read(body, self.max_body)).await {
            Ok(Ok(body)) => body,
            Ok(Err(answer)) => return answer,
            Err(_) => return Answer::Slow,
        };
        let signature = head.headers.get(HEADER).map(HeaderValue::as_bytes);
        if !self.secrets.admit(&body, signature) {
            self.meter.drift("signature", 1);
            return Answer::Unsigned;
        }
        let (answer, answered) = oneshot::channel();
        let arrival = Arrival { body, answer };
        match tokio::time::timeout_at(end, self.arrivals.send(arrival)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Answer::Busy,
        }
        match tokio::time::timeout_at(end, answered).await {
            Ok(Ok(true)) => Answer::Taken,
            // It goes on, and is known when it comes again.
            Err(_) => Answer::Busy,
            Ok(_) => Answer::Busy,
        }
    }
}

async fn read(body: Body, most: usize) -> Result<Bytes, Answer> {
    axum::body::to_bytes(body, most).await.map_err(|error| {
        let error: Box<dyn std::error::Error + Send + Sync> = error.into_inner();
        match error.is::<http_body_util::LengthLimitError>() {
            true => Answer::TooLarge,
            false => Answer::Broken,
        }
    })
}

/// What is said to a post.
enum Answer {
    Taken,
    Unsigned,
    TooLarge,
    /// The body did not arrive whole.
    Broken,
    /// It did not arrive in time.
    Slow,
    /// Not settled in time, or not well: to be posted again.
    Busy,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Taken => StatusCode::OK,
            Self::Unsigned => StatusCode::UNAUTHORIZED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut answer = status.into_response();
        if matches!(self, Self::Busy) {
            let soon = HeaderValue::from_static("5");
            answer.headers_mut().insert(header::RETRY_AFTER, soon);
        }
        answer
    }
}

/// One path takes posts, and there is nothing else here.
pub(super) fn router(path: &str, receiver: Arc<Receiver>) -> Router {
    let take = async |State(receiver): State<Arc<Receiver>>, request: Request| {
        receiver.take(request).await
    };
    Router::new().route(path, post(take)).with_state(receiver)
}
