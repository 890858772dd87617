//! From messages to events, and to letters about those that are none.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::read::MultiGzDecoder;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use siphasher::sip::SipHasher13;

use super::config::{Config, OFFSET};
use crate::client::amqp::{count_of, text_of};
use crate::clock::format_timestamp;
use crate::codec::Position as Place;
use crate::codec::{Block, Record, decode, letter_about};
use crate::event::{Event, PathSet, Position, Provenance, Transport};
use crate::layer::SourceContext;
use crate::stage::{Letter, Subject};

/// Most of a message's own headers that an event carries.
const MOST_HEADERS: usize = 64;
/// Most bytes of names and values of what an event carries besides its body.
const MOST_BYTES: usize = 8 << 10;
/// Most bytes of a refused message that a letter shows.
const SAMPLE_BYTES: usize = 256;
/// Messages that are remembered because they came again, where the broker does not count.
const MOST_REMEMBERED: usize = 10_000;

/// Where a parked message was published first: the broker only knows where it was parked.
pub(super) const FIRST_EXCHANGE: &str = "x-trunkline-exchange";
pub(super) const FIRST_KEY: &str = "x-trunkline-routing-key";

/// A message as an event, or what is to be said about it.
pub(super) type Read1 = Result<Event, Box<Letter>>;

/// Makes events of messages.
pub(super) struct Decoder {
    from: Arc<Provenance>,
    paths: Arc<PathSet>,
    max_message: usize,
    max_deliveries: u64,
    again: Mutex<Again>,
    headers: HashMap<&'static str, Arc<str>>,
    hash: SipHasher13,
}

/// How often messages came again, for queues that do not count: classic ones only say whether.
#[derive(Default)]
struct Again {
    hash: RandomState,
    counts: HashMap<u64, u64>,
    order: VecDeque<u64>,
}

impl Again {
    fn count(&mut self, message: &Delivery) -> u64 {
        let key = (
            message.properties.message_id(),
            &message.routing_key,
            &message.data,
        );
        let key = self.hash.hash_one((
            key.0.as_ref().map(lapin::types::ShortString::as_str),
            key.1.as_str(),
            key.2,
        ));
        if let Some(count) = self.counts.get_mut(&key) {
            *count += 1;
            return *count;
        }
        if self.order.len() >= MOST_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.counts.remove(&oldest);
        }
        self.order.push_back(key);
        self.counts.insert(key, 1);
        1
    }
}

impl Decoder {
    pub fn new(config: &Config, context: &SourceContext) -> Self {
        let (node, paths) = (&context.node, context.paths.clone());
        Self::with(config, node, paths, context.store.seed())
    }

    fn with(config: &Config, node: &Arc<str>, paths: Arc<PathSet>, seed: [u8; 16]) -> Self {
        let from = Provenance {
            source: node.clone(),
            object: config.queue.as_str().into(),
            ..Provenance::default()
        };
        let names = Transport::ALL
            .iter()
            .map(|(name, _)| (*name, Arc::from(*name)));
        Self {
            from: Arc::new(from),
            paths,
            max_message: config.max_message,
            max_deliveries: config.max_deliveries,
            again: Mutex::default(),
            headers: names.collect(),
            hash: SipHasher13::new_with_key(&seed),
        }
    }

    /// What tells a message from others, the same in the next run.
    pub fn print(&self, message: &Delivery) -> u64 {
        let mut hash = self.hash;
        if let Some(id) = message.properties.message_id() {
            hash.write(id.as_str().as_bytes());
        }
        hash.write_u64(message.data.len() as u64);
        hash.write(&message.data);
        hash.finish()
    }

    /// In the order of the messages: one for each.
    pub fn read(&self, messages: &[Delivery]) -> Vec<Read1> {
        let mut read: Vec<Option<Read1>> = Vec::with_capacity(messages.len());
        let bytes = messages.iter().map(|message| message.data.len()).sum();
        let (mut text, mut records) = (Vec::with_capacity(bytes), Vec::new());
        for (index, message) in messages.iter().enumerate() {
            let start = text.len();
            match self.body(message, &mut text) {
                Ok(()) => {
                    read.push(None);
                    records.push(Record {
                        start: start as u32,
                        end: text.len() as u32,
                        number: index as u64 + 1,
                        line: index as u64 + 1,
                        offset: 0,
                    });
                }
                Err((reason, detail)) => {
                    text.truncate(start);
                    read.push(Some(Err(self.about(&message.data, reason, detail))));
                }
            }
        }
        let block = Block {
            text,
            records,
            refused: Vec::new(),
            end: Place::default(),
        };
        let decoded = decode(block, &self.paths, &self.from);
        // The line says which message it was; of a message it would mean nothing.
        let at = |position: &mut Position| {
            let index = std::mem::take(&mut position.line) as usize;
            index.wrapping_sub(1)
        };
        for mut event in decoded.batch.into_events() {
            let index = at(&mut event.position);
            if let (Some(slot), Some(message)) = (read.get_mut(index), messages.get(index)) {
                *slot = Some(self.judged(event, message));
            }
        }
        for mut letter in decoded.refused {
            let index = at(&mut letter.position);
            if let Some(slot) = read.get_mut(index) {
                *slot = Some(Err(Box::new(letter)));
            }
        }
        let missing = |message: &Delivery| {
            // Every record becomes the one or the other.
            Err(self.about(&message.data, "not_json", "no JSON".to_owned()))
        };
        let messages = messages.iter();
        read.into_iter()
            .zip(messages)
            .map(|(one, message)| one.unwrap_or_else(|| missing(message)))
            .collect()
    }

    /// Appends the body as text.
    fn body(&self, message: &Delivery, text: &mut Vec<u8>) -> Result<(), (&'static str, String)> {
        let (start, limit) = (text.len(), self.max_message);
        let encoding = message.properties.content_encoding().as_ref();
        match encoding.map_or("", |it| it.as_str()) {
            "" | "identity" | "utf-8" | "UTF-8" => text.extend_from_slice(&message.data),
            "gzip" => {
                let unpacking = MultiGzDecoder::new(message.data.as_slice());
                let read = unpacking.take(limit as u64 + 1).read_to_end(text);
                read.map_err(|_| ("corrupt_input", "the body is no sound gzip".to_owned()))?;
            }
            _ => {
                let detail = "a content encoding that is not read: gzip is, and none";
                return Err(("unknown_encoding", detail.to_owned()));
            }
        }
        let body = &text[start..];
        if body.len() > limit {
            return Err(("record_too_large", format!("longer than {limit} bytes")));
        }
        if body.is_empty() {
            return Err(("not_json", "the body is empty".to_owned()));
        }
        match std::str::from_utf8(body) {
            Ok(_) => Ok(()),
            Err(_) => Err(("not_utf8", "not UTF-8".to_owned())),
        }
    }

    fn about(&self, body: &[u8], reason: &'static str, detail: String) -> Box<Letter> {
        let sample = String::from_utf8_lossy(&body[..body.len().min(SAMPLE_BYTES)]);
        let subject = Subject::Text {
            sample: sample.chars().take(SAMPLE_BYTES / 4).collect(),
            length: body.len() as u64,
        };
        let letter = letter_about(reason, detail, Position::default(), &self.from);
        Box::new(Letter { subject, ..letter })
    }

    /// An event with what came along; a letter where it came too often.
    fn judged(&self, mut event: Event, message: &Delivery) -> Read1 {
        let count = self.deliveries(message);
        self.carry(&mut event, message, count);
        let tries = count.unwrap_or(0) + 1;
        if tries <= self.max_deliveries {
            return Ok(event);
        }
        let limit = self.max_deliveries;
        let detail = format!("it came {tries} times without an answer, and {limit} is the limit");
        let mut letter = Letter::new(event, "poison", detail);
        letter.node = self.from.source.clone();
        letter.attempts = u32::try_from(tries).unwrap_or(u32::MAX);
        Err(Box::new(letter))
    }

    /// How often it was delivered before.
    fn deliveries(&self, message: &Delivery) -> Option<u64> {
        let headers = message.properties.headers().as_ref();
        let counted = headers.and_then(|it| it.inner().get("x-delivery-count"));
        if let Some(count) = counted.and_then(count_of) {
            return Some(count);
        }
        let again = || self.again.lock().unwrap_or_else(PoisonError::into_inner);
        message.redelivered.then(|| again().count(message))
    }

    /// Notes on the event what its body does not say.
    fn carry(&self, event: &mut Event, message: &Delivery, count: Option<u64>) {
        let properties = &message.properties;
        let none = FieldTable::default();
        let headers = properties.headers().as_ref().unwrap_or(&none);
        let first = |name: &str| headers.inner().get(name).map(text_of);
        let mut carried = Carried {
            names: &self.headers,
            bytes: 0,
            all: Vec::with_capacity(8),
        };
        let exchange = first(FIRST_EXCHANGE);
        let exchange = exchange.unwrap_or_else(|| message.exchange.to_string());
        carried.put("exchange", exchange);
        let key = first(FIRST_KEY).unwrap_or_else(|| message.routing_key.to_string());
        carried.put("routing_key", key);
        if message.redelivered {
            carried.put("redelivered", "true".to_owned());
        }
        if let Some(count) = count {
            carried.put("delivery_count", count.to_string());
        }
        for (name, value) in [
            ("message_id", properties.message_id()),
            ("correlation_id", properties.correlation_id()),
            ("reply_to", properties.reply_to()),
            ("message_type", properties.kind()),
            ("app_id", properties.app_id()),
            ("content_type", properties.content_type()),
        ] {
            if let Some(value) = value {
                carried.put(name, value.to_string());
            }
        }
        if let Some(priority) = properties.priority() {
            carried.put("priority", priority.to_string());
        }
        if let Some(seconds) = properties.timestamp() {
            let micros = i64::try_from(*seconds)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000);
            carried.put("timestamp", format_timestamp(micros));
        }
        if let Some(death) = headers.inner().get("x-death") {
            carried.death(death);
        }
        let own = |name: &str| {
            ![FIRST_EXCHANGE, FIRST_KEY, "x-death", "x-delivery-count"].contains(&name)
        };
        let own = headers.into_iter().filter(|(name, _)| own(name.as_str()));
        for (name, value) in own.take(MOST_HEADERS) {
            carried.own(name.as_str(), value);
        }
        event.extra_mut().headers = carried.all;
    }
}

/// What is noted on an event, within its bounds.
struct Carried<'a> {
    names: &'a HashMap<&'static str, Arc<str>>,
    bytes: usize,
    all: Vec<(Arc<str>, String)>,
}

impl Carried<'_> {
    fn put(&mut self, name: &'static str, value: String) {
        if let Some(name) = self.names.get(name) {
            self.add(name.clone(), value);
        }
    }

    fn add(&mut self, name: Arc<str>, value: String) {
        let bytes = name.len() + value.len();
        if !value.is_empty() && self.bytes + bytes <= MOST_BYTES {
            self.bytes += bytes;
            self.all.push((name, value));
        }
    }

    /// A header of the message itself.
    fn own(&mut self, name: &str, value: &AMQPValue) {
        // What cannot fit is not written out first.
        if let AMQPValue::LongString(text) = value
            && text.len() > MOST_BYTES
        {
            return;
        }
        self.add(format!("header.{name}").into(), text_of(value));
    }

    /// Why and how often it was dead-lettered by the broker: the newest reason comes first.
    fn death(&mut self, deaths: &AMQPValue) {
        let AMQPValue::FieldArray(deaths) = deaths else {
            return;
        };
        let tables = || {
            deaths.as_slice().iter().filter_map(|death| match death {
                AMQPValue::FieldTable(table) => Some(table.inner()),
                _ => None,
            })
        };
        let counts = tables().filter_map(|it| it.get("count").and_then(count_of));
        let count = counts.fold(0_u64, u64::saturating_add);
        self.put("death_count", count.to_string());
        if let Some(newest) = tables().next() {
            for (name, member) in [("death_reason", "reason"), ("death_queue", "queue")] {
                if let Some(value) = newest.get(member) {
                    self.put(name, text_of(value));
                }
            }
        }
    }
}

/// Where in its stream a message lies.
pub(super) fn offset_of(message: &Delivery) -> Option<u64> {
    let headers = message.properties.headers().as_ref()?;
    headers.inner().get(OFFSET).and_then(count_of)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lapin::BasicProperties;

    use super::super::config::Consumer;
    use super::*;
    use crate::client::amqp::{Declare, Settings, Topology};
    use crate::event::Meta;

    fn decoder() -> Decoder {
        let config = Config {
            broker: Settings::of_url("amqp://localhost"),
            queue: "q".to_owned(),
            prefetch: std::num::NonZeroU16::MIN,
            declare: Declare::Passive,
            topology: Topology::default(),
            described: false,
            consumer: Consumer::default(),
            max_message: 1000,
            batch_events: 10,
            max_deliveries: 3,
            group_by: None,
            max_per_group: 10,
            parking: None,
        };
        Decoder::with(&config, &"in".into(), Arc::default(), [7; 16])
    }

    fn message(body: &[u8], properties: BasicProperties) -> Delivery {
        let mut message = Delivery::mock(1, "x".into(), "k.1".into(), false, body.to_vec());
        message.properties = properties;
        message
    }

    fn plain(body: &[u8]) -> Delivery {
        message(body, BasicProperties::default())
    }

    fn told(read: &[Read1]) -> Vec<String> {
        let one = |one: &Read1| match one {
            Ok(event) => event.to_json(),
            Err(letter) => letter.reason.to_owned(),
        };
        read.iter().map(one).collect()
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(body).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn each_message_is_an_event_or_a_letter_in_its_place() {
        let zipped = || BasicProperties::default().with_content_encoding("gzip".into());
        let messages = [
            plain(b"{\"a\":1}"),
            plain(b"no"),
            plain(b""),
            plain(b"{\"a\":\"\xff\"}"),
            message(&gzip(b"{\"a\":2}"), zipped()),
            message(b"{\"a\":2}", zipped()),
            message(&gzip(&[b' '; 100_000]), zipped()),
            plain(&[b'{'; 1001]),
            plain(b"[1]"),
            plain(b" {\"a\":3} "),
            message(
                b"{}",
                BasicProperties::default().with_content_encoding("br".into()),
            ),
            plain(b"{\"a\":4}"),
        ];
        let read = decoder().read(&messages);
        let expected = [
            "{\"a\":1}",
            "not_json",
            "not_json",
            "not_utf8",
            "{\"a\":2}",
            "corrupt_input",
            "record_too_large",
            "record_too_large",
            "not_an_object",
            "{\"a\":3}",
            "unknown_encoding",
            "{\"a\":4}",
        ];
        assert_eq!(told(&read), expected);
        let letter = read[1].as_ref().unwrap_err();
        assert_eq!(&*letter.node, "in");
        assert_eq!(letter.provenance.object.as_ref(), "q");
    }

    #[test]
    fn what_the_broker_says_is_on_the_event() {
        let mut death = FieldTable::default();
        death.insert("count".into(), AMQPValue::LongLongInt(2));
        death.insert("reason".into(), AMQPValue::LongString("rejected".into()));
        death.insert("queue".into(), AMQPValue::LongString("before".into()));
        let mut headers = FieldTable::default();
        let deaths = AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death)].into());
        headers.insert("x-death".into(), deaths);
        headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(1));
        headers.insert("tenant".into(), AMQPValue::LongString("acme".into()));
        let properties = BasicProperties::default()
            .with_headers(headers)
            .with_message_id("m-1".into())
            .with_timestamp(1)
            .with_priority(7);
        let read = decoder().read(&[message(b"{}", properties)]);
        let event = read[0].as_ref().ok().unwrap();
        let meta = |name: &str| {
            let (_, meta) = Meta::ALL.iter().find(|(known, _)| *known == name).unwrap();
            event.meta(*meta).map(str::to_owned)
        };
        for (name, value) in [
            ("object", "q"),
            ("exchange", "x"),
            ("routing_key", "k.1"),
            ("delivery_count", "1"),
            ("message_id", "m-1"),
            ("priority", "7"),
            ("timestamp", "1970-01-01T00:00:01Z"),
            ("death_count", "2"),
            ("death_reason", "rejected"),
            ("death_queue", "before"),
        ] {
            let found = meta(name);
            let found = found
                .as_deref()
                .map(|it| it.replace(".000000", "").replace(".000", ""));
            assert_eq!(found.as_deref(), Some(value), "{name}");
        }
        assert_eq!(meta("redelivered"), None);
        let headers = &event.extra().unwrap().headers;
        assert!(
            headers
                .iter()
                .any(|(name, value)| &**name == "header.tenant" && value == "acme")
        );
    }

    #[test]
    fn what_is_carried_along_is_bounded() {
        let mut headers = FieldTable::default();
        for n in 0..500 {
            let value = AMQPValue::LongString("v".repeat(300).into());
            headers.insert(format!("h{n}").into(), value);
        }
        headers.insert(
            "a".into(),
            AMQPValue::LongString("v".repeat(1 << 20).into()),
        );
        let properties = BasicProperties::default().with_headers(headers);
        let read = decoder().read(&[message(b"{}", properties)]);
        let headers = &read[0].as_ref().ok().unwrap().extra().unwrap().headers;
        let bytes: usize = headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        assert!(bytes <= MOST_BYTES && headers.len() > 20, "{bytes}");
    }

    #[test]
    fn what_came_too_often_is_poison() {
        let counted = |count: i64| {
            let mut headers = FieldTable::default();
            headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(count));
            message(
                b"{\"a\":1}",
                BasicProperties::default().with_headers(headers),
            )
        };
        let decoder = decoder();
        let read = decoder.read(&[counted(2), counted(3)]);
        assert_eq!(told(&read), ["{\"a\":1}", "poison"]);
        let letter = read[1].as_ref().unwrap_err();
        assert!(matches!(letter.subject, Subject::Event(_)) && letter.attempts == 4);
        // A classic queue does not count: only what came again is counted here.
        let again = || {
            let mut message = plain(b"{\"a\":2}");
            message.redelivered = true;
            message
        };
        let reasons: Vec<_> = (0..4).map(|_| told(&decoder.read(&[again()]))).collect();
        assert_eq!(reasons[1], ["{\"a\":2}"]);
        assert_eq!(
            reasons[2],
            ["poison"],
            "the first time it was not seen here"
        );
    }
}
