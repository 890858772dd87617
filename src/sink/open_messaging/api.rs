//! Conversations over HTTP: what the sink does for whoever asks instead of sending an event.
//!
//! | below `/api/v1/tenants/{tenant}/conversations` | |
//! |---|---|
//! | `POST` | opens one |
//! | `GET /{id}` | how it stands |
//! | `DELETE /{id}` | ends it |
//! | `POST /{id}/messages` | sends a text on the agent's communication |
//! | `POST /{id}/participants` | brings a user or a queue in |
//!
//! It is the same organisation: its token, its budget, its breaker (while that is open nothing is asked
//! for), and messages are checked, sent and written down as those of events are. Nothing is tried again
//! here: whoever asks is told when that is worth it. What comes again with the same `Idempotency-Key`
//! (or message id) is answered out of the book of statuses.
//!
//! A request that was begun is finished also when nobody waits for its answer any more, so that what was
//! sent is written down.

mod answer;
mod body;
mod work;

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::Inner;
use crate::observe::{Act, NodeMeter, Query, View, ViewAnswer};

use answer::Problem;
use work::{Shared, Work};

/// Requests under way at once; more are told to come again.
const AT_ONCE: usize = 256;
/// What is not answered by then is uncertain to whoever asked. Shorter than the time that the interface
/// gives an answer.
const PATIENCE: Duration = Duration::from_secs(9);

/// The view of a sink with `api: true`.
pub(super) struct Conversations {
    /// The view is known for longer than the sink is there, and must not keep it.
    sink: Weak<Inner>,
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    All,
    One,
    Messages,
    Participants,
}

/// A path below `/api/v1/` that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub tenant: String,
    /// Empty for all of them.
    pub conversation: String,
    pub what: What,
}

impl Place {
    fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').collect();
        let (tenant, conversation, what) = match parts[..] {
            ["tenants", tenant, "conversations"] => (tenant, "", What::All),
            ["tenants", tenant, "conversations", id] => (tenant, id, What::One),
            ["tenants", tenant, "conversations", id, "messages"] => (tenant, id, What::Messages),
            ["tenants", tenant, "conversations", id, "participants"] => {
                (tenant, id, What::Participants)
            }
            _ => return None,
        };
        let named = !tenant.is_empty() && (what == What::All || !conversation.is_empty());
        named.then(|| Self {
            tenant: tenant.to_owned(),
            conversation: conversation.to_owned(),
            what,
        })
    }
}

/// What is asked for, whatever the method.
pub(super) struct Asked {
    pub place: Place,
    pub method: &'static str,
    pub query: Vec<(String, String)>,
    pub content_type: Option<String>,
    pub key: Option<String>,
    pub body: Vec<u8>,
}

impl Conversations {
    pub fn new(sink: &Arc<Inner>, meter: NodeMeter) -> Arc<Self> {
        Arc::new(Self {
            sink: Arc::downgrade(sink),
            shared: Arc::new(Shared::new(meter)),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    fn ask(&self, asked: Asked) -> BoxFuture<'static, ViewAnswer> {
        let place = self.places.clone().try_acquire_owned().ok();
        let (Some(place), Some(sink)) = (place, self.sink.upgrade()) else {
            return std::future::ready(Problem::busy().into()).boxed();
        };
        let shared = self.shared.clone();
        let work = Work { sink, shared };
        let task = async move {
            let task = tokio::spawn(async move {
                let _place = place;
                work.answer(asked).await
            });
            match tokio::time::timeout(PATIENCE, task).await {
                Ok(Ok(answer)) => answer,
                // A panic is logged where it happened.
                Ok(Err(_)) | Err(_) => Problem::uncertain().into(),
            }
        };
        task.boxed()
    }
}

impl View for Conversations {
    fn answer(
        self: Arc<Self>,
        path: &str,
        query: &Query,
    ) -> Option<BoxFuture<'static, ViewAnswer>> {
        let place = Place::of(path).filter(|place| place.what == What::One)?;
        let asked = Asked {
            place,
            method: "GET",
            query: query.to_vec(),
            content_type: None,
            key: None,
            body: Vec::new(),
        };
        // Nothing is asked of the platform before the answer is waited for.
        Some(async move { self.ask(asked).await }.boxed())
    }

    fn methods(&self, path: &str) -> &'static [&'static str] {
        match Place::of(path).map(|place| place.what) {
            Some(What::All | What::Messages | What::Participants) => &["POST"],
            Some(What::One) => &["DELETE"],
            None => &[],
        }
    }

    fn act(self: Arc<Self>, act: Act) -> BoxFuture<'static, ViewAnswer> {
        let Some(place) = Place::of(&act.path) else {
            let nothing = ViewAnswer::problem(404, "there is nothing at this path", None);
            return std::future::ready(nothing).boxed();
        };
        self.ask(Asked {
            place,
            method: act.method,
            query: act.query,
            content_type: act.content_type,
            key: act.idempotency_key,
            body: act.body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_conversations_are_ours() {
        let what = |path: &str| Place::of(path).map(|place| place.what);
        assert_eq!(what("tenants/a/conversations"), Some(What::All));
        assert_eq!(what("tenants/a/conversations/c"), Some(What::One));
        for (path, of) in [
            ("messages", What::Messages),
            ("participants", What::Participants),
        ] {
            assert_eq!(what(&format!("tenants/a/conversations/c/{path}")), Some(of));
        }
        for other in [
            "tenants",
            "tenants/a",
            "tenants//conversations",
            "tenants/a/conversations/",
            "tenants/a/conversations//messages",
            "tenants/a/conversations/c/others",
            "tenants/a/conversations/c/messages/",
            "tenants/a/b/conversations",
            "state",
        ] {
            assert_eq!(what(other), None, "{other}");
        }
    }
}
