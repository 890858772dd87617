//! `pii_mask`: hides personal data before anything is stored. The rules are `mask::Policy`'s; here
//! they are read from the settings.

mod about;

pub use about::ABOUT;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use compact_str::CompactString;

use crate::diagnostic::{Report, Span};
use crate::event::{Batch, Path};
use crate::failure::Failure;
use crate::mask::{Action, Class, Key, Policy, Rule, Target, Treatment};
use crate::setting::{Fields, Node, OneOrMany, Secret, Shape, choice};
use crate::stage::{Applied, Transform};

/// Most rules: each is looked at for each event, and compared with each other one.
const MOST_RULES: usize = 1000;

/// Settings of a `pii_mask`.
#[derive(Clone, Debug)]
pub struct Config {
    policy: Policy,
}

impl Config {
    /// Reads `rules` (default: all that can be detected is masked), `key` and `keep`.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let has_key = fields.has("key");
        let key = read_key(fields);
        let keep = fields.optional::<OneOrMany<Path>>("keep");
        let keep = keep.map_or_else(Vec::new, |keep| keep.0);
        if !fields.has("rules") {
            let policy = Policy::detect_all(keep);
            return Some(Self { policy });
        }
        fields.takes("rules", || Shape::words(&classes()).list());
        let rules = fields.each("rules", Written::read);
        if rules.len() > MOST_RULES {
            let message = format!("more than {MOST_RULES} rules");
            fields.error("out-of-range", fields.span_of("rules"), message);
            return None;
        }
        report_contradictions(&rules, fields.report());
        let first_hash = rules.iter().find(|rule| rule.word == Word::Hash);
        if let Some(rule) = first_hash.filter(|_| !has_key) {
            fields
                .error(
                    "missing-field",
                    rule.span,
                    "the action `hash` needs a `key`",
                )
                .hint("beside `rules`, write `key: \"${file:/run/secrets/mask_key}\"`");
        }
        let mut checked = Vec::new();
        for rule in rules {
            let span = rule.span;
            let Some(rule) = rule.compile(key.as_ref()) else {
                continue;
            };
            match Policy::new(vec![rule.clone()], Vec::new()) {
                Ok(_) => checked.push(rule),
                Err(refused) => {
                    fields.error("conflicting-fields", span, refused.to_string());
                }
            }
        }
        let policy = Policy::new(checked, keep).ok()?;
        Some(Self { policy })
    }

    /// Shows every path to the compiler, which makes look-ups fast.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        self.policy.paths(visit);
    }

    /// The rules, for the redactor of what leaves the pipeline elsewhere. To be asked for after
    /// [`Config::paths`].
    pub fn policy(&self) -> Policy {
        self.policy.clone()
    }

    /// The transform.
    pub fn open(self) -> PiiMask {
        PiiMask(Arc::new(self.policy))
    }
}

fn read_key(fields: &mut Fields<'_>) -> Option<Key> {
    let secret: Secret = fields.optional("key")?;
    let key = Key::new(secret.expose().as_bytes());
    if key.is_none() {
        let message = "the key is too short: at least 16 bytes keep it from being guessed";
        fields
            .error("out-of-range", fields.span_of("key"), message)
            .hint("make one with `openssl rand -hex 32`");
    }
    key
}

/// The transform: see the module.
#[derive(Clone)]
pub struct PiiMask(Arc<Policy>);

impl Transform for PiiMask {
    async fn apply(&self, mut batch: Batch) -> Result<Applied, Failure> {
        self.0.apply(batch.make_mut());
        Ok(batch.into())
    }
}

/// The word for what a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Mask,
    Drop,
    Hash,
    Replace,
    Scrub,
}

const WORDS: [(&str, Word); 5] = [
    ("mask", Word::Mask),
    ("drop", Word::Drop),
    ("hash", Word::Hash),
    ("replace", Word::Replace),
    ("scrub", Word::Scrub),
];

/// A rule as it stands in the file.
struct Written {
    span: Span,
    target: Target,
    class: Option<Class>,
    word: Word,
    with: Option<String>,
}

impl Written {
    /// Reads `phone` or `{ path | fields, class, action, with }`.
    fn read(node: &Node, report: &mut Report) -> Option<Written> {
        let rule = if node.as_map().is_some() {
            Self::read_fields(node, report)?
        } else {
            Written {
                span: node.span,
                target: Target::Everywhere,
                class: Some(read_class(node, report)?),
                word: Word::Mask,
                with: None,
            }
        };
        rule.makes_sense(report).then_some(rule)
    }

    fn read_fields(node: &Node, report: &mut Report) -> Option<Written> {
        let mut fields = Fields::new(node, "a rule", report)?;
        let has_place = (fields.has("path"), fields.has("fields"));
        let path: Option<Path> = fields.optional("path");
        let names: Option<OneOrMany<String>> = fields.optional("fields");
        fields.takes("class", || Shape::words(&classes()));
        fields.takes("action", || Shape::words(&WORDS));
        let class = fields
            .node("class")
            .map(|node| read_class(node, fields.report()));
        let word = match fields.node("action") {
            Some(node) => choice(node, fields.report(), &WORDS),
            None => Some(Word::Mask),
        };
        let with: Option<String> = fields.optional("with");
        if has_place == (true, true) {
            let span = fields.key_span_of("fields");
            fields.error(
                "conflicting-fields",
                span,
                "a rule has a `path` or `fields`, not both",
            );
        }
        fields.finish();
        let target = match has_place {
            (true, false) => Target::Path(path?),
            (false, true) => {
                let names = names?.0.into_iter();
                Target::Named(names.map(CompactString::from).collect())
            }
            (true, true) => return None,
            (false, false) => Target::Everywhere,
        };
        Some(Written {
            span: node.span,
            target,
            // A class that is none was reported: the rule is given up.
            class: match class {
                Some(read) => Some(read?),
                None => None,
            },
            word: word?,
            with,
        })
    }

    /// Reports what does not go together.
    fn makes_sense(&self, report: &mut Report) -> bool {
        let everywhere = matches!(self.target, Target::Everywhere);
        let (code, message, hint) = match (self.word, self.class) {
            (_, None) if everywhere => (
                "missing-field",
                "a rule needs a `class`, a `path` or `fields`",
                "`phone` alone is a rule too: it is masked wherever it is detected",
            ),
            (Word::Scrub, _) if everywhere => (
                "conflicting-fields",
                "`scrub` detects all classes in one field, so it needs a `path` or `fields`",
                "to mask a class wherever it is detected, leave the action out",
            ),
            (_, Some(Class::Name)) if everywhere || self.word == Word::Scrub => (
                "conflicting-fields",
                "names cannot be detected",
                "say which fields hold names: `{ fields: [name], class: name }`",
            ),
            (Word::Mask, None) => (
                "missing-field",
                "the action `mask` needs a `class`, which says what the value looks like",
                "`action: scrub` detects whatever is in the field",
            ),
            (Word::Replace, _) if self.with.is_none() => (
                "missing-field",
                "the action `replace` needs the text to put there",
                "add `with: \"[hidden]\"`",
            ),
            (word, _) if word != Word::Replace && self.with.is_some() => (
                "conflicting-fields",
                "`with` belongs to the action `replace`",
                "add `action: replace`",
            ),
            _ => return true,
        };
        report.error(code, self.span, message).hint(hint);
        false
    }

    /// `None` without a key where one is needed, which is reported elsewhere.
    fn compile(self, key: Option<&Key>) -> Option<Rule> {
        // What is replaced or hashed as a whole needs no class; a name is any text.
        let class = self.class.unwrap_or(Class::Name);
        let everywhere = matches!(self.target, Target::Everywhere);
        let treatment = match self.word {
            Word::Scrub => Treatment::Scrub(self.class),
            Word::Drop if !everywhere => Treatment::Drop,
            Word::Drop => Treatment::Value(class, Action::Drop),
            Word::Mask => Treatment::Value(class, Action::Mask),
            Word::Hash => Treatment::Value(class, Action::Hash(key?.clone())),
            Word::Replace => Treatment::Value(class, Action::Replace(self.with?)),
        };
        Some(Rule {
            target: self.target,
            treatment,
        })
    }

    fn does_the_same(&self, other: &Written) -> bool {
        (self.word, self.class, &self.with) == (other.word, other.class, &other.with)
    }

    /// What both rules speak of, if they do.
    fn overlap(&self, other: &Written) -> Option<String> {
        match (&self.target, &other.target) {
            (Target::Path(ours), Target::Path(theirs)) => {
                (ours == theirs).then(|| ours.to_string())
            }
            (Target::Named(ours), Target::Named(theirs)) => {
                let name = ours.iter().find(|name| theirs.contains(name))?;
                Some(name.to_string())
            }
            (Target::Everywhere, Target::Everywhere) if self.class == other.class => {
                self.class.map(|class| class.name().to_owned())
            }
            _ => None,
        }
    }
}

fn read_class(node: &Node, report: &mut Report) -> Option<Class> {
    choice(node, report, &classes())
}

fn classes() -> [(&'static str, Class); Class::ALL.len()] {
    Class::ALL.map(|class| (class.name(), class))
}

/// Two rules for one thing that want different things.
fn report_contradictions(rules: &[Written], report: &mut Report) {
    for (index, rule) in rules.iter().enumerate() {
        for earlier in &rules[..index] {
            let overlap = earlier
                .overlap(rule)
                .filter(|_| !rule.does_the_same(earlier));
            if let Some(what) = overlap {
                let message = format!(
                    "the rule for {} contradicts the one at line {}",
                    crate::diagnostic::quote(&what),
                    earlier.span.line
                );
                report.error("conflicting-fields", rule.span, message);
                break;
            }
        }
    }
}
