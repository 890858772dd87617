//! Names: one initial a word.

use compact_str::CompactString;

const HIDDEN: &str = "***";
/// Marks that can follow a letter and belong to it.
const MAX_MARKS: usize = 4;

/// Keeps the first letter of each word, its accents included.
pub(super) fn mask(value: &str) -> Option<CompactString> {
    if value.split_whitespace().all(is_hidden) {
        return None;
    }
    let mut out = CompactString::default();
    for word in value.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        if is_hidden(word) {
            out.push_str(word);
            continue;
        }
        let letters = word.trim_start_matches(|c: char| !c.is_alphanumeric());
        let mut letters = letters.chars();
        out.extend(letters.next());
        out.extend(letters.take_while(|c| is_mark(*c)).take(MAX_MARKS));
        out.push_str(HIDDEN);
    }
    Some(out)
}

/// An initial with its marks at most, then stars.
fn is_hidden(word: &str) -> bool {
    word.strip_suffix(HIDDEN).is_some_and(|initial| {
        initial.chars().skip(1).all(is_mark) && initial.chars().count() <= 1 + MAX_MARKS
    })
}

/// Combining marks, vowel signs and joiners: without them the letter would be another.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36F}' | '\u{591}'..='\u{5C7}' | '\u{64B}'..='\u{65F}'
        | '\u{93A}'..='\u{94F}' | '\u{E31}' | '\u{E34}'..='\u{E3A}' | '\u{E47}'..='\u{E4E}'
        | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{200D}' | '\u{20D0}'..='\u{20FF}'
        | '\u{3099}' | '\u{309A}' | '\u{FE00}'..='\u{FE0F}' | '\u{FE20}'..='\u{FE2F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_initial_a_word_in_any_script() {
        for (name, masked) in [
            ("Ann Lee", "A*** L***"),
            ("  Smith,  (John)", "S*** J***"),
            ("山田 太郎", "山*** 太***"),
            ("محمد علي", "م*** ع***"),
            ("E\u{301}mile", "E\u{301}***"),
        ] {
            assert_eq!(mask(name).as_deref(), Some(masked));
            assert_eq!(mask(masked), None);
        }
        assert_eq!(mask("  "), None);
    }
}
