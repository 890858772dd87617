//! Dates in the keys of objects.

/// An hour, in microseconds.
const HOUR: i64 = 3_600_000_000;

/// Where the date stands in a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyTime {
    /// The first of the usual forms that is found: `YYYY/MM/DD/HH`, `YYYY/MM/DD`,
    /// `year=YYYY/month=MM/day=DD/hour=HH`, the same without the hour, `YYYY-MM-DD`.
    Auto,
    /// Nowhere.
    Nowhere,
    /// In this form.
    Form(Form),
}

/// A form of dates, such as `dt=YYYY-MM-DD/hour=HH`, found anywhere in a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Digits, and how many of them are written.
    Digits(usize),
}

/// A date in a key, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated {
    /// In microseconds since 1970.
    pub start: i64,
    /// Of what the date names: an hour or a day, in microseconds.
    pub length: i64,
    /// Where in the key it begins.
    pub at: usize,
}

const USUAL: [&str; 5] = [
    "YYYY/MM/DD/HH",
    "YYYY/MM/DD",
    "year=YYYY/month=MM/day=DD/hour=HH",
    "year=YYYY/month=MM/day=DD",
    "YYYY-MM-DD",
];

impl KeyTime {
    /// `auto`, `none` or a form.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "none" => Some(Self::Nowhere),
            form => Form::parse(form).map(Self::Form),
        }
    }

    /// The forms to look for, the best first.
    pub fn forms(&self) -> Vec<Form> {
        match self {
            Self::Auto => USUAL.iter().filter_map(|form| Form::parse(form)).collect(),
            Self::Nowhere => Vec::new(),
            Self::Form(form) => vec![form.clone()],
        }
    }
}

impl Form {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        for (word, required) in [("YYYY", true), ("MM", true), ("DD", true), ("HH", false)] {
            match rest.split_once(word) {
                Some((before, after)) => {
                    if !before.is_empty() {
                        parts.push(Part::Text(before.to_owned()));
                    }
                    parts.push(Part::Digits(word.len()));
                    rest = after;
                }
                None if required => return None,
                None => {}
            }
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Some(Self(parts))
    }

    /// The first date of this form in a key.
    pub fn find(&self, key: &str) -> Option<Dated> {
        let starts = key.char_indices().map(|(at, _)| at);
        // `12026/01/01` holds no year 2026.
        let whole = |at: &usize| !ends_with_digit(&key[..*at]) || !self.begins_with_digits();
        starts.filter(whole).find_map(|at| self.read(key, at))
    }

    fn begins_with_digits(&self) -> bool {
        matches!(self.0.first(), Some(Part::Digits(_)))
    }

    fn read(&self, key: &str, at: usize) -> Option<Dated> {
        let mut rest = &key[at..];
        let mut numbers = [0_i16; 4];
        let mut count = 0;
        for part in &self.0 {
            match part {
                Part::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Part::Digits(most) => {
                    let found = rest
                        .bytes()
                        .take(*most)
                        .take_while(u8::is_ascii_digit)
                        .count();
                    // A year has four; months, days and hours are also written without their zero.
                    if found == 0 || (*most == 4 && found < 4) {
                        return None;
                    }
                    *numbers.get_mut(count)? = rest[..found].parse().ok()?;
                    (count, rest) = (count + 1, &rest[found..]);
                }
            }
        }
        // `2026/01/015` holds no day.
        if matches!(self.0.last(), Some(Part::Digits(_)))
            && rest.starts_with(|c: char| c.is_ascii_digit())
        {
            return None;
        }
        let [year, month, day, hour] = numbers;
        let (month, day, hour) = (
            month.try_into().ok()?,
            day.try_into().ok()?,
            hour.try_into().ok()?,
        );
        let time = jiff::civil::DateTime::new(year, month, day, hour, 0, 0, 0).ok()?;
        let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Dated {
            start: time.timestamp().as_microsecond(),
            length: self.length(),
            at,
        })
    }

    /// Of what a date of this form names: an hour or a day, in microseconds.
    pub fn length(&self) -> i64 {
        let digits = self.0.iter().filter(|part| matches!(part, Part::Digits(_)));
        if digits.count() == 4 { HOUR } else { 24 * HOUR }
    }

    /// What sorts behind all keys of earlier dates, but for some of the last of them, and before all
    /// that begin with the date of this time, or are nothing but that date.
    pub fn before(&self, prefix: &str, micros: i64) -> Option<String> {
        let date = self.write(micros.checked_sub(self.length())?)?;
        // Most names have no character behind it.
        Some(format!("{prefix}{date}~"))
    }

    /// The date of this time, as keys have it: what sorts before it is of an earlier date, as long as
    /// months, days and hours have their zeros.
    pub fn write(&self, micros: i64) -> Option<String> {
        let time = jiff::Timestamp::from_microsecond(micros).ok()?;
        let time = time.to_zoned(jiff::tz::TimeZone::UTC);
        let mut numbers = [
            i64::from(time.year()),
            time.month().into(),
            time.day().into(),
            time.hour().into(),
        ]
        .into_iter();
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Digits(width) => text.push_str(&format!("{:0width$}", numbers.next()?)),
            }
        }
        Some(text)
    }
}

fn ends_with_digit(text: &str) -> bool {
    text.ends_with(|last: char| last.is_ascii_digit())
}

/// The date in a key, by the first form that finds one, and which form that is.
pub fn date_in(forms: &[Form], key: &str) -> Option<(usize, Dated)> {
    let mut found = forms.iter().enumerate();
    found.find_map(|(index, form)| form.find(key).map(|dated| (index, dated)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_timestamp;

    fn start(key: &str) -> Option<(i64, i64)> {
        let found = date_in(&KeyTime::Auto.forms(), key)?.1;
        Some((found.start, found.length / HOUR))
    }

    #[test]
    fn the_usual_forms_are_found_anywhere() {
        let at = |text: &str, hours| Some((parse_timestamp(text).unwrap(), hours));
        for (key, expected) in [
            ("exports/2026/11/05/07/a.gz", at("2026-11-05T07:00:00Z", 1)),
            ("2026/11/05/a-2025-01-01.gz", at("2026-11-05T00:00:00Z", 24)),
            (
                "org/year=2026/month=3/day=4/hour=05/x",
                at("2026-03-04T05:00:00Z", 1),
            ),
            ("dt=2026-02-28/x", at("2026-02-28T00:00:00Z", 24)),
            ("2026/13/05/a", None),
            ("12026/11/05/a", None),
            ("2026-02-299", None),
            ("é/日/2026/02/30", None),
            ("", None),
        ] {
            assert_eq!(start(key), expected, "{key}");
        }
    }

    #[test]
    fn a_form_of_ones_own_writes_what_it_reads() {
        let Some(KeyTime::Form(form)) = KeyTime::parse("d=YYYYMMDD-HHh") else {
            panic!("it is a form");
        };
        let found = form.find("x/d=20261105-07h/y").unwrap();
        assert_eq!(
            (found.at, form.write(found.start).unwrap().as_str()),
            (2, "d=20261105-07h")
        );
        assert_eq!(KeyTime::parse("MM/YYYY"), None);
        assert_eq!(KeyTime::parse("none"), Some(KeyTime::Nowhere));
    }
}
