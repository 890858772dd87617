//! Reading an event's body, changes included.

use std::borrow::Cow;

use super::edit::Change;
use super::parse::unescape;
use super::tape::Kind;
use super::{Event, Segment};

/// A value in an event's body, as it is after all changes.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    pub(super) event: &'a Event,
    pub(super) place: Place<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// Untouched, at this index of the tape.
    Tape(u32),
    /// Laid over: a scalar's JSON text.
    Raw(&'a str),
}

impl<'a> Value<'a> {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.place {
            Place::Tape(at) => self.event.chunk.word(at).kind(),
            Place::Raw(raw) => Kind::of_raw(raw),
        }
    }

    /// The string's text, escapes resolved; `None` for anything but a string.
    pub fn as_str(&self) -> Option<Cow<'a, str>> {
        match self.place {
            Place::Tape(at) => {
                let word = self.event.chunk.word(at);
                if word.kind() != Kind::Text {
                    return None;
                }
                let inside = &self.event.chunk.text[word.start() + 1..word.end() - 1];
                Some(if word.is_escaped() {
                    Cow::Owned(unescape(inside.as_bytes()))
                } else {
                    Cow::Borrowed(inside)
                })
            }
            Place::Raw(raw) => {
                let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
                Some(match inside.contains('\\') {
                    true => Cow::Owned(unescape(inside.as_bytes())),
                    false => Cow::Borrowed(inside),
                })
            }
        }
    }

    /// A number's text as it was written; `None` for anything but a number.
    pub fn as_number(&self) -> Option<&'a str> {
        if self.kind() != Kind::Number {
            return None;
        }
        Some(match self.place {
            Place::Tape(at) => self.event.chunk.raw(at),
            Place::Raw(raw) => raw,
        })
    }

    /// A whole number within 64 bits (`3`, `3.0` and `3e0` are whole).
    pub fn as_i64(&self) -> Option<i64> {
        let text = self.as_number()?;
        text.parse().ok().or_else(|| {
            let float: f64 = text.parse().ok()?;
            // Above 2^53 a float no longer says which whole number was meant.
            (float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0).then_some(float as i64)
        })
    }

    /// The number as a float.
    pub fn as_f64(&self) -> Option<f64> {
        self.as_number()?.parse().ok()
    }

    /// `true` or `false`.
    pub fn as_bool(&self) -> Option<bool> {
        if self.kind() != Kind::Bool {
            return None;
        }
        Some(match self.place {
            Place::Tape(at) => self.event.chunk.raw(at) == "true",
            Place::Raw(raw) => raw == "true",
        })
    }

    /// A scalar as plain text: a string's text, a number as written, `true`, `false`; `None` for
    /// null and containers.
    pub fn as_plain(&self) -> Option<Cow<'a, str>> {
        match self.kind() {
            Kind::Text => self.as_str(),
            Kind::Number | Kind::Bool => Some(Cow::Borrowed(match self.place {
                Place::Tape(at) => self.event.chunk.raw(at),
                Place::Raw(raw) => raw,
            })),
            _ => None,
        }
    }

    /// Appends the value as JSON, changes included.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self.place {
            Place::Tape(at) => super::edit::write(self.event, at, out),
            Place::Raw(raw) => out.extend_from_slice(raw.as_bytes()),
        }
    }

    /// The members of an object; none for anything else.
    pub fn members(&self) -> Members<'a> {
        match self.place {
            Place::Tape(at) if self.kind() == Kind::Object => Members {
                event: self.event,
                object: at,
                at: at + 2,
                end: self.event.chunk.after(at),
                inserted: 0,
            },
            _ => Members {
                event: self.event,
                object: 0,
                at: 0,
                end: 0,
                inserted: usize::MAX,
            },
        }
    }

    /// The elements of an array; none for anything else.
    pub fn elements(&self) -> Elements<'a> {
        match self.place {
            Place::Tape(at) if self.kind() == Kind::Array => Elements {
                event: self.event,
                at: at + 2,
                end: self.event.chunk.after(at),
            },
            _ => Elements {
                event: self.event,
                at: 0,
                end: 0,
            },
        }
    }

    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<Value<'a>> {
        self.members()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// Follows a path from here; the first match where a segment is `[]`.
    pub fn follow(&self, segments: &[Segment]) -> Option<Value<'a>> {
        let Some((first, rest)) = segments.split_first() else {
            return Some(*self);
        };
        match first {
            Segment::Key(key) => self.member(key)?.follow(rest),
            Segment::Index(index) => self.elements().nth(*index as usize)?.follow(rest),
            Segment::Each => self.elements().find_map(|element| element.follow(rest)),
        }
    }

    /// Calls `visit` with every place that the segments lead to from here.
    pub fn each(&self, segments: &[Segment], visit: &mut dyn FnMut(Value<'a>)) {
        let Some((first, rest)) = segments.split_first() else {
            return visit(*self);
        };
        match first {
            Segment::Key(key) => {
                // All members of that name: a name that comes twice must not hide behind itself.
                for (_, value) in self.members().filter(|(name, _)| name == key.as_str()) {
                    value.each(rest, visit);
                }
            }
            Segment::Index(index) => {
                if let Some(value) = self.elements().nth(*index as usize) {
                    value.each(rest, visit);
                }
            }
            Segment::Each => {
                for value in self.elements() {
                    value.each(rest, visit);
                }
            }
        }
    }

    /// What tells this value from any other that is reachable at the same time.
    pub fn identity(&self) -> (usize, u32) {
        match self.place {
            Place::Tape(at) => (std::ptr::from_ref(self.event) as usize, at),
            // No tape is that long: its words take eight bytes each and the text 4 GiB at most.
            Place::Raw(raw) => (raw.as_ptr() as usize, u32::MAX),
        }
    }

    /// The handle by which this place can be changed (see [`Event::replace_at`]); `None` for a
    /// value that is itself a change and not yet part of the text.
    pub fn handle(&self) -> Option<Handle> {
        match self.place {
            Place::Tape(at) => Some(Handle(at)),
            Place::Raw(_) => None,
        }
    }
}

/// A place in one event's body. Good until that event is rebuilt by a change to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(pub(super) u32);

/// Iterator over an object's members, removed ones left out and added ones at the end.
#[derive(Clone)]
pub struct Members<'a> {
    event: &'a Event,
    object: u32,
    at: u32,
    end: u32,
    inserted: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let event = self.event;
        while self.at < self.end {
            let (key, value) = (self.at, self.at + 1);
            self.at = event.chunk.after(value);
            let Some(place) = event.place(value) else {
                continue;
            };
            let key = Value {
                event,
                place: Place::Tape(key),
            }
            .as_str()
            .unwrap_or_default();
            return Some((key, Value { event, place }));
        }
        while let Some(edit) = event.edits.get(self.inserted) {
            self.inserted += 1;
            if let (true, Change::Insert { key, raw }) = (edit.at == self.object, &edit.change) {
                let inside = &key[1..key.len() - 1];
                let key = match inside.contains('\\') {
                    true => Cow::Owned(unescape(inside.as_bytes())),
                    false => Cow::Borrowed(inside),
                };
                return Some((
                    key,
                    Value {
                        event,
                        place: Place::Raw(raw),
                    },
                ));
            }
        }
        None
    }
}

/// Iterator over an array's elements, removed ones left out.
#[derive(Clone)]
pub struct Elements<'a> {
    event: &'a Event,
    at: u32,
    end: u32,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        while self.at < self.end {
            let at = self.at;
            self.at = self.event.chunk.after(at);
            if let Some(place) = self.event.place(at) {
                return Some(Value {
                    event: self.event,
                    place,
                });
            }
        }
        None
    }
}
