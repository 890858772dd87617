//! Messages that are shown instead of published.

use std::sync::Arc;

use lapin::BasicProperties;
use serde_json::Value;

use super::Config;
use super::message::Outgoing;
use crate::client::amqp::text_of;
use crate::event::{Batch, Event};
use crate::failure::Failure;
use crate::layer::SinkContext;
use crate::layer::rehearsal::{Leaving, Recorder, fields_of};
use crate::observe::NodeMeter;
use crate::stage::Sink;

/// The sink without its last step.
#[derive(Clone)]
pub struct Rehearsal {
    config: Arc<Config>,
    meter: NodeMeter,
    show: Recorder,
}

impl Config {
    /// Shows each message with its exchange, routing key, properties and headers.
    pub fn rehearse(mut self, context: &SinkContext, show: Recorder) -> Rehearsal {
        self.head_letters(&context.node);
        Rehearsal {
            config: Arc::new(self),
            meter: context.meter.clone(),
            show,
        }
    }
}

impl Sink for Rehearsal {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let (messages, refused) = self.config.messages(&batch, self.meter.wall().now());
        let mut events = batch.events().iter();
        for message in messages {
            // Messages come in the order of their events, without those that are refused.
            if let Some(event) = events.find(|event| event.origin == message.origin) {
                let exchange = &self.config.exchange.name;
                self.show.leave(leaving(exchange, &message, event));
            }
        }
        refused
    }
}

fn leaving(exchange: &str, message: &Outgoing, event: &Event) -> Leaving {
    let exchange = if exchange.is_empty() {
        "(default exchange)"
    } else {
        exchange
    };
    let body = String::from_utf8_lossy(&message.body).into_owned();
    let details = details(&message.properties);
    let mut fields = vec![("routing_key".to_owned(), message.key.as_str().into())];
    fields.extend(details.iter().cloned());
    fields.extend(fields_of("body", &body));
    let head = format!("{exchange} -> {}", message.key.as_str());
    let leaving = Leaving {
        details,
        ..Leaving::new("message", head)
    };
    leaving.body(body).of(event, fields)
}

/// The properties that are set, and the headers.
fn details(properties: &BasicProperties) -> Vec<(String, Value)> {
    let text =
        |it: &Option<lapin::types::ShortString>| it.as_ref().map(|it| Value::from(it.as_str()));
    let named = [
        ("content_type", text(properties.content_type())),
        ("delivery_mode", properties.delivery_mode().map(Value::from)),
        ("timestamp", properties.timestamp().map(Value::from)),
        ("message_id", text(properties.message_id())),
        ("correlation_id", text(properties.correlation_id())),
        ("type", text(properties.kind())),
        ("priority", properties.priority().map(Value::from)),
        ("expiration", text(properties.expiration())),
    ];
    let named = named.into_iter();
    let mut details: Vec<(String, Value)> = named
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    let headers = properties.headers().iter().flat_map(|table| table.inner());
    details.extend(headers.map(|(name, value)| {
        let name = format!("header.{}", name.as_str());
        (name, Value::from(text_of(value)))
    }));
    details
}
