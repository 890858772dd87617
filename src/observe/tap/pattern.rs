//! Names of nodes with `*` for any letters.

use super::Tap;

/// Compared in time that is bounded by the product of both lengths.
pub(super) struct Pattern(Vec<Box<str>>);

impl Pattern {
    pub fn new(text: &str) -> Self {
        Self(text.split('*').map(Into::into).collect())
    }

    /// Whether it names the node, or this output of it (`order.invalid`).
    pub fn is_of(&self, tap: &Tap) -> bool {
        self.matches(&tap.0.node) || self.matches(&tap.address())
    }

    fn matches(&self, name: &str) -> bool {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else {
            return false;
        };
        if self.0.len() == 1 {
            return **first == *name;
        }
        let Some(rest) = name.strip_prefix(&**first) else {
            return false;
        };
        let Some(mut rest) = rest.strip_suffix(&**last) else {
            return false;
        };
        // The first place of each part leaves the most for those behind it.
        for part in &self.0[1..self.0.len() - 1] {
            match rest.find(&**part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_letters() {
        let matches = |pattern: &str, name: &str| Pattern::new(pattern).matches(name);
        for (pattern, name) in [
            ("order", "order"),
            ("*", "order"),
            ("order*", "order"),
            ("order*", "order_2.invalid"),
            ("*.invalid", "order.invalid"),
            ("o*d*r", "order"),
            ("a*b*b", "abab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("order", "orders"),
            ("", "order"),
            ("*.invalid", "order"),
            ("or*rder", "order"),
            ("aba*aba", "aba"),
            ("o*x*r", "order"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
