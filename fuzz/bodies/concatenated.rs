//! Any bytes through the reader, in every framing: each byte is in one record, in one refusal or
//! between them, and it makes no difference by how many bytes the input comes.
//!
//! The first byte chooses the framing and the limits.

use std::io::Read;

use trunkline::codec::{Compression, Framing, Limits, Position, Reader, Reason};

const FRAMINGS: [Framing; 4] = [
    Framing::Auto,
    Framing::Lines,
    Framing::Concatenated,
    Framing::Array,
];

/// A record or a refusal: its number, line, offset, length and, of a record, its text.
type Piece = (u64, u64, u64, u64, Option<(Reason, Vec<u8>)>, Vec<u8>);

pub fn run(data: &[u8]) {
    let Some((choice, input)) = data.split_first() else {
        return;
    };
    let framing = FRAMINGS[usize::from(choice & 3)];
    let limits = Limits {
        record_bytes: 8 + usize::from(choice >> 2 & 7) * 20,
        block_records: 1 + usize::from(choice >> 5),
        block_bytes: 4096,
    };
    let (whole, end) = drain(Reader::open(input, Compression::None, framing, limits));
    assert_accounted(input, framing, &whole);
    assert!(
        whole
            .iter()
            .all(|piece| piece.5.len() <= limits.record_bytes)
    );
    assert_eq!(end.offset, input.len() as u64);
    let slowly = Slowly(input, usize::from(*choice).max(1));
    let (pieces, _) = drain(Reader::open(slowly, Compression::None, framing, limits).fill());
    assert_eq!(pieces, whole, "by {} bytes at a time", choice);
    for compression in [Compression::Auto, Compression::Gzip, Compression::Zstd] {
        survive(Reader::open(input, compression, framing, limits));
    }
}

struct Slowly<'a>(&'a [u8], usize);

impl Read for Slowly<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = self.1.min(into.len());
        (&mut self.0).take(most as u64).read(into)
    }
}

fn drain<R: Read>(mut reader: Reader<R>) -> (Vec<Piece>, Position) {
    let mut pieces = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        for record in &block.records {
            let text = block.bytes(record).to_vec();
            assert!(std::str::from_utf8(&text).is_ok() && !text.is_empty());
            let (number, line, offset) = (record.number, record.line, record.offset);
            pieces.push((number, line, offset, text.len() as u64, None, text));
        }
        for refused in block.refused {
            let (number, line, offset) = (refused.number, refused.line, refused.offset);
            let why = Some((refused.reason, refused.sample));
            pieces.push((number, line, offset, refused.length, why, Vec::new()));
        }
    }
    pieces.sort_by_key(|piece| piece.0);
    (pieces, reader.position())
}

/// What is no such stream ends in an error. A stream that grows a thousandfold is cut short.
fn survive<R: Read>(mut reader: Reader<R>) {
    for _ in 0..200 {
        match reader.next_block() {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(_) => assert!(reader.next_block().is_ok_and(|block| block.is_none())),
        }
    }
}

fn assert_accounted(input: &[u8], framing: Framing, pieces: &[Piece]) {
    let separators: &[u8] = match framing {
        Framing::Lines | Framing::Concatenated => b" \t\r\n",
        Framing::Auto | Framing::Array => b" \t\r\n,[]",
    };
    let between = |from: usize, to: usize| {
        // A whole byte order mark is a separator, a part of one is not.
        let bytes = match String::from_utf8(input[from..to].to_vec()) {
            Ok(text) => text.replace('\u{feff}', "").into_bytes(),
            Err(bad) => bad.into_bytes(),
        };
        assert!(
            bytes.iter().all(|byte| separators.contains(byte)),
            "{bytes:?} is nowhere"
        );
    };
    let mut reached = 0;
    let mut lines = 1;
    let mut counted = 0;
    for (index, (number, line, offset, length, why, text)) in pieces.iter().enumerate() {
        let offset = *offset as usize;
        assert_eq!(*number, index as u64 + 1);
        assert!(offset >= reached, "overlap at {offset}");
        between(reached, offset);
        lines += input[counted..offset]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count() as u64;
        counted = offset;
        assert_eq!(*line, lines);
        reached = offset + *length as usize;
        match why {
            None => assert_eq!(&input[offset..reached], text),
            Some((_, sample)) => assert_eq!(&input[offset..][..sample.len()], sample),
        }
    }
    between(reached, input.len());
}
