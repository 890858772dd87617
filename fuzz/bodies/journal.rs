//! A segment of a disk buffer: any bytes end in a report, in memory and time that fit them.

use std::sync::OnceLock;

use trunkline::journal::read_segment;
use trunkline::seal::{Key, Keyring};

/// The first byte says how much of the rest is made to look right: checksums keep a fuzzer out.
pub fn bytes(data: &[u8]) -> Vec<u8> {
    match data {
        [] => Vec::new(),
        [mode, rest @ ..] if mode % 3 == 0 => rest.to_vec(),
        [mode, rest @ ..] if mode % 3 == 1 => segment(&[rest]),
        [_, rest @ ..] => segment(&rest.split(|byte| *byte == 0xff).collect::<Vec<_>>()),
    }
}

pub fn run(data: &[u8]) {
    let bytes = bytes(data);
    let Ok(report) = read_segment(&bytes, Some(keys())) else {
        return;
    };
    assert_eq!(report.bytes, bytes.len() as u64);
    assert!(report.damaged_bytes <= report.bytes);
    assert!(report.compressed <= report.records && report.sealed <= report.records);
    assert!(report.records * 40 <= report.bytes);
    // An event takes five bytes and a body, before it is compressed.
    assert!(report.events <= report.bytes * 255);
}

fn keys() -> &'static Keyring {
    static KEYS: OnceLock<Keyring> = OnceLock::new();
    KEYS.get_or_init(|| {
        let key = Key::parse(&"07".repeat(32)).expect("a key");
        Keyring::new(key, Vec::new()).expect("randomness")
    })
}

const ID: [u8; 16] = [7; 16];

/// A segment whose header and checksums are right, with these payloads. The first byte of each
/// says how many events it claims and whether it is compressed or sealed, the next two which size.
fn segment(payloads: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"\x89TLSEG\r\n\x01\0\0\0\0\0\0\0".to_vec();
    bytes.extend(ID);
    bytes.extend(1u64.to_le_bytes());
    bytes.resize(60, 0);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend(crc.to_le_bytes());
    let salt = crc32c::crc32c_append(crc32c::crc32c(&ID), &1u64.to_le_bytes());
    let mut first = 0u64;
    for payload in payloads {
        let [kind, size, power, payload @ ..] = payload else {
            continue;
        };
        let events = u32::from(kind >> 2);
        let plain = match kind & 1 {
            0 => payload.len() as u32,
            // What is claimed may be any size.
            _ => u32::from(*size) << (power % 32),
        };
        let mut header = vec![0xf7, b'T', b'R', 0xf5];
        header.extend((payload.len() as u32).to_le_bytes());
        header.extend(plain.to_le_bytes());
        header.extend(events.to_le_bytes());
        header.extend(first.to_le_bytes());
        header.extend(crc32c::crc32c(payload).to_le_bytes());
        header.push(kind & 3);
        header.resize(36, 0);
        let crc = crc32c::crc32c_append(salt, &header);
        header.extend(crc.to_le_bytes());
        bytes.extend(header);
        bytes.extend(payload);
        first += u64::from(events);
    }
    bytes
}
