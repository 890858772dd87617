//! Encryption of what rests on disk: durable buffers, state, the originals of dead letters.
//!
//! XChaCha20-Poly1305 under keys of 32 bytes that come from a secret. The first key of a ring
//! seals; all of them open, so a key is changed by putting the new one in front and taking the old
//! one out once nothing is left that it sealed. Every sealed piece names its key by eight bytes of
//! a hash, so that the right one is found, and a missing one can be told from damage.
//!
//! A piece is bound to its *context* (what it is and where it lies): it opens nowhere else.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

use crate::failure::Failure;

const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
/// Bytes that random nonces have in common with those of the same process.
const PREFIX_BYTES: usize = 16;

/// What sealing adds to a piece: the key's name, the nonce and the tag.
pub const OVERHEAD: usize = ID_BYTES + NONCE_BYTES + 16;

/// Names a key without telling anything of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; ID_BYTES]);

impl KeyId {
    /// The name as bytes.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }

    /// The name that these bytes are.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl From<[u8; ID_BYTES]> for KeyId {
    fn from(bytes: [u8; ID_BYTES]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// One key.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    cipher: XChaCha20Poly1305,
}

impl Key {
    /// Reads 32 bytes, written as base64 or as 64 hexadecimal digits. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = match text.len() {
            64 => hexadecimal(text)?,
            _ => STANDARD.decode(text).ok()?,
        };
        let bytes: [u8; KEY_BYTES] = bytes.try_into().ok()?;
        let digest = Sha256::new()
            .chain_update(b"trunkline key id")
            .chain_update(bytes)
            .finalize();
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&digest[..ID_BYTES]);
        Some(Self {
            id: KeyId(id),
            cipher: XChaCha20Poly1305::new(&bytes.into()),
        })
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        self.id
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    /// Its name only.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Key({})", self.id)
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some((digit(high)? * 16 + digit(low)?) as u8),
            _ => None,
        })
        .collect()
}

/// Why a piece could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// It was sealed with a key that is not in the ring.
    UnknownKey(KeyId),
    /// It is not what was sealed, or lies elsewhere.
    Damaged,
}

impl fmt::Display for Sealed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sealed::UnknownKey(id) => write!(
                out,
                "it is encrypted with the key {id}, which is not among the keys given"
            ),
            Sealed::Damaged => out.write_str("it is damaged, or was changed"),
        }
    }
}

impl std::error::Error for Sealed {}

/// The keys of a pipeline. Clones share them.
#[derive(Clone)]
pub struct Keyring(Arc<Ring>);

struct Ring {
    first: Key,
    others: Vec<Key>,
    /// Nonces: random for each ring, then counted, so that none comes twice.
    prefix: [u8; PREFIX_BYTES],
    count: AtomicU64,
}

impl Keyring {
    /// `first` seals; `others` are older ones that still open.
    ///
    /// # Errors
    /// Fatal (`no_randomness`) when the system has no random numbers to give.
    pub fn new(first: Key, others: Vec<Key>) -> Result<Self, Failure> {
        let mut prefix = [0; PREFIX_BYTES];
        getrandom::fill(&mut prefix).map_err(|error| {
            Failure::fatal(
                "no_randomness",
                format!("the system has no randomness: {error}"),
            )
        })?;
        Ok(Self(Arc::new(Ring {
            first,
            others,
            prefix,
            count: AtomicU64::new(0),
        })))
    }

    /// The key that seals.
    pub fn id(&self) -> KeyId {
        self.0.first.id
    }

    /// The names of all keys, the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        std::iter::once(&self.0.first)
            .chain(&self.0.others)
            .map(Key::id)
    }

    /// Seals a piece for its context. [`OVERHEAD`] bytes longer than `plain`.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let ring = &self.0;
        let mut nonce = [0; NONCE_BYTES];
        nonce[..PREFIX_BYTES].copy_from_slice(&ring.prefix);
        let count = ring.count.fetch_add(1, Ordering::Relaxed);
        nonce[PREFIX_BYTES..].copy_from_slice(&count.to_be_bytes());
        let payload = Payload {
            msg: plain,
            aad: context,
        };
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        sealed.extend_from_slice(&ring.first.id.0);
        sealed.extend_from_slice(&nonce);
        match ring.first.cipher.encrypt(&XNonce::from(nonce), payload) {
            Ok(text) => sealed.extend_from_slice(&text),
            Err(_) => unreachable!("the cipher takes 256 GiB, and nothing here comes near it"),
        }
        sealed
    }

    /// Opens what [`seal`](Self::seal) made for this context.
    ///
    /// # Errors
    /// When the key is not in the ring, or the piece is not whole.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Sealed> {
        let (id, rest) = sealed.split_first_chunk().ok_or(Sealed::Damaged)?;
        let (nonce, text) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(Sealed::Damaged)?;
        let id = KeyId(*id);
        let ring = &self.0;
        let key = std::iter::once(&ring.first)
            .chain(&ring.others)
            .find(|key| key.id == id)
            .ok_or(Sealed::UnknownKey(id))?;
        let payload = Payload {
            msg: text,
            aad: context,
        };
        let opened = key.cipher.decrypt(&XNonce::from(*nonce), payload);
        opened.map_err(|_| Sealed::Damaged)
    }
}

impl fmt::Debug for Keyring {
    /// Names only.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.ids()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::parse(&STANDARD.encode([byte; KEY_BYTES])).unwrap()
    }

    fn ring(first: u8, others: &[u8]) -> Keyring {
        Keyring::new(key(first), others.iter().copied().map(key).collect()).unwrap()
    }

    #[test]
    fn a_piece_opens_in_its_context_and_with_its_key_alone() {
        let (old, new) = (ring(1, &[]), ring(2, &[1]));
        let sealed = old.seal(b"here", b"+14155551234");
        assert_eq!(sealed.len(), 12 + OVERHEAD);
        assert!(!sealed.windows(4).any(|four| four == b"4155"));
        assert_eq!(new.open(b"here", &sealed).unwrap(), b"+14155551234");
        assert_eq!(new.open(b"there", &sealed), Err(Sealed::Damaged));
        let unknown = Err(Sealed::UnknownKey(key(1).id()));
        assert_eq!(ring(2, &[]).open(b"here", &sealed), unknown);
        assert_ne!(
            old.seal(b"here", b"+14155551234"),
            sealed,
            "a nonce of its own"
        );
    }

    #[test]
    fn every_changed_or_missing_byte_is_found() {
        let ring = ring(7, &[]);
        let sealed = ring.seal(b"", b"text");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ring.open(b"", &changed).is_err(), "{at}");
            assert!(ring.open(b"", &sealed[..at]).is_err(), "{at}");
        }
    }

    #[test]
    fn keys_are_32_bytes_in_base64_or_hexadecimal_and_are_never_shown() {
        let hex = "07".repeat(32);
        assert_eq!(Key::parse(&hex), Some(key(7)));
        assert_eq!(Key::parse(&format!(" {hex}\n")), Some(key(7)), "of a file");
        for bad in ["", "secret", "AAAA", &hex[1..], &"zz".repeat(32)] {
            assert_eq!(Key::parse(bad), None, "{bad}");
        }
        let shown = format!("{:?} {:?}", key(7), ring(7, &[8]));
        assert!(!shown.contains("0707") && shown.contains(&key(8).id().to_string()));
    }
}
