//! Finding personal data in free text, in time linear in its length.

use super::digits::{Between, Unit, Window, is_word_at, run_end, unit};
use super::{Class, Classes, Found, address, card, email, phone, url};

/// What a text is made of, as far as it decides which scanners have to look at it.
struct Survey(u8);

impl Survey {
    const DIGIT: u8 = 1;
    const AT: u8 = 2;
    const COLON: u8 = 4;
    const WIDE: u8 = 8;
    const PERCENT: u8 = 16;

    /// One pass without branches, sixteen bytes a step: most texts hold nothing of interest.
    fn of(text: &str) -> Survey {
        let (chunks, rest) = text.as_bytes().as_chunks::<16>();
        let mut lanes = [0; 16];
        for chunk in chunks {
            for (lane, byte) in lanes.iter_mut().zip(chunk) {
                *lane |= Survey::of_byte(*byte);
            }
        }
        let seen = lanes.iter().fold(0, |seen, lane| seen | lane);
        Survey(
            rest.iter()
                .fold(seen, |seen, byte| seen | Survey::of_byte(*byte)),
        )
    }

    #[inline(always)]
    fn of_byte(byte: u8) -> u8 {
        let bit = |is: bool, bit: u8| if is { bit } else { 0 };
        bit(byte.wrapping_sub(b'0') < 10, Survey::DIGIT)
            | bit(byte == b'@', Survey::AT)
            | bit(byte == b':', Survey::COLON)
            | bit(byte >= 0x80, Survey::WIDE)
            | bit(byte == b'%', Survey::PERCENT)
    }

    fn has(&self, any: u8) -> bool {
        self.0 & any != 0
    }
}

/// Appends every value of the classes to `found`: left to right, not overlapping. Of two that overlap
/// the one that begins first counts, of those the longest. What belongs to a class that is not asked for
/// is not taken for another (a card number is no telephone number), except inside a URL.
pub fn detect(text: &str, classes: Classes, found: &mut Vec<Found>) {
    let survey = Survey::of(text);
    if survey.0 == 0 || classes.is_empty() {
        return;
    }
    let first = found.len();
    let wide = survey.has(Survey::WIDE);
    if classes.contains(Class::Url) && survey.has(Survey::COLON) {
        url::scan(text, found);
    }
    if classes.contains(Class::Email) && survey.has(Survey::AT | Survey::PERCENT | Survey::WIDE) {
        email::scan(text, wide, found);
    }
    if classes.contains(Class::Ipv6) && survey.has(Survey::COLON) {
        address::scan_v6(text, found);
    }
    if survey.has(Survey::DIGIT | Survey::WIDE) {
        scan_numbers(text, classes, found);
    }
    settle(first, found);
}

/// Removes what overlaps an earlier or longer finding.
fn settle(first: usize, found: &mut Vec<Found>) {
    if found.len() - first < 2 {
        return;
    }
    found[first..].sort_unstable_by_key(|it| (it.start, usize::MAX - it.end));
    let (mut index, mut end) = (0, 0);
    found.retain(|it| {
        index += 1;
        let keep = index <= first || it.start >= end;
        if keep && index > first {
            end = it.end;
        }
        keep
    });
}

/// Can a number begin with this byte, or must it be looked at to know?
const fn is_start(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'+' | b'(' | b'%' | 0x80..)
}

/// Finds card numbers, IPv4 addresses and telephone numbers.
fn scan_numbers(text: &str, classes: Classes, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let (mut at, mut floor) = (0, 0);
    while at < bytes.len() {
        if !is_start(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        let (unit, len) = unit(text, at);
        at += len;
        if let Unit::Digit(_) | Unit::Plus | Unit::Open = unit {
            let step = number_at(text, start, floor);
            if let Some(class) = step.class.filter(|class| classes.contains(*class)) {
                found.push(Found {
                    start,
                    end: step.end,
                    class,
                });
            }
            at = step.end;
        }
        // The last character of an escape is no part of the word that follows.
        if bytes[start] == b'%' && at == start + 3 {
            floor = at;
        }
    }
}

/// What was made of a position: a number up to `end`, or nothing and go on there.
struct Step {
    end: usize,
    class: Option<Class>,
}

fn number_at(text: &str, at: usize, floor: usize) -> Step {
    let (first, len) = unit(text, at);
    let is_digit = matches!(first, Unit::Digit(_));
    let skip = |end| Step { end, class: None };
    let next = || {
        if is_digit {
            run_end(text, at)
        } else {
            at + len
        }
    };
    let Some(mut window) = Window::read(text, at) else {
        return skip(next());
    };
    let left = Left::of(text, at, floor);
    if is_digit {
        if left.hidden && window.groups()[0].count <= 4 {
            return skip(next());
        }
        if let Some(hidden) = address::hidden_v4_len(&text[at..]) {
            return skip(at + hidden);
        }
        if let Some(groups) = date_at(&window, 0) {
            return skip(window.groups()[groups - 1].end);
        }
        if !left.word {
            if let Some(end) = card_end(&window, text) {
                return Step {
                    end,
                    class: Some(Class::Card),
                };
            }
            if address::is_v4_at(&window, text, 0) && !left.dotted {
                return Step {
                    end: window.groups()[3].end,
                    class: Some(Class::Ipv4),
                };
            }
        }
    }
    cut(&mut window, text);
    match phone::groups_in(&window, text, left.word || left.joined || left.dotted) {
        Some(groups) => {
            let end = window.groups()[groups - 1].end;
            let end = stars_end(text, phone::extension_end(text, end));
            Step {
                end,
                class: Some(Class::Phone),
            }
        }
        None => skip(next()),
    }
}

/// The end of a card number that the window begins with.
fn card_end(window: &Window, text: &str) -> Option<usize> {
    let end = window.groups()[card::groups_at(window, 0)? - 1].end;
    (!is_word_at(text, end)).then_some(end)
}

/// Ends the window before something that is no part of a telephone number.
fn cut(window: &mut Window, text: &str) {
    let groups = window.groups().len();
    let begins_other = |from: &usize| {
        date_at(window, *from).is_some()
            || address::is_v4_at(window, text, *from)
            || card::groups_at(window, *from).is_some()
    };
    let mut end = (1..groups).find(begins_other).unwrap_or(groups);
    // The hour of `10:30`.
    if let [b':', next, ..] = &text.as_bytes()[window.groups()[end - 1].end..]
        && next.is_ascii_digit()
        && end > 1
    {
        end -= 1;
    }
    window.truncate(end);
}

/// Stars that go on after a half masked number belong to it. One alone is a text's emphasis.
fn stars_end(text: &str, end: usize) -> usize {
    match text.as_bytes()[end..]
        .iter()
        .take_while(|byte| **byte == b'*')
        .count()
    {
        1 => end,
        stars => end + stars,
    }
}

/// How many groups of the window, from this one on, are a date: `2026-01-31`, `31.01.2026`, `1/31/2026`.
fn date_at(window: &Window, from: usize) -> Option<usize> {
    let [a, b, c] = window.groups().get(from..from + 3)? else {
        return None;
    };
    let one_separator =
        b.before == c.before && [Between::DASH, Between::DOT, Between::SLASH].contains(&b.before);
    if !one_separator {
        return None;
    }
    let number = |index| window.number(from + index);
    let year = |index: usize, count| count == 4 && (1900..2100).contains(&number(index));
    let (day, month) = (
        |index| (1..=31).contains(&number(index)),
        |index| (1..=12).contains(&number(index)),
    );
    let small = |count| (1..=2).contains(&count);
    let iso = year(0, a.count) && small(b.count) && small(c.count) && month(1) && day(2);
    let day_first = year(2, c.count) && small(a.count) && small(b.count);
    let day_first = day_first && (day(0) && month(1) || month(0) && day(1));
    (iso || day_first).then_some(from + 3)
}

/// What stands before a number.
#[derive(Default)]
struct Left {
    /// A letter, a digit or an underscore: the number is a part of a word.
    word: bool,
    /// A hyphen after a word, or a colon after a digit: a part of an identifier or a time.
    joined: bool,
    /// A point after a digit: a fraction, or the rest of an object identifier.
    dotted: bool,
    /// The stars of a masked number, whose tail this is.
    hidden: bool,
}

impl Left {
    fn of(text: &str, at: usize, floor: usize) -> Left {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let before = &text.as_bytes()[floor..at];
        let hidden = before.ends_with(b"***") || before.ends_with(b"***-");
        match before {
            [.., one, b'_'] if is_word(*one) => Left {
                word: true,
                ..Left::default()
            },
            [.., last] if last.is_ascii_alphanumeric() => Left {
                word: true,
                ..Left::default()
            },
            [.., one, b'-'] => Left {
                joined: is_word(*one),
                hidden,
                ..Left::default()
            },
            [.., one, b':'] => Left {
                joined: one.is_ascii_digit(),
                ..Left::default()
            },
            [.., one, b'.'] => Left {
                dotted: one.is_ascii_digit(),
                ..Left::default()
            },
            _ => Left {
                hidden,
                ..Left::default()
            },
        }
    }
}
