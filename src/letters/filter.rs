//! Which letters are meant.

use std::time::Duration;

use super::Kept;
use crate::clock::parse_timestamp;
use crate::diagnostic::{Report, Span};
use crate::setting::{Node, Setting, Value};

/// Chooses letters. Empty lists and `None` choose all; what is given has to hold all at once.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Beginnings of ids.
    pub ids: Vec<String>,
    /// Reasons.
    pub reasons: Vec<String>,
    /// Nodes that refused them.
    pub nodes: Vec<String>,
    /// Refused at this time or later, in microseconds since 1970 (UTC).
    pub since: Option<i64>,
    /// Refused before this time.
    pub until: Option<i64>,
}

impl Filter {
    /// Whether a letter is chosen.
    pub fn accepts(&self, letter: &Kept) -> bool {
        let one_of = |chosen: &[String], has: &str| {
            chosen.is_empty() || chosen.iter().any(|it| it.as_str() == has)
        };
        let time = letter.refused();
        (self.ids.is_empty() || self.ids.iter().any(|id| letter.id.starts_with(id.as_str())))
            && one_of(&self.reasons, &letter.reason)
            && one_of(&self.nodes, &letter.node)
            && self.since.is_none_or(|since| since <= time)
            && self.until.is_none_or(|until| time < until)
    }

    /// Those of the ids that no letter has: somebody mistyped them.
    pub fn unmet<'a>(&'a self, letters: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let mut left: Vec<&str> = self.ids.iter().map(String::as_str).collect();
        letters.for_each(|id| left.retain(|wanted| !id.starts_with(wanted)));
        left
    }
}

/// A time as RFC 3339, or a duration before `now` such as `2h`; in microseconds since 1970 (UTC).
pub fn parse_when(text: &str, now: i64) -> Option<i64> {
    parse_timestamp(text).or_else(|| {
        let node = Node::new(Value::Text(text.to_owned()), Span::on_line(1, 1, 1));
        let ago = Duration::read(&node, &mut Report::new(""))?;
        now.checked_sub(ago.as_micros().try_into().ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_asked_for_has_to_hold() {
        let letter = Kept {
            id: "abcdef".into(),
            reason: "schema".into(),
            node: "valid".into(),
            time: "2026-11-21T09:00:00Z".into(),
            ..Kept::default()
        };
        let at = |text: &str| parse_when(text, 0);
        let accepts = |change: &dyn Fn(&mut Filter)| {
            let mut filter = Filter::default();
            change(&mut filter);
            filter.accepts(&letter)
        };
        assert!(accepts(&|_| {}));
        assert!(accepts(&|it| it.ids = vec!["xyz".into(), "abc".into()]));
        assert!(!accepts(&|it| it.ids = vec!["bcd".into()]));
        assert!(accepts(&|it| it.reasons = vec!["schema".into()]));
        assert!(!accepts(&|it| it.reasons = vec!["sche".into()]));
        assert!(!accepts(&|it| it.nodes = vec!["out".into()]));
        assert!(accepts(&|it| it.since = at("2026-11-21T09:00:00Z")));
        assert!(!accepts(&|it| it.since = at("2026-11-21T09:00:01Z")));
        assert!(!accepts(&|it| it.until = at("2026-11-21T09:00:00Z")));
        assert!(!accepts(&|it| {
            it.reasons = vec!["schema".into()];
            it.nodes = vec!["out".into()];
        }));
        let ids = vec!["abc".into(), "bcd".into()];
        let filter = Filter {
            ids,
            ..Filter::default()
        };
        assert_eq!(filter.unmet(["abcdef"].into_iter()), ["bcd"]);
    }

    #[test]
    fn a_time_is_a_point_or_that_long_ago() {
        assert_eq!(parse_when("1970-01-01T00:00:01Z", 0), Some(1_000_000));
        assert_eq!(parse_when("1m30s", 100_000_000), Some(10_000_000));
        for bad in ["", "yesterday", "5", "2026-11-21"] {
            assert_eq!(parse_when(bad, 0), None, "{bad}");
        }
    }
}
