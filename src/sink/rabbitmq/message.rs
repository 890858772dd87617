//! What becomes of an event: a message, or a refusal.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::config::{Config, Properties};
use super::template::Template;
use crate::client::amqp::short;
use crate::event::{Batch, Event, Origin, Path};
use crate::failure::{Cause, Failure, Kind};

/// A message as it is published.
pub(super) struct Outgoing {
    pub origin: Origin,
    pub key: ShortString,
    pub body: Vec<u8>,
    pub properties: BasicProperties,
}

/// Why an event can be no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoKey,
    LongKey,
    LongBody,
    LongProperty,
}

impl Refusal {
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoKey => "no_routing_key",
            Self::LongKey => "long_routing_key",
            Self::LongBody => "record_too_large",
            Self::LongProperty => "long_property",
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Self::NoKey => "a field of `routing_key` is not there",
            Self::LongKey => "the routing key is longer than 255 bytes",
            Self::LongBody => "longer than `max_message`",
            Self::LongProperty => "a property is longer than the 255 bytes that it can be",
        }
    }
}

/// The headers of dead letters, which tell without a look into the body what happened where.
pub(super) fn of_letters() -> Vec<(String, Template)> {
    ["reason", "node", "attempts", "id"]
        .into_iter()
        .map(|name| {
            let header = format!("x-trunkline-{name}");
            (header, Template::field(Path::of([name])))
        })
        .collect()
}

impl Config {
    /// The messages of events, and what is refused of them.
    pub(super) fn messages(
        &self,
        batch: &Batch,
        now: Timestamp,
    ) -> (Vec<Outgoing>, Result<(), Failure>) {
        let mut messages = Vec::with_capacity(batch.len());
        // A short list: there are no more refusals than reasons.
        let mut refused: Vec<(Refusal, Vec<Origin>)> = Vec::new();
        for event in batch {
            match self.message(event, now) {
                Ok(message) => messages.push(message),
                Err(refusal) => match refused.iter_mut().find(|(known, _)| *known == refusal) {
                    Some((_, origins)) => origins.push(event.origin),
                    None => refused.push((refusal, vec![event.origin])),
                },
            }
        }
        let refused = refused.into_iter().filter_map(|(refusal, origins)| {
            let cause = Cause::new(refusal.reason(), refusal.message());
            Failure::only(Kind::Rejected, cause, origins)
        });
        (messages, Failure::join(refused.map(Err)))
    }

    /// The message of an event, dated `now`.
    pub(super) fn message(&self, event: &Event, now: Timestamp) -> Result<Outgoing, Refusal> {
        let key = self.routing_key.fill(event).ok_or(Refusal::NoKey)?;
        let key = short(&key).ok_or(Refusal::LongKey)?;
        let mut body = Vec::with_capacity(event.length() as usize + 64);
        event.write_json(&mut body);
        if body.len() > self.max_message {
            return Err(Refusal::LongBody);
        }
        Ok(Outgoing {
            origin: event.origin,
            key,
            body,
            properties: self.properties.of(event, self.persistent, now)?,
        })
    }
}

impl Properties {
    fn of(
        &self,
        event: &Event,
        persistent: bool,
        now: Timestamp,
    ) -> Result<BasicProperties, Refusal> {
        let text = |path: &Option<Path>| match path.as_ref().and_then(|path| event.get(path)) {
            Some(value) => match value.as_plain() {
                Some(text) => short(&text).map(Some).ok_or(Refusal::LongProperty),
                None => Ok(None),
            },
            None => Ok(None),
        };
        let mut properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(if persistent { 2 } else { 1 })
            .with_timestamp(u64::try_from(now.as_second()).unwrap_or_default());
        if let Some(id) = text(&self.message_id)? {
            properties = properties.with_message_id(id);
        }
        if let Some(id) = text(&self.correlation_id)? {
            properties = properties.with_correlation_id(id);
        }
        if let Some(kind) = self.kind.as_ref().and_then(|kind| kind.fill(event)) {
            properties = properties.with_type(short(&kind).ok_or(Refusal::LongProperty)?);
        }
        let priority = self
            .priority
            .as_ref()
            .and_then(|path| event.get(path)?.as_i64());
        if let Some(Ok(priority)) = priority.map(u8::try_from) {
            properties = properties.with_priority(priority);
        }
        if let Some(expiration) = self.expiration {
            let millis = short(&expiration.as_millis().to_string()).unwrap_or_default();
            properties = properties.with_expiration(millis);
        }
        if self.headers.is_empty() {
            return Ok(properties);
        }
        let mut headers = FieldTable::default();
        for (name, template) in &self.headers {
            if let (Some(name), Some(value)) = (short(name), template.fill(event)) {
                headers.insert(name, AMQPValue::LongString(value.into()));
            }
        }
        Ok(properties.with_headers(headers))
    }
}
