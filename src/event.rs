//! Events and batches.
//!
//! An event's body is its own JSON text, untouched, beside an index of it (the *tape*). Changes lie
//! over the text as a short list that every read consults and that the serialiser applies in its
//! one pass: what was not changed is copied as it came, byte for byte.

mod batch;
mod chunk;
mod edit;
mod parse;
mod path;
mod replay;
mod tape;
mod value;

use std::borrow::Cow;
use std::sync::Arc;

use compact_str::CompactString;

pub use batch::Batch;
pub use chunk::{Chunk, ChunkBuilder, Provenance};
pub use edit::{json_str, write_json_str};
pub use parse::{BadJson, MAX_DEPTH};
pub use path::{BadPath, MAX_SEGMENTS, Path, PathSet, Segment};
pub use replay::Replay;
pub use tape::Kind;
pub use value::{Elements, Handle, Members, Value};

use edit::{Change, Edit};
use path::NONE;
use value::Place;

/// Which input event something came from: the delivery that brought it and its place in it.
/// Transforms that drop, split or reorder keep it, so a failure can name what was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Origin(u64);

impl Origin {
    const INDEX_BITS: u32 = 16;
    const PART_BITS: u32 = 12;
    /// Most events of one delivery.
    pub const MAX_EVENTS: usize = 1 << Self::INDEX_BITS;
    /// Most parts of one event that are told apart; further ones share the last number.
    pub const MAX_PARTS: usize = (1 << Self::PART_BITS) - 1;

    /// The event at `index` of the delivery of this number.
    pub fn new(delivery: u64, index: usize) -> Self {
        Self((delivery << Self::INDEX_BITS | index as u64) << Self::PART_BITS)
    }

    /// The delivery's number.
    pub fn delivery(self) -> u64 {
        self.0 >> (Self::INDEX_BITS + Self::PART_BITS)
    }

    /// The place in the delivery, from 0.
    pub fn index(self) -> usize {
        (self.0 >> Self::PART_BITS & ((1 << Self::INDEX_BITS) - 1)) as usize
    }

    /// One of several events that were made of this one, from 1. Parts of parts are not told
    /// apart: they keep the number of the first split.
    #[must_use]
    pub fn part(self, number: usize) -> Self {
        if self.whole() != self {
            return self;
        }
        Self(self.0 | number.min(Self::MAX_PARTS) as u64)
    }

    /// The input event itself.
    #[must_use]
    pub fn whole(self) -> Self {
        Self(self.0 & !(Self::MAX_PARTS as u64))
    }
}

/// Where a record lies in its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// Line, from 1; 0 where lines mean nothing.
    pub line: u64,
    /// Byte offset in the (decompressed) object.
    pub offset: u64,
}

/// What is known of an event besides its body, by the names that pipeline files have for it
/// (`meta: object`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    /// The file or object that it was read from, as its source names it. Empty where there is none.
    Object,
    /// The name of the source that read it.
    Source,
    /// What the broker said of the message that it was.
    Transport(Transport),
}

impl Meta {
    /// All of them with their names.
    pub const ALL: [(&'static str, Meta); 2 + Transport::ALL.len()] = {
        let mut all = [("object", Meta::Object); 2 + Transport::ALL.len()];
        all[1] = ("source", Meta::Source);
        let mut at = 0;
        while at < Transport::ALL.len() {
            let (name, transport) = Transport::ALL[at];
            all[2 + at] = (name, Meta::Transport(transport));
            at += 1;
        }
        all
    };
}

/// What a broker says of a message besides its body: a name of [`Transport::ALL`], under which it
/// stands among [`Extra::headers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport(&'static str);

impl Transport {
    /// All of them with their names.
    pub const ALL: [(&'static str, Transport); 15] = {
        let names = [
            "exchange",
            "routing_key",
            "redelivered",
            "delivery_count",
            "message_id",
            "correlation_id",
            "reply_to",
            "priority",
            "timestamp",
            "message_type",
            "app_id",
            "content_type",
            "death_count",
            "death_reason",
            "death_queue",
        ];
        let mut all = [("", Transport("")); 15];
        let mut at = 0;
        while at < names.len() {
            all[at] = (names[at], Transport(names[at]));
            at += 1;
        }
        all
    };
}

/// What a stage found out about an event's place in its conversation. A set of flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Labels(u8);

impl Labels {
    /// It came after something that it precedes had already gone on.
    pub const LATE: Labels = Labels(1);
    /// Its predecessor in the sequence never came.
    pub const GAP: Labels = Labels(2);
    /// The event that must open its conversation never came.
    pub const ORPHAN: Labels = Labels(4);
    /// Neither happened before the other.
    pub const CONCURRENT: Labels = Labels(8);

    /// All labels with their names.
    pub const ALL: [(Labels, &'static str); 4] = [
        (Labels::LATE, "late"),
        (Labels::GAP, "gap"),
        (Labels::ORPHAN, "orphan"),
        (Labels::CONCURRENT, "concurrent"),
    ];

    /// Adds those of `other`.
    pub fn insert(&mut self, other: Labels) {
        self.0 |= other.0;
    }

    /// True when all of `other` are set.
    pub fn contains(self, other: Labels) -> bool {
        self.0 & other.0 == other.0
    }

    /// True when there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of those set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL
            .into_iter()
            .filter(move |(label, _)| self.contains(*label))
            .map(|(_, name)| name)
    }
}

/// One event: a JSON body and what the engine knows about it.
#[derive(Clone)]
pub struct Event {
    chunk: Arc<Chunk>,
    root: u32,
    row: u32,
    length: u32,
    /// Which input event it came from.
    pub origin: Origin,
    /// Where it lay in its object.
    pub position: Position,
    /// Event time in microseconds since 1970 (UTC), once a stage read it.
    pub time: Option<i64>,
    /// The conversation's own counter, given by `causal_reorder`; 0 before.
    pub counter: u64,
    /// Set by `causal_reorder`.
    pub labels: Labels,
    /// Lane of a prioritised edge: 0 is the lowest.
    pub priority: u8,
    edits: Vec<Edit>,
    /// What few events have.
    extra: Option<Box<Extra>>,
}

/// Metadata that few events have.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// The tenant it belongs to.
    pub tenant: Option<Arc<str>>,
    /// What the transport gave: routing key, headers.
    pub headers: Vec<(Arc<str>, String)>,
    /// The dead letter that it was taken up from.
    pub replay: Option<Arc<Replay>>,
}

impl Event {
    /// Takes the record at `start..end` of the builder's text. The event lives once the builder is
    /// finished: see [`EventsBuilder`].
    fn placed(chunk: Arc<Chunk>, at: chunk::Placed, position: Position) -> Self {
        Self {
            chunk,
            root: at.root,
            row: at.row,
            length: at.length,
            origin: Origin::default(),
            position,
            time: None,
            counter: 0,
            labels: Labels::default(),
            priority: 0,
            edits: Vec::new(),
            extra: None,
        }
    }

    /// An event of its own chunk.
    ///
    /// # Errors
    /// When `json` is not one JSON value, is nested too deep, or has a member twice that the
    /// pipeline reads.
    pub fn parse(
        json: String,
        paths: &Arc<PathSet>,
        from: &Arc<Provenance>,
    ) -> Result<Self, BadJson> {
        let end = json.len();
        let mut builder = ChunkBuilder::new(json, paths.clone(), from.clone());
        let at = builder.push(0, end)?;
        Ok(Self::placed(builder.finish(), at, Position::default()))
    }

    /// A new body for this event: same origin, position and metadata.
    ///
    /// # Errors
    /// As [`Event::parse`].
    pub fn with_body(&self, json: String) -> Result<Self, BadJson> {
        let mut event = Self::parse(json, &self.chunk.paths, &self.chunk.provenance)?;
        event.take_metadata(self);
        Ok(event)
    }

    /// The events that this one becomes: their bodies lie at these places of one text, and each has
    /// the same origin, position and metadata. One allocation for all of them.
    ///
    /// # Errors
    /// As [`Event::parse`], and then none of them is made.
    pub fn with_bodies(
        &self,
        text: String,
        places: &[(usize, usize)],
    ) -> Result<Vec<Self>, BadJson> {
        let (paths, from) = (self.chunk.paths.clone(), self.chunk.provenance.clone());
        let mut builder = ChunkBuilder::new(text, paths, from);
        builder.reserve(places.len());
        let mut placed = Vec::with_capacity(places.len());
        for &(start, end) in places {
            placed.push(builder.push(start, end)?);
        }
        let chunk = builder.finish();
        let event = |at| {
            let mut event = Self::placed(chunk.clone(), at, self.position);
            event.take_metadata(self);
            event
        };
        Ok(placed.into_iter().map(event).collect())
    }

    fn take_metadata(&mut self, of: &Self) {
        self.origin = of.origin;
        self.position = of.position;
        self.time = of.time;
        self.counter = of.counter;
        self.labels = of.labels;
        self.priority = of.priority;
        self.extra.clone_from(&of.extra);
    }

    /// Where it comes from.
    pub fn provenance(&self) -> &Arc<Provenance> {
        &self.chunk.provenance
    }

    /// One thing about it that is not in its body; `None` where there is nothing to say.
    pub fn meta(&self, meta: Meta) -> Option<&str> {
        let said: &str = match meta {
            Meta::Object => &self.chunk.provenance.object,
            Meta::Source => &self.chunk.provenance.source,
            Meta::Transport(Transport(name)) => {
                let headers = &self.extra.as_ref()?.headers;
                &headers.iter().find(|(known, _)| &**known == name)?.1
            }
        };
        (!said.is_empty()).then_some(said)
    }

    /// Size of the body as it came, in bytes.
    pub fn length(&self) -> u64 {
        u64::from(self.length)
    }

    /// Metadata that few events have.
    pub fn extra(&self) -> Option<&Extra> {
        self.extra.as_deref()
    }

    /// The same, to change.
    pub fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// The dead letter that it was taken up from.
    pub fn replay(&self) -> Option<&Arc<Replay>> {
        self.extra.as_ref()?.replay.as_ref()
    }

    /// The whole body.
    pub fn body(&self) -> Value<'_> {
        Value {
            event: self,
            place: Place::Tape(self.root),
        }
    }

    /// What the path leads to: the first match where it can mean several places.
    pub fn get(&self, path: &Path) -> Option<Value<'_>> {
        match path.slot() {
            // An event that was read without this pipeline's paths (a dead letter) has no rows.
            slot if slot as usize >= self.chunk.paths.len() => self.body().follow(path.segments()),
            slot => {
                let at = self.chunk.rows[self.row as usize + slot as usize];
                // A member that was removed may have been added anew.
                let there = if at == NONE {
                    None
                } else {
                    self.place_below(at)
                };
                let place = there.or_else(|| self.inserted(slot))?;
                Some(Value { event: self, place })
            }
        }
    }

    /// Calls `visit` with everything the path leads to.
    pub fn each<'a>(&'a self, path: &Path, visit: &mut dyn FnMut(Value<'a>)) {
        if path.slot() != NONE {
            if let Some(value) = self.get(path) {
                visit(value);
            }
            return;
        }
        self.body().each(path.segments(), visit);
    }

    /// The string at the path.
    pub fn text(&self, path: &Path) -> Option<Cow<'_, str>> {
        self.get(path)?.as_str()
    }

    /// The value at a tape index itself: laid over, untouched, or gone.
    fn place(&self, at: u32) -> Option<Place<'_>> {
        for edit in &self.edits {
            if edit.at == at {
                match &edit.change {
                    Change::Replace(raw) => return Some(Place::Raw(raw)),
                    Change::Remove => return None,
                    Change::Insert { .. } => {}
                }
            }
        }
        Some(Place::Tape(at))
    }

    /// The same for an index that was reached without walking through its parents.
    fn place_below(&self, at: u32) -> Option<Place<'_>> {
        if self.edits.is_empty() {
            return Some(Place::Tape(at));
        }
        let hidden = |edit: &Edit| {
            !matches!(edit.change, Change::Insert { .. })
                && edit.at < at
                && at < self.chunk.after(edit.at)
        };
        if self.edits.iter().any(hidden) {
            return None;
        }
        self.place(at)
    }

    /// A member that was added where the text had none.
    fn inserted(&self, slot: u32) -> Option<Place<'_>> {
        let branch = self.chunk.paths.slot_branch(slot);
        let object = self.object_of(branch.parent)?;
        let name = json_str(&branch.name);
        self.edits.iter().find_map(|edit| match &edit.change {
            Change::Insert { key, raw } if edit.at == object && *key == name => {
                Some(Place::Raw(raw))
            }
            _ => None,
        })
    }

    /// Tape index of the object in a slot (the body itself for `NONE`), if it is one and is there.
    fn object_of(&self, slot: u32) -> Option<u32> {
        let at = match slot {
            NONE => self.root,
            slot => self.chunk.rows[self.row as usize + slot as usize],
        };
        let there = at != NONE && matches!(self.place_below(at)?, Place::Tape(_));
        (there && self.chunk.word(at).kind() == Kind::Object).then_some(at)
    }

    /// First byte of the member or element whose value lies at `at`, its name included.
    fn member_start(&self, at: u32) -> usize {
        let start = self.chunk.word(at).start();
        if at == self.root {
            return start;
        }
        // The word before a member's value is its key, with nothing but a colon between them.
        let key = self.chunk.word(at - 1);
        let text = self.chunk.text.as_bytes();
        let is_key = key.kind() == Kind::Text
            && key.end() <= start
            && text[key.end()..start].contains(&b':');
        if is_key { key.start() } else { start }
    }

    /// Puts a value in place: `raw` is its JSON text. Members and their parents are made where
    /// they are missing; a path through something that is no object changes nothing and answers
    /// `false`, as does one with `[…]`.
    pub fn set(&mut self, path: &Path, raw: impl Into<CompactString>) -> bool {
        let raw = raw.into();
        if let Some(handle) = self.get(path).map(|value| value.handle()) {
            match handle {
                Some(handle) => self.replace_at(handle, raw),
                None => return self.replace_inserted(path, raw),
            }
            return true;
        }
        self.insert(path, raw)
    }

    /// Replaces the value at a handle.
    pub fn replace_at(&mut self, handle: Handle, raw: impl Into<CompactString>) {
        let raw = raw.into();
        let rebuild = edit::is_container(&raw);
        self.lay(handle.0, Change::Replace(raw));
        if rebuild {
            self.rebuild();
        }
    }

    /// Removes the member or element at a handle.
    pub fn remove_at(&mut self, handle: Handle) {
        if handle.0 == self.root {
            return self.lay(handle.0, Change::Replace("null".into()));
        }
        self.lay(handle.0, Change::Remove);
    }

    /// Makes several changes in one go, at a cost that does not grow with their square. At most one
    /// change for each handle, and none inside a value that another one replaces or removes.
    /// Handles got before are good no longer. `false`, and nothing changed, when the outcome is no
    /// body, since a new name is there twice. The list is empty afterwards, to be used again.
    pub fn revise(&mut self, revisions: &mut Vec<(Handle, Revision)>) -> bool {
        // Each change that lies over the text is looked at by every later read.
        const FEW: usize = 16;
        let lies_over = |revision: &Revision| match revision {
            Revision::Replace(raw) => !edit::is_container(raw),
            Revision::Remove => true,
            Revision::Rename(_) => false,
        };
        if revisions.len() > FEW || !revisions.iter().all(|(_, one)| lies_over(one)) {
            return self.rewrite(revisions);
        }
        for (handle, revision) in revisions.drain(..) {
            match revision {
                Revision::Replace(raw) => self.replace_at(handle, raw),
                Revision::Remove | Revision::Rename(_) => self.remove_at(handle),
            }
        }
        true
    }

    /// Writes all changes into a text of the event's own in one pass.
    fn rewrite(&mut self, revisions: &mut Vec<(Handle, Revision)>) -> bool {
        let mut revised = self.clone();
        let edits = &mut revised.edits;
        edits.extend(revisions.drain(..).map(|(Handle(at), revision)| {
            let (at, change) = match revision {
                Revision::Replace(raw) => (at, Change::Replace(raw)),
                Revision::Remove if at == self.root => (at, Change::Replace("null".into())),
                Revision::Remove => (at, Change::Remove),
                // The word before a member's value is its name.
                Revision::Rename(key) => (at - 1, Change::Replace(key)),
            };
            Edit { at, change }
        }));
        let rewritten = revised.with_body(revised.to_json()).ok();
        let is_body = rewritten.is_some();
        if let Some(event) = rewritten {
            *self = event;
        }
        is_body
    }

    /// Removes what the path leads to; says whether there was anything.
    pub fn remove(&mut self, path: &Path) -> bool {
        let Some(value) = self.get(path) else {
            return false;
        };
        match value.handle() {
            Some(handle) => self.remove_at(handle),
            None => {
                self.rebuild();
                if let Some(handle) = self.get(path).and_then(|value| value.handle()) {
                    self.remove_at(handle);
                }
            }
        }
        true
    }

    fn lay(&mut self, at: u32, change: Change) {
        let edits = &mut self.edits;
        edits.retain(|edit| edit.at != at || matches!(edit.change, Change::Insert { .. }));
        edits.push(Edit { at, change });
    }

    /// A value that is itself a change: write everything into the text first, then change that.
    fn replace_inserted(&mut self, path: &Path, raw: CompactString) -> bool {
        self.rebuild();
        match self.get(path).and_then(|value| value.handle()) {
            Some(handle) => self.replace_at(handle, raw),
            None => return false,
        }
        true
    }

    fn insert(&mut self, path: &Path, raw: CompactString) -> bool {
        let mut keys = Vec::with_capacity(path.segments().len());
        for segment in path.segments() {
            let Segment::Key(key) = segment else {
                return false;
            };
            keys.push(key.as_str());
        }
        // The deepest parent that is there takes the member; what lies below it is made with it.
        let mut parent = self.body();
        let mut made = 0;
        while made + 1 < keys.len() {
            let Some(next) = parent.member(keys[made]) else {
                break;
            };
            parent = next;
            made += 1;
        }
        let (Some(Handle(at)), Kind::Object, true) =
            (parent.handle(), parent.kind(), made < keys.len())
        else {
            return false;
        };
        let mut value = raw;
        for key in keys[made + 1..].iter().rev() {
            value = compact_str::format_compact!("{{{}:{value}}}", json_str(key));
        }
        let rebuild = edit::is_container(&value);
        let insert = Change::Insert {
            key: json_str(keys[made]),
            raw: value,
        };
        self.edits.push(Edit { at, change: insert });
        if rebuild {
            self.rebuild();
        }
        true
    }

    /// Writes the changes into a text of the event's own.
    fn rebuild(&mut self) {
        let json = self.to_json();
        // What was checked JSON stays so under these changes; a value given by a caller that is no
        // JSON is the one way to get here, and then the event stays as it was, overlaid.
        match self.with_body(json) {
            Ok(event) => *self = event,
            Err(bad) => debug_assert!(false, "a change made the body bad: {bad}"),
        }
    }

    /// Appends the body as JSON, changes included.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.body().write_json(out);
    }

    /// The body as JSON, changes included; borrowed where there are none.
    pub fn json(&self) -> Cow<'_, str> {
        match self.edits.is_empty() {
            true => self.chunk.raw(self.root).into(),
            false => self.to_json().into(),
        }
    }

    /// New bodies for events, with the metadata of the event beside each. Those that stand next to
    /// each other and come from one delivery share one allocation. What is no usable JSON is told one
    /// by one: see [`Event::parse`].
    pub fn with_texts(parts: &[(&Event, &str)]) -> Vec<Result<Event, BadJson>> {
        let same = |one: &(&Event, &str), two: &(&Event, &str)| {
            let (one, two) = (&one.0.chunk, &two.0.chunk);
            Arc::ptr_eq(&one.provenance, &two.provenance) && Arc::ptr_eq(&one.paths, &two.paths)
        };
        let mut all = Vec::with_capacity(parts.len());
        for run in parts.chunk_by(same) {
            let (first, _) = run[0];
            let mut text = String::with_capacity(run.iter().map(|(_, body)| body.len()).sum());
            run.iter().for_each(|(_, body)| text.push_str(body));
            let (paths, from) = (&first.chunk.paths, &first.chunk.provenance);
            let mut builder = ChunkBuilder::new(text, paths.clone(), from.clone());
            builder.reserve(run.len());
            let mut start = 0;
            let placed = run.iter().map(|(_, body)| {
                let from = start;
                start += body.len();
                builder.push(from, start)
            });
            let placed: Vec<_> = placed.collect();
            let chunk = builder.finish();
            all.extend(placed.into_iter().zip(run).map(|(at, (of, _))| {
                let mut event = Self::placed(chunk.clone(), at?, of.position);
                event.take_metadata(of);
                Ok(event)
            }));
        }
        all
    }

    /// The body as JSON, changes included.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(self.length as usize + 64);
        self.write_json(&mut out);
        // Text and changes are both `str`s and are cut at ASCII bytes only.
        String::from_utf8(out)
            .unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned())
    }
}

impl std::fmt::Debug for Event {
    /// Origin and size only: the body may be personal data.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Event({:?}, {} bytes)", self.origin, self.length)
    }
}

/// One of many changes: see [`Event::revise`].
#[derive(Clone, Debug)]
pub enum Revision {
    /// The value's new JSON text.
    Replace(CompactString),
    /// The member or element goes.
    Remove,
    /// The member's new name as a JSON string, quotes included; for members only.
    Rename(CompactString),
}

/// Builds the events of one text.
pub struct EventsBuilder {
    builder: ChunkBuilder,
    placed: Vec<(chunk::Placed, Position)>,
}

impl EventsBuilder {
    /// Over `text`, in which the records lie.
    pub fn new(text: String, paths: Arc<PathSet>, from: Arc<Provenance>, records: usize) -> Self {
        let mut builder = ChunkBuilder::new(text, paths, from);
        builder.reserve(records);
        Self {
            builder,
            placed: Vec::with_capacity(records),
        }
    }

    /// The text over which the events are built.
    pub fn text(&self) -> &str {
        &self.builder.chunk.text
    }

    /// Takes the record at `start..end` of the text.
    ///
    /// # Errors
    /// As [`Event::parse`].
    pub fn push(&mut self, start: usize, end: usize, position: Position) -> Result<(), BadJson> {
        let at = self.builder.push(start, end)?;
        self.placed.push((at, position));
        Ok(())
    }

    /// The events.
    pub fn finish(self) -> Batch {
        let chunk = self.builder.finish();
        self.placed
            .into_iter()
            .map(|(at, position)| Event::placed(chunk.clone(), at, position))
            .collect()
    }
}

#[cfg(test)]
mod tests;
