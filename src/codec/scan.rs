//! Finds where an object or array closes, 64 bytes at a time.

/// What a scan has come upon. Indices are into the bytes that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The value ends before this index.
    Closed(usize),
    /// There is a line break, here, inside a string: JSON has none, so a quote is missing.
    Torn(usize),
    /// An object begins here, at the start of a line, where JSON cannot have one inside the value:
    /// the value was never closed and this is the next one.
    Unclosed(usize),
    /// The bytes end inside the value.
    More,
}

/// A scan under way, from behind the opening bracket on. Brackets are counted and not matched in
/// kind: what is wrong inside a value is for the parser to say.
#[derive(Clone, Copy)]
pub(super) struct Scan {
    /// Brackets that are open, from 1.
    depth: u64,
    in_string: bool,
    /// The next byte is behind a backslash.
    escaped: bool,
    /// The last byte, and the last one that was not white space.
    last: u8,
    last_solid: u8,
}

/// One bit for each of 64 bytes, the first in the lowest bit.
struct Masks {
    quote: u64,
    backslash: u64,
    open: u64,
    close: u64,
    newline: u64,
}

impl Scan {
    /// Behind a first `{` or `[`.
    pub(super) fn begin() -> Self {
        Scan {
            depth: 1,
            in_string: false,
            escaped: false,
            last: b'[',
            last_solid: b'[',
        }
    }

    pub(super) fn in_string(&self) -> bool {
        self.in_string
    }

    /// The last byte so far that was not white space.
    pub(super) fn last_solid(&self) -> u8 {
        self.last_solid
    }

    /// Goes on with `bytes[from..]`; everything before `from` has been seen.
    pub(super) fn run(&mut self, bytes: &[u8], from: usize) -> Step {
        let mut at = from;
        let (chunks, rest) = bytes[from..].as_chunks::<64>();
        for chunk in chunks {
            if let Some(step) = self.chunk(bytes, from, at, &Masks::of(chunk), 64) {
                return step;
            }
            at += 64;
        }
        if !rest.is_empty() {
            // Spaces mean nothing in any state, so a short rest is scanned like the others.
            let mut padded = [b' '; 64];
            padded[..rest.len()].copy_from_slice(rest);
            if let Some(step) = self.chunk(bytes, from, at, &Masks::of(&padded), rest.len()) {
                return step;
            }
        }
        if let Some(solid) = solid_before(&bytes[from..]) {
            self.last_solid = solid;
        }
        Step::More
    }

    /// One chunk, at `at` in the bytes, of which `length` are meant.
    #[inline]
    fn chunk(
        &mut self,
        bytes: &[u8],
        from: usize,
        at: usize,
        masks: &Masks,
        length: usize,
    ) -> Option<Step> {
        let quote = masks.quote & !self.escapes(masks.backslash, length);
        // Each bit becomes the parity of the quotes up to it: set from an opening quote on.
        let inside = prefix_xor(quote) ^ if self.in_string { !0 } else { 0 };
        let open = masks.open & !inside;
        let close = masks.close & !inside;
        let torn = masks.newline & inside;
        let fresh = open & (masks.newline << 1 | u64::from(self.last == b'\n'));
        self.in_string = inside >> (length - 1) & 1 == 1;
        self.last = bytes[at + length - 1];
        if torn == 0 && fresh == 0 && u64::from(close.count_ones()) < self.depth {
            self.depth = self.depth + u64::from(open.count_ones()) - u64::from(close.count_ones());
            return None;
        }
        let mut events = open | close | torn;
        while events != 0 {
            let bit = events & events.wrapping_neg();
            let index = at + bit.trailing_zeros() as usize;
            if torn & bit != 0 {
                return Some(Step::Torn(index));
            }
            if fresh & bit != 0 && bytes[index] == b'{' && !self.may_open(&bytes[from..index]) {
                return Some(Step::Unclosed(index));
            }
            if open & bit != 0 {
                self.depth += 1;
            } else {
                self.depth -= 1;
                if self.depth == 0 {
                    return Some(Step::Closed(index + 1));
                }
            }
            events ^= bit;
        }
        None
    }

    /// The bytes that stand behind a backslash; remembers whether the next chunk's first does.
    #[inline]
    fn escapes(&mut self, backslash: u64, length: usize) -> u64 {
        let carried = u64::from(std::mem::take(&mut self.escaped));
        let mut escaped = carried;
        let mut rest = backslash & !carried;
        while rest != 0 {
            let index = rest.trailing_zeros();
            if index as usize == length - 1 {
                self.escaped = true;
                break;
            }
            escaped |= 2 << index;
            // Neither this backslash nor the one that it may escape is looked at again.
            rest &= !(3 << index);
        }
        escaped
    }

    /// Whether an object may begin behind these bytes and those of earlier runs.
    fn may_open(&self, before: &[u8]) -> bool {
        matches!(
            solid_before(before).unwrap_or(self.last_solid),
            b'[' | b',' | b':'
        )
    }
}

/// The last byte that is not white space.
pub(super) fn solid_before(bytes: &[u8]) -> Option<u8> {
    bytes.iter().rev().copied().find(|byte| !is_space(*byte))
}

/// JSON's white space.
#[inline]
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[inline]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

impl Masks {
    /// The brackets of a kind differ in one bit (`[` + 32 = `{`).
    #[inline]
    fn of(chunk: &[u8; 64]) -> Masks {
        let folded = chunk.map(|byte| byte | 0x20);
        Masks {
            quote: equal(chunk, b'"'),
            backslash: equal(chunk, b'\\'),
            open: equal(&folded, b'{'),
            close: equal(&folded, b'}'),
            newline: equal(chunk, b'\n'),
        }
    }
}

/// One bit for each byte that is `byte`. Written so that the compiler compares with vector
/// instructions: using those directly would need `unsafe`, and a plain loop is ten times slower.
#[inline]
fn equal(chunk: &[u8; 64], byte: u8) -> u64 {
    let found = chunk.map(|other| u8::from(other == byte));
    let mut mask = 0;
    for (index, part) in found.as_chunks::<8>().0.iter().enumerate() {
        // The multiplication gathers eight bits, which are 8 apart, in the highest byte.
        let bits = u64::from_le_bytes(*part).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= bits << (8 * index);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, byte by byte and without state between chunks.
    fn slowly(bytes: &[u8]) -> Step {
        let (mut depth, mut in_string, mut escaped, mut solid) = (1, false, false, b'[');
        for (index, byte) in bytes.iter().copied().enumerate().skip(1) {
            let quote = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            if in_string && byte == b'\n' {
                return Step::Torn(index);
            }
            in_string ^= quote;
            if !in_string && matches!(byte, b'{' | b'[') {
                let may_open = matches!(solid, b'[' | b',' | b':');
                if byte == b'{' && bytes[index - 1] == b'\n' && !may_open {
                    return Step::Unclosed(index);
                }
                depth += 1;
            }
            if !in_string && matches!(byte, b'}' | b']') {
                depth -= 1;
                if depth == 0 {
                    return Step::Closed(index + 1);
                }
            }
            if !is_space(byte) {
                solid = byte;
            }
        }
        Step::More
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn agrees_with_a_plain_loop(
            body in r#"[\[\]{}"\\,:a \n]{0,300}"#,
            opening in "[{\\[]{1,40}",
            splits in prop::collection::vec(1usize..150, 0..6),
        ) {
            let text = format!("{opening}{body}");
            let bytes = text.as_bytes();
            let mut scan = Scan::begin();
            let mut step = Step::More;
            let (mut from, mut splits) = (1, splits.into_iter());
            while step == Step::More && from < bytes.len() {
                let next = splits.next().map_or(bytes.len(), |more| (from + more).min(bytes.len()));
                step = scan.run(&bytes[..next], from);
                from = next;
            }
            prop_assert_eq!(step, slowly(bytes));
        }
    }

    #[test]
    fn masks_name_every_byte() {
        for position in 0..64 {
            for byte in 0..=255u8 {
                let mut chunk = [0; 64];
                chunk[position] = byte;
                let masks = Masks::of(&chunk);
                let bit = |is: bool| u64::from(is) << position;
                assert_eq!(masks.quote, bit(byte == b'"'));
                assert_eq!(masks.backslash, bit(byte == b'\\'));
                assert_eq!(masks.open, bit(byte == b'{' || byte == b'['));
                assert_eq!(masks.close, bit(byte == b'}' || byte == b']'));
                assert_eq!(masks.newline, bit(byte == b'\n'));
            }
        }
    }
}
