//! Paths and their answers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Json, Router};
use serde::Serialize;

use super::access::{self, Access};
use super::page::Page;
use super::{taps, triggers, views};
use crate::observe::{
    Alert, Counts, METRICS_CONTENT_TYPE, NodeStatus, Observer, Promise, RunState, Status,
    render_metrics,
};

/// For the answer to one request.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// No path but those of views takes a body; this much is borne with.
const MAX_BODY_BYTES: usize = 4 * 1024;

pub(super) type Observers = Arc<[Observer]>;

pub(super) fn router(observers: Vec<Observer>, access: Access, guard: taps::Guard) -> Router {
    let page = Page::new();
    Router::new()
        .route("/", get(async move || page.answer()))
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/api/v1/openapi.json", get(openapi))
        .route("/api/v1/pipelines", get(pipelines))
        .route("/api/v1/pipelines/{name}/ledger", get(ledger))
        .route(
            "/api/v1/pipelines/{name}/tap",
            get(taps::look).layer(Extension(guard)),
        )
        .route(
            "/api/v1/sources/{name}/trigger",
            post(triggers::pull).fallback(triggers::refuse),
        )
        .route(
            "/api/v1/{*path}",
            get(views::read)
                .fallback(any(views::act).layer(DefaultBodyLimit::max(views::MAX_BODY_BYTES))),
        )
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, NOTHING))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, READ_ONLY)
        })
        .layer(middleware::from_fn_with_state(
            Arc::new(access),
            access::check,
        ))
        .layer(middleware::from_fn(guarded))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(observers.into())
}

pub(super) const NOTHING: &str = "there is nothing at this path";
pub(super) const READ_ONLY: &str = "this path is read with GET";

/// Puts the time limit around every request, and what every answer carries.
async fn guarded(request: Request, next: Next) -> Response {
    let mut answer = match tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long")
            .into_response(),
    };
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer
}

async fn metrics(State(observers): State<Observers>) -> Response {
    (
        [(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)],
        render_metrics(&observers),
    )
        .into_response()
}

/// All that is answered here, as OpenAPI 3.1 has it.
const OPENAPI: &str = include_str!("openapi.json");

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn live() -> Json<Health> {
    Json(Health {
        status: "live",
        pipelines: Vec::new(),
    })
}

async fn ready(State(observers): State<Observers>) -> Response {
    let unready: Vec<_> = observers
        .iter()
        .map(Standing::of)
        .filter(|standing| standing.run != RunState::Running)
        .collect();
    if unready.is_empty() {
        return Json(Health {
            status: "ready",
            pipelines: unready,
        })
        .into_response();
    }
    let health = Health {
        status: "not ready",
        pipelines: unready,
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response()
}

async fn pipelines(State(observers): State<Observers>) -> Json<Vec<Summary>> {
    Json(observers.iter().map(Summary::of).collect())
}

/// A name that is not UTF-8 is the name of nothing.
async fn ledger(
    State(observers): State<Observers>,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    let wanted = name.ok().map(|Path(name)| name);
    match observers
        .iter()
        .find(|observer| Some(observer.pipeline()) == wanted.as_deref())
    {
        Some(observer) => Json(observer.ledger()).into_response(),
        None => Problem::new(StatusCode::NOT_FOUND, "no pipeline of that name runs here")
            .into_response(),
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    /// Those that stand in the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pipelines: Vec<Standing>,
}

/// A pipeline's name, with `state` and, when it failed, `reason`.
#[derive(Serialize)]
struct Standing {
    name: String,
    #[serde(flatten)]
    run: RunState,
}

impl Standing {
    fn of(observer: &Observer) -> Self {
        Self {
            name: observer.pipeline().to_owned(),
            run: observer.state(),
        }
    }
}

#[derive(Serialize)]
struct Summary {
    #[serde(flatten)]
    standing: Standing,
    started: String,
    seconds: f64,
    alerts: Vec<Alert>,
    promises: Vec<Promise>,
    whole: Counts,
    /// Each after those that it reads.
    nodes: Vec<NodeStatus>,
}

impl Summary {
    fn of(observer: &Observer) -> Self {
        let Status { ledger, nodes } = observer.status();
        Self {
            standing: Standing {
                name: ledger.pipeline,
                run: ledger.run,
            },
            started: ledger.started,
            seconds: ledger.seconds,
            alerts: observer.alerts(),
            promises: observer.promises(),
            whole: ledger.whole,
            nodes,
        }
    }
}

/// An error as RFC 9457 has it.
#[derive(Serialize)]
pub(super) struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
}

impl Problem {
    pub fn new(status: StatusCode, detail: &'static str) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            r#type: "about:blank",
            title,
            status: status.as_u16(),
            detail,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, kind, Json(self)).into_response()
    }
}
