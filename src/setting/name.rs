//! Names of components: what metrics, logs and other components call them by.

use super::Key;
use crate::diagnostic::{Report, quote};

/// The longest name, in characters.
pub const NAME_LENGTH: usize = 64;

/// Whether `text` can name a component: `[A-Za-z_][A-Za-z0-9_-]*`, at most [`NAME_LENGTH`] long.
pub fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    let starts = letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    starts
        && text.len() <= NAME_LENGTH
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// The key as a component's name, or the error `bad-name` with a usable one as the hint.
pub fn read_name<'k>(key: &'k Key, report: &mut Report) -> Option<&'k str> {
    if is_name(&key.name) {
        return Some(&key.name);
    }
    let message = if key.name.len() > NAME_LENGTH && key.name.is_ascii() {
        format!(
            "the name {} is longer than {NAME_LENGTH} characters",
            quote(&key.name)
        )
    } else {
        format!("{} cannot name a component", quote(&key.name))
    };
    report.error("bad-name", key.span, message).hint(
        "a name starts with a letter or `_`, and goes on with letters, digits, `_` and `-` (ASCII)",
    );
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Span;

    #[test]
    fn names() {
        for good in ["a", "_", "genesys-2", "A_b", &"x".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            "1a",
            "-a",
            "a.b",
            "a b",
            "é",
            "<<",
            "a\n",
            &"x".repeat(65),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_bad_name_is_shown_at_the_key() {
        let mut report = Report::new("f");
        let key = Key {
            name: "in.put".into(),
            span: Span::on_line(4, 3, 6),
        };
        assert_eq!(read_name(&key, &mut report), None);
        let found = report.iter().next().unwrap();
        assert_eq!((found.code, found.span), ("bad-name", Some(key.span)));
        assert!(found.message.contains("`in.put`"));
    }
}
