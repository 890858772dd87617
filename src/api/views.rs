//! What sinks show: their views below `/api/v1/`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;

use super::routes::{NOTHING, Observers, Problem, READ_ONLY};
use crate::observe::ViewAnswer;

/// A view that answers, and whose it is.
struct Found {
    pipeline: String,
    node: String,
    answer: BoxFuture<'static, ViewAnswer>,
}

/// The views that answer at this path, of the pipeline and node that the query names.
fn find(observers: &Observers, path: &str, query: &mut Vec<(String, String)>) -> Vec<Found> {
    let (pipeline, node) = (take(query, "pipeline"), take(query, "node"));
    let wanted =
        |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|it| it == name);
    let mut found = Vec::new();
    for observer in observers
        .iter()
        .filter(|it| wanted(&pipeline, it.pipeline()))
    {
        for (name, view) in observer.views().all() {
            let answer = wanted(&node, &name).then(|| view.answer(path, query));
            found.extend(answer.flatten().map(|answer| Found {
                pipeline: observer.pipeline().to_owned(),
                node: name.to_string(),
                answer,
            }));
        }
    }
    found
}

/// Takes a parameter out; of several, the first counts.
fn take(query: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let value = query.iter().find(|(key, _)| key == name)?.1.clone();
    query.retain(|(key, _)| key != name);
    Some(value)
}

fn decoded(query: Option<&str>) -> Vec<(String, String)> {
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
        (None, _) => Problem::new(StatusCode::NOT_FOUND, NOTHING).into_response(),
        (Some(only), true) => respond(only.answer.await),
        (Some(last), false) => {
            found.push(last);
            respond(ambiguous(&found))
        }
    }
}

/// Any other method.
pub(super) async fn refuse(
    State(observers): State<Observers>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let there = path.is_ok_and(|Path(path)| !find(&observers, &path, &mut Vec::new()).is_empty());
    if !there {
        return Problem::new(StatusCode::NOT_FOUND, NOTHING).into_response();
    }
    let mut answer = Problem::new(StatusCode::METHOD_NOT_ALLOWED, READ_ONLY).into_response();
    let methods = HeaderValue::from_static("GET, HEAD");
    answer.headers_mut().insert(header::ALLOW, methods);
    answer
}

/// Several views answer at one path: the answer says which, so that one can be chosen.
fn ambiguous(found: &[Found]) -> ViewAnswer {
    let detail = "several sinks answer here: choose one with `pipeline` and `node`";
    let mut answer = ViewAnswer::problem(409, detail, None);
    if let Ok(mut problem) = serde_json::from_slice::<serde_json::Value>(&answer.body) {
        let choice = |it: &Found| serde_json::json!({ "pipeline": it.pipeline, "node": it.node });
        problem["choices"] = found.iter().map(choice).collect();
        answer.body = problem.to_string().into_bytes();
    }
    answer
}

fn respond(answer: ViewAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = [(header::CONTENT_TYPE, answer.content_type)];
    (status, kind, answer.body).into_response()
}
