//! Keyed hashes: of conversations, of nodes and of bodies. State holds nothing else of an event.

use std::hash::Hasher;

use compact_str::{CompactString, format_compact};
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher13x128};

/// The keys of a store's hashes.
#[derive(Clone)]
pub(super) struct Keys {
    seed: [u8; 16],
    body: (u64, u64),
}

impl Keys {
    pub fn new(seed: [u8; 16]) -> Self {
        let half = |part: &[u8]| {
            part.iter()
                .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        Self {
            // Odd, so never zero: a product keeps what goes into it.
            body: (half(&seed[..8]) | 1, half(&seed[8..]) | 1),
            seed,
        }
    }

    /// Of a conversation's key: 128 bits, so that no two conversations ever share one.
    pub fn conversation(&self, key: &str) -> u128 {
        let mut hasher = SipHasher13x128::new_with_key(&self.seed);
        hasher.write(key.as_bytes());
        hasher.finish128().as_u128()
    }

    /// Of a node's name.
    pub fn node(&self, name: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        hasher.write(name.as_bytes());
        hasher.finish()
    }

    /// A node's hash as a name of its own, of 16 letters.
    pub fn node_name(hash: u64) -> CompactString {
        format_compact!("{hash:016x}")
    }

    /// Of a body, to know the same event again among the last few of its conversation. A body is
    /// long and nothing is looked up by this hash, so it is made for speed: one product for each 16
    /// bytes, in two lanes that do not wait for each other.
    pub fn body(&self, body: &[u8]) -> u64 {
        let mut lanes = (self.body.0 ^ body.len() as u64, self.body.1);
        let (blocks, rest) = body.as_chunks::<32>();
        for block in blocks {
            self.mix(&mut lanes, block);
        }
        let mut last = [0; 32];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(&mut lanes, &last);
        fold(lanes.0 ^ self.body.1, lanes.1 ^ self.body.0)
    }

    fn mix(&self, lanes: &mut (u64, u64), block: &[u8; 32]) {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        // Mixed in, so that a block that zeroes a product does not forget what came before.
        lanes.0 = lanes.0.rotate_left(5) ^ fold(words[0] ^ lanes.0, words[1] ^ self.body.1);
        lanes.1 = lanes.1.rotate_left(5) ^ fold(words[2] ^ lanes.1, words[3] ^ self.body.0);
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_bodies_apart_by_every_byte_and_by_the_key() {
        let keys = Keys::new([7; 16]);
        let body: Vec<u8> = (0..100).collect();
        let mut seen = std::collections::HashSet::from([keys.body(&body)]);
        for at in 0..body.len() {
            let mut other = body.clone();
            other[at] ^= 1;
            assert!(seen.insert(keys.body(&other)), "byte {at}");
            assert!(seen.insert(keys.body(&body[..at])), "length {at}");
        }
        assert_eq!(keys.body(&body), Keys::new([7; 16]).body(&body));
        let other = Keys::new([8; 16]);
        assert_ne!(keys.body(&body), other.body(&body));
        assert_ne!(keys.conversation("a"), other.conversation("a"));
        assert_ne!(keys.node("a"), other.node("a"));
    }
}
