//! Views: what a sink shows over HTTP of what it has seen.

use std::sync::{Arc, Mutex, PoisonError};

/// Something that answers questions from memory, at once. Whoever serves it knows nothing of what
/// it is about.
pub trait View: Send + Sync {
    /// The answer to `GET /api/v1/{path}?{query}`; `None` where nothing is at this path.
    fn answer(&self, path: &str, query: &[(String, String)]) -> Option<ViewAnswer>;
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

/// The views of one run. Clones share them.
#[derive(Clone, Default)]
pub struct Views(Arc<Mutex<Vec<(Arc<str>, Arc<dyn View>)>>>);

impl Views {
    /// Publishes the view of a node, in place of an earlier one of the same node.
    pub fn publish(&self, node: &str, view: Arc<dyn View>) {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        views.retain(|(known, _)| **known != *node);
        views.push((node.into(), view));
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
