//! Recognises a file that was replaced or changed under its reader.

use serde::{Deserialize, Serialize};
use siphasher::sip128::SipHasher13;
use std::io::{self, Read};

/// What a file looked like: its length, and a 128-bit hash of its first bytes.
///
/// Kept beside a [`super::Position`], so that reading goes on only in the file that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Bytes of the file.
    pub length: u64,
    /// Bytes that the hash covers, at most [`Fingerprint::HEAD_BYTES`].
    head: u32,
    /// Two halves, since not every format has 128-bit integers.
    hash: [u64; 2],
}

/// What has become of a file since its fingerprint was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// The same length and beginning.
    Same,
    /// The same beginning, and longer: appended to.
    Grown,
    /// Shorter, or with another beginning: replaced, truncated or rewritten.
    Changed,
}

impl Fingerprint {
    /// Bytes at the front of a file that are looked at.
    pub const HEAD_BYTES: usize = 4 << 10;

    /// Of a file of `length` bytes that begins with `head`, of which up to 4 KiB are used.
    pub fn of(head: &[u8], length: u64) -> Self {
        let head = &head[..head.len().min(Self::HEAD_BYTES)];
        // Any fixed key will do: this guards against accidents, not against an adversary.
        let hash = SipHasher13::new_with_keys(0x7472_756e_6b6c_696e, 0x6669_6e67_6572).hash(head);
        Fingerprint {
            length,
            head: head.len() as u32,
            hash: [hash.h1, hash.h2],
        }
    }

    /// Reads the head of a file of `length` bytes, which is left up to 4 KiB further on.
    pub fn read(file: impl Read, length: u64) -> io::Result<Self> {
        Ok(Self::of(&Self::read_head(file)?, length))
    }

    /// Compares with a file of `length` bytes that begins with what `file` gives.
    pub fn compare(&self, file: impl Read, length: u64) -> io::Result<Likeness> {
        Ok(self.likeness(&Self::read_head(file)?, length))
    }

    /// Compares with a file of `length` bytes that begins with `head`.
    pub fn likeness(&self, head: &[u8], length: u64) -> Likeness {
        let covered = head.get(..self.head as usize);
        if covered.is_none_or(|covered| Self::of(covered, self.length) != *self) {
            return Likeness::Changed;
        }
        match length.cmp(&self.length) {
            std::cmp::Ordering::Less => Likeness::Changed,
            std::cmp::Ordering::Equal => Likeness::Same,
            std::cmp::Ordering::Greater => Likeness::Grown,
        }
    }

    fn read_head(file: impl Read) -> io::Result<Vec<u8>> {
        let mut head = Vec::with_capacity(Self::HEAD_BYTES);
        file.take(Self::HEAD_BYTES as u64).read_to_end(&mut head)?;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_appended_from_replaced() {
        let before = Fingerprint::of(b"one\n", 4);
        assert_eq!(before.likeness(b"one\n", 4), Likeness::Same);
        assert_eq!(before.likeness(b"one\ntwo\n", 8), Likeness::Grown);
        assert_eq!(before.likeness(b"ONE\n", 4), Likeness::Changed);
        assert_eq!(before.likeness(b"two\none\n", 8), Likeness::Changed);
        assert_eq!(before.likeness(b"one", 3), Likeness::Changed);
    }

    #[test]
    fn looks_at_the_head_alone() {
        let mut bytes = vec![b'x'; Fingerprint::HEAD_BYTES + 100];
        let before = Fingerprint::read(&bytes[..], bytes.len() as u64).unwrap();
        bytes[Fingerprint::HEAD_BYTES] = b'y';
        assert_eq!(
            before.compare(&bytes[..], bytes.len() as u64).unwrap(),
            Likeness::Same
        );
        assert_eq!(before.compare(&bytes[..], 5).unwrap(), Likeness::Changed);
        bytes[Fingerprint::HEAD_BYTES - 1] = b'y';
        assert_eq!(
            before.compare(&bytes[..], bytes.len() as u64).unwrap(),
            Likeness::Changed
        );
    }

    #[test]
    fn is_the_same_in_the_next_version() {
        let text = serde_json::to_string(&Fingerprint::of(b"{}\n", 3)).unwrap();
        let again: Fingerprint = serde_json::from_str(&text).unwrap();
        assert_eq!(again.likeness(b"{}\n", 3), Likeness::Same);
    }
}
