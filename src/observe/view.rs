//! Views: what a sink shows over HTTP of what it has seen.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use serde::Serialize;

/// What was asked for behind the `?`, decoded.
pub type Query = [(String, String)];

/// Something that answers questions about what it has seen. Whoever serves it knows nothing of what
/// it is about.
pub trait View: Any + Send + Sync {
    /// The answer to `GET /api/v1/{path}?{query}`; `None` where nothing is at this path. Whether
    /// there is something costs nothing: work is done when the future is polled.
    fn answer(self: Arc<Self>, path: &str, query: &Query)
    -> Option<BoxFuture<'static, ViewAnswer>>;

    /// Methods besides GET that this path has, such as `POST`. Default: none, it only shows.
    fn methods(&self, _path: &str) -> &'static [&'static str] {
        &[]
    }

    /// Does what is asked for with one of [`View::methods`].
    fn act(self: Arc<Self>, _act: Act) -> BoxFuture<'static, ViewAnswer> {
        let detail = "this path is read with GET";
        Box::pin(std::future::ready(ViewAnswer::problem(405, detail, None)))
    }
}

/// What a view is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// One of [`View::methods`].
    pub method: &'static str,
    /// Below `/api/v1/`, decoded.
    pub path: String,
    /// What stands behind the `?`, decoded.
    pub query: Vec<(String, String)>,
    /// The `Content-Type`, as it came.
    pub content_type: Option<String>,
    /// The `Idempotency-Key`: what is asked for again with the same one is not done again.
    pub idempotency_key: Option<String>,
    /// The body, of at most 512,000 bytes.
    pub body: Vec<u8>,
}

/// What a view answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewAnswer {
    /// HTTP status.
    pub status: u16,
    /// Such as `application/json`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// Further headers, such as `retry-after`.
    pub headers: Vec<(&'static str, String)>,
}

/// Of errors, as RFC 9457 has it.
const PROBLEM: &str = "application/problem+json";

impl ViewAnswer {
    /// 200 with this body.
    #[must_use]
    pub fn new(content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            status: 200,
            content_type,
            body,
            headers: Vec::new(),
        }
    }

    /// 200 with this value as JSON.
    #[must_use]
    pub fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new("application/json", body),
            Err(_) => Self::problem(500, "the answer could not be written", None),
        }
    }

    /// 200 becomes another status, such as 201.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// An error as RFC 9457 has it, with the member `parameter` where one of the query is wrong.
    #[must_use]
    pub fn problem(status: u16, detail: &str, parameter: Option<&str>) -> Self {
        let title = match status {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            405 => "Method Not Allowed",
            413 => "Payload Too Large",
            415 => "Unsupported Media Type",
            422 => "Unprocessable Content",
            429 => "Too Many Requests",
            502 => "Bad Gateway",
            504 => "Gateway Timeout",
            404 => "Not Found",
            409 => "Conflict",
            503 => "Service Unavailable",
            _ => "Error",
        };
        let mut problem = serde_json::json!({
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
        });
        if let Some(parameter) = parameter {
            problem["parameter"] = parameter.into();
        }
        Self {
            status,
            content_type: PROBLEM,
            body: problem.to_string().into_bytes(),
            headers: Vec::new(),
        }
    }

    /// The same with another header. A value that no header can carry is left out.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// A problem gets further members, such as a `type` of its own. Nothing happens to what is no JSON
    /// object.
    #[must_use]
    pub fn with_members(mut self, members: serde_json::Value) -> Self {
        let body = serde_json::from_slice::<serde_json::Value>(&self.body).ok();
        if let (Some(serde_json::Value::Object(mut body)), serde_json::Value::Object(members)) =
            (body, members)
        {
            body.extend(members);
            self.body = serde_json::Value::Object(body).to_string().into_bytes();
        }
        self
    }
}

/// Views with the nodes that they belong to.
type Published = Vec<(Arc<str>, Arc<dyn View>)>;

/// The views of one run. Clones share them.
#[derive(Clone, Default)]
pub struct Views(Arc<Mutex<Published>>);

impl Views {
    /// Publishes the view of a node, in place of an earlier one of the same node.
    pub fn publish(&self, node: &str, view: Arc<dyn View>) {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match views.iter_mut().find(|(known, _)| **known == *node) {
            Some((_, known)) => *known = view,
            None => views.push((node.into(), view)),
        }
    }

    /// The view of a node is shown no longer: the node was taken out of the pipeline.
    pub fn withdraw(&self, node: &str) {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        views.retain(|(known, _)| **known != *node);
    }

    /// The view of this node, if it is one of `V`: a node that takes another's place in a reload
    /// goes on with what that one knows.
    #[must_use]
    pub fn of<V: View>(&self, node: &str) -> Option<Arc<V>> {
        let all = self.all();
        let (_, view) = all.into_iter().find(|(known, _)| **known == *node)?;
        let any: Arc<dyn Any + Send + Sync> = view;
        any.downcast().ok()
    }

    /// All views with the nodes that they belong to, in the order of their publication.
    #[must_use]
    pub fn all(&self) -> Vec<(Arc<str>, Arc<dyn View>)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);
    struct Other;

    impl View for Fixed {
        fn answer(self: Arc<Self>, _: &str, _: &Query) -> Option<BoxFuture<'static, ViewAnswer>> {
            None
        }
    }

    impl View for Other {
        fn answer(self: Arc<Self>, _: &str, _: &Query) -> Option<BoxFuture<'static, ViewAnswer>> {
            None
        }
    }

    #[test]
    fn a_node_has_one_view_and_its_successor_finds_it() {
        let views = Views::default();
        views.publish("a", Arc::new(Fixed(1)));
        views.publish("b", Arc::new(Other));
        views.publish("a", Arc::new(Fixed(2)));
        assert_eq!(views.all().len(), 2);
        assert_eq!(views.of::<Fixed>("a").unwrap().0, 2);
        assert!(views.of::<Fixed>("b").is_none() && views.of::<Other>("b").is_some());
        views.withdraw("a");
        assert!(views.of::<Fixed>("a").is_none());
    }

    #[test]
    fn a_problem_names_the_parameter_and_escapes_what_it_says() {
        let answer = ViewAnswer::problem(400, "no \"day\"", Some("date"));
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            (&body["parameter"], &body["detail"]),
            (&"date".into(), &"no \"day\"".into())
        );
        assert_eq!((answer.status, answer.content_type), (400, PROBLEM));
    }
}
