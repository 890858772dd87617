//! Changes laid over an untouched body, and the serialiser that applies them in its one pass.
//!
//! The text between two changes is copied as it came: a change costs what it changes, not what the
//! object holds. Only scalars are laid over; a change that puts a container in place (or makes
//! missing parents) rebuilds the event's text once, which keeps every read a matter of one look.

use compact_str::CompactString;
use smallvec::SmallVec;

use super::Event;
use super::tape::Kind;

/// One change. `at` is the changed value's tape index, or the object that gains a member.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    pub at: u32,
    pub change: Change,
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// The value's new JSON text.
    Replace(CompactString),
    /// The member or element is gone.
    Remove,
    /// A new member; both are JSON text, the key with its quotes.
    Insert {
        key: CompactString,
        raw: CompactString,
    },
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_json_str(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(escape);
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        }
        from = at + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// `text` as a JSON string.
pub fn json_str(text: &str) -> CompactString {
    let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    let mut out = CompactString::with_capacity(text.len() + 2);
    if text.as_bytes().iter().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return out;
    }
    let mut bytes = Vec::with_capacity(text.len() + 8);
    write_json_str(text, &mut bytes);
    out.push_str(&String::from_utf8_lossy(&bytes));
    out
}

/// One edit as the serialiser meets it: at which byte of the text, and what to do there.
struct Cut<'a> {
    /// First byte that is not copied.
    from: usize,
    /// Where copying goes on.
    to: usize,
    edit: &'a Edit,
}

/// Appends the value at `at` as JSON, with the changes that lie in it.
pub(super) fn write(event: &Event, at: u32, out: &mut Vec<u8>) {
    let chunk = &*event.chunk;
    let word = chunk.word(at);
    let (start, end) = (word.start(), word.end());
    if event.edits.is_empty() {
        out.extend_from_slice(&chunk.text.as_bytes()[start..end]);
        return;
    }
    let behind = chunk.after(at);
    let mut cuts: SmallVec<[Cut<'_>; 8]> = event
        .edits
        .iter()
        .filter(|edit| at <= edit.at && edit.at < behind)
        .map(|edit| cut(event, edit))
        .collect();
    // Stable: members added to one object keep the order in which they were added.
    cuts.sort_by_key(|cut| cut.from);
    let text = chunk.text.as_bytes();
    let mut copied = start;
    for Cut { from, to, edit } in cuts {
        if from < copied {
            continue; // inside something that was removed or replaced
        }
        out.extend_from_slice(&text[copied..from]);
        copied = to;
        match &edit.change {
            Change::Replace(raw) => out.extend_from_slice(raw.as_bytes()),
            Change::Remove => copied = drop_comma(text, to, out),
            Change::Insert { key, raw } => {
                if last_solid(out) != Some(b'{') {
                    out.push(b',');
                }
                out.extend_from_slice(key.as_bytes());
                out.push(b':');
                out.extend_from_slice(raw.as_bytes());
            }
        }
    }
    out.extend_from_slice(&text[copied..end]);
}

fn cut<'a>(event: &Event, edit: &'a Edit) -> Cut<'a> {
    let chunk = &*event.chunk;
    let word = chunk.word(edit.at);
    let (from, to) = match edit.change {
        Change::Replace(_) => (word.start(), word.end()),
        // A member goes with its name: the word before a member's value is its key.
        Change::Remove => (event.member_start(edit.at), word.end()),
        Change::Insert { .. } => (word.end() - 1, word.end() - 1),
    };
    Cut { from, to, edit }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn last_solid(out: &[u8]) -> Option<u8> {
    out.iter().rev().copied().find(|byte| !is_space(*byte))
}

/// After a removal: drops the comma that followed, or, at the end of a container, the one before.
/// Returns where copying goes on.
fn drop_comma(text: &[u8], mut at: usize, out: &mut Vec<u8>) -> usize {
    while text.get(at).copied().is_some_and(is_space) {
        at += 1;
    }
    if text.get(at) == Some(&b',') {
        at += 1;
        while text.get(at).copied().is_some_and(is_space) {
            at += 1;
        }
        return at;
    }
    if last_solid(out) == Some(b',') {
        while out.pop() != Some(b',') {}
    }
    at
}

/// True when `raw` is the text of a container, which is never laid over.
pub(super) fn is_container(raw: &str) -> bool {
    matches!(Kind::of_raw(raw), Kind::Array | Kind::Object)
}
