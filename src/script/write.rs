//! From VRL's values to JSON: as it stood where nothing changed.

use std::collections::HashSet;
use std::fmt::Write as _;

use vrl::value::{ObjectMap, Value};

use super::number::{Numbers, held};
use crate::event::{self, Kind, MAX_DEPTH, write_json_str};

/// Why a result is no event, in words without any value of it.
pub(super) type Unfit = &'static str;

const TOO_DEEP: Unfit = "the result nests deeper than 96 levels";
const TOO_LARGE: Unfit = "the result is too large for what came in";
const NOT_TEXT: Unfit = "the result holds bytes that are no text";
const NO_NUMBER: Unfit = "the result holds a number that is infinite";
const AMBIGUOUS: Unfit = "the result holds a number that VRL cannot tell from another of the event";

/// Writes values one behind the other, within a bound.
pub(super) struct Writer<'n> {
    pub out: Vec<u8>,
    /// Most bytes of `out`.
    pub room: usize,
    pub numbers: &'n Numbers,
}

impl Writer<'_> {
    /// A value that is new. `depth` containers are around it.
    pub fn value(&mut self, value: &Value, depth: usize) -> Result<(), Unfit> {
        match value {
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Integer(whole) => self.out.extend_from_slice(whole.to_string().as_bytes()),
            Value::Float(float) => self.float(float.into_inner())?,
            Value::Bytes(_) | Value::String(_) | Value::Timestamp(_) | Value::Regex(_) => {
                write_json_str(&text(value).ok_or(NOT_TEXT)?, &mut self.out);
            }
            Value::Array(elements) => {
                self.open(b'[', depth)?;
                for (number, element) in elements.iter().enumerate() {
                    self.comma(number > 0);
                    self.value(element, depth + 1)?;
                }
                self.out.push(b']');
            }
            Value::Object(members) => {
                self.open(b'{', depth)?;
                for (number, (name, member)) in members.iter().enumerate() {
                    self.name(number > 0, name.as_str());
                    self.value(member, depth + 1)?;
                }
                self.out.push(b'}');
            }
        }
        self.fits()
    }

    /// A value in the place of another: what is the same is written as it stood, in its order.
    pub fn merged(
        &mut self,
        old: event::Value<'_>,
        new: &Value,
        depth: usize,
    ) -> Result<(), Unfit> {
        if same(old, new) {
            old.write_json(&mut self.out);
            return self.fits();
        }
        match (old.kind(), new) {
            (Kind::Object, Value::Object(members)) => {
                self.open(b'{', depth)?;
                let mut written = 0;
                for (name, before) in old.members() {
                    if let Some(now) = members.get(&*name) {
                        self.name(written > 0, &name);
                        self.merged(before, now, depth + 1)?;
                        written += 1;
                    }
                }
                for (name, now) in added(old, members, written) {
                    self.name(written > 0, name);
                    self.value(now, depth + 1)?;
                    written += 1;
                }
                self.out.push(b'}');
            }
            (Kind::Array, Value::Array(elements)) => {
                self.open(b'[', depth)?;
                let mut before = old.elements();
                for (number, now) in elements.iter().enumerate() {
                    self.comma(number > 0);
                    // Where elements were taken out, the others are found further on.
                    let mut further = before.clone();
                    let moved = (elements.len() <= ALIKE)
                        .then(|| further.find(|it| same(*it, now)))
                        .flatten();
                    if let Some(moved) = moved {
                        before = further;
                        moved.write_json(&mut self.out);
                        continue;
                    }
                    match before.next() {
                        Some(before) => self.merged(before, now, depth + 1)?,
                        None => self.value(now, depth + 1)?,
                    }
                }
                self.out.push(b']');
            }
            _ => self.value(new, depth)?,
        }
        self.fits()
    }

    fn float(&mut self, float: f64) -> Result<(), Unfit> {
        match self.numbers.text(float) {
            Ok(Some(text)) => self.out.extend_from_slice(text.as_bytes()),
            Ok(None) if float.is_finite() => {
                let mut text = String::new();
                // Writing into a string cannot fail.
                let _ = write!(text, "{float:?}");
                self.out.extend_from_slice(text.as_bytes());
            }
            Ok(None) => return Err(NO_NUMBER),
            Err(_) => return Err(AMBIGUOUS),
        }
        Ok(())
    }

    fn open(&mut self, bracket: u8, depth: usize) -> Result<(), Unfit> {
        self.out.push(bracket);
        match depth < MAX_DEPTH {
            true => Ok(()),
            false => Err(TOO_DEEP),
        }
    }

    fn comma(&mut self, wanted: bool) {
        self.out.extend(wanted.then_some(b','));
    }

    fn name(&mut self, comma: bool, name: &str) {
        self.comma(comma);
        write_json_str(name, &mut self.out);
        self.out.push(b':');
    }

    fn fits(&self) -> Result<(), Unfit> {
        match self.out.len() <= self.room {
            true => Ok(()),
            false => Err(TOO_LARGE),
        }
    }
}

/// Lists up to this length are searched for elements that moved; in longer ones places are compared.
const ALIKE: usize = 64;

/// The members that are new, where so many of the old ones are still there.
pub(super) fn added<'v>(
    old: event::Value<'_>,
    new: &'v ObjectMap,
    kept: usize,
) -> Vec<(&'v str, &'v Value)> {
    if kept == new.len() {
        return Vec::new();
    }
    let known: HashSet<_> = old.members().map(|(name, _)| name).collect();
    let members = new.iter().map(|(name, member)| (name.as_str(), member));
    members.filter(|(name, _)| !known.contains(*name)).collect()
}

/// The text of a value that is text in JSON.
fn text(value: &Value) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(Into::into),
        Value::String(text) => Some((&**text).into()),
        Value::Timestamp(_) | Value::Regex(_) => Some(value.to_string_lossy()),
        _ => None,
    }
}

/// Whether a value of the event is still what it was.
pub(super) fn same(old: event::Value<'_>, new: &Value) -> bool {
    match (old.kind(), new) {
        (Kind::Null, Value::Null) => true,
        (Kind::Bool, Value::Boolean(now)) => old.as_bool() == Some(*now),
        (Kind::Number, Value::Integer(_) | Value::Float(_)) => {
            old.as_number().is_some_and(|text| held(text).is(new))
        }
        (Kind::Text, _) => match (old.as_str(), text(new)) {
            (Some(old), Some(new)) => old == new,
            _ => false,
        },
        (Kind::Array, Value::Array(elements)) => {
            let mut before = old.elements();
            let all = elements
                .iter()
                .all(|now| before.next().is_some_and(|it| same(it, now)));
            all && before.next().is_none()
        }
        (Kind::Object, Value::Object(members)) => {
            let mut count = 0;
            let mut before = old.members();
            let all = before.all(|(name, it)| {
                count += 1;
                members.get(&*name).is_some_and(|now| same(it, now))
            });
            all && count == members.len()
        }
        _ => false,
    }
}
