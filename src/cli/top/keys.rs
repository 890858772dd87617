//! Keys of a terminal, out of the bytes that it sends.

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Pause,
    Sort,
    /// The next pipeline, and the one before.
    Next,
    Previous,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
}

/// Longest sequence that is put together: those that are known have four bytes.
const LONGEST: usize = 8;

/// Reads keys; a sequence may come in pieces.
#[derive(Default)]
pub(super) struct Keys {
    /// What has come of a sequence, without its escape.
    sequence: Option<Vec<u8>>,
}

impl Keys {
    pub fn read(&mut self, bytes: &[u8]) -> Vec<Key> {
        bytes.iter().filter_map(|byte| self.byte(*byte)).collect()
    }

    fn byte(&mut self, byte: u8) -> Option<Key> {
        if byte == 0x1b {
            self.sequence = Some(Vec::new());
            return None;
        }
        let Some(mut sequence) = self.sequence.take() else {
            return plain(byte);
        };
        sequence.push(byte);
        match *sequence {
            // Escape itself, and then a key.
            [key] if !matches!(key, b'[' | b'O') => plain(key),
            [_, .., 0x40..=0x7e] => named(&sequence[1..]),
            _ if sequence.len() < LONGEST => {
                self.sequence = Some(sequence);
                None
            }
            _ => None,
        }
    }
}

fn plain(byte: u8) -> Option<Key> {
    Some(match byte {
        // Ctrl-C and Ctrl-D come as bytes, since the terminal makes no signals of them.
        b'q' | b'Q' | 0x03 | 0x04 => Key::Quit,
        b'p' | b'P' | b' ' => Key::Pause,
        b's' | b'S' => Key::Sort,
        b'\t' => Key::Next,
        b'k' => Key::Up,
        b'j' => Key::Down,
        b'g' => Key::Home,
        b'G' => Key::End,
        _ => return None,
    })
}

/// As xterm sends them (ECMA-48 control sequences).
fn named(sequence: &[u8]) -> Option<Key> {
    Some(match sequence {
        b"A" => Key::Up,
        b"B" => Key::Down,
        b"Z" => Key::Previous,
        b"H" | b"1~" | b"7~" => Key::Home,
        b"F" | b"4~" | b"8~" => Key::End,
        b"5~" => Key::PageUp,
        b"6~" => Key::PageDown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_however_their_bytes_are_cut() {
        let sent = b"sp\t\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[Z\x1b[H\x1b[F\x1b[1;5Aq";
        let expected = [
            Key::Sort,
            Key::Pause,
            Key::Next,
            Key::Up,
            Key::Down,
            Key::PageUp,
            Key::PageDown,
            Key::Previous,
            Key::Home,
            Key::End,
            Key::Quit,
        ];
        for size in 1..=sent.len() {
            let mut keys = Keys::default();
            let read = sent.chunks(size).flat_map(|piece| keys.read(piece));
            assert_eq!(read.collect::<Vec<_>>(), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_key_does_nothing_and_holds_nothing_up() {
        let mut keys = Keys::default();
        assert!(keys.read(b"\xff\x00z\x1b[999999999999999999").is_empty());
        assert_eq!(keys.read(b"q"), [Key::Quit]);
        assert_eq!(keys.read(b"\x1b\x1b\x03"), [Key::Quit]);
    }
}
