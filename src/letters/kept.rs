//! A dead letter as it is read again.

use std::sync::Arc;

use super::Mark;
use crate::clock::parse_timestamp;
use crate::event::{Event, Path, PathSet, Position};
use crate::layer::{Facts, Original};
use crate::seal::{Keyring, Sealed};
use crate::stage::Violation;

/// A dead letter. Everything in it is masked but what is sealed.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// By which its line is removed.
    pub mark: Mark,
    /// Where it lies.
    pub place: Place,
    /// Names it; of a letter that has none, made of its line.
    pub id: String,
    /// Stable word, such as `schema`.
    pub reason: String,
    /// For people.
    pub detail: String,
    /// The node that refused it.
    pub node: String,
    /// When it was refused last, as written.
    pub time: String,
    /// When it failed first, as written.
    pub first_time: String,
    /// How often it was tried in all.
    pub attempts: u32,
    /// The letter whose place it took at a replay.
    pub replaces: Option<String>,
    /// The source that brought it.
    pub source: String,
    /// The file, object or queue it lay in.
    pub object: String,
    /// Where in it.
    pub position: Position,
    /// What a schema found.
    pub violations: Vec<Violation>,
    /// The masked event as JSON.
    pub event: Option<String>,
    /// What was no event, or was nested too deep to be kept as one; masked.
    pub text: Option<String>,
    /// The length of that as it came, in bytes.
    pub length: u64,
    /// The original, for whoever has the key.
    pub sealed: Option<String>,
    /// The whole line.
    pub line: String,
}

/// Where a letter lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The shelf's name.
    pub shelf: String,
    /// The line, from 1.
    pub line: u64,
}

/// What can be had of the event that a letter is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reveal {
    /// The event as it was.
    Original(Original),
    /// Only the masked event is there: nothing was sealed.
    Masked(Original),
    /// Something was sealed and does not open; `None`: there are no keys.
    Shut(Option<Sealed>),
    /// There is no event in it.
    Nothing,
}

impl Kept {
    /// Reads a line. `None` when it is no dead letter.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let paths = Arc::new(PathSet::default());
        let letter = Event::parse(text.to_owned(), &paths, &Arc::default()).ok()?;
        let value = |names: &[&str]| letter.get(&Path::of(names.iter().copied()));
        let text_of = |names: &[&str]| value(names)?.as_str().map(|it| it.into_owned());
        let number = |names: &[&str]| u64::try_from(value(names)?.as_i64()?).ok();
        let mark = Mark::of(line);
        let (reason, node) = (text_of(&["reason"])?, text_of(&["node"])?);
        let time = text_of(&["time"]).unwrap_or_default();
        let body = value(&["event"]).map(|event| {
            let mut json = Vec::new();
            event.write_json(&mut json);
            String::from_utf8_lossy(&json).into_owned()
        });
        Some(Self {
            id: text_of(&["id"]).unwrap_or_else(|| mark.to_string()),
            mark,
            place: Place::default(),
            reason,
            detail: text_of(&["detail"]).unwrap_or_default(),
            node,
            first_time: text_of(&["first_time"]).unwrap_or_else(|| time.clone()),
            time,
            attempts: number(&["attempts"]).map_or(1, |n| n.try_into().unwrap_or(u32::MAX)),
            replaces: text_of(&["replaces"]),
            source: text_of(&["source", "name"]).unwrap_or_default(),
            object: text_of(&["source", "object"]).unwrap_or_default(),
            position: Position {
                line: number(&["source", "line"]).unwrap_or_default(),
                offset: number(&["source", "offset"]).unwrap_or_default(),
            },
            violations: violations(&letter),
            event: body,
            text: text_of(&["text"]),
            length: number(&["length"]).unwrap_or_default(),
            sealed: text_of(&["sealed"]),
            line: text.to_owned(),
        })
    }

    /// When it was refused last, in microseconds since 1970 (UTC); 0 when that is not known.
    pub fn refused(&self) -> i64 {
        parse_timestamp(&self.time).unwrap_or_default()
    }

    /// When it failed first, likewise.
    pub fn failed_first(&self) -> i64 {
        parse_timestamp(&self.first_time).unwrap_or_else(|| self.refused())
    }

    /// Where it came from, in a few words: `exports/a.ndjson:17`.
    pub fn origin(&self) -> String {
        let name = match self.object.is_empty() {
            true => &self.source,
            false => &self.object,
        };
        match (self.position.line, self.position.offset) {
            (0, 0) => name.clone(),
            (0, offset) => format!("{name}+{offset}"),
            (line, _) => format!("{name}:{line}"),
        }
    }

    /// The event, unmasked if it can be had.
    pub fn reveal(&self, keys: Option<&Keyring>) -> Reveal {
        match (&self.sealed, &self.event, keys) {
            (Some(sealed), _, Some(keys)) => match Original::open(keys, &self.id, sealed) {
                Ok(original) => Reveal::Original(original),
                Err(why) => Reveal::Shut(Some(why)),
            },
            (Some(_), _, None) => Reveal::Shut(None),
            (None, Some(event), _) => Reveal::Masked(Original {
                body: event.clone(),
                facts: Facts::default(),
            }),
            (None, None, _) => Reveal::Nothing,
        }
    }
}

fn violations(letter: &Event) -> Vec<Violation> {
    let Some(list) = letter.get(&Path::of(["violations"])) else {
        return Vec::new();
    };
    let text = |of: &crate::event::Value<'_>, name: &str| {
        let value = of.member(name).and_then(|value| value.as_str());
        value.unwrap_or_default().into_owned()
    };
    let violation = |of: crate::event::Value<'_>| Violation {
        path: text(&of, "path"),
        expected: text(&of, "expected"),
        found: text(&of, "found"),
    };
    list.elements().map(violation).collect()
}
