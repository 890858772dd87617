//! What a backfill comes to, for people and for programs.

mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use anstyle::Style;
use serde_json::{Value as Json, json};

use super::range::Range;
use crate::cli::table::tame;
use crate::clock::format_timestamp;
use crate::graph::backfill::Aimed;
use crate::observe::{Hour, HourCounts, Ledger, Observer, ProgressSnapshot, size};

/// Ranges with more hours are shown by the day.
const MOST_HOURS: usize = 72;
/// Hours that do not reconcile and are named one by one.
const MOST_WRONG: usize = 20;

const MICROS_IN_HOUR: i64 = 3_600_000_000;

/// What a warehouse holds now: facts by the hour.
pub(super) struct Found {
    pub sink: Arc<str>,
    pub facts: BTreeMap<i64, u64>,
}

/// The outcome of a run, and of those before it over the same state.
pub(super) struct Summary {
    pipeline: String,
    source: String,
    state: String,
    range: Range,
    /// Before its end, by a signal.
    pub stopped: bool,
    progress: ProgressSnapshot,
    ledger: Ledger,
    hours: BTreeMap<Hour, HourCounts>,
    /// By hour, how many different events this run has loaded, where that is known.
    expected: Option<BTreeMap<i64, u64>>,
    found: Vec<Found>,
    wrong: Vec<String>,
}

impl Summary {
    pub(super) fn new(
        pipeline: &str,
        aimed: &Aimed,
        range: &Range,
        observer: &Observer,
        stopped: bool,
    ) -> Self {
        let source = observer.node(&aimed.source, crate::observe::NodeKind::Source, "");
        let hours = source.hours();
        let mut summary = Self {
            pipeline: pipeline.to_owned(),
            source: aimed.source.clone(),
            state: aimed.state.display().to_string(),
            range: *range,
            stopped,
            progress: observer.progress().snapshot(),
            ledger: observer.ledger(),
            hours: hours.map(crate::observe::Hours::read).unwrap_or_default(),
            expected: hours.and_then(crate::observe::Hours::loaded_ids),
            found: Vec::new(),
            wrong: Vec::new(),
        };
        summary.check();
        summary
    }

    /// What the figures say by themselves.
    fn check(&mut self) {
        if let Err(wrong) = self.ledger.adds_up() {
            self.wrong
                .push(format!("the ledger does not add up: {wrong}"));
        }
        let unexplained = self.hours.iter().filter(|(_, it)| it.unexplained > 0);
        let lines = unexplained.map(|(hour, it)| {
            format!(
                "{}: read {}, unexplained {}",
                name(*hour),
                it.read,
                it.unexplained
            )
        });
        let lines: Vec<String> = lines.collect();
        self.several(&lines);
    }

    /// The first of many alike.
    fn several(&mut self, lines: &[String]) {
        self.wrong.extend(lines.iter().take(MOST_WRONG).cloned());
        if let more @ 1.. = lines.len().saturating_sub(MOST_WRONG) {
            self.wrong.push(format!("and {more} more hours"));
        }
    }

    /// Something went wrong.
    pub(super) fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// What lies in a warehouse: at least what was loaded has to.
    pub(super) fn found(&mut self, found: Found) {
        let expected = self.expected.iter().flatten();
        let missing = expected.filter_map(|(hour, expected)| {
            let there = found.facts.get(hour).copied().unwrap_or(0);
            (there < *expected).then(|| {
                format!(
                    "{}: loaded {expected} different events, and `{}` has {there} of that hour",
                    name(Hour::At(*hour)),
                    found.sink
                )
            })
        });
        let missing: Vec<String> = missing.collect();
        self.several(&missing);
        self.found.push(found);
    }

    pub(super) fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }

    /// The same for all runs over the same range, so that a later one takes the place of an earlier.
    pub(super) fn run_id(&self) -> String {
        let (from, to) = (self.range.begin(), self.range.end());
        format!("{}/{}/{from}/{to}", self.pipeline, self.source)
    }

    pub(super) fn hours(&self) -> BTreeMap<Hour, HourCounts> {
        self.hours.clone()
    }

    /// First and last hour of which anything was loaded.
    pub(super) fn span(&self) -> Option<(i64, i64)> {
        let counted = self.hours.iter().filter(|(_, it)| it.loaded > 0);
        let counted = counted.filter_map(|(hour, _)| at(*hour));
        let loaded = self.expected.iter().flatten().map(|(hour, _)| *hour);
        let hours: Vec<i64> = counted.chain(loaded).collect();
        Some((*hours.iter().min()?, *hours.iter().max()?))
    }

    fn total(&self) -> HourCounts {
        let mut total = HourCounts::default();
        self.hours.values().for_each(|counts| total.add(counts));
        total
    }

    fn facts(&self, hour: i64) -> Option<u64> {
        // With several warehouses the one that has least is of interest.
        let found = self.found.iter();
        found
            .map(|it| it.facts.get(&hour).copied().unwrap_or(0))
            .min()
    }

    /// By hour, or by day where the range is long.
    fn rows(&self) -> Vec<(String, HourCounts, Option<u64>)> {
        let by_day = self.hours.len() > MOST_HOURS;
        let mut rows: Vec<(String, HourCounts, Option<u64>)> = Vec::new();
        for (hour, counts) in &self.hours {
            let label = match by_day {
                true => name(*hour).split('T').next().unwrap_or("").to_owned(),
                false => name(*hour),
            };
            let facts = at(*hour).and_then(|hour| self.facts(hour));
            match rows.last_mut().filter(|row| row.0 == label) {
                Some((_, sum, there)) => {
                    sum.add(counts);
                    *there = there.zip(facts).map(|(one, two)| one + two);
                }
                None => rows.push((label, *counts, facts)),
            }
        }
        rows
    }

    /// A table and what it comes to, for people.
    pub(super) fn render(&self, colour: bool) -> String {
        let rows = self.rows().into_iter();
        let rows: Vec<_> = rows
            .chain([("all".to_owned(), self.total(), None)])
            .collect();
        let mut text = table::render(&rows, colour);
        let paint = |style: Style, line: &str| match colour {
            true => format!("{style}{line}{style:#}\n"),
            false => format!("{line}\n"),
        };
        text.push_str(&format!("\nthis run: {}\n", self.ledger.whole.equation()));
        for wrong in &self.wrong {
            text.push_str(&paint(table::BAD, &format!("✗ {}", tame(wrong))));
        }
        let closing = self.closing();
        text.push_str(&match (self.is_good(), self.stopped) {
            (true, false) => paint(table::GOOD, &format!("✓ {closing}")),
            (true, true) => paint(
                Style::new(),
                &format!("{closing}\nstopped; {}", self.again()),
            ),
            (false, _) => {
                let again = self.again();
                paint(
                    table::BAD,
                    &format!("{closing}\nit does not reconcile; {again}"),
                )
            }
        });
        text
    }

    fn closing(&self) -> String {
        let ProgressSnapshot {
            files_done,
            files_total,
            files_skipped,
            bytes_done,
            ..
        } = self.progress;
        let of = files_total.map_or(String::new(), |total| format!(" of {total}"));
        let before = match files_skipped {
            0 => String::new(),
            before => format!(" ({before} of them before)"),
        };
        let total = self.total();
        let parts = [
            ("loaded", total.loaded),
            ("taken elsewhere", total.elsewhere),
            ("dropped", total.dropped),
            ("refused", total.refused),
            ("unexplained", total.unexplained),
        ];
        let parts = parts
            .iter()
            .filter(|(name, count)| *count > 0 || *name == "loaded");
        let parts: Vec<String> = parts
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        format!(
            "{files_done}{of} objects{before}, {}: read {} records = {}",
            size(bytes_done),
            total.read,
            parts.join(" + ")
        )
    }

    fn again(&self) -> String {
        format!(
            "the same command goes on from there (state in {})",
            self.state
        )
    }

    /// One object, for programs.
    pub(super) fn to_json(&self) -> String {
        let figures = |counts: &HourCounts| serde_json::to_value(counts).unwrap_or(Json::Null);
        let hours = self.hours.iter().map(|(hour, counts)| {
            let mut entry = figures(counts);
            if let Json::Object(fields) = &mut entry {
                fields.insert("hour".into(), name(*hour).into());
                let facts = at(*hour).and_then(|hour| self.facts(hour));
                fields.insert("facts_there".into(), facts.into());
            }
            entry
        });
        let whole = json!({
            "run": self.run_id(),
            "pipeline": self.pipeline,
            "source": self.source,
            "from": self.range.begin(),
            "to": self.range.end(),
            "state": self.state,
            "complete": !self.stopped && self.is_good(),
            "stopped": self.stopped,
            "reconciles": self.is_good(),
            "wrong": self.wrong,
            "objects_done": self.progress.files_done,
            "objects_total": self.progress.files_total,
            "objects_before": self.progress.files_skipped,
            "bytes_done": self.progress.bytes_done,
            "bytes_total": self.progress.bytes_total,
            "total": figures(&self.total()),
            "hours": hours.collect::<Vec<_>>(),
            "ledger": serde_json::to_value(&self.ledger).unwrap_or(Json::Null),
        });
        format!("{whole:#}\n")
    }
}

fn at(hour: Hour) -> Option<i64> {
    match hour {
        Hour::At(hour) => Some(hour),
        Hour::Unknown | Hour::Other => None,
    }
}

fn name(hour: Hour) -> String {
    match hour {
        Hour::At(hour) => {
            let text = format_timestamp(hour.saturating_mul(MICROS_IN_HOUR));
            let minute = text.rfind(":00.").map_or(text.len(), |at| at);
            format!("{}Z", &text[..minute])
        }
        Hour::Unknown => "no time".into(),
        Hour::Other => "other hours".into(),
    }
}

#[cfg(test)]
mod tests;
