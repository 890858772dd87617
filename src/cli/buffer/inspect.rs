//! `trunkline buffer inspect`.

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::Place;
use crate::cli::dlq::Form;
use crate::cli::show::print;
use crate::cli::table::{Table, bytes, tame};
use crate::failure::Failure;
use crate::graph::Components;
use crate::journal::{self, Inspection, SegmentReport};

const HEAD: [&str; 7] = [
    "SEGMENT", "FROM", "EVENTS", "WAITING", "SIZE", "SEALED", "STATE",
];

/// What can be said of a buffer in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    /// Something that was in it cannot be read, or is none of it.
    Damaged,
    /// Whole now; what was damaged once is kept beside it.
    SetAside,
}

impl Health {
    pub(super) fn word(self) -> &'static str {
        match self {
            Health::Good => "good",
            Health::Damaged => "damaged",
            Health::SetAside => "good, some set aside",
        }
    }
}

pub(super) fn health(found: &Inspection) -> Health {
    if !found.strange.is_empty() || found.segments.iter().any(is_damaged) {
        Health::Damaged
    } else if found.damaged.is_empty() {
        Health::Good
    } else {
        Health::SetAside
    }
}

fn is_damaged(segment: &SegmentReport) -> bool {
    segment.damaged_bytes > 0 || segment.lost_events > 0 || !segment.is_headed
}

pub(super) fn inspect(
    place: &Place,
    format: Form,
    colour: bool,
    own: &Components,
) -> Result<bool, Failure> {
    let (folder, keys) = place.open(own)?;
    let found = journal::inspect(folder, keys.as_ref())?;
    print(&match format {
        Form::Text => page(&found, colour),
        Form::Json => format!("{}\n", object(&found)),
    });
    Ok(health(&found) != Health::Damaged)
}

fn page(found: &Inspection, colour: bool) -> String {
    if found.id.is_none() && found.strange.is_empty() && found.damaged.is_empty() {
        return "there is no disk buffer in this folder\n".into();
    }
    let mut table = Table::new(HEAD, colour);
    for segment in &found.segments {
        table.push_styled(row(segment), style(segment));
    }
    let mut text = match found.segments.is_empty() {
        true => "no segments\n".into(),
        false => table.render(),
    };
    for (file, reason) in &found.strange {
        text += &format!("{}: {reason}\n", tame(file));
    }
    for (file, size) in &found.damaged {
        text += &format!("set aside: damaged/{}, {}\n", tame(file), bytes(*size));
    }
    let lost: u64 = found.segments.iter().map(|it| it.lost_events).sum();
    text += &format!(
        "\n{} events wait ({} on disk), numbers {} to {}\n",
        found.pending_events,
        bytes(found.pending_bytes),
        found.settled,
        found.end,
    );
    if lost > 0 {
        text += &format!("{lost} events are lost\n");
    }
    text += &match found.locked_by_process {
        None => String::new(),
        Some(0) => "in use\n".into(),
        Some(process) => format!("in use by process {process}\n"),
    };
    let hint = match health(found) {
        Health::Damaged => "damaged: stop the pipeline, then `trunkline buffer repair FOLDER`\n",
        Health::Good | Health::SetAside => "",
    };
    text + hint
}

fn style(segment: &SegmentReport) -> Style {
    match (is_damaged(segment), segment.pending.0) {
        (true, _) => AnsiColor::Red.on_default(),
        (false, 0) => Style::new().dimmed(),
        (false, _) => Style::new(),
    }
}

fn row(segment: &SegmentReport) -> [String; HEAD.len()] {
    let mut state = Vec::new();
    if segment.dropped {
        state.push("dropped, the buffer was full".to_owned());
    }
    if !segment.is_headed {
        state.push("no header".into());
    }
    if segment.damaged_bytes > 0 {
        state.push(format!("{} damaged", bytes(segment.damaged_bytes)));
    }
    if segment.lost_events > 0 {
        state.push(format!("{} events lost", segment.lost_events));
    }
    if segment.unopened > 0 {
        state.push(format!("{} records not opened", segment.unopened));
    }
    let good = if state.is_empty() { "good" } else { "" };
    [
        segment.file.clone(),
        segment.first.to_string(),
        segment.events.to_string(),
        segment.pending.0.to_string(),
        bytes(segment.bytes),
        segment
            .sealed_with
            .map_or("-".into(), |key| key.to_string()),
        good.to_owned() + &state.join(", "),
    ]
}

fn object(found: &Inspection) -> serde_json::Value {
    let segment = |it: &SegmentReport| {
        json!({
            "file": it.file,
            "bytes": it.bytes,
            "first": it.first,
            "events": it.events,
            "records": it.records,
            "compressed": it.compressed,
            "sealed": it.sealed,
            "pending_events": it.pending.0,
            "pending_bytes": it.pending.1,
            "damaged_bytes": it.damaged_bytes,
            "lost_events": it.lost_events,
            "sealed_with": it.sealed_with.map(|key| key.to_string()),
            "unopened": it.unopened,
            "dropped": it.dropped,
            "has_header": it.is_headed,
        })
    };
    let aside = |(file, bytes): &(String, u64)| json!({ "file": file, "bytes": bytes });
    let strange = |(file, why): &(String, &'static str)| json!({ "file": file, "reason": why });
    json!({
        "settled": found.settled,
        "end": found.end,
        "pending_events": found.pending_events,
        "pending_bytes": found.pending_bytes,
        "damaged": health(found) == Health::Damaged,
        "locked_by_process": found.locked_by_process,
        "segments": found.segments.iter().map(segment).collect::<Vec<_>>(),
        "set_aside": found.damaged.iter().map(aside).collect::<Vec<_>>(),
        "strange": found.strange.iter().map(strange).collect::<Vec<_>>(),
    })
}
