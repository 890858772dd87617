//! What sinks show and do: their views below `/api/v1/`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;

use super::routes::{NOTHING, Observers, Problem, READ_ONLY};
use crate::observe::{Act, View, ViewAnswer};

/// Of what a view is asked to do; the platform takes no more (`request.bytes.max`).
pub(super) const MAX_BODY_BYTES: usize = 512_000;

/// Of a request that is not to be done twice (draft-ietf-httpapi-idempotency-key-header).
const KEY: &str = "idempotency-key";

/// A view that answers, and whose it is.
struct Found {
    pipeline: String,
    node: String,
    answer: BoxFuture<'static, ViewAnswer>,
}

/// The views that answer at this path, of the pipeline and node that the query names.
fn find(observers: &Observers, path: &str, query: &mut Vec<(String, String)>) -> Vec<Found> {
    let (pipeline, node) = (take(query, "pipeline"), take(query, "node"));
    let all = views(observers, &pipeline, &node);
    let found = all.filter_map(|(pipeline, node, view)| {
        Some(Found {
            pipeline,
            node: node.to_string(),
            answer: view.answer(path, query)?,
        })
    });
    found.collect()
}

/// All views of this pipeline and node, where they are named.
fn views<'a>(
    observers: &'a Observers,
    pipeline: &'a Option<String>,
    node: &'a Option<String>,
) -> impl Iterator<Item = (String, Arc<str>, Arc<dyn View>)> + 'a {
    let wanted =
        |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|it| it == name);
    let observers = observers.iter();
    let observers = observers.filter(move |it| wanted(pipeline, it.pipeline()));
    observers.flat_map(move |observer| {
        let all = observer.views().all().into_iter();
        all.filter(move |(name, _)| wanted(node, name))
            .map(|(name, view)| (observer.pipeline().to_owned(), name, view))
    })
}

/// Takes a parameter out; of several, the first counts.
fn take(query: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let value = query.iter().find(|(key, _)| key == name)?.1.clone();
    query.retain(|(key, _)| key != name);
    Some(value)
}

pub(super) fn decoded(query: Option<&str>) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

/// `GET /api/v1/{path}`.
pub(super) async fn read(
    State(observers): State<Observers>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Response {
    // What is not UTF-8 is the path of nothing.
    let Ok(Path(path)) = path else {
        return Problem::new(StatusCode::NOT_FOUND, NOTHING).into_response();
    };
    let mut query = decoded(query.as_deref());
    let mut found = find(&observers, &path, &mut query);
    match (found.pop(), found.is_empty()) {
        (None, _) => refuse(&observers, &path, "GET"),
        (Some(only), true) => respond(only.answer.await),
        (Some(last), false) => {
            found.push(last);
            respond(ambiguous(
                found.into_iter().map(|it| (it.pipeline, it.node)),
            ))
        }
    }
}

/// Any other method: what one of the views does at this path, or that none of them does it.
pub(super) async fn act(
    State(observers): State<Observers>,
    method: Method,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(Path(path)) = path else {
        return Problem::new(StatusCode::NOT_FOUND, NOTHING).into_response();
    };
    let mut query = decoded(query.as_deref());
    let (pipeline, node) = (take(&mut query, "pipeline"), take(&mut query, "node"));
    let mut able = Vec::new();
    for (of, name, view) in views(&observers, &pipeline, &node) {
        let methods = view.methods(&path);
        if let Some(method) = methods.iter().find(|it| **it == method.as_str()) {
            able.push((of, name, view, *method));
        }
    }
    if able.len() > 1 {
        let choices = able
            .into_iter()
            .map(|(of, name, ..)| (of, name.to_string()));
        return respond(ambiguous(choices));
    }
    let Some((_, _, view, method)) = able.pop() else {
        return refuse(&observers, &path, method.as_str());
    };
    let Ok(body) = body else {
        let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
        return problem.into_response();
    };
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let act = Act {
        method,
        path,
        query,
        content_type: text("content-type"),
        // One that is no text is one that nobody takes.
        idempotency_key: headers
            .contains_key(KEY)
            .then(|| text(KEY).unwrap_or_default()),
        body: body.into(),
    };
    respond(view.act(act).await)
}

/// Nobody does this at this path: 405 with what is done there, 404 where nothing is, or nothing of the
/// pipeline and the node that were named.
fn refuse(observers: &Observers, path: &str, method: &str) -> Response {
    let all = views(observers, &None, &None);
    let mut allowed: Vec<_> = all
        .flat_map(|(_, _, view)| view.methods(path).to_vec())
        .collect();
    if !find(observers, path, &mut Vec::new()).is_empty() {
        allowed.extend(["GET", "HEAD"]);
    }
    if allowed.is_empty() || allowed.contains(&method) {
        return Problem::new(StatusCode::NOT_FOUND, NOTHING).into_response();
    }
    allowed.sort_unstable();
    allowed.dedup();
    let detail = match *allowed {
        ["GET", "HEAD"] => READ_ONLY,
        _ => "this path does not have this method",
    };
    let mut answer = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response();
    if let Ok(methods) = HeaderValue::from_str(&allowed.join(", ")) {
        answer.headers_mut().insert(header::ALLOW, methods);
    }
    answer
}

/// Several views answer at one path: the answer says which, so that one can be chosen.
fn ambiguous(found: impl Iterator<Item = (String, String)>) -> ViewAnswer {
    let detail = "several sinks answer here: choose one with `pipeline` and `node`";
    let mut answer = ViewAnswer::problem(409, detail, None);
    if let Ok(mut problem) = serde_json::from_slice::<serde_json::Value>(&answer.body) {
        let choice = |(pipeline, node)| serde_json::json!({ "pipeline": pipeline, "node": node });
        problem["choices"] = found.map(choice).collect();
        answer.body = problem.to_string().into_bytes();
    }
    answer
}

pub(super) fn respond(answer: ViewAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status == StatusCode::NO_CONTENT {
        return status.into_response();
    }
    let kind = [(header::CONTENT_TYPE, answer.content_type)];
    let mut response = (status, kind, answer.body).into_response();
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
