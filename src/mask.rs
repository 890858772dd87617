//! Personal data in text: finding it, and making it unreadable.
//!
//! Pure functions over `&str`. Three questions, three entry points:
//!
//! - a field *is* personal data, a rule by path says so: [`Masker::value`];
//! - a field *may contain* some: [`Masker::scrub`], built on [`detect`];
//! - what does the masked form look like: [`mask_as`].
//!
//! Two invariants hold everywhere. **Idempotence**: masking what is masked changes nothing, so events
//! may pass any number of times. **Monotony**: no output shows a digit or letter that its input did not
//! show; a number that arrives half masked stays so.
//!
//! # What counts as a telephone number in free text
//!
//! Nothing tells a number from an identifier for certain; these are the choices made.
//!
//! - `+` and 8 to 15 digits, whatever stands before; `00`, a country code and 8 to 15 digits.
//! - Digits in a grouping that people use for telephones (`415-555-1234`, `0170/1234567`, `(11)
//!   91234-5678`, `612 34 56 78`, `555-1234`). Space-separated columns of numbers of ten digits or more
//!   in groups of two to five are taken for a telephone number too.
//! - 10 or 11 digits standing alone. Exception: `16…` to `19…` of ten digits are seconds since 1970
//!   (2020 to 2033). Numbers of 12 digits and more without a sign (milliseconds, identifiers) stay.
//! - Never: part of a word or of a hyphenated identifier (`INV-2026-000123`, a UUID, `tel4155551234`),
//!   dates, times, versions, decimal fractions.
//!
//! Card numbers need a Luhn sum, a known issuer's prefix and one of that issuer's lengths. An IPv4
//! address cannot be told from a version of four parts unless a letter precedes it (`v1.2.3.4`).
//! Names are never detected, only masked where a rule says that a field holds one.

mod address;
mod card;
mod detect;
mod digits;
mod email;
mod name;
mod phone;
mod policy;
mod redactor;
mod token;
mod url;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use compact_str::CompactString;

pub use detect::detect;
pub use policy::{Policy, Rule, Target, Treatment};
pub use redactor::Redactor;
pub use token::Key;

/// A class of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// A telephone number: `+14155551234` becomes `+1***-***-1234`.
    Phone,
    /// An e-mail address: `user:jo@example.com` becomes `user:j***@***.com`.
    Email,
    /// A payment card number: only the last four digits stay, `****-****-****-1111`.
    Card,
    /// An IPv4 address: `203.0.113.195` becomes `203.0.***.***`.
    Ipv4,
    /// An IPv6 address: `2001:db8::1` becomes `2001:***`.
    Ipv6,
    /// A URL with a scheme: `https://***`.
    Url,
    /// A person's name: `Ann Lee` becomes `A*** L***`. By path only, never detected.
    Name,
}

impl Class {
    /// Every class, in the order of declaration.
    pub const ALL: [Class; 7] = [
        Class::Phone,
        Class::Email,
        Class::Card,
        Class::Ipv4,
        Class::Ipv6,
        Class::Url,
        Class::Name,
    ];

    /// The word for this class in a pipeline file and in a metric label.
    pub fn name(self) -> &'static str {
        match self {
            Class::Phone => "phone",
            Class::Email => "email",
            Class::Card => "card",
            Class::Ipv4 => "ipv4",
            Class::Ipv6 => "ipv6",
            Class::Url => "url",
            Class::Name => "name",
        }
    }

    /// The class of that name, if there is one.
    pub fn parse(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// A set of classes. Empty by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u8);

impl Classes {
    /// No class.
    pub const NONE: Classes = Classes(0);
    /// All that [`detect`] can find: every class but [`Class::Name`].
    pub const ALL_DETECTABLE: Classes = Classes(0b0011_1111);

    /// This set and one more class.
    #[must_use]
    pub const fn with(self, class: Class) -> Classes {
        Classes(self.0 | 1 << class as u8)
    }

    /// Is the class in the set?
    pub const fn contains(self, class: Class) -> bool {
        self.0 & 1 << class as u8 != 0
    }

    /// Is the set empty?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Class> for Classes {
    fn from_iter<I: IntoIterator<Item = Class>>(classes: I) -> Self {
        classes.into_iter().fold(Classes::NONE, Classes::with)
    }
}

/// A value found in a text: `text[start..end]` is of `class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// What it was taken for.
    pub class: Class,
}

/// What to do with personal data.
#[derive(Clone, Debug)]
pub enum Action {
    /// Keep the shape, hide what identifies. The default.
    Mask,
    /// Remove the field; in free text, leave `***` where the value was (its neighbours must not join).
    Drop,
    /// A keyed token, `tok_` and 32 hexadecimal digits: equal values give equal tokens, so joins work.
    /// Telephone and card numbers count as equal whatever their separators, e-mail addresses whatever
    /// their case.
    Hash(Key),
    /// A fixed text.
    Replace(String),
}

/// The outcome for a field that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to hide, or already hidden.
    Unchanged,
    /// The field's new text.
    Replaced(CompactString),
    /// The field must be removed.
    Dropped,
}

/// A replacement text in which [`detect`] would find personal data: replacing would never end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetectableReplacement {
    /// The class whose rule it is.
    pub rule: Class,
    /// What its text looks like.
    pub looks_like: Class,
}

impl fmt::Display for DetectableReplacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, seen) = (self.rule.name(), self.looks_like.name());
        write!(
            f,
            "the replacement for `{rule}` would itself be detected as `{seen}`"
        )
    }
}

impl std::error::Error for DetectableReplacement {}

/// Rules for classes, ready to apply. Immutable; a clone costs one reference count.
#[derive(Clone, Debug)]
pub struct Masker(Arc<Rules>);

#[derive(Debug, Default)]
struct Rules {
    actions: [Option<Action>; Class::ALL.len()],
    detected: Classes,
}

/// Passes over a text until nothing more is found. One is enough unless hiding a value uncovers
/// another that it overlapped; the limit keeps hostile texts linear.
const MAX_PASSES: usize = 4;

impl Masker {
    /// A masker with one action per class; of two rules for one class the later holds.
    ///
    /// # Errors
    /// A replacement text that looks like personal data itself.
    pub fn new(
        rules: impl IntoIterator<Item = (Class, Action)>,
    ) -> Result<Masker, DetectableReplacement> {
        let mut built = Rules::default();
        for (rule, action) in rules {
            if let Action::Replace(text) = &action {
                let mut found = Vec::new();
                detect(text, Classes::ALL_DETECTABLE, &mut found);
                if let Some(Found { class, .. }) = found.first() {
                    return Err(DetectableReplacement {
                        rule,
                        looks_like: *class,
                    });
                }
            }
            built.actions[rule as usize] = Some(action);
            if Classes::ALL_DETECTABLE.contains(rule) {
                built.detected = built.detected.with(rule);
            }
        }
        Ok(Masker(Arc::new(built)))
    }

    /// The classes that [`Masker::scrub`] looks for: those that have a rule and can be detected.
    pub fn classes(&self) -> Classes {
        self.0.detected
    }

    /// Hides every detectable value in free text. `None`: nothing to change.
    pub fn scrub(&self, text: &str) -> Option<String> {
        let mut found = Vec::new();
        let mut scrubbed = self.pass(text, &mut found)?;
        for _ in 1..MAX_PASSES {
            match self.pass(&scrubbed, &mut found) {
                Some(again) => scrubbed = again,
                None => break,
            }
        }
        Some(scrubbed)
    }

    /// Treats the whole text as one value of the class, which a rule by path says it is. A class without
    /// a rule is masked.
    pub fn value(&self, class: Class, text: &str) -> Outcome {
        let masked = || mask_as(class, text).map_or(Outcome::Unchanged, Outcome::Replaced);
        match self.action(class) {
            Action::Mask => masked(),
            Action::Drop => Outcome::Dropped,
            Action::Replace(with) if with == text => Outcome::Unchanged,
            Action::Replace(with) => Outcome::Replaced(CompactString::from(with.as_str())),
            // A half masked value is shared by many people: its token would join them.
            Action::Hash(key) if mask_as(class, text).is_some() && !is_starred(text) => {
                Outcome::Replaced(token::of_value(key, class, text))
            }
            Action::Hash(_) => masked(),
        }
    }

    fn action(&self, class: Class) -> &Action {
        self.0.actions[class as usize]
            .as_ref()
            .unwrap_or(&Action::Mask)
    }

    /// One left-to-right replacement of all that is found; `None` when the text stays as it is.
    fn pass(&self, text: &str, found: &mut Vec<Found>) -> Option<String> {
        found.clear();
        detect(text, self.0.detected, found);
        let mut out = String::new();
        let (mut copied, mut changed) = (0, false);
        for &Found { start, end, class } in found.iter() {
            let replacement = match self.value(class, &text[start..end]) {
                Outcome::Unchanged => continue,
                Outcome::Replaced(new) => new,
                Outcome::Dropped => CompactString::const_new("***"),
            };
            if !changed {
                out.reserve(text.len());
                changed = true;
            }
            out.push_str(&text[copied..start]);
            out.push_str(&replacement);
            copied = end;
        }
        changed.then(|| {
            out.push_str(&text[copied..]);
            out
        })
    }
}

/// The masked form of a value that is said to be of this class. `None`: it is masked already, is a token
/// of [`Action::Hash`], or holds nothing of the class (`anonymous` where a telephone number is expected).
pub fn mask_as(class: Class, value: &str) -> Option<CompactString> {
    if value.is_empty() || token::is_token(value) {
        return None;
    }
    match class {
        Class::Phone => phone::mask(value),
        Class::Email => email::mask(value),
        Class::Card => card::mask(value),
        Class::Ipv4 | Class::Ipv6 => address::mask(value),
        Class::Url => url::mask(value),
        Class::Name => name::mask(value),
    }
}

/// Does the text show signs of an earlier masking, ours or another system's?
fn is_starred(text: &str) -> bool {
    text.contains(['*', '•', '●', '＊'])
}
