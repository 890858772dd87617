//! What a pipeline file says about the source.

use std::time::Duration;

use super::key_time::KeyTime;
use crate::client::bucket::{Location, MOST_READ, Store};
use crate::client::sqs::{self, LONGEST_HOLD, LONGEST_WAIT};
use crate::clock::parse_timestamp;
use crate::codec::Compression;
use crate::event::Path;
use crate::setting::{Fields, Node, Size};
use crate::source::{Format, globs};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Least and most bytes of one request; the client takes no more.
const RANGE: (u64, u64) = (4 << 10, MOST_READ);

/// Where a record's own time is looked for unless told: in records of an export, in EventBridge
/// envelopes of detail events, in analytics conversation details, in any other envelope.
const EVENT_TIME: [&[&str]; 4] = [
    &["timestamp"],
    &["detail", "eventBody", "eventTime"],
    &["conversationStart"],
    &["time"],
];

/// The settings of a source of type `s3_export`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `url`, `prefix`, `endpoint`, `auth` and so on: the bucket or folder.
    pub location: Location,
    /// Only objects that one of these patterns names; default all. A pattern without `/` is about
    /// what stands behind the last `/` of the key, one with it about the key below the prefix.
    pub include: Vec<String>,
    /// No objects that one of these patterns names; default none.
    pub exclude: Vec<String>,
    /// How the records lie in the objects. Where nothing is said, `compression` is what the name says
    /// (`.gz`, `.zst`), or else the first bytes.
    pub format: Format,
    /// Default: follow.
    pub read: ReadMode,
    /// Between two looks for new objects; default 60 s.
    pub poll: Duration,
    /// Between two looks at everything: where keys begin with dates and the looks between are at the
    /// last days alone, and where messages of a queue tell of new objects. Default 1 h.
    pub reconcile: Duration,
    /// How long before the newest object one may still turn up with an older time, by the store's own
    /// time of it; default 48 h. Objects of this window are remembered one by one.
    pub look_back: Duration,
    /// Only objects from this time on, in microseconds since 1970; default all. By the date in the
    /// key where there is one, else by the time of the last change.
    pub from: Option<i64>,
    /// Only objects before this time; default all.
    pub to: Option<i64>,
    /// Where the date stands in the keys; default `auto`.
    pub key_time: KeyTime,
    /// `dated_keys`: all keys below the prefix begin with their dates, in the form that `key_time` says
    /// and with all zeros, so that only those of `from` to `to` are listed; default false.
    pub dated_keys: bool,
    /// `event_time`: where records have their own time, by which a backfill counts them; the first of
    /// these paths that holds one. Default `.timestamp`, `.detail.eventBody.eventTime`,
    /// `.conversationStart`, `.time`.
    pub event_time: Vec<Path>,
    /// Only objects that were not changed for so long; default 0 s.
    pub min_age: Duration,
    /// Requests at the same time; default 16, at most 256. Small objects are mostly waited for: with many of
    /// them more is faster.
    pub parallel: usize,
    /// Bytes of one request: larger objects are read in parts, side by side; default 8 MiB.
    pub range: u64,
    /// Most bytes that are read ahead of what is decoded; default 64 MiB.
    pub max_read_ahead: u64,
    /// Bytes in a second, at most; default as fast as it goes.
    pub max_rate: Option<u64>,
    /// Most objects that are remembered; default 1,000,000, which takes about 80 MB. With more inside
    /// the window, the window gets shorter.
    pub settled_memory: usize,
    /// `sqs`: messages that tell of new objects.
    pub sqs: Option<Sqs>,
}

/// Whether there is an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// What is there at the start is read, and then the input has ended.
    Once,
    /// New objects are read as they come.
    #[default]
    Follow,
}

/// A queue of notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sqs {
    /// `queue_url`, `region`, `endpoint` and `auth`; the last default to what the bucket says.
    pub settings: sqs::Settings,
    /// How long a request waits for messages; default and at most 20 s.
    pub wait: Duration,
    /// How long a message is hidden from others before that is extended; default 5 min.
    pub visibility: Duration,
    /// What becomes of a message that cannot be read; default: it stays for the queue's own rules.
    pub delete_bad: bool,
}

impl Config {
    /// Everything at its default.
    pub fn new(location: Location, format: Format) -> Self {
        Self {
            location,
            include: Vec::new(),
            exclude: Vec::new(),
            format,
            read: ReadMode::default(),
            poll: Duration::from_secs(60),
            reconcile: Duration::from_secs(3600),
            look_back: 2 * DAY,
            from: None,
            to: None,
            key_time: KeyTime::Auto,
            dated_keys: false,
            event_time: EVENT_TIME.map(|path| Path::of(path.iter().copied())).into(),
            min_age: Duration::ZERO,
            parallel: 16,
            range: 8 << 20,
            max_read_ahead: 64 << 20,
            max_rate: None,
            settled_memory: 1_000_000,
            sqs: None,
        }
    }

    /// Reads the fields.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let location = Location::check(fields);
        let format = Format::check(fields, Compression::Auto);
        // The defaults stand in so that every mistake is found.
        let stand_in = || Location {
            store: Store::Folder(std::path::PathBuf::new()),
            prefix: String::new(),
        };
        let mut config = Self::new(location.clone().unwrap_or_else(stand_in), format);
        config.check_selection(fields);
        config.check_dated(fields);
        config.check_times(fields);
        config.check_bounds(fields);
        // What a variable leaves of its address says that there is no queue.
        let sqs = fields.section("sqs", "`sqs`", |sqs| {
            let none = sqs.node("queue_url").is_some_and(|url| url.is_unset());
            let queue = check_sqs(sqs, &config.location.store);
            Some(queue).filter(|queue| none || queue.is_some())
        });
        let wrong = fields.has("sqs") && sqs.is_none();
        config.sqs = sqs.flatten();
        if config.read == ReadMode::Once && config.sqs.is_some() {
            let message = "`read: once` ends, and a queue of notifications has no end";
            let span = fields.span_of("sqs");
            fields
                .error("conflicting-fields", span, message)
                .hint("read on with `read: follow`, or take the queue away");
        }
        location.filter(|_| !wrong).map(|_| config)
    }

    fn check_selection(&mut self, fields: &mut Fields<'_>) {
        self.include = fields.or("include", Vec::new());
        self.exclude = fields.or("exclude", Vec::new());
        for (name, patterns) in [("include", &self.include), ("exclude", &self.exclude)] {
            let items = fields.node(name).and_then(Node::as_list).unwrap_or(&[]);
            for (pattern, item) in patterns.iter().zip(items) {
                if let Err(reason) = globs(std::slice::from_ref(pattern)) {
                    let message = format!("not a pattern of keys: {reason}");
                    fields.error("bad-glob", item.span, message).hint(
                        "`*`, `?`, `[` and `{` are signs of patterns; as a letter of its own write `[[]`",
                    );
                }
            }
        }
        if let Some(paths) = fields.optional::<Vec<Path>>("event_time") {
            if paths.is_empty() {
                let span = fields.span_of("event_time");
                fields
                    .error("empty-value", span, "`event_time` names no path")
                    .hint("leave it away for the paths by default");
            }
            self.event_time = paths;
        }
        self.from = time(fields, "from");
        self.to = time(fields, "to");
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            let message = "`to` has to be later than `from`";
            let span = fields.span_of("to");
            fields.error("conflicting-limits", span, message);
        }
        if let Some(text) = fields.filled::<String>("key_time") {
            match KeyTime::parse(&text) {
                Some(key_time) => self.key_time = key_time,
                None => {
                    let message = "not a pattern of dates in keys";
                    let span = fields.span_of("key_time");
                    fields
                        .error("unknown-value", span, message)
                        .hint("`auto`, `none`, or such as `dt=YYYY-MM-DD/hour=HH`: `YYYY`, `MM` and `DD` in this order, and `HH` or not");
                }
            }
        }
    }

    fn check_dated(&mut self, fields: &mut Fields<'_>) {
        self.dated_keys = fields.or("dated_keys", false);
        if self.dated_keys && !matches!(self.key_time, KeyTime::Form(_)) {
            let message = "`dated_keys` needs the form of the dates in `key_time`";
            let span = fields.span_of("dated_keys");
            fields
                .error("conflicting-fields", span, message)
                .hint("such as `key_time: YYYY/MM/DD` or `key_time: dt=YYYY-MM-DD`");
        }
    }

    fn check_times(&mut self, fields: &mut Fields<'_>) {
        let modes = [("once", ReadMode::Once), ("follow", ReadMode::Follow)];
        self.read = fields.choice("read", &modes).unwrap_or_default();
        let (least, second) = (Duration::from_millis(1), Duration::from_secs(1));
        self.poll = duration(fields, "poll", self.poll, (least, DAY));
        self.reconcile = duration(fields, "reconcile", self.reconcile, (least, 30 * DAY));
        self.look_back = duration(fields, "look_back", self.look_back, (second, 3650 * DAY));
        let longest = self.look_back;
        self.min_age = duration(fields, "min_age", self.min_age, (Duration::ZERO, longest));
    }

    fn check_bounds(&mut self, fields: &mut Fields<'_>) {
        self.parallel = number(fields, "parallel", self.parallel, (1, 256));
        self.range = size(fields, "range", self.range, RANGE);
        self.max_read_ahead = size(fields, "max_read_ahead", self.max_read_ahead, (1, 64 << 30));
        if self.max_read_ahead < self.range {
            let message = "`max_read_ahead` has to have room for one `range`";
            let span = fields.span_of("max_read_ahead");
            fields.error("conflicting-limits", span, message);
        }
        if fields.has("max_rate") {
            self.max_rate = Some(size(fields, "max_rate", 1 << 20, (1 << 10, 1 << 40)));
        }
        let most = (1000, 20_000_000);
        self.settled_memory = number(fields, "settled_memory", self.settled_memory, most);
    }
}

fn check_sqs(fields: &mut Fields<'_>, bucket: &Store) -> Option<Sqs> {
    let settings = sqs::Settings::check(fields);
    let bad = [("keep", false), ("delete", true)];
    let least = Duration::from_secs(5);
    let wait = duration(fields, "wait", LONGEST_WAIT, (Duration::ZERO, LONGEST_WAIT));
    let visibility = Duration::from_secs(300);
    let visibility = duration(fields, "visibility", visibility, (least, LONGEST_HOLD));
    let delete_bad = fields.choice("on_bad_message", &bad).unwrap_or(false);
    let mut settings = settings?;
    if let Store::S3(s3) = bucket {
        settings.keys = settings.keys.or_else(|| s3.keys.clone());
        settings.region = settings.region.or_else(|| s3.region.clone());
    }
    Some(Sqs {
        settings,
        wait,
        visibility,
        delete_bad,
    })
}

/// A time, or a day.
fn time(fields: &mut Fields<'_>, name: &'static str) -> Option<i64> {
    let text: String = fields.filled(name)?;
    let time = parse_timestamp(&text).or_else(|| parse_timestamp(&format!("{text}T00:00:00Z")));
    if time.is_none() {
        let message = format!("`{name}` is no time");
        let span = fields.span_of(name);
        fields
            .error("wrong-type", span, message)
            .hint("write `2026-11-01T00:00:00Z`, or a day: `2026-11-01`");
    }
    time
}

fn out_of_range(fields: &mut Fields<'_>, name: &'static str, range: &str) {
    let message = format!("`{name}` has to be {range}");
    let span = fields.span_of(name);
    fields.error("out-of-range", span, message);
}

fn duration(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: Duration,
    (least, most): (Duration, Duration),
) -> Duration {
    let said = fields.or(name, default);
    if !(least..=most).contains(&said) {
        out_of_range(fields, name, &format!("between {least:?} and {most:?}"));
    }
    said
}

fn size(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: u64,
    (least, most): (u64, u64),
) -> u64 {
    let said = fields.or(name, Size(default)).0;
    if !(least..=most).contains(&said) {
        out_of_range(fields, name, &format!("between {least} and {most} bytes"));
    }
    said.clamp(least, most)
}

fn number(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: usize,
    (least, most): (usize, usize),
) -> usize {
    let said = fields.or(name, default);
    if !(least..=most).contains(&said) {
        out_of_range(fields, name, &format!("between {least} and {most}"));
    }
    said.clamp(least, most)
}
