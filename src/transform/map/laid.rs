//! `keep: all`: changes laid over the event as it came.
//!
//! All fields read the event as it came, whatever else changes; then members are renamed, fields
//! set, defaults filled in, and last of all members dropped.

use compact_str::CompactString;

use super::field::json_of;
use super::json::Json;
use super::locate::Scope;
use super::{Mistake, Named, OnError};
use crate::event::{Event, Kind, Path, Revision, Value};

/// The changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Laid {
    pub fields: Vec<Named>,
    pub renames: Vec<(Path, Path)>,
    /// Set where nothing or null is.
    pub fills: Vec<(Path, Json)>,
    pub drops: Vec<Path>,
}

impl Laid {
    pub(super) fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        for named in &mut self.fields {
            visit(&mut named.path);
            named.field.paths(visit);
        }
        for (from, to) in &mut self.renames {
            visit(from);
            visit(to);
        }
        self.fills.iter_mut().for_each(|(path, _)| visit(path));
        self.drops.iter_mut().for_each(visit);
    }

    /// Changes the event, or leaves it as it was when one of the changes cannot be made.
    pub(super) fn apply(&self, event: &mut Event, on_error: OnError) -> Result<(), Mistake> {
        if self.fields.is_empty() && self.renames.is_empty() && self.fills.is_empty() {
            // Nothing that can go wrong, so nothing to go back to.
            self.drops.iter().for_each(|path| drop_all(event, path));
            return Ok(());
        }
        let mut values: Vec<(&Path, CompactString)> = Vec::new();
        for (from, to) in &self.renames {
            values.extend(event.get(from).and_then(text_of).map(|text| (to, text)));
        }
        let scope = Scope { event, around: &[] };
        for named in &self.fields {
            let item = named.value(scope, on_error)?;
            let text = item.as_ref().and_then(json_of);
            values.extend(text.map(|text| (&named.path, text)));
        }
        let mut changed = event.clone();
        for (from, _) in &self.renames {
            changed.remove(from);
        }
        for (path, text) in values {
            put(&mut changed, path, text)?;
        }
        for (path, Json(text)) in &self.fills {
            let value = changed.get(path);
            if value.is_none_or(|value| value.kind() == Kind::Null) {
                put(&mut changed, path, text.clone())?;
            }
        }
        self.drops
            .iter()
            .for_each(|path| drop_all(&mut changed, path));
        *event = changed;
        Ok(())
    }
}

fn text_of(value: Value<'_>) -> Option<CompactString> {
    let mut out = Vec::new();
    value.write_json(&mut out);
    CompactString::from_utf8(out).ok()
}

fn put(event: &mut Event, path: &Path, text: CompactString) -> Result<(), Mistake> {
    let done = match text.as_bytes().first() {
        Some(b'{' | b'[') => put_container(event, path, text),
        _ => event.set(path, text),
    };
    done.then_some(()).ok_or_else(|| Mistake {
        field: path.to_string(),
        why: "it cannot be put there",
    })
}

/// A container from elsewhere may make the body too deep, or repeat a name that is read: it goes
/// in by way of a stand-in, so that the event stays as it was if it does.
fn put_container(event: &mut Event, path: &Path, text: CompactString) -> bool {
    if !event.set(path, "null") {
        return false;
    }
    let Some(mut flat) = flattened(event) else {
        return false;
    };
    let Some(handle) = flat.get(path).and_then(|value| value.handle()) else {
        return false;
    };
    let done = flat.revise(&mut vec![(handle, Revision::Replace(text))]);
    *event = flat;
    done
}

/// The event with all changes written into its text.
fn flattened(event: &Event) -> Option<Event> {
    event.with_body(event.to_json()).ok()
}

fn drop_all(event: &mut Event, path: &Path) {
    if !path.is_multiple() {
        event.remove(path);
        return;
    }
    let mut inserted = false;
    let mut found = Vec::new();
    event.each(path, &mut |value| match value.handle() {
        Some(handle) => found.push((handle, Revision::Remove)),
        None => inserted = true,
    });
    if inserted {
        // What a change put there has no place in the text until the text has it.
        let Some(flat) = flattened(event) else { return };
        *event = flat;
        found.clear();
        event.each(path, &mut |value| {
            found.extend(value.handle().map(|handle| (handle, Revision::Remove)));
        });
    }
    if !found.is_empty() {
        event.revise(&mut found);
    }
}
