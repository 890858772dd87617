//! The settings of a source of type `rabbitmq`.

use std::num::NonZeroU16;
use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};

use crate::client::amqp::{Declare, QueueKind, Settings, Topology, count_of, short, table_of};
use crate::event::Path;
use crate::setting::{Fields, Shape, Size};

/// Where the place of a group stands in the name of a parking queue.
pub(super) const GROUP: &str = "{group}";
/// The argument that makes a consumer one of a stream.
pub(super) const OFFSET: &str = "x-stream-offset";

/// What a source of type `rabbitmq` is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The broker.
    pub broker: Settings,
    /// `queue`.
    pub queue: String,
    /// `prefetch`: messages that the broker hands over before the first of them is answered; default
    /// 1,000.
    pub prefetch: NonZeroU16,
    /// `declare`: default `passive`.
    pub declare: Declare,
    /// `topology`: what the queue is like.
    pub topology: Topology,
    /// Whether the file says what the queue is like.
    pub described: bool,
    /// `consumer`.
    pub consumer: Consumer,
    /// `max_message`: longest body in bytes, unpacked; default 1 MiB.
    pub max_message: usize,
    /// `batch_events`: most messages that go on together; default 500.
    pub batch_events: usize,
    /// `max_deliveries`: tries of one message by the broker before it is poison; default 20.
    pub max_deliveries: u64,
    /// `group_by`: default none.
    pub group_by: Option<Path>,
    /// `max_per_group`: messages of a group that are not answered; default 500.
    pub max_per_group: usize,
    /// `parking`: default none.
    pub parking: Option<Parking>,
}

/// How it consumes.
#[derive(Clone, Debug, Default)]
pub struct Consumer {
    /// `tag`: default one that the broker makes.
    pub tag: String,
    /// `exclusive`: nobody else consumes; default false.
    pub exclusive: bool,
    /// `arguments`: such as `x-priority` and `x-stream-offset`.
    pub arguments: FieldTable,
}

/// Where the messages of a group go that has too many under way.
#[derive(Clone, Debug)]
pub struct Parking {
    /// `queue`: its name, with `{group}` in it.
    pub queue: String,
    /// `type`: default `classic`.
    pub kind: QueueKind,
    /// `max_groups`: groups that are parked at the same time; default 1,000. Beyond it the messages of
    /// a further one stay where they are.
    pub max_groups: usize,
    /// `expires`: how long an empty one that is not needed stays; default never. One with messages in it
    /// stays as long as the program runs, and for so long without it. Not of a quorum queue.
    pub expires: Option<Duration>,
}

impl Config {
    /// Reads the fields.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let broker = Settings::check(fields);
        let queue: Option<String> = fields.required("queue");
        let queue = queue.filter(|name| named(fields, "queue", name));
        let prefetch = limit(fields, "prefetch", 1000, 1..=65_535);
        let declare = Declare::check(fields);
        let topology = fields.section("topology", "`topology`", Topology::check);
        let consumer = fields.section("consumer", "`consumer`", Consumer::check);
        let max_message = fields.or("max_message", Size(1 << 20));
        if !(1..=256 << 20).contains(&max_message.0) {
            let span = fields.span_of("max_message");
            let message = "`max_message` has to be between 1 byte and 256 MiB";
            fields.error("out-of-range", span, message);
        }
        let batch_events = limit(fields, "batch_events", 500, 1..=2048);
        let max_deliveries = limit(fields, "max_deliveries", 20, 1..=1_000_000);
        let group_by = fields.optional("group_by");
        let max_per_group = limit(fields, "max_per_group", 500, 1..=65_535);
        let parking = fields.section("parking", "`parking`", Parking::check);
        let config = Self {
            broker: broker?,
            queue: queue?,
            prefetch: NonZeroU16::new(u16::try_from(prefetch).unwrap_or(u16::MAX))?,
            declare,
            described: topology.is_some(),
            topology: topology.unwrap_or_default(),
            consumer: consumer.unwrap_or_default(),
            max_message: max_message.bytes(),
            batch_events,
            max_deliveries: max_deliveries as u64,
            group_by,
            max_per_group,
            parking,
        };
        config.agrees(fields);
        Some(config)
    }

    /// What does not go together.
    fn agrees(&self, fields: &mut Fields<'_>) {
        if self.is_stream() && self.group_by.is_some() {
            let message = "a stream is answered in order: `group_by` means nothing there";
            let span = fields.key_span_of("group_by");
            fields.error("conflicting-fields", span, message);
        }
        if self.parking.is_some() && self.group_by.is_none() {
            let message = "`parking` needs `group_by`";
            let span = fields.key_span_of("parking");
            fields.error("conflicting-fields", span, message);
        }
        if self.group_by.is_some() && self.max_per_group > usize::from(self.prefetch.get()) {
            let message = "a group would never be full: `max_per_group` is more than `prefetch`";
            let span = fields.span_of("max_per_group");
            fields.warning("conflicting-limits", span, message);
        }
    }

    /// Whether it reads a log, of which nothing is taken away.
    pub fn is_stream(&self) -> bool {
        self.topology.queue.kind == QueueKind::Stream
            || self.consumer.arguments.contains_key(OFFSET)
    }

    /// The arguments of the consumer; of a stream with the place from which it goes on.
    pub(super) fn arguments(&self, from: Option<u64>) -> FieldTable {
        let mut arguments = self.consumer.arguments.clone();
        if let (true, Some(offset)) = (self.is_stream(), from) {
            let offset = i64::try_from(offset).unwrap_or(i64::MAX);
            arguments.insert(OFFSET.into(), AMQPValue::LongLongInt(offset));
        }
        arguments
    }
}

impl Consumer {
    fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let tag: String = fields.or("tag", String::new());
        let tag = Some(tag).filter(|tag| short_name(fields, "tag", tag));
        let exclusive = fields.or("exclusive", false);
        let priority: Option<i64> = fields.optional("priority");
        let said = fields.section("arguments", "`arguments`", |fields| {
            fields.all_take(|| Shape::Any);
            match table_of(fields.entries()) {
                Ok(table) => Some(table),
                Err(key) => {
                    let (span, message) = (key.span, "this cannot be an argument of a consumer");
                    fields.error("unknown-value", span, message);
                    None
                }
            }
        });
        let mut arguments = said.unwrap_or_default();
        if let Some(priority) = priority {
            arguments.insert("x-priority".into(), AMQPValue::LongLongInt(priority));
        }
        if let Some(offset) = arguments.inner().get(OFFSET) {
            let words = ["first", "last", "next"];
            let word = matches!(offset, AMQPValue::LongString(text)
                if words.iter().any(|word| word.as_bytes() == text.as_bytes()));
            if !word && count_of(offset).is_none() {
                let message = "`x-stream-offset` is `first`, `last`, `next` or a number";
                fields.error("unknown-value", fields.span_of("arguments"), message);
            }
        }
        Some(Self {
            tag: tag?,
            exclusive,
            arguments,
        })
    }
}

impl Parking {
    fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let queue: Option<String> = fields.required("queue");
        let queue = queue.filter(|name| {
            let sound = name.matches(GROUP).count() == 1;
            if !sound {
                let message = "`queue` needs `{group}` once, where the group stands";
                fields
                    .error("bad-template", fields.span_of("queue"), message)
                    .hint("such as `genesys.outbound.parked.{group}`");
            }
            sound && named(fields, "queue", name)
        });
        let kinds = [
            ("classic", QueueKind::Classic),
            ("quorum", QueueKind::Quorum),
        ];
        let kind = fields.choice("type", &kinds);
        let max_groups = limit(fields, "max_groups", 1000, 1..=100_000);
        let expires: Option<Duration> = fields.optional("expires");
        let hour = Duration::from_secs(3600);
        if expires.is_some_and(|expires| expires < hour) {
            let message =
                "`expires` has to be at least 1 h: the broker throws messages away with the queue";
            fields.error("out-of-range", fields.span_of("expires"), message);
        }
        if expires.is_some() && kind == Some(QueueKind::Quorum) {
            // To declare a classic queue again is to use it; a quorum queue is used by consumers alone.
            let message =
                "a quorum queue would expire while its group cannot go on, with what is in it";
            fields.error("conflicting-fields", fields.span_of("expires"), message);
        }
        Some(Self {
            queue: queue?,
            kind: kind.unwrap_or(QueueKind::Classic),
            max_groups,
            expires,
        })
    }

    /// The queue of a group; `None` where its name would be too long.
    pub(super) fn queue_of(&self, group: &str) -> Option<String> {
        let name = self.queue.replacen(GROUP, group, 1);
        short(&name).is_some().then_some(name)
    }
}

fn named(fields: &mut Fields<'_>, field: &'static str, name: &str) -> bool {
    if name.is_empty() {
        let message = format!("`{field}` is empty");
        fields.error("empty-value", fields.span_of(field), message);
        return false;
    }
    short_name(fields, field, name)
}

fn short_name(fields: &mut Fields<'_>, field: &'static str, name: &str) -> bool {
    let fits = short(name).is_some();
    if !fits {
        let message = format!("`{field}` has at most 255 bytes");
        fields.error("out-of-range", fields.span_of(field), message);
    }
    fits
}

fn limit(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: usize,
    range: std::ops::RangeInclusive<usize>,
) -> usize {
    let said = fields.or(name, default);
    if range.contains(&said) {
        return said;
    }
    let (least, most) = (range.start(), range.end());
    let message = format!("`{name}` has to be between {least} and {most}");
    fields.error("out-of-range", fields.span_of(name), message);
    default
}
