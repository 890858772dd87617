//! Holds what a test expects against what was found.

mod list;

use serde::Serialize;
use serde_json::{Value, json};

use super::Trial;
use super::expect::{Figures, Letters, NodeExpect, Stream, Things};
use super::play::Found;
use crate::diagnostic::Span;
use crate::layer::rehearsal::Leaving;
use crate::observe::Counts;

use list::{List, exactly, matching, missing};

/// Lines of one difference that are shown.
const MOST_LINES: usize = 60;

/// What came of one test.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What is not as expected; a test that passes has none.
    pub problems: Vec<Problem>,
    /// What the test did otherwise than a run, for people.
    pub notes: Vec<String>,
}

/// One thing that is not as expected.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where it is expected.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// The difference, line by line.
    pub lines: Vec<Line>,
}

/// A line of a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(pub Sign, pub String);

/// What a line of a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// As expected.
    Same,
    /// Expected and not found.
    Expected,
    /// Found and not expected.
    Found,
    /// A remark.
    Note,
}

pub(super) fn judge(trial: &Trial, found: &Found) -> Verdict {
    let mut problems = Vec::new();
    if let Some(failure) = &found.failure {
        problems.push(Problem {
            span: trial.span,
            message: format!("the run fails: {failure}"),
            lines: Vec::new(),
        });
    }
    for expected in &trial.expect.nodes {
        node(expected, found, &mut problems);
    }
    if let Some(letters) = &trial.expect.dead_letters {
        dead_letters(letters, found, &mut problems);
    }
    Verdict {
        problems,
        notes: found.outcome.notes.clone(),
    }
}

fn node(expected: &NodeExpect, found: &Found, problems: &mut Vec<Problem>) {
    let name = match expected.output.as_str() {
        "" => expected.node.clone(),
        output => format!("{}.{output}", expected.node),
    };
    let nothing = (Vec::new(), 0);
    let (events, count) = found.events.get(&name).unwrap_or(&nothing);
    let events = List {
        what: format!("`{name}`"),
        found: events,
        count: *count,
        is_text: false,
    };
    things(&expected.events, &events, problems);
    for (stream, leaves) in &expected.leaves {
        let sink = found.outcome.sinks.iter();
        let mut sink = sink.filter(|left| *left.node == *expected.node);
        let left = sink.next().map_or(&[][..], |left| &left.things);
        let values: Vec<Value> = left.iter().flat_map(|it| shown(it, *stream)).collect();
        let list = List {
            what: format!("`{name}` {}", stream.name()),
            found: &values,
            count: values.len() as u64,
            is_text: *stream != Stream::Rows,
        };
        things(leaves, &list, problems);
    }
    if let Some((keys, span)) = expected.remembers {
        let wrong = match found.remembered.get(&expected.node) {
            Some(Ok(found)) if *found == keys => None,
            Some(Ok(found)) => Some(format!("expected {keys}, found {found}")),
            Some(Err(why)) => Some(why.clone()),
            None => Some("it is not in the pipeline as this test has it".to_owned()),
        };
        problems.extend(wrong.map(|wrong| Problem {
            span,
            message: format!("`{name}` remembers: {wrong}"),
            lines: Vec::new(),
        }));
    }
    if let Some(figures) = &expected.figures {
        let counts = found.counts.get(&expected.node);
        metrics(
            figures,
            counts.unwrap_or(&Counts::default()),
            expected,
            found,
            problems,
        );
    }
}

/// What would leave, as this stream shows it.
fn shown(leaving: &Leaving, stream: Stream) -> Vec<Value> {
    let kinds: &[&str] = match stream {
        Stream::Rows => {
            let rows = leaving.rows.iter().map(|row| {
                // The table stands in the key already.
                let table = row.key.split_once(' ').map_or("", |(table, _)| table);
                let column = |name: &str| {
                    let short = name.strip_prefix(table)?.strip_prefix('.')?;
                    Some(short.to_owned())
                };
                let fields = row.fields.iter();
                let fields = fields.map(|(name, value)| {
                    (column(name).unwrap_or_else(|| name.clone()), value.clone())
                });
                let key = ("row".to_owned(), Value::from(row.key.as_str()));
                Value::Object([key].into_iter().chain(fields).collect())
            });
            return rows.collect();
        }
        Stream::Sql => &["sql"],
        Stream::Lines => &["line", "point"],
        Stream::Requests => &["request"],
        Stream::Messages => &["message"],
    };
    if !kinds.contains(&leaving.kind) {
        return Vec::new();
    }
    let details = leaving.details.iter();
    let mut text: Vec<String> = vec![leaving.head.clone()];
    text.extend(details.map(|(name, value)| format!("{name}: {value}")));
    text.extend(leaving.body.clone());
    vec![Value::from(text.join("\n"))]
}

fn things(expected: &Things, list: &List<'_>, problems: &mut Vec<Problem>) {
    let mut tell = |span: Span, message: String, mut lines: Vec<Line>| {
        let more = lines.len().saturating_sub(MOST_LINES);
        lines.truncate(MOST_LINES);
        lines.extend((more > 0).then(|| Line(Sign::Note, format!("… and {more} more lines"))));
        problems.push(Problem {
            span,
            message,
            lines,
        });
    };
    if let Some((patterns, span)) = &expected.exactly
        && let Some(lines) = exactly(patterns, list)
    {
        let message = match patterns.len() as u64 == list.count {
            true => format!("{}: {} found, and not these", list.what, list.count),
            false => format!(
                "{}: expected {}, found {}",
                list.what,
                patterns.len(),
                list.count
            ),
        };
        tell(*span, message, lines);
    }
    let matched = matching(&expected.contains, list);
    for ((pattern, span), found) in expected.contains.iter().zip(matched) {
        if found.is_none() {
            let (message, lines) = missing(pattern, list);
            tell(*span, message, lines);
        }
    }
    if let Some((count, span)) = expected.count
        && count != list.count
    {
        let message = format!("{}: expected {count}, found {}", list.what, list.count);
        let mut lines = Vec::new();
        for value in list.found.iter().take(MOST_LINES) {
            list.line(Sign::Found, value, &mut lines);
        }
        tell(span, message, lines);
    }
}

fn dead_letters(expected: &Letters, found: &Found, problems: &mut Vec<Problem>) {
    let letters = found.outcome.dead_letters.iter().map(|it| {
        let of = |name: &str| it.letter[name].clone();
        let mut letter = json!({ "reason": it.reason, "node": it.node, "detail": of("detail") });
        if !it.letter["event"].is_null() {
            letter["event"] = of("event");
        }
        letter
    });
    let letters: Vec<Value> = letters.collect();
    let list = List {
        what: "dead letters".to_owned(),
        found: &letters,
        count: found.outcome.dead_letter_count,
        is_text: false,
    };
    let matched = matching(&expected.letters, &list);
    for ((pattern, span), _) in
        (expected.letters.iter().zip(&matched)).filter(|(_, it)| it.is_none())
    {
        let (message, lines) = missing(pattern, &list);
        problems.push(Problem {
            span: *span,
            message,
            lines,
        });
    }
    let is_expected = |at: usize| matched.contains(&Some(at));
    let more: Vec<&Value> = (letters.iter().enumerate())
        .filter(|(at, _)| !is_expected(*at))
        .map(|(_, letter)| letter)
        .collect();
    if !more.is_empty() {
        let lines = more.iter().take(MOST_LINES);
        problems.push(Problem {
            span: expected.span,
            message: format!("dead letters: {} that are not expected", more.len()),
            lines: lines.map(|it| Line(Sign::Found, it.to_string())).collect(),
        });
    }
}

fn metrics(
    figures: &Figures,
    counts: &Counts,
    expected: &NodeExpect,
    found: &Found,
    problems: &mut Vec<Problem>,
) {
    let mut compare = |name: &str, span: Span, one: Value, other: Value| {
        if one != other {
            problems.push(Problem {
                span,
                message: format!("`{}` {name}: expected {one}, found {other}", expected.node),
                lines: Vec::new(),
            });
        }
    };
    for (name, value, span) in &figures.totals {
        let found = match *name {
            "received" => counts.received,
            "created" => counts.created,
            "delivered" => counts.delivered,
            "given_back" => counts.given_back,
            "retries" => counts.retries,
            _ => u64::try_from(counts.held).unwrap_or(0),
        };
        compare(name, *span, json!(value), json!(found));
    }
    for (name, reasons, span) in &figures.by_reason {
        let found = match *name {
            "dropped" => &counts.dropped,
            "dead_lettered" => &counts.dead_lettered,
            _ => &counts.labels,
        };
        let expected = reasons.iter().filter(|(_, count)| *count > 0);
        let expected = expected.map(|(reason, count)| (reason.clone(), json!(count)));
        let found = found.iter().filter(|(_, count)| **count > 0);
        let found = found.map(|(reason, count)| (reason.clone(), json!(count)));
        let (one, other) = (expected.collect(), found.collect());
        compare(name, *span, Value::Object(one), Value::Object(other));
    }
    if let Some((alerts, span)) = &figures.alerts {
        let raised = found
            .alerts
            .iter()
            .filter(|(node, _)| *node == expected.node);
        let raised: Vec<&str> = raised.map(|(_, name)| *name).collect();
        let mut alerts: Vec<&str> = alerts.iter().map(String::as_str).collect();
        alerts.sort_unstable();
        compare("alerts", *span, json!(alerts), json!(raised));
    }
}
