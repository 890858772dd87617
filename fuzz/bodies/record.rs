//! Any text as a record: our parser and `serde_json` agree on whether it is one and on what is in
//! it, also after changes.
//!
//! The text up to the first record separator (`\x1e`) is the record; each byte after it is a change.

use std::sync::Arc;

use serde_json::{Map, Value as Json};
use trunkline::event::{Event, Kind, Path, PathSet, Provenance, Value};

const PATHS: [&str; 8] = [
    ".a", ".a.b", ".a.b.c", ".b", ".\"\"", ".d.e", ".z", ".\"x y\"",
];
/// What is put in place, as JSON.
const VALUES: [&str; 8] = [
    "null",
    "true",
    "-1.5e3",
    "\"x\"",
    "\"a\\u00e4\\n\"",
    "{}",
    "{\"b\":{\"c\":[1]}}",
    "[{\"a\":2}]",
];

pub fn run(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0x1e);
    let record = parts.next().unwrap_or_default();
    let Ok(text) = std::str::from_utf8(record) else {
        return;
    };
    let changes = parts.next().unwrap_or(b"\x0b\x13\x44\x81\x2d\x66\xff");
    check(text, changes);
}

fn check(text: &str, changes: &[u8]) {
    let mut set = PathSet::default();
    let mut paths: Vec<Path> = PATHS.iter().filter_map(|path| path.parse().ok()).collect();
    assert_eq!(paths.len(), PATHS.len());
    // Some are resolved while parsing, and some are walked to.
    paths
        .iter_mut()
        .step_by(2)
        .for_each(|path| set.intern(path));
    let expected: Result<Json, _> = serde_json::from_str(text);
    let parsed = Event::parse(
        text.to_owned(),
        &Arc::new(set),
        &Arc::new(Provenance::default()),
    );
    let mut event = match (parsed, &expected) {
        (Ok(event), Ok(_)) => event,
        (Err(_), Err(_)) => return,
        // A number that no machine's number holds: the text is kept as it is.
        (Ok(_), Err(error)) => {
            assert!(
                error.to_string().contains("out of range"),
                "{error}: {text:?}"
            );
            return;
        }
        (Err(bad), Ok(_)) => {
            assert!(
                ["too_deep", "duplicate_key"].contains(&bad.reason),
                "{bad}: {text:?}"
            );
            return;
        }
    };
    let Some(mut model) = to_json(event.body()) else {
        return; // A name that comes twice: which of the two counts is not said.
    };
    assert_eq!(Some(&model), expected.as_ref().ok(), "{text:?}");
    assert_eq!(read_back(&event), Some(model.clone()), "{text:?}");
    for change in changes.iter().take(12) {
        apply(*change, &paths, &mut event, &mut model);
        assert_eq!(
            read_back(&event),
            Some(model.clone()),
            "{text:?} after {change}"
        );
        assert_eq!(
            to_json(event.body()),
            Some(model.clone()),
            "{text:?} after {change}"
        );
        for path in &paths {
            let found = event.get(path).and_then(to_json);
            assert_eq!(
                found.as_ref(),
                look(&model, path),
                "{path} of {text:?} after {change}"
            );
        }
    }
}

fn read_back(event: &Event) -> Option<Json> {
    serde_json::from_str(&event.to_json()).ok()
}

fn apply(change: u8, paths: &[Path], event: &mut Event, model: &mut Json) {
    let path = &paths[usize::from(change & 7)];
    let raw = VALUES[usize::from(change >> 3 & 7)];
    if change & 0xc0 == 0xc0 {
        let is_there = look(model, path).is_some();
        assert_eq!(event.remove(path), is_there, "removing {path}");
        remove(model, &keys(path));
    } else {
        let value: Json = serde_json::from_str(raw).unwrap();
        let is_set = set(model, &keys(path), value);
        assert_eq!(event.set(path, raw), is_set, "setting {path} to {raw}");
    }
}

fn keys(path: &Path) -> Vec<String> {
    use trunkline::event::Segment;
    let name = |segment: &Segment| match segment {
        Segment::Key(key) => key.to_string(),
        other => unreachable!("{other:?} is in no path here"),
    };
    path.segments().iter().map(name).collect()
}

fn look<'a>(model: &'a Json, path: &Path) -> Option<&'a Json> {
    let mut at = model;
    for key in keys(path) {
        at = at.as_object()?.get(&key)?;
    }
    Some(at)
}

fn set(model: &mut Json, keys: &[String], value: Json) -> bool {
    let (Some(object), Some((first, rest))) = (model.as_object_mut(), keys.split_first()) else {
        return false;
    };
    if rest.is_empty() {
        object.insert(first.clone(), value);
        return true;
    }
    if let Some(next) = object.get_mut(first) {
        return set(next, rest, value);
    }
    let mut made = Json::Object(Map::new());
    set(&mut made, rest, value);
    object.insert(first.clone(), made);
    true
}

fn remove(model: &mut Json, keys: &[String]) {
    let (Some(object), Some((first, rest))) = (model.as_object_mut(), keys.split_first()) else {
        return;
    };
    if rest.is_empty() {
        object.remove(first);
    } else if let Some(next) = object.get_mut(first) {
        remove(next, rest);
    }
}

/// What the readers of an event see; `None` where a name comes twice.
fn to_json(value: Value<'_>) -> Option<Json> {
    Some(match value.kind() {
        Kind::Null => Json::Null,
        Kind::Bool => Json::Bool(value.as_bool()?),
        Kind::Number => serde_json::from_str(value.as_number()?).unwrap(),
        Kind::Text => Json::String(value.as_str()?.into_owned()),
        Kind::Array => Json::Array(value.elements().map(to_json).collect::<Option<_>>()?),
        Kind::Object => {
            let mut members = Map::new();
            for (name, member) in value.members() {
                let member = to_json(member)?;
                if members.insert(name.to_string(), member).is_some() {
                    return None;
                }
            }
            Json::Object(members)
        }
    })
}
