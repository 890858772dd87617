//! The form of a point in time: RFC 3339 with its offset.

/// True for `2026-05-01T12:00:00Z`, `…T12:00:00.123+02:00` and the like. Without an offset, nobody
/// knows which moment is meant, so that is none. Read by hand, since it is asked for each event.
pub(super) fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 20 {
        return false;
    }
    let (fixed, rest) = bytes.split_at(19);
    let dividers = fixed[4] == b'-'
        && fixed[7] == b'-'
        && matches!(fixed[10], b'T' | b't')
        && fixed[13] == b':'
        && fixed[16] == b':';
    let numbers = (
        number(&fixed[..4]),
        number(&fixed[5..7]),
        number(&fixed[8..10]),
        number(&fixed[11..13]),
        number(&fixed[14..16]),
        number(&fixed[17..]),
    );
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) = numbers
    else {
        return false;
    };
    // A leap second ends an hour, in every zone that is whole or half hours from UTC.
    let in_range = hour < 24 && minute < 60 && (second < 60 || second == 60 && minute % 30 == 29);
    dividers && in_range && (1..=days(year, month)).contains(&day) && is_tail(rest)
}

/// What follows the seconds: a fraction, if any, and the offset.
fn is_tail(bytes: &[u8]) -> bool {
    let offset = match bytes.split_first() {
        Some((b'.', fraction)) => {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
        _ => bytes,
    };
    match offset {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', hours @ .., b':', _, _] if hours.len() == 2 => {
            number(hours).is_some_and(|hours| hours < 24)
                && number(&offset[4..]).is_some_and(|minutes| minutes < 60)
        }
        _ => false,
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + u32::from(byte - b'0'))
    })
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_points_in_time_and_nothing_else() {
        for good in [
            "2026-05-01T12:00:00Z",
            "2026-05-01t12:00:00.123456789z",
            "2024-02-29T23:59:60Z",
            "2026-05-01T12:00:00+05:30",
            "2026-05-01T12:00:00.1-00:00",
        ] {
            assert!(is_timestamp(good), "{good}");
        }
        for bad in [
            "",
            "2026-05-01",
            "2026-05-01T12:00:00",
            "2026-05-01 12:00:00Z",
            "2026-02-29T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-05-00T12:00:00Z",
            "2026-05-01T24:00:00Z",
            "2026-05-01T12:00:60Z",
            "2026-05-01T12:00:00.Z",
            "2026-05-01T12:00:00+0530",
            "2026-05-01T12:00:00+24:00",
            "2026-05-01T12:00:00+05:30x",
            "2026-05-01T12:00:00ZZ",
            "２026-05-01T12:00:00Z",
            "2026-05-01T12:00:00é",
            "1767225600000",
        ] {
            assert!(!is_timestamp(bad), "{bad}");
        }
    }
}
