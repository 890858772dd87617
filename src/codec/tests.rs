use super::*;
use flate2::write::GzEncoder;
use std::io::{Read, Write};

mod properties;
mod speed;

/// What a stream came to, without the blocks.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// Number, line, offset, text.
    pub(super) records: Vec<(u64, u64, u64, Vec<u8>)>,
    pub(super) refused: Vec<Refused>,
    pub(super) failure: Option<String>,
}

impl Outcome {
    pub(super) fn texts(&self) -> Vec<&str> {
        self.records
            .iter()
            .map(|(.., text)| std::str::from_utf8(text).unwrap())
            .collect()
    }

    fn reasons(&self) -> Vec<(Reason, u64, u64)> {
        self.refused
            .iter()
            .map(|refused| (refused.reason, refused.line, refused.length))
            .collect()
    }

    pub(super) fn take(&mut self, block: &Block) {
        for record in &block.records {
            let text = block.bytes(record).to_vec();
            self.records
                .push((record.number, record.line, record.offset, text));
        }
        self.refused.extend(block.refused.iter().cloned());
    }
}

pub(super) fn drain<R: Read>(reader: &mut Reader<R>) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        match reader.next_block() {
            Ok(Some(block)) => outcome.take(&block),
            Ok(None) => return outcome,
            Err(error) => {
                assert!(outcome.failure.is_none(), "a second error: {error}");
                outcome.failure = Some(error.to_string());
            }
        }
    }
}

pub(super) fn small() -> Limits {
    Limits {
        record_bytes: 64,
        ..Limits::default()
    }
}

fn read(input: &[u8], framing: Framing) -> Outcome {
    drain(&mut Reader::open(
        input,
        Compression::Auto,
        framing,
        small(),
    ))
}

fn gzip(input: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(input).unwrap();
    encoder.finish().unwrap()
}

/// Gives one piece after the other, then fails once, then goes on.
struct Pieces<'a>(Vec<Result<&'a [u8], std::io::ErrorKind>>);

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        match self.0[0] {
            Ok(mut piece) => {
                let count = piece.read(into)?;
                if piece.is_empty() {
                    let _ = self.0.remove(0);
                } else {
                    self.0[0] = Ok(piece);
                }
                Ok(count)
            }
            Err(kind) => {
                let _ = self.0.remove(0);
                Err(kind.into())
            }
        }
    }
}

#[test]
fn lines_end_with_or_without_a_line_break() {
    let outcome = read(
        b"\xef\xbb\xbf{\"a\":1}\r\n\n  \t\r\n nonsense \n{}",
        Framing::Lines,
    );
    assert_eq!(outcome.texts(), ["{\"a\":1}", " nonsense ", "{}"]);
    assert!(outcome.refused.is_empty());
    let at: Vec<_> = outcome
        .records
        .iter()
        .map(|(n, line, at, _)| (*n, *line, *at))
        .collect();
    assert_eq!(at, [(1, 1, 3), (2, 4, 18), (3, 5, 29)]);
}

#[test]
fn an_empty_input_is_an_empty_stream() {
    for framing in [
        Framing::Auto,
        Framing::Lines,
        Framing::Concatenated,
        Framing::Array,
    ] {
        for input in [&b""[..], b"\xef\xbb\xbf", b" \n\n"] {
            assert_eq!(read(input, framing), Outcome::default(), "{framing:?}");
        }
    }
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut reader = Reader::open(&b""[..], compression, Framing::Auto, small());
        assert_eq!(drain(&mut reader), Outcome::default());
    }
}

#[test]
fn a_line_over_the_limit_is_skipped() {
    let long = "x".repeat(64);
    let input = format!("1\n{long}\n{long}\r\n{long}y\n2\n{long}y");
    let outcome = read(input.as_bytes(), Framing::Lines);
    assert_eq!(outcome.texts(), ["1", &long, &long, "2"]);
    let large = Reason::RecordTooLarge;
    assert_eq!(outcome.reasons(), [(large, 4, 65), (large, 6, 65)]);
    assert_eq!(outcome.refused[0].number, 4);
}

#[test]
fn a_long_record_is_not_held_in_memory() {
    for (framing, before, unit, after) in [
        (Framing::Lines, "1\n", "x", "\n2"),
        (Framing::Concatenated, "1\n[", "\"x\",", "]\n2"),
        (Framing::Concatenated, "1\n\"", "x", "\"\n2"),
        (Framing::Array, "[1,[", "2,", "],2]"),
        (Framing::Array, "[1,", "7", ",2]"),
    ] {
        let length = 8 << 20;
        let body = std::io::Read::take(Repeat(unit.as_bytes(), 0), length);
        let input = before.as_bytes().chain(body).chain(after.as_bytes());
        let mut reader = Reader::open(input, Compression::None, framing, small());
        let outcome = drain(&mut reader);
        assert_eq!(outcome.texts(), ["1", "2"], "{framing:?}");
        assert_eq!(outcome.refused.len(), 1, "{framing:?}");
        assert_eq!(outcome.refused[0].reason, Reason::RecordTooLarge);
        assert!(outcome.refused[0].length >= length);
        assert_eq!(outcome.refused[0].sample.len(), 256);
        assert!(reader.held() < 1 << 20, "{}", reader.held());
    }
}

struct Repeat<'a>(&'a [u8], usize);

impl Read for Repeat<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        for byte in into.iter_mut() {
            *byte = self.0[self.1];
            self.1 = (self.1 + 1) % self.0.len();
        }
        Ok(into.len())
    }
}

#[test]
fn only_the_record_that_is_not_utf8_is_refused() {
    let outcome = read(
        b"{\"a\":\"\xc3\xa4\"}\n{\"a\":\"\xc3\"}\n{}\n",
        Framing::Lines,
    );
    assert_eq!(outcome.texts(), ["{\"a\":\"ä\"}", "{}"]);
    assert_eq!(outcome.reasons(), [(Reason::NotUtf8, 2, 9)]);
    assert_eq!(outcome.records[1].0, 3);
}

#[test]
fn concatenated_values_need_no_white_space() {
    let input = b"{\"a\":\"}{\\\"\"}{}[1]\n\n 12 true\t\"x y\"\r\n{\n\"b\": {}\n}-1.5e3";
    let outcome = read(input, Framing::Concatenated);
    let expected = [
        "{\"a\":\"}{\\\"\"}",
        "{}",
        "[1]",
        "12",
        "true",
        "\"x y\"",
        "{\n\"b\": {}\n}",
        "-1.5e3",
    ];
    assert_eq!(outcome.texts(), expected);
    assert!(outcome.refused.is_empty());
    assert_eq!(outcome.records[6].1, 4);
    assert_eq!(outcome.records[7].1, 6);
}

#[test]
fn garbage_between_values_is_refused_with_its_extent() {
    let outcome = read(
        b"{} oops {\"a\":1},{}\n<html>\n}}\n{}",
        Framing::Concatenated,
    );
    assert_eq!(outcome.texts(), ["{}", "{\"a\":1}", "{}", "{}"]);
    let garbage = Reason::Garbage;
    assert_eq!(
        outcome.reasons(),
        [
            (garbage, 1, 5),
            (garbage, 1, 1),
            (garbage, 2, 6),
            (garbage, 3, 2)
        ]
    );
    assert_eq!(outcome.refused[0].sample, b"oops ");
    assert_eq!(outcome.refused[0].offset, 3);
}

#[test]
fn a_broken_value_does_not_swallow_the_next_ones() {
    // A quote is missing, a bracket is missing, and the stream ends inside a value.
    let input = b"{\"a\":\"x}\n{\"b\":1}\n{\"c\":{\"d\":1}\n{\"e\":1}\n{\"f\":";
    let outcome = read(input, Framing::Concatenated);
    assert_eq!(outcome.texts(), ["{\"b\":1}", "{\"e\":1}"]);
    let open = Reason::Unterminated;
    assert_eq!(
        outcome.reasons(),
        [(open, 1, 9), (open, 3, 13), (open, 5, 5)]
    );
    // In an array too, where objects may be indented.
    let outcome = read(b"[\n  {\"a\":\"x},\n  {\"b\":1}\n]", Framing::Array);
    assert_eq!(outcome.texts(), ["{\"b\":1}"]);
    assert_eq!(outcome.reasons(), [(open, 2, 12)]);
}

#[test]
fn an_array_is_streamed_element_by_element() {
    let outcome = read(b" [ {\"a\":[1]} ,[2],\n\"]\",3,null ] \n", Framing::Array);
    assert_eq!(
        outcome.texts(),
        ["{\"a\":[1]}", "[2]", "\"]\"", "3", "null"]
    );
    assert!(outcome.refused.is_empty());
    assert_eq!(read(b"[]", Framing::Array), Outcome::default());
}

#[test]
fn what_is_wrong_with_an_array_is_reported_and_the_rest_delivered() {
    type Case<'a> = (&'a [u8], &'a [&'a str], &'a [(Reason, u64, u64)]);
    let cases: [Case<'_>; 8] = [
        (b"[1 2]", &["1", "2"], &[(Reason::MissingComma, 1, 0)]),
        (b"[{}{}]", &["{}", "{}"], &[(Reason::MissingComma, 1, 0)]),
        (b"[1,2", &["1", "2"], &[(Reason::Unterminated, 1, 0)]),
        (b"[1,\n{\"a\"", &["1"], &[(Reason::Unterminated, 2, 4)]),
        (b"[1,]", &["1"], &[(Reason::Garbage, 1, 1)]),
        (b"[1,,2]", &["1", "2"], &[(Reason::Garbage, 1, 1)]),
        (b"[1]\nrest\nof it", &["1"], &[(Reason::Garbage, 2, 10)]),
        (b"{\"a\":1}\n", &[], &[(Reason::Garbage, 1, 8)]),
    ];
    for (input, records, refused) in cases {
        let outcome = read(input, Framing::Array);
        let text = String::from_utf8_lossy(input);
        assert_eq!(outcome.texts(), records, "{text}");
        assert_eq!(outcome.reasons(), refused, "{text}");
    }
}

#[test]
fn framing_is_found_by_the_first_value() {
    let cases: [(&[u8], Place); 17] = [
        (b"{}\n{}\n", Place::Lines),
        (b"\n {\"a\":\n", Place::Concatenated),
        (b"{}", Place::Lines),
        (b"{}{}", Place::Concatenated),
        (b"{} {}\n", Place::Concatenated),
        (b"{\n\"a\":1\n}\n", Place::Concatenated),
        (b"{\"a\":1\n,\"b\":2}\n", Place::Concatenated),
        (b"{\"a\":\"x\n{\"b\":1}\n", Place::Lines),
        (b"{\"a\":1\n{\"b\":1}\n", Place::Lines),
        (b"not json\n{}{}\n", Place::Lines),
        (b"[{},{}]", Place::ArrayEnd),
        (b"[{},{}]\n\n", Place::ArrayEnd),
        (b"[1]\n[2]\n", Place::Lines),
        (b"[1][2]", Place::Concatenated),
        (b"[\n{},\n{}\n]\n", Place::ArrayEnd),
        (b"[{}\n,{}]", Place::ArrayEnd),
        (b"[{}] rest", Place::ArrayEnd),
    ];
    for (input, place) in cases {
        let mut reader = Reader::open(input, Compression::None, Framing::Auto, small());
        drain(&mut reader);
        assert_eq!(
            reader.position().place,
            place,
            "{}",
            String::from_utf8_lossy(input)
        );
    }
    let long = format!("[\"{}\"]\n[1]\n", "x".repeat(8 << 10));
    let outcome = read(long.as_bytes(), Framing::Auto);
    assert_eq!(outcome.refused[0].reason, Reason::RecordTooLarge);
    assert_eq!(
        outcome.refused[1].reason,
        Reason::Garbage,
        "an array, then more"
    );
}

#[test]
fn a_block_is_what_one_read_completed() {
    let pieces = Pieces(vec![Ok(b"{}\n{}\n{\"a\""), Ok(b":1"), Ok(b"}\n")]);
    let mut reader = Reader::open(pieces, Compression::None, Framing::Lines, small());
    assert_eq!(reader.next_block().unwrap().unwrap().records.len(), 2);
    let block = reader.next_block().unwrap().unwrap();
    assert_eq!(block.text, b"{\"a\":1}\n");
    assert!(reader.next_block().unwrap().is_none());
    assert!(reader.next_block().unwrap().is_none());
}

#[test]
fn blocks_keep_to_the_limits() {
    let input = "{}\n".repeat(100_000);
    let limits = Limits {
        block_records: 300,
        block_bytes: 1 << 16,
        ..Limits::default()
    };
    for fill in [false, true] {
        let mut reader = Reader::open(input.as_bytes(), Compression::None, Framing::Lines, limits);
        reader = if fill { reader.fill() } else { reader };
        let mut sizes = Vec::new();
        while let Some(block) = reader.next_block().unwrap() {
            sizes.push(block.records.len());
        }
        assert_eq!(sizes.iter().sum::<usize>(), 100_000);
        assert!(sizes.iter().all(|size| *size <= 300));
        assert!(!fill || sizes.len() == 334, "{} blocks", sizes.len());
    }
}

#[test]
fn filling_makes_large_blocks_of_small_reads() {
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(500));
    let input = line.repeat(5_000);
    let pieces = Pieces(input.as_bytes().chunks(777).map(Ok).collect());
    let limits = Limits {
        block_records: 2048,
        ..Limits::default()
    };
    let mut reader = Reader::open(pieces, Compression::None, Framing::Auto, limits).fill();
    let mut sizes = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        sizes.push(block.records.len());
    }
    assert_eq!(sizes.len(), 3, "{sizes:?}");
}

#[test]
fn several_members_or_frames_are_one_stream() {
    let zipped = [gzip(b"{\"a\":1}\n{\"b\""), gzip(b""), gzip(b":2}\n")].concat();
    assert_eq!(
        read(&zipped, Framing::Auto).texts(),
        ["{\"a\":1}", "{\"b\":2}"]
    );
    let frame = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
    let skipped = b"\x50\x2a\x4d\x18\x02\x00\x00\x00hi".to_vec();
    let zipped = [skipped, frame(b"{\"a\":1}\n{\"b\""), frame(b":2}\n")].concat();
    let outcome = read(&zipped, Framing::Auto);
    assert_eq!(outcome.texts(), ["{\"a\":1}", "{\"b\":2}"]);
    assert_eq!(outcome.failure, None);
}

/// Files with a byte order mark each, put one behind the other: as one stream, and as members.
#[test]
fn a_mark_is_passed_over_wherever_a_file_began() {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    for (framing, first, second) in [
        (Framing::Lines, &b"{\"a\":1}\r\n"[..], &b"{\"b\":2}\r\n"[..]),
        (Framing::Auto, b"{\"a\":1}\r\n", b"{\"b\":2}"),
        (Framing::Auto, b"{\"a\":1}", b"{\"b\":2}"),
        (Framing::Concatenated, b"{\"a\":1} ", b" {\"b\":2}"),
        (Framing::Array, b"[{\"a\":1},", b"{\"b\":2}]"),
    ] {
        let parts = [[MARK, first].concat(), [MARK, second].concat()];
        let frame = |part: &Vec<u8>| zstd::encode_all(&part[..], 1).unwrap();
        for input in [
            parts.concat(),
            [gzip(&parts[0]), gzip(&parts[1])].concat(),
            [frame(&parts[0]), frame(&parts[1])].concat(),
        ] {
            let outcome = read(&input, framing);
            assert_eq!(outcome.texts(), ["{\"a\":1}", "{\"b\":2}"], "{framing:?}");
            assert!(outcome.refused.is_empty(), "{outcome:?}");
            // Resumed behind the first record, the mark of the second is met again.
            let one = Limits {
                block_records: 1,
                ..small()
            };
            let mut reader = Reader::open(&input[..], Compression::Auto, framing, one);
            let end = reader.next_block().unwrap().unwrap().end;
            let mut again = Reader::resume(&input[..], Compression::Auto, framing, one, end, false);
            assert_eq!(drain(&mut again).texts(), ["{\"b\":2}"], "{framing:?}");
        }
    }
    // Inside of a record it is text, and half of one is garbage.
    let inside = "{\"a\":\"\u{feff}\"}\n";
    assert_eq!(
        read(inside.as_bytes(), Framing::Lines).texts(),
        [inside.trim_end()]
    );
    let half = read(b"{}\xef\xbb", Framing::Concatenated);
    assert_eq!(half.reasons().len(), 1, "{half:?}");
}

#[test]
fn what_is_broken_in_one_member_costs_nothing_of_those_before() {
    let (first, second) = (
        gzip(b"{\"a\":1}\n{\"b\":2}\n"),
        gzip(b"{\"c\":3}\n{\"d\":4}\n"),
    );
    let appended = [&first[..], &b"no member at all"[..]].concat();
    let cut = [&first[..], &second[..second.len() - 9]].concat();
    for damaged in [appended, cut] {
        let outcome = read(&damaged, Framing::Auto);
        assert_eq!(outcome.texts()[..2], ["{\"a\":1}", "{\"b\":2}"]);
        assert!(outcome.failure.is_some(), "{outcome:?}");
    }
}

#[test]
fn damage_comes_after_what_is_whole_before_it() {
    let text: String = (0..1000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    for whole in [
        gzip(text.as_bytes()),
        zstd::encode_all(text.as_bytes(), 1).unwrap(),
    ] {
        let mut flipped = whole.clone();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        let appended = [&whole[..], b"garbage"].concat();
        for (damaged, most) in [
            (&whole[..last], 1000),
            (&flipped, 1000),
            (&appended, 1000),
            (&whole[..300], 999),
        ] {
            let mut reader =
                Reader::open(damaged, Compression::Auto, Framing::Auto, small()).fill();
            let outcome = drain(&mut reader);
            let same = outcome
                .texts()
                .iter()
                .zip(text.lines())
                .all(|(a, b)| *a == b);
            assert!(same && outcome.records.len() <= most);
            let zstd_checksum = whole[0] == 0x28 && damaged.len() == whole.len();
            assert!(outcome.failure.is_some() || zstd_checksum, "{outcome:?}");
            let refused: Vec<_> = outcome
                .reasons()
                .into_iter()
                .map(|(reason, ..)| reason)
                .collect();
            assert!(
                matches!(refused[..], [] | [Reason::Truncated]),
                "{refused:?}"
            );
        }
    }
}

#[test]
fn a_record_cut_off_by_damage_is_refused() {
    let whole = gzip(b"{\"a\":1}\n{\"b\":2}");
    for framing in [Framing::Lines, Framing::Concatenated, Framing::Auto] {
        let outcome = read(&whole[..whole.len() - 4], framing);
        assert_eq!(outcome.texts()[0], "{\"a\":1}");
        assert!(
            outcome
                .failure
                .as_ref()
                .unwrap()
                .contains("ends in the middle"),
            "{outcome:?}"
        );
    }
    let outcome = read(&whole[..whole.len() - 4], Framing::Lines);
    assert_eq!(outcome.reasons(), [(Reason::Truncated, 2, 7)]);
}

#[test]
fn what_is_no_gzip_is_corrupt() {
    let mut reader = Reader::open(
        &b"{}\n{}\n{}\n{}\n"[..],
        Compression::Gzip,
        Framing::Auto,
        small(),
    );
    assert!(matches!(
        reader.next_block(),
        Err(ReadError::Corrupt { offset: 0, .. })
    ));
    assert!(reader.next_block().unwrap().is_none());
}

#[test]
fn an_input_that_fails_is_no_damage_and_may_recover() {
    let zipped = gzip(b"{\"a\":1}\n{\"b\":2}\n");
    let (front, back) = zipped.split_at(20);
    for (front, back) in [(front, back), (&b"{\"a\":1}\n{\"b\""[..], &b":2}\n"[..])] {
        let fail = Err(std::io::ErrorKind::TimedOut);
        let interrupt = Err(std::io::ErrorKind::Interrupted);
        let pieces = Pieces(vec![Ok(front), interrupt, fail, Ok(back)]);
        let mut reader = Reader::open(pieces, Compression::Auto, Framing::Auto, small()).fill();
        let outcome = drain(&mut reader);
        assert_eq!(outcome.texts(), ["{\"a\":1}", "{\"b\":2}"]);
        assert!(
            outcome
                .failure
                .unwrap()
                .starts_with("cannot read the input")
        );
    }
}

#[test]
fn a_stream_that_became_shorter_cannot_be_resumed() {
    let at = Position {
        offset: 10,
        ..Position::default()
    };
    let open = |positioned| {
        let input = &b"{}\n"[..];
        Reader::resume(
            input,
            Compression::Auto,
            Framing::Auto,
            small(),
            at,
            positioned,
        )
    };
    assert!(matches!(
        open(false).next_block(),
        Err(ReadError::Corrupt { offset: 3, .. })
    ));
    assert_eq!(drain(&mut open(true)).records[0].2, 10);
}

#[test]
fn damage_before_the_place_to_resume_from_is_one_error() {
    let zipped = gzip(b"[1,2,3]");
    let at = Position {
        offset: 5,
        place: Place::ArrayNext,
        ..Position::default()
    };
    for input in [&zipped[..12], b"[1"] {
        let auto = Compression::Auto;
        let mut reader = Reader::resume(input, auto, Framing::Auto, small(), at, false);
        assert!(matches!(
            reader.next_block(),
            Err(ReadError::Corrupt { .. })
        ));
        assert!(reader.next_block().unwrap().is_none());
    }
}

#[test]
fn progress_counts_compressed_bytes() {
    let zipped = gzip(&b"{}\n".repeat(10_000));
    let mut reader = Reader::open(&zipped[..], Compression::Auto, Framing::Auto, small());
    assert_eq!(reader.compressed_bytes_read(), 0);
    drain(&mut reader);
    assert_eq!(reader.compressed_bytes_read(), zipped.len() as u64);
}

#[test]
fn a_refusal_does_not_show_its_sample() {
    let outcome = read(b"\xff secret\n", Framing::Lines);
    assert_eq!(outcome.refused[0].sample, b"\xff secret");
    let shown = format!("{:?}", outcome.refused[0]);
    assert_eq!(shown, "Refused(not_utf8 #1 line 1 offset 0 length 8)");
}

/// What random splits hardly ever meet: a cut exactly where something is still undecided.
#[test]
fn every_split_gives_the_same() {
    let limits = Limits {
        record_bytes: 8,
        ..Limits::default()
    };
    let inputs: [&[u8]; 9] = [
        b"\xef\xbb\xbf12345678\r\n123456789\r\n12345678\r9\n\r\n12",
        b"\"1234567890\" 1 \"1234567\\\" \" \"12345678\"x\n{}",
        b"1234567890123 1234567 {} 12x 34{} \"ab\ncd\" 1",
        b"{\"a\":\"x\n\"b\n{\"b\":[[1]]}\n{\"c\":\n{}}{[\n{}]}\n{\"d\"\n{}",
        b"[1234567890,\"1234567\\\"90\" 5,\n {\"a\":\"\n 1\n {}, [[[[[[]]]]]],]x\ny",
        b"[1,2]\n\n[3]\n",
        b"[1,2]\r\n \n",
        b"{\"a\":1\n}{}\n",
        b"{\"a\":1\n{\"b\"\n",
    ];
    for framing in [
        Framing::Auto,
        Framing::Lines,
        Framing::Concatenated,
        Framing::Array,
    ] {
        for input in inputs {
            let open = |pieces| Reader::open(Pieces(pieces), Compression::Auto, framing, limits);
            let whole = drain(&mut open(vec![Ok(input)]));
            for first in 1..input.len() {
                for second in first + 1..input.len() {
                    let (a, b, c) = (&input[..first], &input[first..second], &input[second..]);
                    let outcome = drain(&mut open(vec![Ok(a), Ok(b), Ok(c)]));
                    assert_eq!(outcome, whole, "{framing:?} {first} {second}");
                }
            }
            let bytes = input
                .iter()
                .map(|byte| Ok(std::slice::from_ref(byte)))
                .collect();
            assert_eq!(drain(&mut open(bytes)), whole, "{framing:?}");
        }
    }
}

#[test]
fn a_zstd_window_beyond_the_limit_is_refused() {
    // A frame header with windows of 2^27 and 2^28 bytes, and one raw block of three bytes.
    let frame =
        |window: u8| [&b"\x28\xb5\x2f\xfd\x00"[..], &[window], b"\x19\x00\x00{}\n"].concat();
    assert_eq!(read(&frame(17 << 3), Framing::Auto).texts(), ["{}"]);
    assert!(read(&frame(18 << 3), Framing::Auto).failure.is_some());
}
