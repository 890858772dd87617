//! From what a program left to the event, or several.

use compact_str::CompactString;
use vrl::value::{ObjectMap, Value};

use super::Ran;
use super::number::Numbers;
use super::target::{Left, Root, names};
use super::write::{Unfit, Writer, added, same};
use crate::event::{self, Event, Kind, Origin, Path};

/// Most bytes that one event may become: so many for each of its own, and so many more.
const GROWTH: usize = 16;
const SPARE: usize = 1 << 20;
/// Changes that are laid over an event one by one; with more of them it is written anew.
const FEW: usize = 16;

const TOO_MANY: Unfit = "the result is a list of more than 4095 events";
const NO_JSON: Unfit = "the result is no usable JSON";

/// A member that is another now; none where it is gone.
struct Change {
    keys: Vec<CompactString>,
    raw: Option<CompactString>,
}

/// Lays what a program left over the event.
pub(super) fn apply(
    event: &mut Event,
    left: &Left,
    roots: &[Root],
    numbers: &Numbers,
) -> Result<Ran, Unfit> {
    let mut making = Making {
        room: event.length() as usize * GROWTH + SPARE,
        numbers,
        changes: Vec::new(),
    };
    match left {
        Left::Roots(written) => {
            for (number, now) in written {
                let root = &roots[*number];
                making.compare(event.get(&root.path), now.as_ref(), names(root))?;
            }
            making.lay(event)
        }
        Left::Whole(Value::Array(elements)) => making.several(event, elements).map(Ran::Several),
        Left::Whole(whole @ Value::Object(_)) => {
            making.compare(Some(event.body()), Some(whole), Vec::new())?;
            making.lay(event)
        }
        // What is no object is put into one, as Vector does it.
        Left::Whole(other) => {
            making.compare(Some(event.body()), Some(&boxed(other)), Vec::new())?;
            making.lay(event)
        }
    }
}

fn boxed(value: &Value) -> Value {
    Value::Object([("message".into(), value.clone())].into())
}

struct Making<'n> {
    room: usize,
    numbers: &'n Numbers,
    changes: Vec<Change>,
}

impl<'n> Making<'n> {
    fn writer(&self) -> Writer<'n> {
        Writer {
            out: Vec::new(),
            room: self.room,
            numbers: self.numbers,
        }
    }

    /// Collects what is otherwise, member by member where both are objects and it is little.
    fn compare(
        &mut self,
        old: Option<event::Value<'_>>,
        new: Option<&Value>,
        keys: Vec<CompactString>,
    ) -> Result<(), Unfit> {
        let mut writer = self.writer();
        match (old, new) {
            (None, None) => return Ok(()),
            (Some(old), Some(new)) if same(old, new) => return Ok(()),
            (Some(_), None) => {
                self.changes.push(Change { keys, raw: None });
                return Ok(());
            }
            (None, Some(new)) => writer.value(new, keys.len())?,
            (Some(old), Some(new)) => {
                if let Value::Object(now) = new
                    && old.kind() == Kind::Object
                    && self.compare_members(old, now, &keys)?
                {
                    return Ok(());
                }
                writer = self.writer();
                writer.merged(old, new, keys.len())?;
            }
        }
        self.room -= writer.out.len().min(self.room);
        // What was written is made of texts.
        let raw = CompactString::from_utf8(writer.out).map_err(|_| NO_JSON)?;
        let raw = Some(raw);
        self.changes.push(Change { keys, raw });
        Ok(())
    }

    /// The same for the members of an object; answers `false`, and collects nothing, where it is much.
    fn compare_members(
        &mut self,
        old: event::Value<'_>,
        new: &ObjectMap,
        keys: &[CompactString],
    ) -> Result<bool, Unfit> {
        let (first, room) = (self.changes.len(), self.room);
        let below = |name: &str| [keys, &[name.into()]].concat();
        let mut kept = 0;
        let mut few = true;
        for (name, before) in old.members() {
            let now = new.get(&*name);
            kept += usize::from(now.is_some());
            self.compare(Some(before), now, below(&name))?;
            few = self.changes.len() - first <= FEW;
            if !few {
                break;
            }
        }
        let added = if few {
            added(old, new, kept)
        } else {
            Vec::new()
        };
        few &= self.changes.len() - first + added.len() <= FEW;
        if !few {
            self.changes.truncate(first);
            self.room = room;
            return Ok(false);
        }
        for (name, now) in added {
            self.compare(None, Some(now), below(name))?;
        }
        Ok(true)
    }

    fn lay(self, event: &mut Event) -> Result<Ran, Unfit> {
        if self.changes.is_empty() {
            return Ok(Ran::Same);
        }
        // All of it or nothing.
        let mut changed = event.clone();
        for Change { keys, raw } in self.changes {
            let path = Path::of(keys.iter().map(CompactString::as_str));
            match raw {
                Some(raw) if keys.is_empty() => {
                    changed = changed.with_body(raw.into()).map_err(|_| NO_JSON)?;
                }
                Some(raw) => put(&mut changed, &path, &keys, raw)?,
                None => drop(changed.remove(&path)),
            }
        }
        *event = changed;
        Ok(Ran::Changed)
    }

    fn several(&self, event: &Event, elements: &[Value]) -> Result<Vec<Event>, Unfit> {
        if elements.len() > Origin::MAX_PARTS {
            return Err(TOO_MANY);
        }
        let mut writer = self.writer();
        let mut places = Vec::with_capacity(elements.len());
        for element in elements {
            let start = writer.out.len();
            match element {
                Value::Object(_) => writer.merged(event.body(), element, 0)?,
                other => writer.value(&boxed(other), 0)?,
            }
            places.push((start, writer.out.len()));
        }
        let text = String::from_utf8(writer.out).map_err(|_| NO_JSON)?;
        let mut made = event.with_bodies(text, &places).map_err(|_| NO_JSON)?;
        for (number, part) in (1..).zip(&mut made) {
            part.origin = event.origin.part(number);
        }
        Ok(made)
    }
}

/// Puts a member in place. What stands in its way and is no object gives way, as in VRL.
fn put(
    event: &mut Event,
    path: &Path,
    keys: &[CompactString],
    raw: CompactString,
) -> Result<(), Unfit> {
    if event.set(path, raw.clone()) {
        return Ok(());
    }
    for length in 1..keys.len() {
        let (above, below) = keys.split_at(length);
        let above = Path::of(above.iter().map(CompactString::as_str));
        let blocks = event
            .get(&above)
            .is_some_and(|it| it.kind() != Kind::Object);
        if blocks {
            let mut nested = raw;
            for key in below.iter().rev() {
                let key = event::json_str(key);
                nested = compact_str::format_compact!("{{{key}:{nested}}}");
            }
            return match event.set(&above, nested) {
                true => Ok(()),
                false => Err(NO_JSON),
            };
        }
    }
    Err(NO_JSON)
}
