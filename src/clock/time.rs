//! Times as text: RFC 3339, what vendors make of it, and numbers since 1970.
//!
//! All times are microseconds since 1970 (UTC) in an `i64`; finer parts are cut off. A leap second
//! counts as the second before it, since this scale has no place for it.

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400;

/// Longest text that is looked at: hostile text is refused without being read.
const MAX_LENGTH: usize = 64;

/// Reads an RFC 3339 time such as `2026-11-20T09:00:00.123Z` or `2026-11-20 10:00:00+01:00`.
/// The offset is required: a time without one is not a point in time.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    parse(text, false)
}

/// The same, and also what is found in the field: months, days and hours without their leading
/// zero (`2021-04-2T9:05:00Z`), `+0100` and `+01` for `+01:00`, and the digits of [`parse_epoch`].
pub fn parse_lenient(text: &str) -> Option<i64> {
    parse(text, true).or_else(|| parse_epoch(text))
}

/// Reads a number since 1970: seconds below 10^11 (until the year 5138), above that milliseconds,
/// above 10^14 microseconds. Seconds and milliseconds may have a decimal fraction.
pub fn parse_epoch(text: &str) -> Option<i64> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let unit = match whole {
        0..100_000_000_000 => SECOND,
        100_000_000_000..100_000_000_000_000 => 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1,
        _ => return None,
    };
    let micros = whole * unit + fraction_of(fraction.as_bytes()) * unit / SECOND;
    Some(if negative { -micros } else { micros })
}

/// Prints a time as RFC 3339 in UTC, with milliseconds, or microseconds where they are not zero.
/// Years beyond 9999 or before 0 have a sign and six digits (ISO 8601).
pub fn format_timestamp(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(SECOND), micros.rem_euclid(SECOND));
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = date_of(days);
    // Digit by digit: this is done for every event that a transform makes.
    let mut out = String::with_capacity(27);
    match year {
        0..=9999 => digits(&mut out, year, 1000),
        _ => out.push_str(&format!("{year:+07}")),
    }
    for (mark, part) in [
        ('-', month),
        ('-', day),
        ('T', second / 3600),
        (':', second / 60 % 60),
        (':', second % 60),
    ] {
        out.push(mark);
        digits(&mut out, part, 10);
    }
    out.push('.');
    match fraction % 1000 {
        0 => digits(&mut out, fraction / 1000, 100),
        _ => digits(&mut out, fraction, 100_000),
    }
    out.push('Z');
    out
}

/// Appends a number from 0 with all its digits; `place` is what the first of them counts.
fn digits(out: &mut String, number: i64, mut place: i64) {
    while place > 0 {
        out.push(char::from(b'0' + (number / place % 10) as u8));
        place /= 10;
    }
}

fn parse(text: &str, lenient: bool) -> Option<i64> {
    let text = text.as_bytes();
    if text.len() > MAX_LENGTH {
        return None;
    }
    let (civil, rest) = match padded(text) {
        Some(civil) => (civil, &text[19..]),
        None if lenient => unpadded(text)?,
        None => return None,
    };
    let (fraction, rest) = match rest.split_first() {
        Some((b'.', rest)) => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            (fraction_of(&rest[..digits]), &rest[digits..])
        }
        _ => (0, rest),
    };
    Some((civil.seconds()? - offset(rest, lenient)?) * SECOND + fraction)
}

/// The first digits behind a decimal point as millionths.
fn fraction_of(digits: &[u8]) -> i64 {
    let digit = |place| digits.get(place).map_or(0, |b: &u8| i64::from(b - b'0'));
    (0..6).fold(0, |sum, place| sum * 10 + digit(place))
}

/// `Z`, `+hh:mm` or `-hh:mm`, in seconds.
fn offset(text: &[u8], lenient: bool) -> Option<i64> {
    let (sign, hours, minutes) = match *text {
        [b'Z' | b'z'] => return Some(0),
        [sign, a, b, b':', c, d] => (sign, pair(a, b)?, pair(c, d)?),
        [sign, a, b, c, d] if lenient => (sign, pair(a, b)?, pair(c, d)?),
        [sign, a, b] if lenient => (sign, pair(a, b)?, 0),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3600 + minutes * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// A date and a time of day, not yet checked.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Civil {
    /// Seconds since 1970, if there is such a day and such a time.
    fn seconds(&self) -> Option<i64> {
        let in_range = (1..=12).contains(&self.month)
            && (1..=days_in(self.year, self.month)).contains(&self.day)
            && (0..24).contains(&self.hour)
            && (0..60).contains(&self.minute)
            && (0..=60).contains(&self.second);
        in_range.then(|| {
            days_before(self.year, self.month, self.day) * DAY
                + self.hour * 3600
                + self.minute * 60
                + self.second.min(59)
        })
    }
}

/// `YYYY-MM-DDTHH:MM:SS` at the start of the text: every digit has its place.
fn padded(text: &[u8]) -> Option<Civil> {
    let text = text.first_chunk::<19>()?;
    let marks = (text[4], text[7], text[10], text[13], text[16]);
    if !matches!(marks, (b'-', b'-', b'T' | b't' | b' ', b':', b':')) {
        return None;
    }
    let at = |place: usize| pair(text[place], text[place + 1]);
    Some(Civil {
        year: at(0)? * 100 + at(2)?,
        month: at(5)?,
        day: at(8)?,
        hour: at(11)?,
        minute: at(14)?,
        second: at(17)?,
    })
}

/// The same with one or two digits for month, day and hour; and what is behind.
fn unpadded(text: &[u8]) -> Option<(Civil, &[u8])> {
    let [y1, y2, y3, y4, b'-', rest @ ..] = text else {
        return None;
    };
    let (month, rest) = until(rest, |b| b == b'-')?;
    let (day, rest) = until(rest, |b| matches!(b, b'T' | b't' | b' '))?;
    let (hour, rest) = until(rest, |b| b == b':')?;
    let [n1, n2, b':', s1, s2, rest @ ..] = rest else {
        return None;
    };
    let civil = Civil {
        year: pair(*y1, *y2)? * 100 + pair(*y3, *y4)?,
        month,
        day,
        hour,
        minute: pair(*n1, *n2)?,
        second: pair(*s1, *s2)?,
    };
    Some((civil, rest))
}

/// One or two digits and a byte that ends them.
fn until(text: &[u8], ends: impl Fn(u8) -> bool) -> Option<(i64, &[u8])> {
    match *text {
        [a, end, ref rest @ ..] if ends(end) => Some((pair(b'0', a)?, rest)),
        [a, b, end, ref rest @ ..] if ends(end) => Some((pair(a, b)?, rest)),
        _ => None,
    }
}

fn pair(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens * 10 + ones))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to a date. Years are counted from March, so that the leap day is the last of its
/// year and months fall into a fixed pattern of 153 days in five.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days_before`].
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From 0000 to the end of 9999, which is what RFC 3339 can write.
    const RANGE: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_300_800_000_000;

    #[test]
    fn reads_every_form() {
        let noon = 1_617_364_800 * SECOND;
        for text in [
            "2021-04-02T12:00:00Z",
            "2021-04-02t12:00:00z",
            "2021-04-02 12:00:00.0Z",
            "2021-04-02T14:30:00+02:30",
            "2021-04-02T00:30:00.000000000-11:30",
            "2021-04-02T12:00:00.0000009Z",
        ] {
            assert_eq!(parse_timestamp(text), Some(noon), "{text}");
            assert_eq!(parse_lenient(text), Some(noon), "{text}");
        }
        for text in [
            "2021-04-2T12:00:00Z",
            "2021-4-02 12:00:00Z",
            "2021-4-2T14:00:00+0200",
            "2021-04-02T7:00:00-05",
            "1617364800",
            "1617364800.0",
            "1617364800000",
            "1617364800000000",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
            assert_eq!(parse_lenient(text), Some(noon), "{text}");
        }
        let leap = parse_timestamp("2016-12-31T23:59:60.5Z");
        assert_eq!(leap, parse_timestamp("2016-12-31T23:59:59.5Z"));
        assert_eq!(parse_epoch("-1.5"), Some(-1_500_000));
        assert_eq!(parse_epoch("1617364800000.25"), Some(noon + 250));
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "now",
            "2021-04-02",
            "2021-04-02T12:00:00",
            "2021-04-31T12:00:00Z",
            "2021-02-29T12:00:00Z",
            "1900-02-29T12:00:00Z",
            "2021-00-02T12:00:00Z",
            "2021-13-02T12:00:00Z",
            "2021-04-00T12:00:00Z",
            "2021-04-02T24:00:00Z",
            "2021-04-02T12:60:00Z",
            "2021-04-02T12:00:61Z",
            "2021-04-02T12:00:00.Z",
            "2021-04-02T12:00:00+24:00",
            "2021-04-02T12:00:00+02:60",
            "2021-04-02T12:00:00*02:00",
            "2021-04-02T12:00:00Z ",
            "2021-04-02T12:00:0:Z",
            "2021-04-02X12:00:00Z",
            "-021-04-02T12:00:00Z",
            "1e9",
            "12.",
            ".5",
            "100000000000000000",
            "99999999999999999999",
        ] {
            assert_eq!(parse_lenient(text), None, "{text}");
        }
        assert_eq!(
            parse_lenient(&format!("2021-04-02T12:00:00.{}Z", "0".repeat(60))),
            None
        );
    }

    #[test]
    fn prints_the_precision_there_is() {
        for text in [
            "1970-01-01T00:00:00.000Z",
            "2024-02-29T23:59:59.999Z",
            "1969-12-31T23:59:59.999999Z",
            "0000-01-01T00:00:00.000Z",
            "9999-12-31T23:59:59.000001Z",
        ] {
            assert_eq!(format_timestamp(parse_timestamp(text).unwrap()), text);
        }
        assert!(format_timestamp(i64::MAX).starts_with("+294247-01-10T"));
        assert!(format_timestamp(i64::MIN).starts_with("-290308-12-21T"));
    }

    proptest! {
        #[test]
        fn agrees_with_jiff_on_what_it_prints(micros in RANGE) {
            let printed = format_timestamp(micros);
            let theirs: jiff::Timestamp = printed.parse().unwrap();
            prop_assert_eq!(theirs.as_microsecond(), micros);
            prop_assert_eq!(parse_timestamp(&printed), Some(micros));
        }

        #[test]
        fn agrees_with_jiff_on_what_it_reads(
            text in "(19|20)[0-9]{2}-(0[0-9]|1[0-3])-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-][0-2][0-9]:[0-6][0-9])"
        ) {
            let theirs = text.parse::<jiff::Timestamp>().ok().map(|t| t.as_microsecond());
            // jiff takes offsets up to 25:59.
            let far = text.len() > 20 && matches!(&text[text.len() - 6..text.len() - 3], "+24" | "+25" | "-24" | "-25");
            if !far {
                prop_assert_eq!(parse_timestamp(&text), theirs);
            }
        }

        #[test]
        fn never_panics(text in "[-+0-9TZ:. ]{0,70}", any in ".{0,40}") {
            for text in [text, any] {
                let strict = parse_timestamp(&text);
                prop_assert!(strict.is_none() || strict == parse_lenient(&text));
            }
        }
    }
}
