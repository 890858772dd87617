//! The index of a JSON text: one 8-byte word for each scalar, two for each container.
//!
//! The text itself is never copied or changed. A word holds the kind of a value and where it lies
//! in the text; a container's second word holds where its successor lies in the tape, so that a
//! value is skipped in one step. Members of an object lie as key, value, key, value.

/// What a JSON value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, kept as it was written.
    Number,
    /// A string.
    Text,
    /// `[…]`
    Array,
    /// `{…}`
    Object,
}

impl Kind {
    /// The name that JSON Schema and our messages use.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "boolean",
            Kind::Number => "number",
            Kind::Text => "string",
            Kind::Array => "array",
            Kind::Object => "object",
        }
    }

    /// The kind of a raw JSON scalar or container, by its first byte.
    pub(crate) fn of_raw(raw: &str) -> Kind {
        match raw.as_bytes().first() {
            Some(b'"') => Kind::Text,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }
}

/// Longest text of one value, in bytes: the length has 28 bits.
pub(crate) const MAX_LENGTH: usize = (1 << 28) - 1;

const ESCAPED: u64 = 8;

/// One word of the tape: kind in 4 bits (the highest says "has escapes"), length in 28, start in 32.
#[derive(Clone, Copy)]
pub(crate) struct Word(pub u64);

impl Word {
    pub(crate) fn new(kind: Kind, escaped: bool, start: usize, end: usize) -> Self {
        let tag = kind as u64 | if escaped { ESCAPED } else { 0 };
        Word(tag << 60 | ((end - start) as u64) << 32 | start as u64)
    }

    /// The second word of a container: the tape index behind it.
    pub(crate) fn jump(next: usize) -> Self {
        Word(next as u64)
    }

    pub(crate) fn kind(self) -> Kind {
        match self.0 >> 60 & 7 {
            0 => Kind::Null,
            1 => Kind::Bool,
            2 => Kind::Number,
            3 => Kind::Text,
            4 => Kind::Array,
            _ => Kind::Object,
        }
    }

    pub(crate) fn is_escaped(self) -> bool {
        self.0 >> 63 == 1
    }

    pub(crate) fn start(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    pub(crate) fn end(self) -> usize {
        self.start() + (self.0 >> 32 & 0x0fff_ffff) as usize
    }

    /// Of a jump word: the tape index behind the container.
    pub(crate) fn next(self) -> u32 {
        self.0 as u32
    }
}
