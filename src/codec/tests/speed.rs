use crate::codec::{Compression, Framing, Limits, Reader};
use std::time::Instant;

/// Prints the rates of a release build, when there is one; a debug build only counts.
#[test]
fn frames_everything_at_a_rate_to_look_at() {
    let line = format!(
        "{{\"event_id\":\"{}\",\"type\":\"call\",\"queue\":{{\"name\":\"q\",\"n\":[1,2,3]}},{}\"end\":1}}",
        "e".repeat(36),
        "\"some_field\":\"some value of it\",".repeat(14),
    );
    let (count, rounds) = if cfg!(debug_assertions) {
        (1_000, 1)
    } else {
        (100_000, 10)
    };
    for (framing, gap) in [
        (Framing::Lines, "\n"),
        (Framing::Concatenated, ""),
        (Framing::Concatenated, "\n"),
        (Framing::Array, ","),
    ] {
        let text = vec![&line[..]; count].join(gap);
        let text = if framing == Framing::Array {
            format!("[{text}]")
        } else {
            text
        };
        for fill in [false, true] {
            let begin = Instant::now();
            let mut records = 0;
            for _ in 0..rounds {
                let limits = Limits {
                    block_records: 2048,
                    ..Limits::default()
                };
                let mut reader = Reader::open(text.as_bytes(), Compression::None, framing, limits);
                reader = if fill { reader.fill() } else { reader };
                while let Some(block) = reader.next_block().unwrap() {
                    records += block.records.len();
                }
            }
            assert_eq!(records, count * rounds);
            let rate = (text.len() * rounds) as f64 / begin.elapsed().as_secs_f64() / 1e9;
            println!(
                "{framing:?} {gap:?} of {} bytes, fill {fill}: {rate:.2} GB/s",
                line.len()
            );
        }
    }
}
