//! From an event to the hash that stands for its key.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::event::{Event, Path, Value};

/// 128 keyed bits of a key. Two keys share one with a chance of about 2^-88 among a million, and
/// without the seed nobody can tell the key from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fingerprint([u32; 4]);

impl Fingerprint {
    /// Length in a stored row.
    pub const BYTES: usize = 16;

    /// The part that places it in a table.
    pub fn short(self) -> u64 {
        u64::from(self.0[0]) << 32 | u64::from(self.0[1])
    }

    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let [a, b, c, d] = self.0.map(u128::from);
        (a << 96 | b << 64 | c << 32 | d).to_be_bytes()
    }

    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let bits = u128::from_be_bytes(bytes);
        Self([96, 64, 32, 0].map(|shift| (bits >> shift) as u32))
    }
}

/// Reads and hashes keys.
pub(super) struct Keys {
    paths: Vec<Path>,
    /// For a key that is one string, hashed where it lies.
    text: SipHasher13,
    /// For every other key, written out so that no two look alike; under a key of its own, so
    /// that it cannot look like a string either.
    other: SipHasher13,
}

impl Keys {
    pub fn new(paths: Vec<Path>, seed: [u8; 16]) -> Self {
        Self {
            paths,
            text: SipHasher13::new_with_key(&seed),
            other: SipHasher13::new_with_key(&seed.map(|byte| byte ^ 0x5C)),
        }
    }

    /// The paths as they are written, for messages.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.paths.iter().map(|path| format!("`{path}`")).collect();
        names.join(", ")
    }

    /// `None` when one of the paths leads to no string, number or boolean: the rest of a key
    /// that was meant to be longer would take events for duplicates that are none.
    pub fn of(&self, event: &Event, scratch: &mut Vec<u8>) -> Option<Fingerprint> {
        if let [path] = &self.paths[..] {
            let value = event.get(path)?;
            if let Some(text) = value.as_str() {
                return Some(finish(self.text, text.as_bytes()));
            }
            scratch.clear();
            write_part(value, scratch)?;
            return Some(finish(self.other, scratch));
        }
        scratch.clear();
        for path in &self.paths {
            write_part(event.get(path)?, scratch)?;
        }
        Some(finish(self.other, scratch))
    }
}

fn finish(mut hasher: SipHasher13, bytes: &[u8]) -> Fingerprint {
    hasher.write(bytes);
    let bits = hasher.finish128().as_u128();
    Fingerprint([96, 64, 32, 0].map(|shift| (bits >> shift) as u32))
}

/// Type, length, content. Whole numbers count by value (`1` is `1.0`), others as written.
fn write_part(value: Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    let mut write = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    if let Some(text) = value.as_str() {
        write(b's', text.as_bytes());
    } else if let Some(number) = value.as_number() {
        match value.as_i64() {
            Some(whole) => write(b'i', &whole.to_le_bytes()),
            None => write(b'n', number.as_bytes()),
        }
    } else {
        write(b'b', &[u8::from(value.as_bool()?)]);
    }
    Some(())
}
