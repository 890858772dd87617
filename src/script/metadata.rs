//! `%`: what is known of an event besides its body.

use vrl::path::{OwnedTargetPath, OwnedValuePath};
use vrl::value::kind::Collection;
use vrl::value::{Kind, ObjectMap, Value};

use crate::diagnostic::{Report, Span, nearest};
use crate::event::{Event, Meta};

/// Where the target has the clock: no name that can be said in a file.
const CLOCK: &str = "\u{0}now";

/// The path under which the target tells the time.
pub(super) fn clock() -> OwnedTargetPath {
    OwnedTargetPath::metadata(OwnedValuePath::single_field(CLOCK))
}

/// Whether it is the one of [`clock`].
pub(super) fn is_clock(name: &str) -> bool {
    name == CLOCK
}

/// Its type: text, each of it where there is any.
pub(super) fn kind() -> Kind {
    let text = || Kind::bytes().or_null();
    let known = Meta::ALL.map(|(name, _)| (name.into(), text()));
    Kind::object(Collection::from_parts(known.into(), Kind::undefined()))
}

/// All of it, of this event. What is not known is null, as its type says.
pub(super) fn of(event: &Event) -> Value {
    let text = |meta| event.meta(meta).map_or(Value::Null, Value::from);
    let all = Meta::ALL.map(|(name, meta)| (name.into(), text(meta)));
    Value::Object(ObjectMap::from(all))
}

/// Reports what a program asks for and nobody knows.
pub(super) fn check(queried: &[OwnedTargetPath], span: Span, report: &mut Report) {
    let names = || Meta::ALL.iter().map(|(name, _)| *name);
    for path in queried {
        let first = path.path.segments.first();
        let (true, Some(first)) = (path.prefix == vrl::path::PathPrefix::Metadata, first) else {
            continue;
        };
        let vrl::path::OwnedSegment::Field(name) = first else {
            continue;
        };
        if names().any(|known| known == name.as_str()) {
            continue;
        }
        let message = format!("nothing is known of an event as `%{}`", name.as_str());
        let hint = match nearest(name.as_str(), names()) {
            Some(near) => format!("did you mean `%{near}`?"),
            None => format!("`%` has `{}`", names().collect::<Vec<_>>().join("`, `")),
        };
        report.error(super::CODE, span, message).hint(hint);
    }
}
