//! Telephone numbers: recognising how people write them, and the mask that keeps country and tail.

use compact_str::CompactString;

use super::digits::{Between, Group, Unit, Window, is_word_at, peek, unit};

/// How much of a window is a telephone number: the groups taken, from the first on.
///
/// `joined_left` says that a word or a hyphenated identifier goes on to the left of the window.
pub(super) fn groups_in(window: &Window, text: &str, joined_left: bool) -> Option<usize> {
    if window.plus {
        return international(window, 0);
    }
    if joined_left && !window.bracketed {
        return None;
    }
    let ends_clear = |n: &usize| is_clear_right(text, window.groups()[n - 1].end);
    (double_zero(window).filter(ends_clear))
        .or_else(|| american(window).filter(ends_clear))
        .or_else(|| {
            (1..=window.groups().len())
                .rev()
                .find(|n| national(window, *n) && ends_clear(n))
        })
        .or_else(|| bare(window).filter(ends_clear))
}

/// After the sign: a country code and 8 to 15 digits in all. `skip` digits are the sign itself.
fn international(window: &Window, skip: usize) -> Option<usize> {
    let groups = window.groups();
    let lead = window.digits(0, groups.len()).get(skip).copied()?;
    let (mut best, mut total) = (None, 0);
    for (index, group) in groups.iter().enumerate() {
        total += group.count;
        let digits = total.saturating_sub(skip);
        // The eleventh digit ends a North American number, whatever stands after it.
        if lead == 1 && digits == 11 {
            return Some(index + 1);
        }
        if digits > 15 {
            break;
        }
        if digits >= 8 {
            best = Some(index + 1);
            if group.count >= 8 || digits >= 9 && starts_anew(window, index + 1) {
                break;
            }
        }
    }
    best.filter(|_| lead != 0)
}

/// `00` dialled for the plus sign.
fn double_zero(window: &Window) -> Option<usize> {
    let digits = window.digits(0, window.groups().len());
    match digits {
        [0, 0, 1..=9, ..] => international(window, 2),
        _ => None,
    }
}

/// Does the group begin another number: a bracket, or a long group with a trunk prefix?
fn starts_anew(window: &Window, index: usize) -> bool {
    window.groups().get(index).is_some_and(|group| {
        let trunk = group.count >= 3 && window.digits(index, index + 1)[0] == 0;
        trunk || group.before.has(Between::OPEN)
    })
}

/// `415-555-1234`, `1 (415) 555-1234`: three, three and four digits.
fn american(window: &Window) -> Option<usize> {
    match window.groups() {
        [a, b, c, ..] if [a.count, b.count, c.count] == [3, 3, 4] => Some(3),
        [one, a, b, c, ..]
            if [one.count, a.count, b.count, c.count] == [1, 3, 3, 4]
                && window.digits(0, 1) == [1]
                && !a.before.has(Between::DOT) =>
        {
            Some(4)
        }
        _ => None,
    }
}

/// Is a number of this many groups one that is written so within some country?
fn national(window: &Window, n: usize) -> bool {
    let groups = &window.groups()[..n];
    let total: usize = groups.iter().map(|group| group.count).sum();
    let inner = || &groups[1..];
    let has = |units| inner().iter().any(|group| group.before.has(units));
    if n < 2 || total > 15 || n > 1 && starts_later(window, n, total) {
        return false;
    }
    let sizes = |sizes: &[usize]| {
        groups
            .iter()
            .map(|group| group.count)
            .eq(sizes.iter().copied())
    };
    let first = window.digits(0, n)[0];
    if first == 0 {
        let trunk = window.digits(0, n)[1] != 0 && groups[0].count >= 2 || window.bracketed;
        return trunk && (8..=13).contains(&total) && are_wide(inner());
    }
    if window.bracketed {
        return (8..=15).contains(&total)
            && (2..=5).contains(&groups[0].count)
            && are_wide(inner());
    }
    if sizes(&[3, 4]) {
        return inner()[0].before == Between::DASH;
    }
    if has(Between::DOT.union(Between::SLASH)) {
        return false;
    }
    let nine = sizes(&[3, 3, 3]) || sizes(&[3, 2, 2, 2]) || sizes(&[2, 3, 2, 2]);
    let even = groups.iter().all(|group| (2..=5).contains(&group.count));
    nine && (6..=9).contains(&first)
        || n >= 3 && (10..=15).contains(&total) && even
        || (sizes(&[3, 7]) || sizes(&[5, 5]) || sizes(&[5, 6])) && !has(Between::DASH)
}

/// Would a prefix of these groups be a number already, and the rest another?
fn starts_later(window: &Window, n: usize, total: usize) -> bool {
    let mut counted = total;
    (1..n).rev().any(|index| {
        counted -= window.groups()[index].count;
        counted >= 9 && starts_anew(window, index)
    })
}

/// No group but the last is a single digit.
fn are_wide(groups: &[Group]) -> bool {
    groups.iter().rev().skip(1).all(|group| group.count >= 2)
}

/// Ten or eleven digits alone that are not seconds since 1970. Marks without width may split them.
fn bare(window: &Window) -> Option<usize> {
    let split = |group: &&Group| group.before == Between::default();
    let joined = 1 + window.groups().iter().skip(1).take_while(split).count();
    (1..=joined).find(|n| match window.digits(0, *n) {
        [1, 6..=9, rest @ ..] if rest.len() == 8 => false,
        digits => (10..=11).contains(&digits.len()),
    })
}

/// Neither a word nor a hyphenated identifier nor a decimal fraction goes on to the right.
fn is_clear_right(text: &str, end: usize) -> bool {
    match &text.as_bytes()[end..] {
        [b'x' | b'X' | b'e' | b'E', ..] => extension_end(text, end) > end,
        _ if is_word_at(text, end) => false,
        [b'-', next, ..] if next.is_ascii_alphanumeric() => false,
        [b'.', next, ..] => !next.is_ascii_digit(),
        _ => true,
    }
}

/// The end of an extension (` ext. 123`, `x123`, `;ext=123`) after a number, else `end` itself.
pub(super) fn extension_end(text: &str, end: usize) -> usize {
    let bytes = text.as_bytes();
    let skip = |from: usize, units: &[u8], most: usize| {
        from + bytes[from..]
            .iter()
            .take(most)
            .take_while(|byte| units.contains(byte))
            .count()
    };
    let at = skip(end, b" ,;", 2);
    let word = ["extension", "ext", "x"].into_iter().find(|word| {
        bytes
            .get(at..at + word.len())
            .is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes()))
    });
    let Some(word) = word else { return end };
    let first = skip(at + word.len(), b" .:=", 2);
    let last = skip(first, b"0123456789", 7);
    let ends = !bytes.get(last).is_some_and(u8::is_ascii_alphanumeric);
    if (1..=6).contains(&(last - first)) && ends {
        last
    } else {
        end
    }
}

/// What the mask needs to know of a number, read in one go.
#[derive(Default)]
struct Reading {
    plus: bool,
    starred: bool,
    count: usize,
    head: [u8; 6],
    /// The last four digits as ASCII, one a byte.
    tail: u32,
}

impl Reading {
    fn of(value: &str) -> Reading {
        let (mut reading, mut at) = (Reading::default(), 0);
        let bytes = value.as_bytes();
        while at < bytes.len() {
            let (unit, len) = unit(value, at);
            match unit {
                Unit::Digit(0) if is_trunk(&reading, bytes, at) => {}
                Unit::Digit(digit) => reading.push(digit),
                Unit::Plus if reading.count == 0 => reading.plus = true,
                Unit::Star => reading.starred = true,
                Unit::Other => match bytes[at] {
                    b'x' | b'X' | b'#' if bytes.get(at + 1) == Some(&bytes[at]) => {
                        reading.starred = true;
                    }
                    // A host, a parameter, an extension or a second number.
                    b'@' | b';' | b',' => break,
                    byte if byte.is_ascii_alphabetic() && reading.count >= 7 => {
                        reading.starred |= super::is_starred(&value[at..]);
                        break;
                    }
                    _ => {}
                },
                _ => {}
            }
            at += len;
        }
        reading
    }

    fn push(&mut self, digit: u8) {
        if let Some(place) = self.head.get_mut(self.count) {
            *place = digit;
        }
        self.count += 1;
        self.tail = self.tail << 8 | u32::from(b'0' + digit);
    }

    /// The country code, and how many digits it and its sign take. Empty for a national number.
    fn country(&self) -> (&[u8], usize) {
        let skip = match self.head {
            [0, 0, 1..=9, ..] if !self.plus && self.count >= 10 => 2,
            _ if self.plus && self.head[0] != 0 => 0,
            _ => return (&[], 0),
        };
        let code = &self.head[skip..];
        let len = country_code_len(code).min(self.count.saturating_sub(skip));
        (&code[..len], skip + len)
    }
}

/// The `(0)` of `+49 (0)170`.
fn is_trunk(reading: &Reading, bytes: &[u8], at: usize) -> bool {
    reading.plus && at > 0 && bytes[at - 1] == b'(' && bytes.get(at + 1) == Some(&b')')
}

/// Length of the country code that the digits begin with (ITU-T E.164): zones 1 and 7 have one digit,
/// the countries listed two, the rest three.
fn country_code_len(digits: &[u8]) -> usize {
    match digits {
        [1 | 7, ..] => 1,
        [2, 0 | 7, ..]
        | [3, 0..=4 | 6 | 9, ..]
        | [4, 0 | 1 | 3..=9, ..]
        | [5, 1..=8, ..]
        | [6, 0..=6, ..]
        | [8, 1 | 2 | 4 | 6, ..]
        | [9, 0..=5 | 8, ..] => 2,
        _ => 3,
    }
}

/// Keeps the sign, the country code and the last four digits (two of a short number).
pub(super) fn mask(value: &str) -> Option<CompactString> {
    let (scheme, number) = split_scheme(value);
    let reading = Reading::of(number);
    if reading.count < 7 && value.contains('@') {
        return super::email::mask(value);
    }
    if reading.count == 0 || reading.starred && reading.count <= 7 {
        return None;
    }
    let (code, taken) = reading.country();
    let own = reading.count - taken;
    // Assembled in place: this runs for every event, and a push for every character would be half of it.
    let mut line = Line::default();
    if reading.plus || taken > 0 {
        line.push(b"+");
    }
    code.iter().for_each(|digit| line.push(&[b'0' + digit]));
    let tail = reading.tail.to_be_bytes();
    match own {
        _ if reading.starred => line.push(b"***-***-****"),
        8.. => [&b"***-***-"[..], &tail[..]]
            .into_iter()
            .for_each(|part| line.push(part)),
        7 => [&b"***-***-"[..], &tail[2..]]
            .into_iter()
            .for_each(|part| line.push(part)),
        3..=6 => [&b"***-"[..], &tail[2..]]
            .into_iter()
            .for_each(|part| line.push(part)),
        _ => line.push(b"***"),
    }
    Some(match scheme {
        "" => CompactString::from(line.as_str()),
        _ => [scheme, line.as_str()].concat().into(),
    })
}

/// A masked number under construction: a sign, a country code of three digits, and twelve characters.
#[derive(Default)]
struct Line {
    bytes: [u8; 16],
    len: usize,
}

impl Line {
    fn push(&mut self, part: &[u8]) {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
    }

    fn as_str(&self) -> &str {
        match std::str::from_utf8(&self.bytes[..self.len]) {
            Ok(line) => line,
            Err(_) => unreachable!("only ASCII is pushed"),
        }
    }
}

/// The `tel:` or `sip:` before a number, colon included, and the rest.
fn split_scheme(value: &str) -> (&str, &str) {
    if !value
        .as_bytes()
        .first()
        .is_some_and(u8::is_ascii_alphabetic)
    {
        return ("", value);
    }
    let word = value
        .bytes()
        .take(12)
        .take_while(u8::is_ascii_alphabetic)
        .count();
    match value.as_bytes().get(word) {
        Some(b':') => value.split_at(word + 1),
        _ => ("", value),
    }
}

/// One form for all ways to write a number, so that equal numbers give equal tokens: a sign if the
/// country is known, and the digits.
pub(super) fn canonical(value: &str) -> CompactString {
    let reading = Reading::of(split_scheme(value).1);
    let (_, taken) = reading.country();
    let mut out = CompactString::default();
    let (mut skip, mut at) = (0, 0);
    if reading.plus {
        out.push('+');
    } else if taken > 0 {
        out.push('+');
        skip = 2;
    }
    let number = split_scheme(value).1;
    let mut left = reading.count;
    while at < number.len() && left > 0 {
        let (unit, len) = peek(number, at);
        if let Unit::Digit(digit) = unit {
            let trunk = digit == 0 && is_trunk(&reading, number.as_bytes(), at);
            if !trunk {
                left -= 1;
                if skip > 0 {
                    skip -= 1;
                } else {
                    out.push(char::from(b'0' + digit));
                }
            }
        }
        at += len;
    }
    out
}

/// The digits of a number, in ASCII.
pub(super) fn digits_only(value: &str) -> CompactString {
    let (mut out, mut at) = (CompactString::default(), 0);
    while at < value.len() {
        let (unit, len) = unit(value, at);
        if let Unit::Digit(digit) = unit {
            out.push(char::from(b'0' + digit));
        }
        at += len;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn country_and_tail_stay() {
        for (number, masked) in [
            ("+14155551234", "+1***-***-1234"),
            ("+49 170 1234567", "+49***-***-4567"),
            ("+49 (0)170 1234567", "+49***-***-4567"),
            ("+353 1 234 5678", "+353***-***-5678"),
            ("00 44 20 7946 0958", "+44***-***-0958"),
            ("(415) 555-1234", "***-***-1234"),
            ("0170/1234567", "***-***-4567"),
            ("tel:+14155551234", "tel:+1***-***-1234"),
            ("sip:+14155551234@10.0.0.1:5060", "sip:+1***-***-1234"),
            ("+1 415 555 1234 ext. 77", "+1***-***-1234"),
            ("＋１４１５５５５１２３４", "+1***-***-1234"),
            ("+٩٦٦ ٥٠ ١٢٣ ٤٥٦٧", "+966***-***-4567"),
            ("%2B14155551234", "+1***-***-1234"),
            ("555-1234", "***-***-34"),
            ("4312", "***-12"),
            ("12", "***"),
        ] {
            assert_eq!(mask(number).as_deref(), Some(masked), "{number}");
            assert_eq!(mask(masked), None, "{masked}");
        }
    }

    #[test]
    fn what_is_half_masked_never_shows_more() {
        for half in [
            "+1415***",
            "+1***5551234"[..9].as_ref(),
            "XXX-XXX-1234",
            "***-***-1234",
        ] {
            assert_eq!(mask(half), None, "{half}");
        }
        assert_eq!(mask("+1415555****1").as_deref(), Some("+1***-***-****"));
        assert_eq!(mask("anonymous"), None);
    }

    #[test]
    fn one_number_has_one_canonical_form() {
        for number in [
            "+49 170 1234567",
            "+49 (0)170/1234567",
            "0049-170-1234567",
            "tel:+491701234567",
        ] {
            assert_eq!(canonical(number), "+491701234567", "{number}");
        }
    }
}
