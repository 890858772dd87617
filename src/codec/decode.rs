//! From a block of framed records to events, and to letters about what is no event.
//!
//! The block's text becomes the events' own text: in the good case nothing is copied.

use std::sync::Arc;

use super::{Block, Record, Refused};
use crate::event::{Batch, Event, EventsBuilder, Origin, PathSet, Position, Provenance};
use crate::stage::{Letter, Subject};

/// Most bytes of a refused record that a letter shows.
const SAMPLE_BYTES: usize = 256;

/// What a block came to. Every record and refusal of the block is in exactly one of the two.
#[derive(Default)]
pub struct Decoded {
    /// The events, in the order of the stream.
    pub batch: Batch,
    /// What is no event, in the order of the stream.
    pub refused: Vec<Letter>,
}

impl Decoded {
    /// Records that were read, the refused ones included.
    pub fn records(&self) -> u64 {
        (self.batch.len() + self.refused.len()) as u64
    }
}

/// Parses the records of a block. `paths` are those that the pipeline looks up; `from` says where
/// the block came from. The name of its source becomes the node of the letters.
pub fn decode(block: Block, paths: &Arc<PathSet>, from: &Arc<Provenance>) -> Decoded {
    let Block {
        text,
        records,
        refused,
        ..
    } = block;
    let text = String::from_utf8(text).unwrap_or_else(|bad| blank_out(bad.into_bytes()));
    let mut letters: Vec<Letter> = refused.iter().map(|one| unframed(one, from)).collect();
    let framed = letters.len();
    let mut builder = EventsBuilder::new(text, paths.clone(), from.clone(), records.len());
    for record in &records {
        if let Err((reason, detail)) = take(&mut builder, record) {
            let text = &builder.text().as_bytes()[record.start as usize..record.end as usize];
            letters.push(Letter {
                reason,
                detail,
                ..about(text, text.len() as u64, place(record), from)
            });
        }
    }
    if framed > 0 && letters.len() > framed {
        letters.sort_by_key(|letter| letter.position.offset);
    }
    Decoded {
        batch: builder.finish(),
        refused: letters,
    }
}

fn place(record: &Record) -> Position {
    Position {
        line: record.line,
        offset: record.offset,
    }
}

/// Makes an event of a record; or says the reason and the detail of its letter.
#[inline]
fn take(builder: &mut EventsBuilder, record: &Record) -> Result<(), (&'static str, String)> {
    let (start, end) = (record.start as usize, record.end as usize);
    let text = &builder.text()[start..end];
    if first_solid(text) != Some(b'{') {
        return Err(no_object(text));
    }
    let taken = builder.push(start, end, place(record));
    taken.map_err(|bad| (bad.reason, bad.to_string()))
}

fn first_solid(text: &str) -> Option<u8> {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    text.bytes().find(|byte| !space(byte))
}

/// Parses what is no object by itself, to tell another kind of value from no JSON at all.
#[cold]
fn no_object(text: &str) -> (&'static str, String) {
    let kind = match first_solid(text) {
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    };
    match Event::parse(text.to_owned(), &Arc::default(), &Arc::default()) {
        Ok(_) => {
            let detail = format!("a record has to be an object, and this is {kind}");
            ("not_an_object", detail)
        }
        Err(bad) => (bad.reason, bad.to_string()),
    }
}

/// About what the framer refused.
fn unframed(refused: &Refused, from: &Arc<Provenance>) -> Letter {
    let position = Position {
        line: refused.line,
        offset: refused.offset,
    };
    Letter {
        reason: refused.reason.name(),
        detail: refused.reason.explanation().to_owned(),
        ..about(&refused.sample, refused.length, position, from)
    }
}

/// A letter about `length` bytes that begin with `text`, still without its reason.
fn about(text: &[u8], length: u64, position: Position, from: &Arc<Provenance>) -> Letter {
    Letter {
        subject: Subject::Text {
            sample: sample(text),
            length,
        },
        reason: "",
        detail: String::new(),
        violations: Vec::new(),
        node: from.source.clone(),
        attempts: 1,
        origin: Origin::default(),
        position,
        provenance: from.clone(),
    }
}

/// A letter that is about no record but about the whole input, such as a damaged file.
pub fn letter_about(
    reason: &'static str,
    detail: impl Into<String>,
    position: Position,
    from: &Arc<Provenance>,
) -> Letter {
    Letter {
        reason,
        detail: detail.into(),
        ..about(b"", 0, position, from)
    }
}

/// The first bytes as text of at most 256 bytes, with U+FFFD for what is no UTF-8.
fn sample(bytes: &[u8]) -> String {
    // A few bytes more than are kept, so that a character on the border is seen whole.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SAMPLE_BYTES + 3)]);
    let mut end = text.len().min(SAMPLE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Puts spaces where the text is not UTF-8. No record reaches into such a stretch: the framer has
/// refused those, so the places of the others stay what they are.
#[cold]
fn blank_out(mut text: Vec<u8>) -> String {
    let mut at = 0;
    while let Err(bad) = std::str::from_utf8(&text[at..]) {
        let from = at + bad.valid_up_to();
        at = bad.error_len().map_or(text.len(), |length| from + length);
        text[from..at].fill(b' ');
    }
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Compression, Framing, Limits, Reader};
    use super::*;

    fn read(input: &[u8], framing: Framing) -> Decoded {
        let limits = Limits {
            record_bytes: 1000,
            ..Limits::default()
        };
        let mut reader = Reader::open(input, Compression::None, framing, limits).fill();
        let from = Arc::new(Provenance {
            source: "in".into(),
            ..Provenance::default()
        });
        let mut all = Decoded::default();
        let mut events = Vec::new();
        while let Some(block) = reader.next_block().unwrap() {
            let decoded = decode(block, &Arc::default(), &from);
            events.extend(decoded.batch.into_events());
            all.refused.extend(decoded.refused);
        }
        all.batch = events.into();
        all
    }

    fn bodies(decoded: &Decoded) -> Vec<String> {
        let events = decoded.batch.events();
        events.iter().map(|event| event.to_json()).collect()
    }

    fn reasons(decoded: &Decoded) -> Vec<(&'static str, u64)> {
        let letters = decoded.refused.iter();
        letters
            .map(|letter| (letter.reason, letter.position.line))
            .collect()
    }

    #[test]
    fn every_record_becomes_an_event_or_a_letter_in_its_place() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(99), "]".repeat(99));
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(2000));
        let input =
            format!("{{\"a\":1}}\nnonsense\n[1]\n{deep}\n 7\n{long}\n  {{\"b\":2}}\n\"s\"\n[1\n");
        let decoded = read(input.as_bytes(), Framing::Lines);
        assert_eq!(bodies(&decoded), ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(decoded.batch.events()[1].position.line, 7);
        assert_eq!(
            reasons(&decoded),
            [
                ("not_json", 2),
                ("not_an_object", 3),
                ("too_deep", 4),
                ("not_an_object", 5),
                ("record_too_large", 6),
                ("not_an_object", 8),
                ("not_json", 9),
            ]
        );
        let letter = &decoded.refused[0];
        assert_eq!(&*letter.node, "in");
        assert_eq!(letter.position.offset, 8);
        assert_eq!(letter.detail, "expected a value at byte 1");
        let Subject::Text { sample, length } = &decoded.refused[4].subject else {
            panic!("a letter about text");
        };
        assert_eq!((sample.len(), *length), (256, long.len() as u64));
    }

    #[test]
    fn what_is_not_utf8_is_refused_and_its_neighbours_are_not() {
        let input = b"{\"a\":\"\xe2\x82\xac\"}\n{\"b\":\"\xff\xe2\"}\n{\"c\":3}\n\xe2{\"d\":4}\n";
        let decoded = read(input, Framing::Lines);
        assert_eq!(bodies(&decoded), ["{\"a\":\"\u{20ac}\"}", "{\"c\":3}"]);
        assert_eq!(reasons(&decoded), [("not_utf8", 2), ("not_utf8", 4)]);
    }

    #[test]
    fn garbage_between_values_that_is_not_utf8_moves_nothing() {
        let input = b"{\"a\":1}\xff\xfe\xe2{\"b\":2}\xf0\x9f{\"c\":3}";
        let decoded = read(input, Framing::Concatenated);
        assert_eq!(bodies(&decoded), ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
        assert_eq!(reasons(&decoded), [("garbage", 1), ("garbage", 1)]);
    }

    #[test]
    fn samples_are_text_of_at_most_256_bytes() {
        assert_eq!(sample(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(sample("\u{20ac}".repeat(100).as_bytes()).len(), 255);
        assert!(sample(&[0xff; 1000]).len() <= SAMPLE_BYTES);
        assert_eq!(sample(b""), "");
    }

    #[test]
    fn a_member_that_the_pipeline_reads_twice_is_refused() {
        let mut paths = PathSet::default();
        let mut path = ".id".parse().unwrap();
        paths.intern(&mut path);
        let text = b"{\"id\":1,\"id\":2}\n{\"x\":1,\"x\":2}\n".as_slice();
        let limits = Limits::default();
        let mut reader = Reader::open(text, Compression::None, Framing::Lines, limits).fill();
        let block = reader.next_block().unwrap().unwrap();
        let decoded = decode(block, &Arc::new(paths), &Arc::default());
        assert_eq!(bodies(&decoded), ["{\"x\":1,\"x\":2}"]);
        assert_eq!(reasons(&decoded), [("duplicate_key", 1)]);
    }
}
