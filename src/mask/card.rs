//! Payment card numbers: an issuer's prefix, one of its lengths, and a Luhn sum.

use compact_str::{CompactString, format_compact};

use super::digits::{Between, Unit, Window, peek};

const LENGTHS: std::ops::RangeInclusive<usize> = 13..=19;

/// How many of the window's groups, from this one on, make a card number. The most that do.
pub(super) fn groups_at(window: &Window, from: usize) -> Option<usize> {
    let groups = window.groups();
    // All issuers' prefixes begin with 2 to 6, 8 or 9: most groups are done with here.
    if !matches!(window.digits(from, from + 1).first(), Some(2..=6 | 8 | 9)) {
        return None;
    }
    let (mut best, mut total) = (None, 0);
    for (index, group) in groups.iter().enumerate().skip(from) {
        let odd = Between::OPEN.union(Between::CLOSE).union(Between::SLASH);
        if index > from && group.before.has(odd) {
            break;
        }
        total += group.count;
        let grouped = index > from;
        if total > *LENGTHS.end() || grouped && (group.count > 7 || groups[from].count > 7) {
            break;
        }
        if total >= *LENGTHS.start() && is_card(window.digits(from, index + 1)) {
            best = Some(index + 1);
        }
    }
    best
}

/// A known prefix with one of its lengths, and a Luhn sum that ends in 0.
fn is_card(digits: &[u8]) -> bool {
    let prefix = digits[..4]
        .iter()
        .fold(0u32, |prefix, digit| prefix * 10 + u32::from(*digit));
    let lengths = match prefix {
        4000..=4999 => [13, 16, 18, 19].as_slice(),
        5100..=5599 | 2221..=2720 | 9792 => &[16],
        3400..=3499 | 3700..=3799 => &[15],
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => &[14, 15, 16, 17, 18, 19],
        3528..=3589 | 6000..=6999 | 2200..=2205 | 8100..=8199 => &[16, 17, 18, 19],
        5000..=5099 | 5600..=5899 => &[13, 14, 15, 16, 17, 18, 19],
        _ => return false,
    };
    lengths.contains(&digits.len()) && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit < 5 { 2 * digit } else { 2 * digit - 9 };
    let sum: u32 = (digits.iter().rev().enumerate())
        .map(|(place, digit)| {
            u32::from(if place % 2 == 1 {
                doubled(*digit)
            } else {
                *digit
            })
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Keeps the last four digits, none when there are so few that four would tell most.
pub(super) fn mask(value: &str) -> Option<CompactString> {
    let (mut count, mut last, mut starred, mut at) = (0usize, 0u32, super::is_starred(value), 0);
    while at < value.len() {
        let (unit, len) = peek(value, at);
        if let Unit::Digit(digit) = unit {
            count += 1;
            last = (last * 10 + u32::from(digit)) % 10_000;
        }
        starred |= unit == Unit::Star;
        at += len;
    }
    match count {
        // The first six and the last four are what other systems show of a number.
        0..=10 if starred => None,
        0..=4 => None,
        5..=7 => Some(CompactString::const_new("****")),
        _ if starred => Some(CompactString::const_new("****-****-****-****")),
        _ => Some(format_compact!("****-****-****-{last:04}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_found(text: &str) -> bool {
        Window::read(text, 0).is_some_and(|window| groups_at(&window, 0).is_some())
    }

    #[test]
    fn a_card_needs_a_prefix_a_length_and_a_luhn_sum() {
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "378282246310005",
            "4222222222222",
        ] {
            assert!(is_found(card), "{card}");
        }
        // A wrong sum; milliseconds with a right sum; an unknown prefix with a right sum.
        for other in ["4111111111111112", "1700000000007", "9111111111111111"] {
            assert!(!is_found(other), "{other}");
        }
    }

    #[test]
    fn only_the_last_four_digits_stay() {
        assert_eq!(
            mask("4111 1111 1111 1111").as_deref(),
            Some("****-****-****-1111")
        );
        assert_eq!(mask("****-****-****-1111"), None);
        assert_eq!(mask("411111******1111"), None);
        assert_eq!(
            mask("4111111*11111111").as_deref(),
            Some("****-****-****-****")
        );
    }
}
