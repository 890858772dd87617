//! Answers: JSON, and the two dialects in which the platform says no.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Reply {
    pub(super) fn json(body: &Value) -> Self {
        Self::raw(body.to_string())
    }

    /// JSON that is written already.
    pub(super) fn raw(body: String) -> Self {
        Self {
            status: 200,
            body,
            headers: Vec::new(),
        }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            body: String::new(),
            headers: Vec::new(),
        }
    }

    pub(super) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(super) fn with(mut self, header: &'static str, value: impl ToString) -> Self {
        self.headers.push((header, value.to_string()));
        self
    }

    /// An `ErrorBody`, as all hosts but that for logging in have it.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(&error_body(status, code, message)).status(status)
    }

    /// In the dialect of OAuth.
    pub(super) fn oauth(status: u16, error: &str, description: &str) -> Self {
        Self::json(&json!({
            "error": error, "description": description, "error_description": description,
        }))
        .status(status)
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::error(
            404,
            "not.found",
            &format!("The requested {what} was not found."),
        )
    }

    pub(super) fn bad(message: &str) -> Self {
        Self::error(400, "bad.request", message)
    }

    pub(super) fn forbidden(permissions: &[&str]) -> Self {
        let missing = permissions.join(", ");
        Self::error(
            403,
            "missing.any.permissions",
            &format!(
                "Unable to perform the requested action. You are missing the following permission(s): {missing}"
            ),
        )
    }

    /// With the headers that every answer has. The same id is in the body of an error.
    pub(super) fn response(self, correlation: &str, head: bool) -> Response<Body> {
        let body = self.body.replacen(
            "\"contextId\":\"\"",
            &format!("\"contextId\":\"{correlation}\""),
            usize::from(self.status >= 400),
        );
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::new(if head {
            Body::empty()
        } else {
            Body::from(body)
        });
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if !self.body.is_empty() {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
        }
        let correlation = ["inin-correlation-id", "genesys-correlation-id"]
            .map(|name| (name, correlation.to_owned()));
        for (name, value) in self.headers.into_iter().chain(correlation) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

pub(super) fn error_body(status: u16, code: &str, message: &str) -> Value {
    json!({
        "message": message, "code": code, "status": status, "contextId": "", "details": [], "errors": [],
    })
}
