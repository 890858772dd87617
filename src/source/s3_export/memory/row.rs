//! What is remembered of one object, and the form in which it is kept.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::codec::Position;

/// In front of the ids of objects.
const OBJECT: u8 = b'o';

/// Stands for an object's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Id([u8; 16]);

impl Id {
    pub(in super::super) fn of(key: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(key).into();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        Self(id)
    }

    pub(super) fn row(self) -> Vec<u8> {
        [&[OBJECT], &self.0[..]].concat()
    }

    pub(super) fn from_row(key: &[u8]) -> Option<Self> {
        let (OBJECT, id) = key.split_first().map(|(first, id)| (*first, id))? else {
            return None;
        };
        id.try_into().ok().map(Self)
    }
}

/// Stands for an object's version.
pub(super) fn stamp(version: &str) -> u64 {
    let hash: [u8; 32] = Sha256::digest(version).into();
    hash.first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// A place in an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Place {
    /// Everything before it was handed over.
    pub position: Position,
    /// The object is not compressed, so that reading can begin there.
    pub plain: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Part(Box<Place>),
    Done,
    Aside,
    Denied,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub version: u64,
    pub modified: i64,
    pub state: State,
    /// The pass under way has been here.
    pub passed: bool,
}

impl Row {
    pub(super) fn write(&self) -> Vec<u8> {
        let state = match self.state {
            State::Part(_) => 0,
            State::Done => 1,
            State::Aside => 2,
            State::Denied => 3,
        };
        let mut bytes = vec![state];
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&self.modified.to_le_bytes());
        if let State::Part(place) = &self.state {
            // Numbers and words only: there is nothing in it that cannot be written.
            bytes.extend(serde_json::to_vec(place).unwrap_or_default());
        }
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (state, rest) = bytes.split_first()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (modified, rest) = rest.split_first_chunk()?;
        let state = match state {
            0 => State::Part(Box::new(serde_json::from_slice(rest).ok()?)),
            1 => State::Done,
            2 => State::Aside,
            3 => State::Denied,
            _ => return None,
        };
        Some(Self {
            version: u64::from_le_bytes(*version),
            modified: i64::from_le_bytes(*modified),
            state,
            passed: false,
        })
    }

    /// What is half read, or denied, is not.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Done | State::Aside)
    }
}
