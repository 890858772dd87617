//! What the state store keeps.
//!
//! Rows: `c` and a conversation's hash hold the conversation, `m` and a minute how many events of
//! conversations that are forgotten fell into it. A minute's count is that and the events of the
//! conversations that are remembered, so an event is counted by one row alone, and neither a crash
//! between two commits nor a repeat counts it twice. A conversation is forgotten in one commit with
//! the minutes that take its events over; what is left of it is a *grave*, a row without content
//! that a change of its own, still under way, cannot overwrite. Everything is big-endian.

use crate::state::Table;

/// Where rows go; nowhere where they would not outlive the process. The sink has them and the board
/// does not: what is shown is shown after the run too, when the store is closed.
#[derive(Clone)]
pub(super) struct Rows(Option<Table>);

impl Rows {
    pub fn of(table: &Table) -> Self {
        // Workers that share a store have no names there by which each could find its own part.
        let kept = table.is_durable() && !table.is_shared();
        Self(kept.then(|| table.clone()))
    }

    pub fn table(&self) -> Option<&Table> {
        self.0.as_ref()
    }
}

/// A row's key.
pub(super) enum Key {
    Conversation(u128),
    Minute(u32),
}

impl Key {
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Conversation(hash) => [b"c", &hash.to_be_bytes()[..]].concat(),
            Self::Minute(minute) => [b"m", &minute.to_be_bytes()[..]].concat(),
        }
    }

    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (b'c', hash) => Some(Self::Conversation(u128::from_be_bytes(
                hash.try_into().ok()?,
            ))),
            (b'm', minute) => Some(Self::Minute(u32::from_be_bytes(minute.try_into().ok()?))),
            _ => None,
        }
    }
}

/// A grave's row: a zero in the place of a conversation's form, and its version.
pub(super) fn grave(version: u64) -> Vec<u8> {
    [&[0][..], &version.to_be_bytes()].concat()
}

pub(super) fn grave_of(row: &[u8]) -> Option<u64> {
    match row.split_first()? {
        (0, version) => Some(u64::from_be_bytes(version.try_into().ok()?)),
        _ => None,
    }
}

/// A minute's row: its version, and how many events.
pub(super) fn minute(version: u64, count: u32) -> Vec<u8> {
    [&version.to_be_bytes()[..], &count.to_be_bytes()].concat()
}

pub(super) fn minute_of(row: &[u8]) -> Option<(u64, u32)> {
    let (version, count) = row.split_first_chunk()?;
    let count = count.try_into().ok()?;
    Some((u64::from_be_bytes(*version), u32::from_be_bytes(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_were_written_and_others_are_none() {
        assert!(matches!(
            Key::of(&Key::Conversation(7).bytes()),
            Some(Key::Conversation(7))
        ));
        assert!(matches!(
            Key::of(&Key::Minute(9).bytes()),
            Some(Key::Minute(9))
        ));
        for key in [&b""[..], b"c", b"m123", b"x1234", b"m12345"] {
            assert!(Key::of(key).is_none());
        }
        assert_eq!(minute_of(&minute(5, 6)), Some((5, 6)));
        assert_eq!(grave_of(&grave(5)), Some(5));
        assert_eq!(
            (minute_of(&grave(5)), grave_of(&minute(1 << 56, 5))),
            (None, None)
        );
    }
}
