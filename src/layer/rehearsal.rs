//! What would leave a pipeline: the ends of a graph that is rehearsed instead of run.
//!
//! A sink that is rehearsed ([`SinkPart::rehearse`](super::SinkPart::rehearse)) makes what it really
//! sends, by the functions that really make it, and leaves it in a [`Recorder`] where it would have
//! been sent. It connects to nothing. What it refuses it refuses as ever.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::event::{Batch, Event, Origin};
use crate::failure::Failure;
use crate::stage::Sink;

/// Stands where something secret would.
pub const SECRET: &str = "[secret]";

/// Longest list of notes of one recorder: there are as many as things that were left out.
const MOST_NOTES: usize = 100;

/// One thing that would leave, as it would leave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leaving {
    /// `record`, `line`, `point`, `sql`, `request`, `message`, `view` (kept in sight here) or
    /// `discarded` (taken and thrown away).
    pub kind: &'static str,
    /// The thing itself, or what stands above its body: a line, a statement, a method with its URL, an
    /// exchange with its routing key.
    pub head: String,
    /// Bound parameters, headers, properties: in their order, with their types. Secrets are [`SECRET`].
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    pub details: Vec<(String, Value)>,
    /// The body, where there is one besides the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The same value by value, to be compared and looked through.
    #[serde(skip)]
    pub rows: Vec<Row>,
    /// The events that it is made of, where it is made of some alone.
    #[serde(skip)]
    pub origins: Vec<Origin>,
    /// The lines of the input in which these were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<u64>,
}

/// One row, record or message of a [`Leaving`].
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it is the same by in another version of the pipeline: a table with a key, or an event.
    pub key: String,
    /// Its values by column or path, in their order. A path may come more than once.
    pub fields: Vec<(String, Value)>,
}

impl Leaving {
    /// Nothing but a head.
    pub fn new(kind: &'static str, head: String) -> Self {
        Self {
            kind,
            head,
            details: Vec::new(),
            body: None,
            rows: Vec::new(),
            origins: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// With a parameter, header or property.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.push((name.to_owned(), value.into()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: String) -> Self {
        self.body = Some(body);
        self
    }

    /// Made of this event, with these values.
    #[must_use]
    pub fn of(mut self, event: &Event, fields: Vec<(String, Value)>) -> Self {
        self.origins.push(event.origin);
        self.lines
            .extend((event.position.line > 0).then_some(event.position.line));
        let key = key_of(event.origin);
        self.rows.push(Row { key, fields });
        self
    }

    /// The JSON text of an event.
    pub fn event(kind: &'static str, event: &Event) -> Self {
        let text = event.to_json();
        let fields = fields_of("", &text);
        Self::new(kind, text).of(event, fields)
    }
}

/// In their order.
fn as_map<S: Serializer>(details: &[(String, Value)], into: S) -> Result<S::Ok, S::Error> {
    into.collect_map(details.iter().map(|(name, value)| (name, value)))
}

/// What an event's things are compared by.
pub fn key_of(origin: Origin) -> String {
    let part = if origin.whole() == origin { "" } else { "+" };
    format!("{}/{}{part}", origin.delivery(), origin.index())
}

/// The scalars of a JSON text by their paths, behind `prefix`; a text that is none is one value.
pub fn fields_of(prefix: &str, json: &str) -> Vec<(String, Value)> {
    let value = serde_json::from_str(json).unwrap_or_else(|_| Value::from(json));
    let mut fields = Vec::new();
    lay_out(prefix.to_owned(), &value, &mut fields);
    fields
}

/// Events are no deeper than a hundred or so levels.
fn lay_out(path: String, value: &Value, fields: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                lay_out(format!("{path}.{name}"), member, fields);
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            for element in elements {
                lay_out(format!("{path}[]"), element, fields);
            }
        }
        scalar => fields.push((path, scalar.clone())),
    }
}

/// Looks at each thing as it leaves, also at those that are not kept.
pub type Look = Box<dyn Fn(&Leaving) + Send + Sync>;

/// Where things are left instead of sent. Clones share it.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    most: usize,
    look: Look,
    recorded: Mutex<Recorded>,
}

/// What was left in a recorder, in the order in which it would have left.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// The first of them.
    pub things: Vec<Leaving>,
    /// How many there were, with those that are not kept.
    pub count: u64,
    /// What the rehearsal left out or did otherwise.
    pub notes: Vec<String>,
}

impl Recorder {
    /// Keeps this many things, and counts the others; 10,000 are a good number.
    pub fn new(most: usize, look: Look) -> Self {
        Self(Arc::new(Shared {
            most,
            look,
            recorded: Mutex::default(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.0
            .recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// This would leave now.
    pub fn leave(&self, leaving: Leaving) {
        (self.0.look)(&leaving);
        let mut recorded = self.lock();
        recorded.count += 1;
        if recorded.things.len() < self.0.most {
            recorded.things.push(leaving);
        }
    }

    /// Something is otherwise than in a run: a sentence for people. Said once, however often.
    pub fn note(&self, note: impl Into<String>) {
        let (note, mut recorded) = (note.into(), self.lock());
        if recorded.notes.len() < MOST_NOTES && !recorded.notes.contains(&note) {
            recorded.notes.push(note);
        }
    }

    /// Takes out what was left so far.
    pub fn take(&self) -> Recorded {
        std::mem::take(&mut *self.lock())
    }
}

/// What a rehearsal puts in front of a sink's last step, inside of all that is around it: time-outs,
/// limits, breaker, retries and dead letters act on what it does as they would on the sink.
pub trait Front: Send + Sync {
    /// What of a batch may reach the sink now, and what is wrong with the rest.
    fn before(&self, batch: Batch) -> BoxFuture<'_, (Batch, Option<Failure>)>;
    /// The sink has answered for what reached it, well or with this failure.
    fn after(&self, batch: &Batch, failed: Option<&Failure>);
}

/// A sink with something in front of it.
#[derive(Clone)]
pub(super) struct Fronted<S> {
    pub inner: S,
    pub front: Arc<dyn Front>,
}

impl<S: Sink> Sink for Fronted<S> {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let (through, wrong) = self.front.before(batch).await;
        if through.is_empty() {
            return wrong.map_or(Ok(()), Err);
        }
        let answer = self.inner.write(through.clone()).await;
        self.front.after(&through, answer.as_ref().err());
        let answer = answer.map_err(|failure| failure.named(&through.origins()));
        Failure::join([answer, wrong.map_or(Ok(()), Err)])
    }
}

/// A sink whose events leave as they are, as JSON.
#[derive(Clone)]
pub struct Records {
    /// Where they are left.
    pub show: Recorder,
    /// What they are called.
    pub kind: &'static str,
}

impl Sink for Records {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let leave = |event| self.show.leave(Leaving::event(self.kind, event));
        batch.events().iter().for_each(leave);
        Ok(())
    }
}

/// A sink that can be run as it is, since it sends nothing: what it takes is shown.
#[derive(Clone)]
pub struct Taken<S> {
    /// The sink.
    pub inner: S,
    /// Where what it took is left.
    pub shown: Records,
}

impl<S: Sink> Sink for Taken<S> {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let answer = self.inner.write(batch.clone()).await;
        let lost = answer.as_ref().err().map(|failure| failure.lost(&batch));
        for event in &batch {
            if lost
                .as_ref()
                .is_none_or(|lost| !lost.contains(&event.origin))
            {
                self.shown
                    .show
                    .leave(Leaving::event(self.shown.kind, event));
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::delivery;
    use super::*;

    #[test]
    fn scalars_are_laid_out_by_their_paths() {
        let fields = fields_of("body", r#"{"a":{"b":[1,{"c":"x"}]},"e":[],"n":null}"#);
        let shown: Vec<String> = fields.iter().map(|(p, v)| format!("{p}={v}")).collect();
        let expected = [
            "body.a.b[]=1",
            r#"body.a.b[].c="x""#,
            "body.e=[]",
            "body.n=null",
        ];
        assert_eq!(shown, expected);
        assert_eq!(
            fields_of("x", "no json"),
            [("x".to_owned(), "no json".into())]
        );
    }

    #[tokio::test]
    async fn a_recorder_keeps_so_many_and_looks_at_all() {
        let seen = Arc::new(Mutex::new(0));
        let looked = seen.clone();
        let look = Box::new(move |_: &Leaving| *looked.lock().unwrap() += 1);
        let show = Recorder::new(2, look);
        let sink = Records {
            show: show.clone(),
            kind: "record",
        };
        sink.write(delivery(7, &["a", "b", "c"])).await.unwrap();
        show.note("once");
        show.note("once");
        let recorded = show.take();
        assert_eq!((recorded.count, recorded.things.len()), (3, 2));
        assert_eq!(*seen.lock().unwrap(), 3);
        assert_eq!(recorded.notes, ["once"]);
        assert_eq!(recorded.things[1].head, r#"{"n":1,"key":"b"}"#);
        assert_eq!(recorded.things[1].rows[0].key, "7/1");
    }
}
