//! The settings of a sink of type `rabbitmq`.

use std::time::Duration;

use crate::client::amqp::{Declare, Exchange, Settings, Topology, short};
use crate::event::Path;
use crate::setting::{Fields, Setting, Size};

use super::template::Template;

/// Headers that a message may be given.
const MOST_HEADERS: usize = 32;

/// What a sink of type `rabbitmq` is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The broker.
    pub broker: Settings,
    /// `exchange`: default the nameless one, which leads into the queue of the routing key's name.
    pub exchange: Exchange,
    /// `routing_key`, or `queue` for one queue.
    pub routing_key: Template,
    /// `queue`: the one that all messages go to, if it is one.
    pub queue: Option<String>,
    /// `declare`: default `passive`.
    pub declare: Declare,
    /// `topology`: of `queue`.
    pub topology: Topology,
    /// `mandatory`: what no queue takes is refused; default true.
    pub mandatory: bool,
    /// `persistent`: messages are kept on disk; default true.
    pub persistent: bool,
    /// `in_flight`: messages that are not confirmed; default 500.
    pub in_flight: usize,
    /// `max_message`: longest body in bytes; default 16 MiB, the most that RabbitMQ 4 takes.
    pub max_message: usize,
    /// What goes along.
    pub properties: Properties,
}

/// What a message has besides its body, from fields of the event. What an event does not have is left out.
#[derive(Clone, Debug, Default)]
pub struct Properties {
    /// `message_id`.
    pub message_id: Option<Path>,
    /// `correlation_id`.
    pub correlation_id: Option<Path>,
    /// `message_type`: text with fields.
    pub kind: Option<Template>,
    /// `priority`: a field with a number from 0 to 255.
    pub priority: Option<Path>,
    /// `expiration`: after so long the broker throws the message away; default never.
    pub expiration: Option<Duration>,
    /// `headers`: names, and text with fields.
    pub headers: Vec<(String, Template)>,
}

impl Config {
    /// Reads the fields.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let broker = Settings::check(fields);
        let name: Option<String> = fields.optional("exchange");
        let kind: Option<String> = fields.optional("exchange_type");
        let durable = fields.or("exchange_durable", true);
        let queue: Option<String> = fields.optional("queue");
        let key: Option<Template> = fields.optional("routing_key");
        let way = way(fields, name, key, queue.as_deref());
        let declare = Declare::check(fields);
        let topology = fields.section("topology", "`topology`", Topology::check);
        if topology.is_some() && queue.is_none() {
            let message = "`topology` describes `queue`, which is not there";
            let span = fields.key_span_of("topology");
            fields.error("conflicting-fields", span, message);
        }
        let mandatory = fields.or("mandatory", true);
        let persistent = fields.or("persistent", true);
        let in_flight = fields.or("in_flight", 500_usize);
        if !(1..=10_000).contains(&in_flight) {
            let message = "`in_flight` has to be between 1 and 10000";
            fields.error("out-of-range", fields.span_of("in_flight"), message);
        }
        let max_message = fields.or("max_message", Size(16 << 20));
        if !(1..=512 << 20).contains(&max_message.0) {
            let message = "`max_message` has to be between 1 byte and 512 MiB";
            fields.error("out-of-range", fields.span_of("max_message"), message);
        }
        let properties = Properties::check(fields);
        let (exchange, routing_key) = way?;
        Some(Self {
            broker: broker?,
            exchange: Exchange {
                name: exchange,
                kind,
                durable,
            },
            routing_key,
            queue,
            declare,
            topology: topology.unwrap_or_default(),
            mandatory,
            persistent,
            in_flight,
            max_message: max_message.bytes(),
            properties,
        })
    }

    /// Shows the paths.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        self.routing_key.paths(visit);
        let properties = &mut self.properties;
        for path in [
            &mut properties.message_id,
            &mut properties.correlation_id,
            &mut properties.priority,
        ] {
            path.iter_mut().for_each(&mut *visit);
        }
        properties
            .kind
            .iter_mut()
            .for_each(|kind| kind.paths(visit));
        for (_, template) in &mut properties.headers {
            template.paths(visit);
        }
    }
}

/// Where messages go: an exchange with a key, or one queue.
fn way(
    fields: &mut Fields<'_>,
    exchange: Option<String>,
    key: Option<Template>,
    queue: Option<&str>,
) -> Option<(String, Template)> {
    for (field, name) in [("exchange", exchange.as_deref()), ("queue", queue)] {
        if name.is_some_and(|name| short(name).is_none()) {
            let message = format!("`{field}` has at most 255 bytes");
            fields.error("out-of-range", fields.span_of(field), message);
            return None;
        }
    }
    match (exchange, key, queue) {
        (None, None, Some(queue)) => Some((String::new(), Template::plain(queue))),
        (_, _, Some(_)) => {
            let message = "`queue` says where messages go, and so do `exchange` and `routing_key`";
            fields.error("conflicting-fields", fields.key_span_of("queue"), message);
            None
        }
        (Some(exchange), key, None) => Some((exchange, key.unwrap_or_default())),
        (None, Some(_), None) | (None, None, None) => {
            let span = fields.span();
            let message = format!("{} needs `exchange`, or `queue`", fields.what());
            fields.error("missing-field", span, message);
            None
        }
    }
}

impl Properties {
    fn check(fields: &mut Fields<'_>) -> Self {
        let mut headers = Vec::new();
        let read = fields.section("headers", "`headers`", |fields| {
            fields.all_take(Template::shape);
            for (key, node) in fields.entries() {
                if short(&key.name).is_none() || key.name.is_empty() {
                    let message = "a header's name has 1 to 255 bytes";
                    fields.error("out-of-range", key.span, message);
                }
                let value = Template::read(node, fields.report());
                headers.extend(value.map(|value| (key.name.clone(), value)));
            }
            Some(())
        });
        if read.is_some() && headers.len() > MOST_HEADERS {
            let message = format!("more than {MOST_HEADERS} headers");
            fields.error("out-of-range", fields.span_of("headers"), message);
        }
        Self {
            message_id: fields.optional("message_id"),
            correlation_id: fields.optional("correlation_id"),
            kind: fields.optional("message_type"),
            priority: fields.optional("priority"),
            expiration: fields.optional("expiration"),
            headers,
        }
    }
}
