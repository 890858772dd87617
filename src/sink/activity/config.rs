//! What a pipeline file says about a view of activity.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::history::History;
use crate::diagnostic::nearest;
use crate::event::Path;
use crate::setting::Fields;

const DAY: Duration = Duration::from_secs(86_400);
/// How many days the heatmap has unless told.
const RETENTION: Duration = Duration::from_secs(7 * 86_400);
/// A year of minutes is 4 MB.
const MOST_RETENTION: Duration = Duration::from_secs(366 * 86_400);
/// How long a conversation that has ended is remembered unless told.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// How long one that has not ended is remembered though nothing comes of it, unless told.
const ABANDON_AFTER: Duration = Duration::from_secs(7 * 86_400);
/// How many conversations are remembered unless told.
const MAX_INTERACTIONS: usize = 100_000;
/// Ten million take 10 GB.
const MOST_INTERACTIONS: usize = 10_000_000;
/// Words that a list of states may have.
const MOST_STATES: usize = 64;

/// The fields of the sink `activity`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `interaction`: what tells conversations apart; default `.data.interactionId`.
    pub interaction: Path,
    /// `participant`: what tells participants of one apart; default `.data.participantId`. An event
    /// without it speaks of the conversation as a whole.
    pub participant: Path,
    /// `state`: default `.data.state`. An event without it is activity and changes no state.
    pub state: Path,
    /// `time`: when it happened; default `.timestamp`.
    pub time: Path,
    /// `id`: what an event and its repeats have in common; default `.eventId`. Where it is missing,
    /// events of one participant, state and time are the same.
    pub id: Path,
    /// `open`: states that open, in any case; default `connected`, `in-progress`.
    pub open: Vec<String>,
    /// `close`: states that close; default `disconnected`, `ended`, `terminated`.
    pub close: Vec<String>,
    /// `timezone`: whose days and hours the heatmap has unless a request names another; default UTC.
    pub timezone: TimeZone,
    /// `retention`: how many days with activity the heatmap keeps; default 7 d, 1 d to 366 d.
    pub retention: Duration,
    /// `forget_after`: how long after the last news an ended conversation is forgotten; default 1 h.
    pub forget_after: Duration,
    /// `abandon_after`: the same for one that has not ended; default 7 d.
    pub abandon_after: Duration,
    /// `max_interactions`: conversations that are remembered; default 100,000.
    pub max_interactions: usize,
    /// `history`: where days are looked up that are older than what is kept; default nowhere.
    pub history: Option<History>,
}

impl Config {
    /// Reads the fields of the component; all mistakes go into the report.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let interaction = path(fields, "interaction", &["data", "interactionId"]);
        let participant = path(fields, "participant", &["data", "participantId"]);
        let state = path(fields, "state", &["data", "state"]);
        let time = path(fields, "time", &["timestamp"]);
        let id = path(fields, "id", &["eventId"]);
        let open = states(fields, "open", &["connected", "in-progress"]);
        let close = states(fields, "close", &["disconnected", "ended", "terminated"]);
        let both = open
            .iter()
            .find(|word| close.iter().any(|it| it.eq_ignore_ascii_case(word)));
        if both.is_some() {
            let span = match fields.has("open") {
                true => fields.span_of("open"),
                false => fields.span_of("close"),
            };
            let message = "a state cannot be in `open` and in `close`";
            fields.error("conflicting-fields", span, message);
        }
        let timezone = timezone(fields);
        let retention = duration(fields, "retention", RETENTION, DAY..=MOST_RETENTION);
        let some = Duration::from_millis(1)..=Duration::MAX;
        let forget_after = duration(fields, "forget_after", FORGET_AFTER, some.clone());
        let abandon_after = duration(fields, "abandon_after", ABANDON_AFTER, some);
        let max_interactions = fields.or("max_interactions", MAX_INTERACTIONS);
        if !(1..=MOST_INTERACTIONS).contains(&max_interactions) {
            let span = fields.span_of("max_interactions");
            let message = format!("`max_interactions` is not between 1 and {MOST_INTERACTIONS}");
            fields.error("out-of-range", span, message);
        }
        let history = History::check(fields);
        Some(Self {
            interaction,
            participant,
            state,
            time,
            id,
            open,
            close,
            timezone: timezone?,
            retention,
            forget_after,
            abandon_after,
            max_interactions,
            history,
        })
    }

    /// Calls `visit` with every path that is read from events.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        [
            &mut self.interaction,
            &mut self.participant,
            &mut self.state,
            &mut self.time,
            &mut self.id,
        ]
        .into_iter()
        .for_each(visit);
    }

    /// Days of UTC that are kept: a day of another zone lies in two of them, and today has begun.
    pub(super) fn days(&self) -> usize {
        let days = self.retention.as_secs().div_ceil(DAY.as_secs());
        usize::try_from(days)
            .unwrap_or(usize::MAX)
            .saturating_add(2)
    }
}

fn path(fields: &mut Fields<'_>, name: &'static str, default: &[&str]) -> Path {
    let path = fields.or(name, Path::of(default.iter().copied()));
    if path.is_multiple() {
        let message = format!("`{path}` can mean several places, and `{name}` is one");
        fields.error("bad-field-path", fields.span_of(name), message);
    }
    path
}

fn states(fields: &mut Fields<'_>, name: &'static str, default: &[&str]) -> Vec<String> {
    let default = default.iter().map(|word| (*word).to_owned()).collect();
    let states: Vec<String> = fields.or(name, default);
    let span = fields.span_of(name);
    if states.is_empty() || states.iter().any(String::is_empty) {
        let message = format!("`{name}` needs at least one state, and none that is empty");
        fields.error("empty-value", span, message);
    } else if states.len() > MOST_STATES {
        let message = format!(
            "`{name}` has {} states, of at most {MOST_STATES}",
            states.len()
        );
        fields.error("out-of-range", span, message);
    }
    states
}

fn duration(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: Duration,
    range: std::ops::RangeInclusive<Duration>,
) -> Duration {
    let value = fields.or(name, default);
    if !range.contains(&value) {
        let message = match range.end() {
            &Duration::MAX => format!("`{name}` must be longer than zero"),
            most => format!("`{name}` is not between {:?} and {most:?}", range.start()),
        };
        fields.error("out-of-range", fields.span_of(name), message);
    }
    value
}

fn timezone(fields: &mut Fields<'_>) -> Option<TimeZone> {
    let Some(node) = fields.node("timezone") else {
        return Some(TimeZone::UTC);
    };
    let name: String = fields.optional("timezone")?;
    if let Some(zone) = zone(&name) {
        return Some(zone);
    }
    let known: Vec<String> = jiff::tz::db()
        .available()
        .map(|name| name.to_string())
        .collect();
    let near = nearest(&name, known.iter().map(String::as_str)).filter(|_| !node.from_variable);
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "name one as the IANA does, such as `Europe/Berlin` or `UTC`".to_owned(),
    };
    let message = format!("{} is no time zone", node.shown());
    fields.error("unknown-value", node.span, message).hint(hint);
    None
}

/// The zone of this name; `None` for what cannot be one, without looking for it.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
    let well = (1..=64).contains(&name.len()) && name.bytes().all(letter);
    well.then(|| TimeZone::get(name).ok()).flatten()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::diagnostic::{Report, Span};
    use crate::setting::{Key, Node, Value};

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn list(words: &[&str]) -> Value {
        let word = |word: &&str| Node::new(text(word), Span::default());
        Value::List(words.iter().map(word).collect())
    }

    fn check(entries: Vec<(&str, Value)>) -> (Option<Config>, Vec<String>) {
        let (span, mut report) = (Span::default(), Report::new("f"));
        let entry = |(name, value): (&str, Value)| {
            let name = name.to_owned();
            (Key { name, span }, Node::new(value, span))
        };
        let node = Node::new(Value::Map(entries.into_iter().map(entry).collect()), span);
        let mut fields = Fields::new(&node, "sink `wall` (activity)", &mut report).unwrap();
        let config = Config::check(&mut fields);
        fields.finish();
        let told = |item: &crate::diagnostic::Diagnostic| {
            format!("{}: {} ({:?})", item.code, item.message, item.hint)
        };
        (config, report.iter().map(|item| told(&item)).collect())
    }

    pub fn defaults() -> Config {
        check(Vec::new()).0.unwrap()
    }

    #[test]
    fn nothing_has_to_be_said() {
        let (config, told) = check(Vec::new());
        let config = config.unwrap();
        assert_eq!(told, Vec::<String>::new());
        assert_eq!(config.interaction.to_string(), ".data.interactionId");
        assert_eq!((config.days(), config.max_interactions), (9, 100_000));
        assert_eq!(config.timezone, TimeZone::UTC);
    }

    #[test]
    fn all_mistakes_show_and_a_zone_that_is_misspelt_has_a_hint() {
        let (config, told) = check(vec![
            ("interaction", text(".ids[]")),
            ("open", list(&["connected"])),
            ("close", list(&["Connected"])),
            ("timezone", text("Europe/Berln")),
            ("retention", text("1h")),
            ("forget_after", text("0s")),
            ("max_interactions", Value::Int(0)),
        ]);
        assert!(config.is_none());
        let codes: Vec<_> = told
            .iter()
            .map(|it| it.split(':').next().unwrap())
            .collect();
        let all = [
            "bad-field-path",
            "conflicting-fields",
            "unknown-value",
            "out-of-range",
            "out-of-range",
            "out-of-range",
        ];
        assert_eq!(codes, all, "{told:?}");
        assert!(
            told[2].contains("did you mean `Europe/Berlin`?"),
            "{told:?}"
        );
    }

    #[test]
    fn a_history_is_a_server_and_none_without_a_url() {
        let history = |url: &str, bucket: &str| {
            let entry = |name: &str, value: &str| {
                let (name, span) = (name.to_owned(), Span::default());
                (Key { name, span }, Node::new(text(value), span))
            };
            let entries = vec![
                entry("url", url),
                entry("bucket", bucket),
                entry("timeout", "8s"),
            ];
            check(vec![("history", Value::Map(entries))])
        };
        let (config, told) = history("http://127.0.0.1:8086", "calls");
        let series = config.unwrap().history.unwrap().series;
        assert_eq!(
            (series.measurement.as_str(), told.len()),
            ("participant_state", 0)
        );
        let (config, told) = history("", "");
        assert!(config.unwrap().history.is_none() && told.is_empty());
        let (_, told) = history("influx:8086", "");
        assert_eq!(told.len(), 2, "{told:?}");
    }

    #[test]
    fn a_zone_is_a_name_and_never_a_file() {
        assert!(zone("America/New_York").is_some() && zone("UTC").is_some());
        for name in ["", "../../etc/passwd", "/etc/passwd", "Mars/Base", "a b"] {
            assert!(zone(name).is_none(), "{name}");
        }
    }
}
