//! Telling a source to look for more at once: the one path that is not read but posted to.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::routes::{Observers, Problem};
use crate::observe::{NodeKind, Observer};

/// `POST /api/v1/sources/{name}/trigger`: 202, also where one is pending already. In several pipelines
/// all sources of the name are told.
pub(super) async fn pull(
    State(observers): State<Observers>,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    // A name that is not UTF-8 is the name of nothing.
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let triggers = observers.iter().filter_map(|it| it.triggers().of(&name));
    let mut pulled = false;
    for trigger in triggers {
        trigger.pull();
        pulled = true;
    }
    if pulled {
        let body = serde_json::json!({ "triggered": true });
        return (StatusCode::ACCEPTED, Json(body)).into_response();
    }
    let (status, detail) = match observers.iter().any(|it| has_source(it, &name)) {
        true => (StatusCode::CONFLICT, "this source cannot be triggered"),
        false => (StatusCode::NOT_FOUND, "no source of that name runs here"),
    };
    Problem::new(status, detail).into_response()
}

/// Any other method.
pub(super) async fn refuse() -> Response {
    let detail = "this path is posted to";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response()
}

fn has_source(observer: &Observer, name: &str) -> bool {
    let nodes = observer.ledger().nodes;
    nodes
        .iter()
        .any(|node| node.kind == NodeKind::Source && node.name == name)
}
