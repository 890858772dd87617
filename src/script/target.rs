//! An event as VRL sees it: its members are made into values when they are first asked for.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;

use chrono::{DateTime, Utc};
use compact_str::CompactString;
use smallvec::SmallVec;
use vrl::compiler::{SecretTarget, Target};
use vrl::path::{OwnedSegment, OwnedTargetPath, OwnedValuePath, PathPrefix};
use vrl::value::{KeyString, ObjectMap, Value};

use super::metadata;
use super::number::Numbers;
use crate::clock::Wall;
use crate::event::{self, Event, Kind, Path};

/// A member of the body that a program names, by names alone: what it says of elements is below it.
/// No root lies in another.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub keys: Vec<KeyString>,
    pub path: Path,
}

/// The roots of a program that names these paths.
pub(super) fn roots<'p>(named: impl Iterator<Item = &'p OwnedTargetPath>) -> Vec<Root> {
    let mut all: Vec<Vec<KeyString>> = named
        .filter(|path| path.prefix == PathPrefix::Event)
        .map(|path| {
            let fields = path
                .path
                .segments
                .iter()
                .map_while(|segment| match segment {
                    OwnedSegment::Field(name) => Some(name.clone()),
                    OwnedSegment::Index(_) => None,
                });
            fields.collect()
        })
        .filter(|keys: &Vec<_>| !keys.is_empty())
        .collect();
    // What lies below another comes right behind it.
    all.sort();
    all.dedup_by(|below, above| below.starts_with(above));
    let root = |keys: Vec<KeyString>| Root {
        path: Path::of(keys.iter().map(KeyString::as_str)),
        keys,
    };
    all.into_iter().map(root).collect()
}

/// What became of the numbers and names that VRL cannot hold.
#[derive(Debug, Default)]
pub(super) struct Losses {
    pub numbers: Numbers,
    /// Why the event cannot be shown to a program at all.
    pub refused: Option<&'static str>,
}

/// A root while the program runs.
#[derive(Debug, Default)]
struct Slot {
    /// Its value now; none where there is nothing. Not made before it is asked for.
    value: OnceCell<Option<Value>>,
    written: bool,
}

/// An event while a program runs on it. It is not changed: what is to be is taken out at the end.
pub(super) struct Body<'e> {
    event: &'e Event,
    roots: &'e [Root],
    slots: SmallVec<[Slot; 6]>,
    /// The whole body with what was written so far: from the moment on when somebody needs all of it.
    whole: OnceCell<Value>,
    whole_written: bool,
    /// The runtime asks first whether there is a body at all, which is no reason to make it.
    greeted: Cell<bool>,
    metadata: OnceCell<Value>,
    wall: &'e Wall,
    clock: OnceCell<Value>,
    losses: RefCell<Losses>,
}

/// What a program left.
pub(super) enum Left {
    /// Values of roots, by their numbers; none where there is nothing any more.
    Roots(SmallVec<[(usize, Option<Value>); 3]>),
    /// A whole body.
    Whole(Value),
}

static GREETING: Value = Value::Null;

impl<'e> Body<'e> {
    pub fn new(event: &'e Event, roots: &'e [Root], wall: &'e Wall) -> Self {
        Self {
            event,
            roots,
            slots: roots.iter().map(|_| Slot::default()).collect(),
            whole: OnceCell::new(),
            whole_written: false,
            greeted: Cell::new(false),
            metadata: OnceCell::new(),
            wall,
            clock: OnceCell::new(),
            losses: RefCell::default(),
        }
    }

    /// What the program left, and what VRL could not hold of the event.
    pub fn finish(self) -> (Left, Losses) {
        let written = self.whole_written || self.slots.iter().any(|slot| slot.written);
        let left = match self.whole.into_inner() {
            Some(whole) if written => Left::Whole(whole),
            Some(_) => Left::Roots(SmallVec::new()),
            None => {
                let slots = self.slots.into_iter().enumerate();
                let written = slots.filter(|(_, slot)| slot.written);
                let value = |(number, slot): (usize, Slot)| {
                    (number, slot.value.into_inner().unwrap_or_default())
                };
                Left::Roots(written.map(value).collect())
            }
        };
        (left, self.losses.into_inner())
    }

    /// The root that a path leads to or through, and what of the path is below it.
    fn root_of<'p>(&self, path: &'p [OwnedSegment]) -> Option<(usize, &'p [OwnedSegment])> {
        let leads = |root: &Root| {
            let mut both = root.keys.iter().zip(path);
            root.keys.len() <= path.len()
                && both.all(
                    |(key, segment)| matches!(segment, OwnedSegment::Field(name) if name == key),
                )
        };
        let found = self.roots.iter().position(leads)?;
        Some((found, &path[self.roots[found].keys.len()..]))
    }

    fn value(&self, number: usize) -> &Option<Value> {
        self.slots[number].value.get_or_init(|| {
            let found = self.event.get(&self.roots[number].path)?;
            Some(value(found, &mut self.losses.borrow_mut()))
        })
    }

    /// The same, to change.
    fn value_mut(&mut self, number: usize) -> &mut Option<Value> {
        self.value(number);
        let slot = &mut self.slots[number];
        slot.written = true;
        let made = slot.value.get_mut();
        made.unwrap_or_else(|| unreachable!("it is made above"))
    }

    fn whole(&self) -> &Value {
        self.whole.get_or_init(|| {
            let mut all = value(self.event.body(), &mut self.losses.borrow_mut());
            for (root, slot) in self.roots.iter().zip(&self.slots) {
                let Some(now) = slot.value.get().filter(|_| slot.written) else {
                    continue;
                };
                let fields = root.keys.iter().cloned().map(OwnedSegment::Field);
                let path = OwnedValuePath::from(fields.collect::<Vec<_>>());
                match now {
                    Some(now) => drop(all.insert(&path, now.clone())),
                    None => drop(all.remove(&path, false)),
                }
            }
            all
        })
    }

    fn whole_mut(&mut self) -> &mut Value {
        self.whole();
        let made = self.whole.get_mut();
        made.unwrap_or_else(|| unreachable!("it is made above"))
    }

    fn get(&self, path: &OwnedValuePath) -> Option<&Value> {
        if path.is_root() && !self.greeted.replace(true) {
            return Some(&GREETING);
        }
        if let Some(whole) = self.whole.get() {
            return below(whole, &path.segments);
        }
        match self.root_of(&path.segments) {
            Some((root, rest)) => below(self.value(root).as_ref()?, rest),
            None => below(self.whole(), &path.segments),
        }
    }

    fn insert(&mut self, path: &OwnedValuePath, value: Value) {
        if path.is_root() {
            self.whole = OnceCell::from(value);
            self.whole_written = true;
            return;
        }
        let root = self
            .root_of(&path.segments)
            .filter(|_| self.whole.get().is_none());
        let Some((root, rest)) = root else {
            self.whole_mut().insert(path, value);
            self.whole_written = true;
            return;
        };
        let rest = OwnedValuePath::from(rest.to_vec());
        let place = self.value_mut(root);
        match rest.is_root() {
            true => *place = Some(value),
            false => drop(place.get_or_insert(Value::Null).insert(&rest, value)),
        }
    }

    fn remove(&mut self, path: &OwnedValuePath, compact: bool) -> Option<Value> {
        // What is left empty goes too, up to the body: that is known of all of it only.
        let root = self.root_of(&path.segments);
        let root = root.filter(|_| !compact && self.whole.get().is_none());
        let Some((root, rest)) = root else {
            let removed = self.whole_mut().remove(path, compact);
            self.whole_written |= removed.is_some();
            return removed;
        };
        self.value(root).as_ref()?;
        let rest = OwnedValuePath::from(rest.to_vec());
        let place = self.value_mut(root);
        match rest.is_root() {
            true => place.take(),
            false => place.as_mut()?.remove(&rest, false),
        }
    }

    fn told(&self, path: &OwnedValuePath) -> Option<&Value> {
        match path.segments.first() {
            Some(OwnedSegment::Field(name)) if metadata::is_clock(name) => {
                let now = || DateTime::<Utc>::from_timestamp_micros(self.wall.micros());
                Some(
                    self.clock
                        .get_or_init(|| now().map_or(Value::Null, Value::Timestamp)),
                )
            }
            _ => {
                let all = self.metadata.get_or_init(|| metadata::of(self.event));
                below(all, &path.segments)
            }
        }
    }
}

/// What a path leads to from here, as VRL reads it: an index may count from the end.
fn below<'v>(value: &'v Value, path: &[OwnedSegment]) -> Option<&'v Value> {
    path.iter()
        .try_fold(value, |value, segment| match (segment, value) {
            (OwnedSegment::Field(name), Value::Object(members)) => members.get(name.as_str()),
            (OwnedSegment::Index(index), Value::Array(elements)) => {
                let at = match usize::try_from(*index) {
                    Ok(at) => Some(at),
                    Err(_) => elements.len().checked_sub(index.unsigned_abs()),
                };
                elements.get(at?)
            }
            _ => None,
        })
}

/// A value of the body as VRL's. Its depth is bounded by that of events.
pub(super) fn value(found: event::Value<'_>, losses: &mut Losses) -> Value {
    match found.kind() {
        Kind::Null => Value::Null,
        Kind::Bool => Value::Boolean(found.as_bool().unwrap_or_default()),
        Kind::Text => found.as_str().map_or(Value::Null, Value::from),
        Kind::Number => {
            let taken = losses.numbers.take(found.as_number().unwrap_or_default());
            taken.unwrap_or_else(|| {
                losses.refused = Some("it has too many numbers that VRL cannot hold");
                Value::Null
            })
        }
        Kind::Array => found.elements().map(|it| value(it, losses)).collect(),
        Kind::Object => {
            let mut members = ObjectMap::new();
            for (name, member) in found.members() {
                let member = value(member, losses);
                if members.insert(name.into(), member).is_some() {
                    losses.refused = Some("a member comes twice in what the program reads");
                }
            }
            Value::Object(members)
        }
    }
}

/// Names of a root, as changes have them.
pub(super) fn names(root: &Root) -> Vec<CompactString> {
    root.keys.iter().map(|key| key.as_str().into()).collect()
}

impl Target for Body<'_> {
    fn target_insert(&mut self, path: &OwnedTargetPath, value: Value) -> Result<(), String> {
        match path.prefix {
            PathPrefix::Event => self.insert(&path.path, value),
            // The compiler refuses it.
            PathPrefix::Metadata => return Err("`%` is read-only".to_owned()),
        }
        Ok(())
    }

    fn target_get(&self, path: &OwnedTargetPath) -> Result<Option<&Value>, String> {
        Ok(match path.prefix {
            PathPrefix::Event => self.get(&path.path),
            PathPrefix::Metadata => self.told(&path.path),
        })
    }

    fn target_get_mut(&mut self, path: &OwnedTargetPath) -> Result<Option<&mut Value>, String> {
        if path.prefix == PathPrefix::Metadata {
            return Err("`%` is read-only".to_owned());
        }
        // Nothing in VRL asks for it; whoever does gets the whole.
        self.whole_written = true;
        Ok(self.whole_mut().get_mut(&path.path))
    }

    fn target_remove(
        &mut self,
        path: &OwnedTargetPath,
        compact: bool,
    ) -> Result<Option<Value>, String> {
        match path.prefix {
            PathPrefix::Event => Ok(self.remove(&path.path, compact)),
            PathPrefix::Metadata => Err("`%` is read-only".to_owned()),
        }
    }
}

/// There are none.
impl SecretTarget for Body<'_> {
    fn get_secret(&self, _: &str) -> Option<&str> {
        None
    }

    fn insert_secret(&mut self, _: &str, _: &str) {}

    fn remove_secret(&mut self, _: &str) {}
}

impl fmt::Debug for Body<'_> {
    /// Nothing of the event.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Body({} roots)", self.roots.len())
    }
}
