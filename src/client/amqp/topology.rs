//! Queues, exchanges and what binds them: made, or looked at.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use super::{Link, short, table_of};
use crate::failure::Failure;
use crate::setting::{Fields, Node, Setting, Shape, Value};

/// What is done about queues and exchanges when a connection is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Declare {
    /// They have to be there (default).
    #[default]
    Passive,
    /// They are made where they are not, and have to agree with what is said where they are.
    Create,
    /// Nothing.
    Nothing,
}

impl Declare {
    /// Reads `declare`: `passive`, `true` or `false`.
    pub fn check(fields: &mut Fields<'_>) -> Self {
        fields.takes("declare", || {
            Shape::Words(vec!["passive".to_owned()]).or(bool::shape())
        });
        let Some(node) = fields.node("declare") else {
            return Self::default();
        };
        match (&node.value, node.as_text()) {
            (Value::Bool(true), _) | (_, Some("true")) => Self::Create,
            (Value::Bool(false), _) | (_, Some("false")) => Self::Nothing,
            (_, Some("passive")) => Self::Passive,
            _ => {
                let message = format!(
                    "`declare` is `true`, `passive` or `false`, not {}",
                    node.shown()
                );
                fields.error("unknown-value", node.span, message);
                Self::default()
            }
        }
    }
}

/// The kinds of queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueKind {
    /// Replicated, safe to lose a node of (default).
    #[default]
    Quorum,
    /// On one node.
    Classic,
    /// A log that can be read again.
    Stream,
}

impl QueueKind {
    /// By the names of `x-queue-type`.
    pub const ALL: [(&'static str, Self); 3] = [
        ("quorum", Self::Quorum),
        ("classic", Self::Classic),
        ("stream", Self::Stream),
    ];

    /// As the broker calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quorum => "quorum",
            Self::Classic => "classic",
            Self::Stream => "stream",
        }
    }
}

/// A queue as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// `type`: default `quorum`.
    pub kind: QueueKind,
    /// `durable`: default true.
    pub durable: bool,
    /// All of its arguments, `x-queue-type` included.
    pub arguments: FieldTable,
}

/// An exchange as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// `topic`, `direct`, `fanout`, `headers`, `x-consistent-hash` …; none: it has to be there.
    pub kind: Option<String>,
    /// Default true.
    pub durable: bool,
}

/// What leads messages into the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Where they come from.
    pub exchange: Exchange,
    /// `routing_key`: default empty. For `x-consistent-hash` the weight, such as `"10"`.
    pub routing_key: String,
}

/// `topology`: what a queue is to be like.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// The queue.
    pub queue: Queue,
    /// `bindings`: default none.
    pub bindings: Vec<Binding>,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            queue: Queue::of(QueueKind::Quorum),
            bindings: Vec::new(),
        }
    }
}

impl Queue {
    /// A durable one without further arguments.
    pub fn of(kind: QueueKind) -> Self {
        let mut arguments = FieldTable::default();
        let name = AMQPValue::LongString(kind.name().into());
        arguments.insert("x-queue-type".into(), name);
        Self {
            kind,
            durable: true,
            arguments,
        }
    }

    /// Whether the broker hands messages to one consumer at a time (`x-single-active-consumer`).
    pub fn is_of_one(&self) -> bool {
        let single = self.arguments.inner().get("x-single-active-consumer");
        matches!(single, Some(AMQPValue::Boolean(true)))
    }

    /// Makes it where it is not.
    ///
    /// # Errors
    /// `Fatal` where there is one of this name that is different.
    pub async fn create(&self, link: &Link, channel: &Channel, name: &str) -> Result<(), Failure> {
        let options = QueueDeclareOptions {
            durable: self.durable,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(named(name)?, options, self.arguments.clone());
        let doing = format!("declare the queue `{name}`");
        link.ask(&doing, declared).await.map(|_| ())
    }
}

/// Looks whether a queue is there. Says how many messages wait in it, and how many consumers it has.
///
/// # Errors
/// `Fatal` where it is not. The channel is closed then.
pub async fn look_at(link: &Link, channel: &Channel, name: &str) -> Result<(u32, u32), Failure> {
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let found = channel.queue_declare(named(name)?, options, FieldTable::default());
    let doing = format!("find the queue `{name}`");
    let found = link.ask(&doing, found).await?;
    Ok((found.message_count(), found.consumer_count()))
}

impl Exchange {
    /// Makes it where it is not, or looks for it where nothing is said of its kind. The nameless one
    /// always is there.
    ///
    /// # Errors
    /// `Fatal` where it is not there, or is different.
    pub async fn create(&self, link: &Link, channel: &Channel) -> Result<(), Failure> {
        if self.name.is_empty() {
            return Ok(());
        }
        let options = ExchangeDeclareOptions {
            passive: self.kind.is_none(),
            durable: self.durable,
            ..ExchangeDeclareOptions::default()
        };
        let kind = match self.kind.as_deref() {
            None | Some("direct") => ExchangeKind::Direct,
            Some("fanout") => ExchangeKind::Fanout,
            Some("headers") => ExchangeKind::Headers,
            Some("topic") => ExchangeKind::Topic,
            Some(other) => ExchangeKind::Custom(other.to_owned()),
        };
        let name = named(&self.name)?;
        let declared = channel.exchange_declare(name, kind, options, FieldTable::default());
        let doing = format!("declare the exchange `{}`", self.name);
        link.ask(&doing, declared).await
    }

    /// The same one, to be looked for.
    pub fn expected(&self) -> Self {
        Self {
            kind: None,
            ..self.clone()
        }
    }
}

impl Topology {
    /// Reads the fields of `topology`.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let kind = fields.choice("type", &QueueKind::ALL).unwrap_or_default();
        let durable = fields.or("durable", true);
        if !durable && kind != QueueKind::Classic {
            let message = format!("a {} queue is always durable", kind.name());
            fields.error("conflicting-fields", fields.span_of("durable"), message);
        }
        let mut queue = Queue {
            durable,
            ..Queue::of(kind)
        };
        let said = fields.section("arguments", "`arguments`", |fields| {
            fields.all_take(|| Shape::Any);
            match table_of(fields.entries()) {
                Ok(table) => Some(table),
                Err(key) => {
                    let (span, message) = (key.span, "this cannot be an argument of a queue");
                    fields.error("unknown-value", span, message);
                    None
                }
            }
        });
        for (name, value) in &said.unwrap_or_default() {
            queue.arguments.insert(name.clone(), value.clone());
        }
        let mut put = |name: &str, value: Option<AMQPValue>| {
            if let (Some(name), Some(value)) = (short(name), value) {
                queue.arguments.insert(name, value);
            }
        };
        let text = |text: String| AMQPValue::LongString(text.into());
        let limit: Option<u32> = fields.optional("delivery_limit");
        put(
            "x-delivery-limit",
            limit.map(|n| AMQPValue::LongLongInt(n.into())),
        );
        let exchange: Option<String> = fields.optional("dead_letter_exchange");
        put("x-dead-letter-exchange", exchange.map(text));
        let key: Option<String> = fields.optional("dead_letter_routing_key");
        put("x-dead-letter-routing-key", key.map(text));
        let ttl: Option<Duration> = fields.optional("message_ttl");
        let millis = |ttl: Duration| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        put(
            "x-message-ttl",
            ttl.map(|ttl| AMQPValue::LongLongInt(millis(ttl))),
        );
        let most: Option<u32> = fields.optional("max_length");
        put(
            "x-max-length",
            most.map(|n| AMQPValue::LongLongInt(n.into())),
        );
        let single: Option<bool> = fields.optional("single_active_consumer");
        put("x-single-active-consumer", single.map(AMQPValue::Boolean));
        let bindings = fields.each("bindings", |node, report| {
            let mut fields = Fields::new(node, "a binding", report)?;
            let binding = Binding::check(&mut fields);
            fields.finish();
            binding
        });
        Some(Self { queue, bindings })
    }

    /// Makes the queue and what leads into it, or looks for them.
    ///
    /// # Errors
    /// `Fatal` where something is not there or different.
    pub async fn apply(
        &self,
        link: &Link,
        channel: &Channel,
        queue: &str,
        declare: Declare,
    ) -> Result<(), Failure> {
        match declare {
            Declare::Nothing => Ok(()),
            Declare::Passive => look_at(link, channel, queue).await.map(|_| ()),
            Declare::Create => {
                self.queue.create(link, channel, queue).await?;
                for Binding {
                    exchange,
                    routing_key,
                } in &self.bindings
                {
                    exchange.create(link, channel).await?;
                    let bound = channel.queue_bind(
                        named(queue)?,
                        named(&exchange.name)?,
                        named(routing_key)?,
                        QueueBindOptions::default(),
                        FieldTable::default(),
                    );
                    let doing = format!("bind the queue `{queue}` to `{}`", exchange.name);
                    link.ask(&doing, bound).await?;
                }
                Ok(())
            }
        }
    }
}

impl Binding {
    fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let name: Option<String> = fields.required("exchange");
        let kind = fields.optional("type");
        let durable = fields.or("durable", true);
        let routing_key: String = fields.or("routing_key", String::new());
        Some(Self {
            exchange: Exchange {
                name: name.filter(|name| is_short(fields, "exchange", name))?,
                kind,
                durable,
            },
            routing_key: Some(routing_key).filter(|key| is_short(fields, "routing_key", key))?,
        })
    }
}

/// Whether a name fits into the 255 bytes that AMQP has for it; reports it otherwise.
pub(super) fn is_short(fields: &mut Fields<'_>, field: &'static str, name: &str) -> bool {
    let fits = short(name).is_some();
    if !fits {
        let message = format!("`{field}` has at most 255 bytes");
        fields.error("out-of-range", fields.span_of(field), message);
    }
    fits
}

/// A name that was checked; one that came another way is refused here.
fn named(name: &str) -> Result<lapin::types::ShortString, Failure> {
    short(name).ok_or_else(|| Failure::fatal("bad_name", "a name is longer than 255 bytes"))
}

/// The arguments of a consumer as a pipeline file says them.
pub fn arguments_of(node: &Node) -> Option<FieldTable> {
    table_of(node.as_map()?).ok()
}
