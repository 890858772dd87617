//! How objects are packed.

use std::io::Write;

/// The mark with which some programs begin a file.
pub const MARK: &str = "\u{feff}";

/// One member of gzip. Into memory: there is nothing that could fail.
pub fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let _ = encoder.write_all(text.as_bytes());
    encoder.finish().unwrap_or_default()
}

/// One frame of zstd.
pub fn zstd(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 19).unwrap_or_default()
}

/// A member of gzip in one block that is stored as it is, and that ends before the text does: so it
/// is known what can be read of it.
pub fn broken_off(text: &str, at: usize) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let length = text.len() as u16;
    bytes.push(1);
    bytes.extend(length.to_le_bytes());
    bytes.extend((!length).to_le_bytes());
    bytes.extend(&text.as_bytes()[..at]);
    bytes
}

/// RFC 3339 of milliseconds since 1970; the exports lie within March 2026. `padded`: with two digits
/// for days and hours, as it should be.
pub fn time(ms: u64, padded: bool) -> String {
    const MARCH: u64 = 1_772_323_200_000;
    let (day, rest) = ((ms - MARCH) / 86_400_000 + 1, (ms - MARCH) % 86_400_000);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, millis) = (rest / 1000 % 60, rest % 1000);
    match padded {
        true => format!("2026-03-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"),
        false => format!("2026-03-{day}T{hour}:{minute:02}:{second:02}.{millis:03}Z"),
    }
}
