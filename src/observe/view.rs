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

    /// An error as RFC 9457 has it, with the member `parameter` where one of the query is wrong.
    #[must_use]
    pub fn problem(status: u16, detail: &str, parameter: Option<&str>) -> Self {
        let title = match status {
            400 => "Bad Request",
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
        }
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
