//! The nearest name: what somebody who mistyped probably meant.

/// Words longer than this are no typing mistake of a name, and comparing them costs time.
const LONGEST: usize = 64;

/// The candidate that `word` was probably meant to be: at most a third of its letters away (one at
/// least), counting a swap of neighbours as one mistake. Case is ignored; of equals, the first.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = letters(word)?;
    let allowed = (word.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let Some(other) = letters(candidate) else {
            continue;
        };
        if other.len().abs_diff(word.len()) > allowed {
            continue;
        }
        let distance = distance(&word, &other);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn letters(word: &str) -> Option<Vec<char>> {
    let letters: Vec<char> = word
        .chars()
        .take(LONGEST + 1)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    (!letters.is_empty() && letters.len() <= LONGEST).then_some(letters)
}

/// Damerau-Levenshtein in its restricted form (no part is edited twice), on three rows.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_finds_its_name() {
        assert_eq!(
            nearest("genesis", ["warehouse", "genesys"]),
            Some("genesys")
        );
        assert_eq!(nearest("iputns", ["inputs", "outputs"]), Some("inputs"));
        assert_eq!(
            nearest("windwo", ["window"]),
            Some("window"),
            "a swap is one mistake"
        );
        assert_eq!(nearest("WINDOW", ["window"]), Some("window"));
        assert_eq!(
            nearest("naïf", ["naif"]),
            Some("naif"),
            "letters, not bytes"
        );
    }

    #[test]
    fn what_is_too_far_is_not_offered() {
        assert_eq!(nearest("ab", ["xy"]), None);
        assert_eq!(nearest("", ["a"]), None);
        assert_eq!(nearest("kafka", ["stdin", "file"]), None);
        assert_eq!(nearest(&"x".repeat(65), [&*"x".repeat(64)]), None);
    }

    #[test]
    fn of_equally_near_ones_the_first() {
        assert_eq!(nearest("max", ["mas", "mat"]), Some("mas"));
        assert_eq!(
            nearest("valeu", ["values", "value"]),
            Some("value"),
            "the nearer one wins"
        );
    }

    #[test]
    fn distances() {
        let of = |a: &str, b: &str| distance(&letters(a).unwrap(), &letters(b).unwrap());
        assert_eq!(of("kitten", "sitting"), 3);
        assert_eq!(of("ca", "abc"), 3);
        assert_eq!(of("ab", "ba"), 1);
        assert_eq!(of("same", "same"), 0);
    }
}
