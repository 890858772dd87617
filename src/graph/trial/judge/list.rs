//! Lists of what was found held against lists of what is expected.

use serde_json::Value;

use super::super::pattern::Pattern;
use super::{Line, Sign};
use crate::diagnostic::Span;

/// What is compared: values with how they are compared.
pub(super) struct List<'a> {
    pub what: String,
    pub found: &'a [Value],
    pub count: u64,
    pub is_text: bool,
}

impl List<'_> {
    fn holds(&self, pattern: &Pattern, value: &Value, partial: bool) -> bool {
        match value.as_str().filter(|_| self.is_text) {
            Some(text) => pattern.holds_text(text, partial),
            None => pattern.holds(Some(value), partial),
        }
    }

    fn diff(&self, pattern: &Pattern, value: &Value, partial: bool, into: &mut Vec<Line>) {
        match (pattern, value.as_str().filter(|_| self.is_text)) {
            (Pattern::Just(Value::String(expected)), Some(found)) => {
                text_diff(expected, found, into);
            }
            _ => pattern.diff(value, partial, into),
        }
    }

    pub fn line(&self, sign: Sign, value: &Value, into: &mut Vec<Line>) {
        match value.as_str().filter(|_| self.is_text) {
            Some(text) => into.extend(text.lines().map(|line| Line(sign, line.to_owned()))),
            None => into.push(Line(sign, value.to_string())),
        }
    }
}

/// Line by line, by place: what is generated has its lines in one order.
fn text_diff(expected: &str, found: &str, into: &mut Vec<Line>) {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    for at in 0..expected.len().max(found.len()) {
        match (expected.get(at), found.get(at)) {
            (Some(one), Some(other)) if one == other => {
                into.push(Line(Sign::Same, (*one).to_owned()));
            }
            (one, other) => {
                into.extend(one.map(|it| Line(Sign::Expected, (*it).to_owned())));
                into.extend(other.map(|it| Line(Sign::Found, (*it).to_owned())));
            }
        }
    }
}

/// The difference of two lists in order; `None` where there is none.
pub(super) fn exactly(patterns: &[Pattern], list: &List<'_>) -> Option<Vec<Line>> {
    let pairs = aligned(patterns, list);
    let wrong = |pair: &(Option<usize>, Option<usize>)| !matches!(pair, (Some(_), Some(_)));
    if !pairs.iter().any(wrong) && list.count == list.found.len() as u64 {
        return None;
    }
    let mut lines = Vec::new();
    let mut at = 0;
    while let Some(pair) = pairs.get(at) {
        match *pair {
            (Some(_), Some(found)) => list.line(Sign::Same, &list.found[found], &mut lines),
            (Some(expected), None) => {
                // One that is expected beside one that is found: most likely the same, changed.
                match pairs.get(at + 1) {
                    Some((None, Some(found))) => {
                        let value = &list.found[*found];
                        list.diff(&patterns[expected], value, false, &mut lines);
                        at += 1;
                    }
                    _ => list.line(Sign::Expected, &patterns[expected].shown(), &mut lines),
                }
            }
            (None, Some(found)) => list.line(Sign::Found, &list.found[found], &mut lines),
            (None, None) => {}
        }
        at += 1;
    }
    Some(lines)
}

/// Both lists side by side, with as many pairs as there can be in order (a longest common subsequence).
/// Between two pairs what is expected and what is found alternate.
fn aligned(patterns: &[Pattern], list: &List<'_>) -> Vec<(Option<usize>, Option<usize>)> {
    let (rows, columns) = (patterns.len(), list.found.len());
    // Beyond this a table would be large: by place then.
    let small = rows.saturating_mul(columns) <= 1_000_000;
    let mut longest = vec![0u32; if small { (rows + 1) * (columns + 1) } else { 0 }];
    let holds = |row: usize, column: usize| list.holds(&patterns[row], &list.found[column], false);
    let width = columns + 1;
    if small {
        for row in (0..rows).rev() {
            for column in (0..columns).rev() {
                longest[row * width + column] = match holds(row, column) {
                    true => longest[(row + 1) * width + column + 1] + 1,
                    false => {
                        longest[(row + 1) * width + column].max(longest[row * width + column + 1])
                    }
                };
            }
        }
    }
    let (mut row, mut column, mut pairs) = (0, 0, Vec::new());
    let (mut wanted, mut extra) = (Vec::new(), Vec::new());
    while row < rows && column < columns {
        if holds(row, column) {
            flush(&mut wanted, &mut extra, &mut pairs);
            pairs.push((Some(row), Some(column)));
            (row, column) = (row + 1, column + 1);
        } else if !small {
            wanted.push(row);
            extra.push(column);
            (row, column) = (row + 1, column + 1);
        } else if longest[(row + 1) * width + column] >= longest[row * width + column + 1] {
            wanted.push(row);
            row += 1;
        } else {
            extra.push(column);
            column += 1;
        }
    }
    wanted.extend(row..rows);
    extra.extend(column..columns);
    flush(&mut wanted, &mut extra, &mut pairs);
    pairs
}

fn flush(
    wanted: &mut Vec<usize>,
    extra: &mut Vec<usize>,
    pairs: &mut Vec<(Option<usize>, Option<usize>)>,
) {
    let (mut expected, mut found) = (wanted.drain(..), extra.drain(..));
    loop {
        let (one, other) = (expected.next(), found.next());
        if one.is_none() && other.is_none() {
            return;
        }
        pairs.extend(one.map(|one| (Some(one), None)));
        pairs.extend(other.map(|other| (None, Some(other))));
    }
}

/// For each pattern another thing that it holds for: as many as there can be (augmenting paths).
pub(super) fn matching(patterns: &[(Pattern, Span)], list: &List<'_>) -> Vec<Option<usize>> {
    let mut taken: Vec<Option<usize>> = vec![None; list.found.len()];
    let candidates: Vec<Vec<usize>> = (patterns.iter())
        .map(|(pattern, _)| {
            let all = list.found.iter().enumerate();
            all.filter(|(_, value)| list.holds(pattern, value, true))
                .map(|(at, _)| at)
                .collect()
        })
        .collect();
    for pattern in 0..patterns.len() {
        let mut tried = vec![false; list.found.len()];
        augment(pattern, &candidates, &mut taken, &mut tried);
    }
    let mut matched = vec![None; patterns.len()];
    for (found, pattern) in taken.into_iter().enumerate() {
        if let Some(pattern) = pattern {
            matched[pattern] = Some(found);
        }
    }
    matched
}

fn augment(
    pattern: usize,
    candidates: &[Vec<usize>],
    taken: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for &found in &candidates[pattern] {
        if std::mem::replace(&mut tried[found], true) {
            continue;
        }
        let free = match taken[found] {
            None => true,
            Some(other) => augment(other, candidates, taken, tried),
        };
        if free {
            taken[found] = Some(pattern);
            return true;
        }
    }
    false
}

/// What is said of one that is missing: the nearest that is there.
pub(super) fn missing(pattern: &Pattern, list: &List<'_>) -> (String, Vec<Line>) {
    let message = format!("{}: not found among {}", list.what, list.count);
    let mut lines = Vec::new();
    if list
        .found
        .iter()
        .any(|value| list.holds(pattern, value, true))
    {
        list.line(Sign::Expected, &pattern.shown(), &mut lines);
        let told = "there are fewer of these than are expected";
        lines.push(Line(Sign::Note, told.to_owned()));
        return (message, lines);
    }
    let distance = |value: &&Value| pattern.distance(Some(value), true);
    match list.found.iter().min_by_key(distance) {
        Some(near) if !list.is_text => {
            lines.push(Line(Sign::Note, "the nearest is:".to_owned()));
            list.diff(pattern, near, true, &mut lines);
        }
        _ => {
            list.line(Sign::Expected, &pattern.shown(), &mut lines);
            for value in list.found.iter().take(3) {
                list.line(Sign::Found, value, &mut lines);
            }
        }
    }
    (message, lines)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(found: &[Value]) -> List<'_> {
        List {
            what: "x".to_owned(),
            found,
            count: found.len() as u64,
            is_text: false,
        }
    }

    fn just(value: Value) -> Pattern {
        Pattern::Just(value)
    }

    #[test]
    fn what_is_there_is_found_in_any_order_each_for_one() {
        let found = [json!(1), json!(2)];
        // The first would do for anything; the second pattern wants just that one.
        let any = vec![
            (Pattern::Any, Span::start()),
            (just(json!(1)), Span::start()),
        ];
        assert_eq!(matching(&any, &list(&found)), [Some(1), Some(0)]);
        let twice = vec![
            (just(json!(2)), Span::start()),
            (just(json!(2)), Span::start()),
        ];
        let matched = matching(&twice, &list(&found));
        assert_eq!(matched.iter().flatten().count(), 1);
    }

    #[test]
    fn lists_are_aligned_by_what_they_share() {
        let found = [json!("b"), json!("c"), json!("x"), json!("e")];
        let expected: Vec<Pattern> = ["a", "b", "c", "d", "e"].map(|it| just(json!(it))).to_vec();
        let lines = exactly(&expected, &list(&found)).unwrap();
        let signs: Vec<Sign> = lines.iter().map(|line| line.0).collect();
        use Sign::{Expected, Found, Same};
        assert_eq!(signs, [Expected, Same, Same, Expected, Found, Same]);
        assert!(exactly(&expected[1..3], &list(&found[..2])).is_none());
        // More than are kept are not these.
        let more = List {
            count: 9,
            ..list(&found[..2])
        };
        assert!(exactly(&expected[1..3], &more).is_some());
    }
}
