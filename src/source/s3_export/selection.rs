//! Which objects are to be read.

use globset::GlobSet;
use sha2::{Digest, Sha256};

use super::Config;
use super::key_time::{Form, date_in};
use crate::client::bucket::{Location, Object};
use crate::failure::Failure;
use crate::source::globs;

/// What a configuration asks for, made ready.
pub(super) struct Selection {
    /// Bytes of a key that its patterns do not see: the folder of the prefix.
    folder: usize,
    include: Option<GlobSet>,
    exclude: GlobSet,
    from: Option<i64>,
    to: Option<i64>,
    min_age: i64,
    pub forms: Vec<Form>,
    /// Whether all keys begin with dates of the first form.
    dated: bool,
}

/// Which keys of a listing can be meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// All before this one, and this one, cannot.
    pub after: Option<String>,
    /// Nor can this one and all behind it.
    pub end: Option<String>,
}

impl Span {
    /// Whether nothing behind this key can be meant.
    pub(super) fn ends_before(&self, key: &str) -> bool {
        self.end.as_deref().is_some_and(|end| key >= end)
    }
}

/// What is to be done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// It is to be read.
    Read,
    /// It is not asked for.
    Leave,
    /// It is asked for, and too young.
    Wait,
}

impl Selection {
    /// # Errors
    /// Fatal when a pattern is none.
    pub(super) fn new(config: &Config) -> Result<Self, Failure> {
        let bad =
            |reason| Failure::fatal("bad_pattern", format!("not a pattern of keys: {reason}"));
        let prefix = &config.location.prefix;
        let include = match config.include.is_empty() {
            true => None,
            false => Some(globs(&config.include).map_err(bad)?),
        };
        Ok(Self {
            folder: prefix.rfind('/').map_or(0, |at| at + 1),
            include,
            exclude: globs(&config.exclude).map_err(bad)?,
            from: config.from,
            to: config.to,
            min_age: config.min_age.as_micros() as i64,
            forms: config.key_time.forms(),
            dated: config.dated_keys,
        })
    }

    /// Which keys below a prefix can be meant: with `dated_keys` those of the range, else all.
    pub(super) fn span(&self, prefix: &str) -> Span {
        let form = self.forms.first().filter(|_| self.dated);
        let at = |form: &Form, time: i64| Some(format!("{prefix}{}", form.write(time)?));
        Span {
            after: form.and_then(|form| form.before(prefix, self.from?)),
            // The last date of the range reaches into it, the one behind that does not.
            end: form.and_then(|form| at(form, (self.to? - 1).checked_add(form.length())?)),
        }
    }

    /// `now` in microseconds since 1970.
    pub(super) fn choose(&self, object: &Object, now: i64) -> Choice {
        let below = object.key.get(self.folder..).unwrap_or(&object.key);
        // What consoles make where a person asks for a folder.
        let folder = object.size == 0 && object.key.ends_with('/');
        let named = self.include.as_ref().is_none_or(|set| set.is_match(below))
            && !self.exclude.is_match(below);
        if folder || !named || !self.is_of_time(object) {
            return Choice::Leave;
        }
        match object.modified_micros.saturating_add(self.min_age) > now && self.min_age > 0 {
            true => Choice::Wait,
            false => Choice::Read,
        }
    }

    /// Whether the object may hold something of the range of time that is asked for.
    fn is_of_time(&self, object: &Object) -> bool {
        if self.from.is_none() && self.to.is_none() {
            return true;
        }
        let (first, end) = match date_in(&self.forms, &object.key) {
            Some((_, dated)) => (dated.start, dated.start.saturating_add(dated.length)),
            None => (
                object.modified_micros,
                object.modified_micros.saturating_add(1),
            ),
        };
        self.from.is_none_or(|from| end > from) && self.to.is_none_or(|to| first < to)
    }
}

/// Tells two selections apart: what one has left aside, another may ask for.
pub(super) fn fingerprint(config: &Config) -> u64 {
    let Location { prefix, .. } = &config.location;
    let text = format!(
        "{}\0{prefix}\0{:?}\0{:?}\0{:?}\0{:?}\0{:?}{}",
        config.location,
        config.include,
        config.exclude,
        config.from,
        config.to,
        config.key_time,
        // Added later: what others remember stays true.
        if config.dated_keys { "\0dated" } else { "" },
    );
    let hash: [u8; 32] = Sha256::digest(text).into();
    hash.first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;

    fn object(key: &str, modified: i64) -> Object {
        Object {
            key: key.to_owned(),
            size: 1,
            modified_micros: modified,
            version: "1".to_owned(),
        }
    }

    fn chosen(config: &Config, key: &str, modified: i64) -> Choice {
        let selection = Selection::new(config).unwrap();
        selection.choose(&object(key, modified), 100_000_000)
    }

    #[test]
    fn patterns_speak_of_names_or_of_what_is_below_the_prefix() {
        let mut config = config("exports/day");
        config.include = vec!["*.gz".to_owned(), "day-1/*.json".to_owned()];
        config.exclude = vec!["_*".to_owned()];
        for (key, expected) in [
            ("exports/day-1/a/b.gz", Choice::Read),
            ("exports/day-1/a.json", Choice::Read),
            ("exports/day-1/a/b.json", Choice::Leave),
            ("exports/day-1/_a.gz", Choice::Leave),
        ] {
            assert_eq!(chosen(&config, key, 0), expected, "{key}");
        }
    }

    #[test]
    fn the_date_in_the_key_counts_more_than_the_last_change() {
        let mut config = config("");
        config.from = crate::clock::parse_timestamp("2026-11-05T06:30:00Z");
        config.to = crate::clock::parse_timestamp("2026-11-05T08:00:00Z");
        let choice = |key| chosen(&config, key, 5);
        assert_eq!(choice("2026/11/05/05/a"), Choice::Leave);
        assert_eq!(
            choice("2026/11/05/06/a"),
            Choice::Read,
            "the hour reaches into the range"
        );
        assert_eq!(choice("2026/11/05/07/a"), Choice::Read);
        assert_eq!(choice("2026/11/05/08/a"), Choice::Leave);
        assert_eq!(choice("a"), Choice::Leave, "it was changed in 1970");
        assert_eq!(chosen(&config, "a", config.from.unwrap()), Choice::Read);
    }

    #[test]
    fn only_the_dates_of_the_range_are_listed() {
        let mut config = config("in/");
        let spanned = |config: &Config| Selection::new(config).unwrap().span("in/");
        let time = crate::clock::parse_timestamp;
        config.key_time = super::super::KeyTime::parse("dt=YYYY-MM-DD/").unwrap();
        (config.from, config.to) = (time("2026-03-01T12:00:00Z"), time("2026-04-01T00:00:00Z"));
        assert_eq!(
            spanned(&config),
            Span::default(),
            "nobody said that all have dates"
        );
        config.dated_keys = true;
        let span = spanned(&config);
        let listed = |span: &Span, key: &str| {
            span.after.as_deref().is_none_or(|after| key > after) && !span.ends_before(key)
        };
        for (key, expected) in [
            ("in/dt=2026-02-28/z.gz", false),
            ("in/dt=2026-03-01/", true),
            ("in/dt=2026-03-01/a.gz", true),
            ("in/dt=2026-03-31/z.gz", true),
            ("in/dt=2026-04-01/", false),
            ("in/dt=2026-04-01/a.gz", false),
        ] {
            assert_eq!(listed(&span, key), expected, "{key} in {span:?}");
        }
        // The date in which the range ends is part of it, and a key may be a date and nothing else.
        config.to = time("2026-04-01T00:00:01Z");
        config.key_time = super::super::KeyTime::parse("YYYY/MM/DD").unwrap();
        let span = spanned(&config);
        assert!(listed(&span, "in/2026/03/01") && listed(&span, "in/2026/04/01/a"));
        assert!(!listed(&span, "in/2026/02/28/a") && !listed(&span, "in/2026/04/02"));
        (config.from, config.to) = (None, None);
        assert_eq!(spanned(&config), Span::default());
    }

    #[test]
    fn young_objects_wait() {
        let mut config = config("");
        config.min_age = std::time::Duration::from_secs(10);
        assert_eq!(chosen(&config, "a", 90_000_001), Choice::Wait);
        assert_eq!(chosen(&config, "a", 90_000_000), Choice::Read);
    }
}
