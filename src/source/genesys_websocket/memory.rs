//! What outlives a connection of the source, in the process and across restarts: when each channel
//! was last heard, which channels are ours, and which conversations are known.
//!
//! Across restarts it is the source's checkpoint. The ids of channels in it are credentials, so they
//! are sealed with a key that is derived from the secret of the OAuth client: whoever has that could
//! make channels anyway.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::known::Known;
use crate::client::genesys::{Channel, Credentials};
use crate::seal::{Key, Keyring};
use crate::stage::Checkpoint;

/// Key of the checkpoint, and context of what is sealed in it.
const KEY: &[u8] = b"genesys";
/// Most channels that are believed to be ours.
const MOST: usize = 20;

/// A channel of ours, and when it was made (microseconds since 1970).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grip {
    pub channel: Channel,
    pub made: i64,
}

/// As it is sealed.
#[derive(Serialize, Deserialize)]
struct Kept(u32, String, String, i64);

/// Shared by the tasks of a source and all its connections.
pub(super) struct Memory {
    pub known: Mutex<Known>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// When each channel was last heard, by what has been handed over.
    heard: BTreeMap<u32, i64>,
    /// Gaps that are not re-read yet: since when. The checkpoint stays in front of them.
    open: Vec<(u32, i64)>,
    grips: BTreeMap<u32, Grip>,
    /// The platform's own time in the last frame of each channel, where frames tell it.
    told: BTreeMap<u32, i64>,
    /// Grows with every change of the grips.
    changes: u64,
}

/// What a checkpoint says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub heard: Option<i64>,
    pub grips: BTreeMap<u32, Grip>,
}

impl Memory {
    pub fn new(conversations: usize) -> Self {
        Self {
            known: Mutex::new(Known::new(conversations)),
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The conversations.
    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that the channel said up to this time has been handed over.
    pub fn heard(&self, channel: u32, at: i64) {
        let mut held = self.held();
        let last = held.heard.entry(channel).or_insert(at);
        *last = at.max(*last);
    }

    /// Since when this process may have missed something of the channel: when it was last heard, or
    /// the beginning of a gap that an earlier connection did not come to fill.
    pub fn resume(&self, channel: u32) -> Option<i64> {
        let mut held = self.held();
        let last = held.heard.get(&channel).copied()?;
        let mut since = last;
        held.open.retain(|(of, from)| {
            let ours = *of == channel;
            if ours {
                since = since.min(*from);
            }
            !ours
        });
        held.heard.insert(channel, since);
        Some(since)
    }

    /// The platform's own time in the last frame of the channel, where frames tell it.
    pub fn told(&self, channel: u32) -> Option<i64> {
        self.held().told.get(&channel).copied()
    }

    /// A frame of the channel told it.
    pub fn tell(&self, channel: u32, at: i64) {
        self.held().told.insert(channel, at);
    }

    /// A gap is to be re-read.
    pub fn open_gap(&self, channel: u32, from: i64) {
        self.held().open.push((channel, from));
    }

    /// It was.
    pub fn close_gap(&self, channel: u32, from: i64) {
        let mut held = self.held();
        if let Some(at) = held.open.iter().position(|gap| *gap == (channel, from)) {
            held.open.swap_remove(at);
        }
    }

    /// The channel that stands for this number now.
    pub fn hold(&self, number: u32, grip: Option<Grip>) {
        let mut held = self.held();
        let same = held.grips.get(&number) == grip.as_ref();
        match grip {
            Some(grip) => held.grips.insert(number, grip),
            None => held.grips.remove(&number),
        };
        held.changes += u64::from(!same);
    }

    /// The channel that stood for this number, taken to be used.
    pub fn grip(&self, number: u32) -> Option<Grip> {
        self.held().grips.get(&number).cloned()
    }

    /// Forgets the channels from this number on; gives those that we have.
    pub fn trim(&self, needed: u32) -> Vec<Grip> {
        let mut held = self.held();
        held.heard.retain(|number, _| *number < needed);
        held.open.retain(|(number, _)| *number < needed);
        let rest = held.grips.split_off(&needed);
        held.changes += u64::from(!rest.is_empty());
        rest.into_values().collect()
    }

    /// Takes over what a checkpoint says, where this process knows nothing better.
    pub fn begin(&self, found: Found, channels: bool) {
        let mut held = self.held();
        if channels && held.changes == 0 {
            held.grips = found.grips;
        }
    }

    /// The number of changes of the grips so far.
    pub fn changes(&self) -> u64 {
        self.held().changes
    }

    /// The time up to which nothing is missing, and the channels, to be kept. `None` before the
    /// first channel was heard. `since` is when an earlier process heard something.
    pub fn checkpoint(&self, sealer: Option<&Keyring>, since: Option<i64>) -> Option<Checkpoint> {
        let held = self.held();
        let gaps = held.open.iter().map(|(_, from)| from);
        let heard = held.heard.values().chain(gaps).min().copied().or(since)?;
        let mut value = heard.to_be_bytes().to_vec();
        if let Some(sealer) = sealer {
            let kept = held.grips.iter().map(|(number, grip)| {
                let (id, uri) = (grip.channel.expose_id(), grip.channel.expose_uri());
                Kept(*number, id.to_owned(), uri.to_owned(), grip.made)
            });
            let kept: Vec<Kept> = kept.collect();
            // Texts and numbers always have a JSON form.
            let plain = serde_json::to_vec(&kept).unwrap_or_default();
            value.extend(sealer.seal(KEY, &plain));
        }
        Some(Checkpoint {
            key: KEY.to_vec(),
            value,
        })
    }
}

/// Reads a checkpoint; what is not readable counts as not there.
pub(super) fn read(value: &[u8], sealer: Option<&Keyring>) -> Found {
    let Some((heard, sealed)) = value.split_first_chunk() else {
        return Found::default();
    };
    let opened = sealer.and_then(|sealer| sealer.open(KEY, sealed).ok());
    let kept: Vec<Kept> = opened
        .and_then(|plain| serde_json::from_slice(&plain).ok())
        .unwrap_or_default();
    let grips = kept
        .into_iter()
        .take(MOST)
        .map(|Kept(number, id, uri, made)| {
            let channel = Channel::of(id, uri);
            (number, Grip { channel, made })
        });
    Found {
        heard: Some(i64::from_be_bytes(*heard)),
        grips: grips.collect(),
    }
}

/// The key of the checkpoint's name in the store.
pub(super) fn key() -> &'static [u8] {
    KEY
}

/// What seals the channels; `None` when the machine has no randomness, and then nothing is kept.
pub(super) fn sealer(credentials: &Credentials) -> Option<Keyring> {
    let digest = Sha256::new()
        .chain_update(b"trunkline genesys channels\0")
        .chain_update(credentials.client_id.as_bytes())
        .chain_update([0])
        .chain_update(credentials.client_secret.expose().as_bytes())
        .finalize();
    let hexadecimal: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Keyring::new(Key::parse(&hexadecimal)?, Vec::new()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::Secret;

    fn sealed_with(secret: &str) -> Keyring {
        let credentials = Credentials {
            client_id: "id".into(),
            client_secret: Secret::new(secret),
        };
        sealer(&credentials).unwrap()
    }

    #[test]
    fn a_checkpoint_gives_back_times_and_channels_to_the_same_client_only() {
        let memory = Memory::new(10);
        let grip = Grip {
            channel: Channel::of("channel-1", "wss://x/channels/channel-1"),
            made: 7,
        };
        memory.hold(3, Some(grip.clone()));
        memory.heard(3, 50);
        memory.heard(4, 40);
        let sealer = sealed_with("s");
        let kept = memory.checkpoint(Some(&sealer), None).unwrap();
        assert!(!String::from_utf8_lossy(&kept.value).contains("channel-1"));
        let found = read(&kept.value, Some(&sealed_with("s")));
        assert_eq!(found.heard, Some(40));
        assert_eq!(found.grips[&3], grip);
        let other = read(&kept.value, Some(&sealed_with("t")));
        assert_eq!((other.heard, other.grips.len()), (Some(40), 0));
        assert_eq!(read(b"short", None), Found::default());
    }

    #[test]
    fn the_checkpoint_stays_in_front_of_a_gap_until_it_is_filled() {
        let memory = Memory::new(10);
        let at = |memory: &Memory| read(&memory.checkpoint(None, None).unwrap().value, None).heard;
        assert!(memory.checkpoint(None, None).is_none());
        memory.heard(0, 10);
        memory.open_gap(0, 10);
        memory.heard(0, 30);
        assert_eq!(at(&memory), Some(10));
        memory.close_gap(0, 10);
        assert_eq!(at(&memory), Some(30));
        memory.heard(0, 20);
        assert_eq!(at(&memory), Some(30));
        // Another connection takes up what this one leaves.
        memory.open_gap(0, 20);
        assert_eq!(memory.resume(0), Some(20));
        assert_eq!(at(&memory), Some(20));
        assert_eq!(memory.resume(1), None);
    }
}
