//! Digits and what people put between them, in any script.

/// First code points of the runs of ten decimal digits in Unicode 15 (general category Nd).
#[rustfmt::skip]
const ZEROS: [u32; 64] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90,
    0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
    0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650,
    0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16A60, 0x16AC0,
    0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1FBF0,
];

/// One character, or one percent escape, as numbers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Digit(u8),
    Plus,
    Open,
    Close,
    Space,
    Dash,
    Dot,
    Slash,
    Star,
    /// Has no width: direction marks, joiners, soft hyphens.
    Invisible,
    Other,
}

/// The unit at a byte position, which must be a character boundary before the end, and its length.
#[inline]
pub(super) fn unit(text: &str, at: usize) -> (Unit, usize) {
    let byte = text.as_bytes()[at];
    let unit = match byte {
        b'0'..=b'9' => Unit::Digit(byte - b'0'),
        b'+' => Unit::Plus,
        b'(' => Unit::Open,
        b')' => Unit::Close,
        b' ' | b'\t' => Unit::Space,
        b'-' => Unit::Dash,
        b'.' => Unit::Dot,
        b'/' => Unit::Slash,
        b'*' => Unit::Star,
        b'%' => return escape(text.as_bytes(), at),
        0x80.. => return wide(text, at),
        _ => Unit::Other,
    };
    (unit, 1)
}

/// A percent escape is read whole: the `20` of `%20` is no part of the number that follows.
fn escape(bytes: &[u8], at: usize) -> (Unit, usize) {
    let unit = match bytes.get(at + 1..at + 3) {
        Some([b'2', b'b' | b'B']) => Unit::Plus,
        Some([b'2', b'9']) => Unit::Close,
        Some([b'2', b'0']) => Unit::Space,
        Some([b'2', b'8']) => Unit::Open,
        Some([b'2', b'd' | b'D']) => Unit::Dash,
        // An escaped percent sign: what it escapes is read next, as if it stood alone.
        Some([b'2', b'5']) => Unit::Other,
        Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => Unit::Other,
        _ => return (Unit::Other, 1),
    };
    (unit, 3)
}

#[cold]
fn wide(text: &str, at: usize) -> (Unit, usize) {
    let Some(c) = text[at..].chars().next() else {
        return (Unit::Other, 1);
    };
    let unit = match c as u32 {
        0xFF0B | 0xFE62 => Unit::Plus,
        0xFF08 => Unit::Open,
        0xFF09 => Unit::Close,
        0x2010..=0x2015 | 0x2212 | 0x30FC | 0xFE58 | 0xFE63 | 0xFF0D => Unit::Dash,
        0xFF0E | 0x00B7 | 0x2024 => Unit::Dot,
        0xFF0F | 0x2044 => Unit::Slash,
        0xFF0A | 0x2022 | 0x25CF => Unit::Star,
        0x00AD | 0x061C | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x2069 | 0xFEFF => {
            Unit::Invisible
        }
        0x85 | 0x2028 | 0x2029 => Unit::Other,
        code => match ZEROS.partition_point(|zero| *zero <= code).checked_sub(1) {
            Some(run) if code - ZEROS[run] < 10 => Unit::Digit((code - ZEROS[run]) as u8),
            _ if c.is_whitespace() => Unit::Space,
            _ => Unit::Other,
        },
    };
    (unit, c.len_utf8())
}

/// What separates a group of digits from the group before: a set of units, empty if only marks
/// without width do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Between(u8);

impl Between {
    pub(super) const OPEN: Between = Between(1);
    pub(super) const CLOSE: Between = Between(2);
    pub(super) const SPACE: Between = Between(4);
    pub(super) const DASH: Between = Between(8);
    pub(super) const DOT: Between = Between(16);
    pub(super) const SLASH: Between = Between(32);

    pub(super) const fn union(self, other: Between) -> Between {
        Between(self.0 | other.0)
    }

    /// Do the sets have a unit in common?
    pub(super) fn has(self, other: Between) -> bool {
        self.0 & other.0 != 0
    }

    fn is_plausible(self) -> bool {
        // `. ` ends a sentence and ` / ` separates two numbers; alone, both group digits.
        !self.has(Between::DOT) && !self.has(Between::SLASH) || self.0.is_power_of_two()
    }
}

/// A run of digits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    pub(super) end: usize,
    /// Where its digits begin in [`Window::digits`].
    pub(super) first: usize,
    pub(super) count: usize,
    pub(super) before: Between,
}

const MAX_GROUPS: usize = 12;
const MAX_DIGITS: usize = 40;
/// A run longer than the longest card number is no number of a person.
const MAX_RUN: usize = 20;

/// The digit groups that follow a position, as far as one number can reach. Bounded, so that trying a
/// window at every group of a text stays linear.
pub(super) struct Window {
    pub(super) plus: bool,
    /// The position was at a bracket that closes right after the first group.
    pub(super) bracketed: bool,
    groups: [Group; MAX_GROUPS],
    n: usize,
    digits: [u8; MAX_DIGITS],
    filled: usize,
}

impl Window {
    /// Reads from a digit, a plus sign or an opening bracket; `None` when no number can begin here.
    pub(super) fn read(text: &str, at: usize) -> Option<Window> {
        let mut window = Window {
            plus: false,
            bracketed: false,
            groups: [Group::default(); MAX_GROUPS],
            n: 0,
            digits: [0; MAX_DIGITS],
            filled: 0,
        };
        let (mut position, opened) = window.lead(text, at)?;
        let mut is_open = opened || text[..at].ends_with(['(', '（']);
        let mut before = Between::default();
        while let Some(end) = window.group(text, position, before) {
            if opened && window.n == 1 {
                let (next, _) = peek(text, end);
                window.bracketed = next == Unit::Close;
                if !window.bracketed {
                    return None;
                }
            }
            if window.n == MAX_GROUPS {
                break;
            }
            let Some((between, next)) = between(text, end) else {
                break;
            };
            // A bracket that was not opened here belongs to the sentence.
            if between.has(Between::CLOSE) && !std::mem::take(&mut is_open) {
                break;
            }
            is_open |= between.has(Between::OPEN);
            (before, position) = (between, next);
        }
        (window.n > 0).then_some(window)
    }

    /// Reads the bracket and the plus sign, to the first digit.
    fn lead(&mut self, text: &str, at: usize) -> Option<(usize, bool)> {
        let (mut position, mut opened) = (at, false);
        for _ in 0..6 {
            let (unit, len) = peek(text, position);
            match unit {
                Unit::Digit(_) => return Some((position, opened)),
                Unit::Plus if !self.plus => self.plus = true,
                Unit::Open if !opened => opened = true,
                Unit::Space if self.plus => {}
                Unit::Invisible => {}
                _ => return None,
            }
            position += len;
        }
        None
    }

    /// Reads one run of digits; `None` (and nothing kept) when it is too long.
    fn group(&mut self, text: &str, start: usize, before: Between) -> Option<usize> {
        let (first, mut end, mut position) = (self.filled, start, start);
        let mut count = 0;
        while let (Unit::Digit(digit), len) = peek(text, position) {
            if count == MAX_RUN || first + count == MAX_DIGITS {
                return None;
            }
            self.digits[first + count] = digit;
            count += 1;
            end = position + len;
            position = end;
        }
        // The trunk prefix of `+49 (0)170` is not dialled after a country code.
        let trunk = self.plus && count == 1 && self.digits[first] == 0 && before.has(Between::OPEN);
        if trunk {
            count = 0;
        }
        self.filled = first + count;
        self.groups[self.n] = Group {
            end,
            first,
            count,
            before,
        };
        self.n += 1;
        Some(end)
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups[..self.n]
    }

    /// Forgets the groups from this one on.
    pub(super) fn truncate(&mut self, n: usize) {
        self.n = self.n.min(n);
    }

    /// The digits of the groups in the range.
    pub(super) fn digits(&self, from: usize, to: usize) -> &[u8] {
        let end = self.groups[to - 1].first + self.groups[to - 1].count;
        &self.digits[self.groups[from].first..end]
    }

    /// The value of one short group.
    pub(super) fn number(&self, group: usize) -> u32 {
        let digits = self.digits(group, group + 1);
        digits
            .iter()
            .take(9)
            .fold(0, |number, digit| number * 10 + u32::from(*digit))
    }
}

/// The end of the run of digits at a position.
pub(super) fn run_end(text: &str, at: usize) -> usize {
    let mut position = at;
    while let (Unit::Digit(_), len) = peek(text, position) {
        position += len;
    }
    position
}

/// Does a word go on at a position? An underscore at its end is a text's emphasis, not its part.
pub(super) fn is_word_at(text: &str, at: usize) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match &text.as_bytes()[at..] {
        [b'_', next, ..] => part(*next),
        [b'_'] | [] => false,
        [next, ..] => part(*next),
    }
}

/// The unit at a position, `Other` at the end.
#[inline]
pub(super) fn peek(text: &str, at: usize) -> (Unit, usize) {
    if at < text.len() {
        unit(text, at)
    } else {
        (Unit::Other, 0)
    }
}

/// Reads what separates two groups of one number, to the first digit of the second.
fn between(text: &str, at: usize) -> Option<(Between, usize)> {
    let (mut position, mut set) = (at, Between::default());
    for _ in 0..6 {
        let (unit, len) = peek(text, position);
        let bit = match unit {
            Unit::Digit(_) => return set.is_plausible().then_some((set, position)),
            Unit::Invisible => Between::default(),
            Unit::Open => Between::OPEN,
            Unit::Close => Between::CLOSE,
            Unit::Space => Between::SPACE,
            Unit::Dash => Between::DASH,
            Unit::Dot => Between::DOT,
            Unit::Slash => Between::SLASH,
            _ => return None,
        };
        // A bracket opens once within a number; the second belongs to the sentence.
        if set.has(bit) && bit.has(Between::OPEN.union(Between::CLOSE)) {
            return None;
        }
        set = set.union(bit);
        position += len;
    }
    None
}
