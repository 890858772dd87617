use super::{Outcome, drain};
use crate::codec::{Compression, Framing, Limits, Position, Reader, Reason};
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::Read;

/// Returns pieces of the given sizes, over and over.
struct Chunks<'a>(&'a [u8], std::iter::Cycle<std::vec::IntoIter<usize>>);

impl Read for Chunks<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let size = self.1.next().unwrap_or(1).min(into.len());
        (&mut self.0).take(size as u64).read(into)
    }
}

fn framings() -> impl Strategy<Value = Framing> {
    prop::sample::select(vec![
        Framing::Auto,
        Framing::Lines,
        Framing::Concatenated,
        Framing::Array,
    ])
}

/// Streams in which everything that matters to a framing is likely.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        ",",
        ":",
        "\n",
        "\r\n",
        " ",
        "\n{",
        "{}",
        "[1]",
        "1",
        "null",
        "\"a\"",
        "{\"a\":1}",
        "{\"a\":\"}\\\"\"}\n",
        "{\"a\":\n[{}]}",
        "x",
        "\n\n",
        "],",
        "ä",
        "a long word that goes on for more than the limit",
    ]);
    let bytes = prop_oneof![
        30 => word.prop_map(|word: &str| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..4),
        1 => Just(b"\xef\xbb\xbf".to_vec()),
        1 => Just(b"\n\xef\xbb\xbf{}".to_vec()),
        1 => Just(b"{\"a\":1}\xef\xbb\xbf{}".to_vec()),
        1 => Just(vec![b'{'; 40]),
        1 => Just(vec![b' '; 5000]),
    ];
    vec(bytes, 0..40).prop_map(|parts| parts.concat())
}

fn limits() -> impl Strategy<Value = Limits> {
    (1usize..60, 1usize..6).prop_map(|(record_bytes, block_records)| Limits {
        record_bytes,
        block_records,
        block_bytes: 4096,
    })
}

fn plain(input: &[u8], framing: Framing, limits: Limits) -> Outcome {
    drain(&mut Reader::open(input, Compression::None, framing, limits))
}

/// Each byte of the stream lies in one record or refusal, or is a separator.
fn assert_accounted(input: &[u8], framing: Framing, outcome: &Outcome) {
    let records = outcome
        .records
        .iter()
        .map(|(n, line, at, text)| (*n, *line, *at, text.len()));
    let refused = outcome
        .refused
        .iter()
        .map(|r| (r.number, r.line, r.offset, r.length as usize));
    let mut all: Vec<_> = records.chain(refused).collect();
    all.sort();
    let mut reached = 0;
    let separators: &[u8] = match framing {
        Framing::Lines | Framing::Concatenated => b" \t\r\n",
        Framing::Auto | Framing::Array => b" \t\r\n,[]",
    };
    let between = |from: usize, to: usize| {
        // Only whole marks are separators: a part of one would be left over.
        let text = input[from..to].to_vec();
        let bytes = match String::from_utf8(text) {
            Ok(text) => text.replace('\u{feff}', "").into_bytes(),
            Err(bad) => bad.into_bytes(),
        };
        assert!(
            bytes.iter().all(|byte| separators.contains(byte)),
            "{bytes:?}"
        );
    };
    for (index, (number, line, offset, length)) in all.into_iter().enumerate() {
        let offset = offset as usize;
        assert_eq!(number, index as u64 + 1);
        assert!(offset >= reached, "overlap at {offset}");
        between(reached, offset);
        let lines = input[..offset]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        assert_eq!(line, lines as u64 + 1);
        reached = offset + length;
    }
    between(reached, input.len());
    for (_, _, offset, text) in &outcome.records {
        assert_eq!(&input[*offset as usize..][..text.len()], text);
    }
    for refused in &outcome.refused {
        let length = refused.length.min(256) as usize;
        assert_eq!(&input[refused.offset as usize..][..length], refused.sample);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn reads_of_any_size_give_the_same(
        input in streams(), framing in framings(), limits in limits(),
        sizes in vec(1usize..90, 1..8), fill in any::<bool>(),
    ) {
        let whole = plain(&input, framing, limits);
        assert_accounted(&input, framing, &whole);
        prop_assert!(whole.records.iter().all(|(.., text)| text.len() <= limits.record_bytes));
        let chunks = Chunks(&input, sizes.into_iter().cycle());
        let mut reader = Reader::open(chunks, Compression::None, framing, limits);
        reader = if fill { reader.fill() } else { reader };
        prop_assert_eq!(drain(&mut reader), whole);
    }

    #[test]
    fn any_bytes_are_accounted_for(input in vec(any::<u8>(), 0..400), framing in framings()) {
        let limits = Limits { record_bytes: 50, ..Limits::default() };
        assert_accounted(&input, framing, &plain(&input, framing, limits));
        let any = drain(&mut Reader::open(&input[..], Compression::Auto, framing, limits));
        let gzip = drain(&mut Reader::open(&input[..], Compression::Gzip, framing, limits));
        prop_assert!(any.failure.is_none() && (gzip.failure.is_some() || input.is_empty()));
    }

    #[test]
    fn the_end_of_any_block_is_a_place_to_resume_from(
        input in streams(), framing in framings(), limits in limits(),
        sizes in vec(1usize..90, 1..8), compressed in any::<bool>(),
    ) {
        let whole = plain(&input, framing, limits);
        let chunks = Chunks(&input, sizes.into_iter().cycle());
        let mut reader = Reader::open(chunks, Compression::None, framing, limits);
        let mut before = Outcome::default();
        let zipped = zstd::encode_all(&input[..], 1).unwrap();
        while let Some(block) = reader.next_block().unwrap() {
            before.take(&block);
            let saved = serde_json::to_string(&block.end).unwrap();
            let at: Position = serde_json::from_str(&saved).unwrap();
            let (rest, compression) = if compressed {
                (&zipped[..], Compression::Zstd)
            } else {
                (&input[at.offset as usize..], Compression::Auto)
            };
            let resumed = Reader::resume(rest, compression, framing, limits, at, !compressed);
            let rest = drain(&mut { resumed });
            let records = [&before.records[..], &rest.records[..]].concat();
            prop_assert_eq!(&records, &whole.records);
            let refused = [&before.refused[..], &rest.refused[..]].concat();
            prop_assert_eq!(&refused, &whole.refused);
        }
    }

    /// What stages make of a batch as a whole (its events in order) must not depend on where a run
    /// was interrupted.
    #[test]
    fn a_file_is_cut_into_the_same_blocks_wherever_reading_begins(
        inputs in vec(streams(), 1..25), framing in framings(), mut limits in limits(),
        sizes in vec(1usize..9000, 1..8), records in 1usize..400, whole_words in any::<bool>(),
    ) {
        let mut input = inputs.concat();
        if whole_words {
            input = b"{\"a\":1}\n{\"b\":[1,2]}\n".repeat(900);
        }
        limits.block_records = records;
        let chunks = Chunks(&input, sizes.into_iter().cycle());
        let mut reader = Reader::open(chunks, Compression::None, framing, limits).fill();
        let mut ends = Vec::new();
        while let Some(block) = reader.next_block().unwrap() {
            ends.push(block.end);
        }
        for (number, at) in ends.iter().enumerate().step_by(1 + ends.len() / 8) {
            let rest = &input[at.offset as usize..];
            let mut resumed =
                Reader::resume(rest, Compression::None, framing, limits, *at, true).fill();
            for end in &ends[number + 1..] {
                let block = resumed.next_block().unwrap().expect("as many blocks");
                prop_assert_eq!(block.end, *end);
            }
            prop_assert!(resumed.next_block().unwrap().is_none());
        }
    }

    #[test]
    fn the_same_values_in_any_framing(
        values in vec(values(), 1..20), auto in any::<bool>(), pretty in any::<bool>(),
        gap in prop::sample::select(vec!["", " ", "\n", "\r\n\r\n"]),
    ) {
        let texts: Vec<String> = values.iter().map(|value| match pretty {
            true => serde_json::to_string_pretty(value).unwrap(),
            false => value.to_string(),
        }).collect();
        let lines: Vec<String> = values.iter().map(ToString::to_string).collect();
        let shapes = [
            (Framing::Lines, lines.join("\n")),
            (Framing::Concatenated, texts.join(gap)),
            (Framing::Array, format!("[{gap}{}{gap}]", texts.join(&format!(",{gap}")))),
        ];
        for (framing, text) in shapes {
            // The first value decides, so one that is not like the others misleads.
            let auto = auto && (!pretty || texts[0].contains('\n') || framing != Framing::Concatenated);
            let framing = if auto { Framing::Auto } else { framing };
            let outcome = plain(text.as_bytes(), framing, Limits::default());
            prop_assert!(outcome.refused.is_empty(), "{:?} {}", outcome.refused, text);
            let parsed: Vec<serde_json::Value> =
                outcome.texts().iter().map(|text| serde_json::from_str(text).unwrap()).collect();
            prop_assert_eq!(&parsed, &values, "{}", text);
        }
    }
}

#[test]
fn a_reason_has_one_name() {
    let reasons = [
        Reason::RecordTooLarge,
        Reason::NotUtf8,
        Reason::Truncated,
        Reason::Garbage,
        Reason::Unterminated,
        Reason::MissingComma,
    ];
    let names: std::collections::BTreeSet<_> = reasons.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), reasons.len());
}

/// Objects, whose strings hold what a scanner could trip over.
fn values() -> impl Strategy<Value = serde_json::Value> {
    let text = r#"[{}\[\]"\\,:\n ä]{0,90}"#;
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i32>().prop_map(Into::into),
        text.prop_map(Into::into),
    ];
    let nested = leaf.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            vec((text, inner), 0..4).prop_map(|members| members
                .into_iter()
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    });
    vec(("[a-z]{1,5}", nested), 0..4).prop_map(|members| {
        members
            .into_iter()
            .collect::<serde_json::Map<_, _>>()
            .into()
    })
}
