//! Masking rules applied to whole events: by path, by the name of a member, by detection.
//!
//! Rules by path come first and cost one look-up each. Then, if anything is to be detected or looked
//! for by name, one walk over the body looks at every text once for all classes at once. What has to
//! change is planned first and laid over the body afterwards; values that are fine are not copied.

use std::collections::HashMap as Map;

use compact_str::CompactString;
use hashbrown::HashMap;

use super::{Action, Class, DetectableReplacement, Masker, Outcome};
use crate::event::{Event, Handle, Kind, Path, Revision, Segment, Value, json_str};

/// One rule: where, and what to do there.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where.
    pub target: Target,
    /// What to do there.
    pub treatment: Treatment,
}

/// Where a rule applies.
#[derive(Clone, Debug)]
pub enum Target {
    /// In every text of the event, members' names included.
    Everywhere,
    /// At a path and below it.
    Path(Path),
    /// In every member of one of these names, at any depth, and below it.
    Named(Vec<CompactString>),
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Treatment {
    /// Each text or number is one value of the class. [`Target::Everywhere`]: where it is detected.
    Value(Class, Action),
    /// Free text, in which values of the class, or of all classes, are detected.
    Scrub(Option<Class>),
    /// The member or element goes, whatever it is. Means nothing for [`Target::Everywhere`].
    Drop,
}

/// Rules, ready to apply.
#[derive(Clone, Debug)]
pub struct Policy {
    paths: Vec<(Path, Remedy)>,
    names: HashMap<CompactString, Remedy>,
    detection: Masker,
    keep: Vec<Path>,
}

/// A treatment, ready to apply.
#[derive(Clone, Debug)]
enum Remedy {
    Value(Class, Masker),
    Scrub(Masker),
    Drop,
}

/// What is to change in one event.
#[derive(Default)]
struct Plan {
    revisions: Vec<(Handle, Revision)>,
    /// A value to change is itself a change that lies over the text, and has no handle.
    loose: bool,
}

impl Policy {
    /// From rules. `keep`: detection leaves these places and what is below them alone.
    ///
    /// # Errors
    /// A replacement text that looks like personal data itself.
    pub fn new(rules: Vec<Rule>, keep: Vec<Path>) -> Result<Policy, DetectableReplacement> {
        let detected: Vec<(Class, Action)> = rules
            .iter()
            .filter_map(|rule| match (&rule.target, &rule.treatment) {
                (Target::Everywhere, Treatment::Value(class, action)) => {
                    Some((*class, action.clone()))
                }
                _ => None,
            })
            .collect();
        let remedy = |treatment| {
            Ok(match treatment {
                Treatment::Value(class, action) => {
                    Remedy::Value(class, Masker::new([(class, action)])?)
                }
                Treatment::Scrub(only) => {
                    // As elsewhere in the event where a rule says how, and masked where none does.
                    let all = Class::ALL.map(|class| (class, Action::Mask));
                    let asked = |class: &Class| only.is_none_or(|only| only == *class);
                    let rules = all.into_iter().chain(detected.iter().cloned());
                    Remedy::Scrub(Masker::new(rules.filter(|(class, _)| asked(class)))?)
                }
                Treatment::Drop => Remedy::Drop,
            })
        };
        let mut policy = Policy {
            paths: Vec::new(),
            names: HashMap::new(),
            detection: Masker::new(detected.iter().cloned())?,
            keep,
        };
        for Rule { target, treatment } in rules {
            match target {
                Target::Everywhere => {}
                Target::Path(path) => policy.paths.push((path, remedy(treatment)?)),
                Target::Named(names) => {
                    let remedy = remedy(treatment)?;
                    let named = names.into_iter().map(|name| (name, remedy.clone()));
                    policy.names.extend(named);
                }
            }
        }
        Ok(policy)
    }

    /// Everything that can be detected is masked, but for `keep`.
    pub fn detect_all(keep: Vec<Path>) -> Policy {
        let rule = |class| (class, Action::Mask);
        Policy {
            paths: Vec::new(),
            names: HashMap::new(),
            // Masks are never replacements, which are all that can be refused.
            detection: Masker::new(Class::ALL.map(rule)).unwrap_or_else(|refused| {
                unreachable!("no replacement, and yet refused: {refused}")
            }),
            keep,
        }
    }

    /// Shows every path that is looked up to the compiler, which makes look-ups fast.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        for (path, _) in &mut self.paths {
            visit(path);
        }
    }

    /// The places that detection leaves alone.
    pub fn kept(&self) -> &[Path] {
        &self.keep
    }

    /// What detection does to a text on its own.
    pub fn detection(&self) -> &Masker {
        &self.detection
    }

    /// Masks the events. Doing it again changes nothing.
    pub fn apply(&self, events: &mut [Event]) {
        let mut plan = Plan::default();
        let walks = !self.names.is_empty() || !self.detection.classes().is_empty();
        let keep: Vec<&[Segment]> = self.keep.iter().map(Path::segments).collect();
        for event in events {
            for (path, remedy) in &self.paths {
                let look = |event: &Event, plan: &mut Plan| {
                    let mut walk = Walk { policy: None, plan };
                    event.each(path, &mut |value| {
                        walk.visit(value, Some(remedy), &[], true);
                    });
                };
                plan.carry_out(event, look);
            }
            if walks {
                let look = |event: &Event, plan: &mut Plan| {
                    let policy = Some(self);
                    let kept = keep.iter().any(|path| path.is_empty());
                    Walk { policy, plan }.visit(event.body(), None, &keep, kept);
                };
                plan.carry_out(event, look);
            }
        }
    }
}

impl Plan {
    /// Looks at the event, then changes it.
    fn carry_out(&mut self, event: &mut Event, look: impl Fn(&Event, &mut Plan)) {
        look(event, self);
        if self.loose {
            // Written into the text, everything has a handle.
            if let Ok(written) = event.with_body(event.to_json()) {
                *event = written;
                *self = Plan::default();
                look(event, self);
            }
        }
        if self.revisions.is_empty() && !self.loose {
            return;
        }
        // An event that cannot be changed must not go on unmasked: it loses its body.
        if self.loose || !event.revise(&mut self.revisions) {
            *self = Plan::default();
            if let Ok(emptied) = event.with_body("null".to_owned()) {
                *event = emptied;
            }
        }
    }

    fn add(&mut self, value: Value<'_>, revision: Revision) {
        match value.handle() {
            Some(handle) => self.revisions.push((handle, revision)),
            None => self.loose = true,
        }
    }
}

/// A walk over a body, or over what lies below a path.
struct Walk<'p, 'x> {
    /// Rules by name and by detection; none below a path, which has its own.
    policy: Option<&'p Policy>,
    plan: &'x mut Plan,
}

impl<'p> Walk<'p, '_> {
    /// Plans what to do with the value and all below. `keep`: what is left of the kept paths that
    /// lead here; `kept`: one of them ended here or above.
    fn visit(
        &mut self,
        value: Value<'_>,
        remedy: Option<&'p Remedy>,
        keep: &[&'p [Segment]],
        kept: bool,
    ) {
        match (remedy, value.kind()) {
            (Some(Remedy::Drop), _) => self.plan.add(value, Revision::Remove),
            (_, Kind::Text | Kind::Number) => self.scalar(value, remedy, kept),
            (_, Kind::Object) => self.object(value, remedy, keep, kept),
            (_, Kind::Array) => {
                for (index, element) in value.elements().enumerate() {
                    let below = lead_on(keep, |step| match step {
                        Segment::Each => true,
                        Segment::Index(at) => *at as usize == index,
                        Segment::Key(_) => false,
                    });
                    let kept = kept || below.iter().any(|rest| rest.is_empty());
                    self.visit(element, remedy, &below, kept);
                }
            }
            (_, Kind::Null | Kind::Bool) => {}
        }
    }

    fn object(
        &mut self,
        object: Value<'_>,
        remedy: Option<&'p Remedy>,
        keep: &[&'p [Segment]],
        kept: bool,
    ) {
        let mut taken = None;
        for (name, member) in object.members() {
            let below = lead_on(
                keep,
                |step| matches!(step, Segment::Key(key) if *key == *name),
            );
            let kept = kept || below.iter().any(|rest| rest.is_empty());
            let named = self.policy.and_then(|policy| policy.names.get(&*name));
            let remedy = named.or(remedy);
            self.visit(member, remedy, &below, kept);
            if matches!(remedy, Some(Remedy::Drop)) {
                continue;
            }
            if let Some(masked) = self.scrubbed(&name, remedy, kept) {
                let taken = taken.get_or_insert_with(|| names_of(object));
                let name = json_str(&unused(masked, taken));
                self.plan.add(member, Revision::Rename(name));
            }
        }
    }

    fn scalar(&mut self, value: Value<'_>, remedy: Option<&'p Remedy>, kept: bool) {
        let is_number = value.kind() == Kind::Number;
        let text = if is_number {
            // No telephone or card number, whatever it is, is that short.
            const SHORT: usize = 8;
            let Some(digits) = digits(value) else { return };
            if remedy.is_none() && digits.len() <= SHORT {
                return;
            }
            digits.into()
        } else {
            value.as_str().unwrap_or_default()
        };
        let by_rule = match remedy {
            Some(Remedy::Value(class, masker)) => masker.value(*class, &text),
            _ => Outcome::Unchanged,
        };
        let new = match by_rule {
            Outcome::Dropped => return self.plan.add(value, Revision::Remove),
            // What a rule made of a text may still hold values of other classes.
            Outcome::Replaced(new) => match self.scrubbed(&new, remedy, kept) {
                Some(scrubbed) => scrubbed.into(),
                None => new,
            },
            Outcome::Unchanged => match self.scrubbed(&text, remedy, kept) {
                Some(scrubbed) => scrubbed.into(),
                None => return,
            },
        };
        self.plan.add(value, Revision::Replace(json_str(&new)));
    }

    /// What detection makes of a text; `None` when it stays.
    fn scrubbed(&self, text: &str, remedy: Option<&Remedy>, kept: bool) -> Option<String> {
        let by_rule = match remedy {
            Some(Remedy::Scrub(masker)) => masker.scrub(text),
            _ => None,
        };
        let detection = self.policy.filter(|_| !kept);
        let detected =
            detection.and_then(|policy| policy.detection.scrub(by_rule.as_deref().unwrap_or(text)));
        detected.or(by_rule)
    }
}

/// Those of the paths whose first step leads on, without it. Nearly always none: no allocation.
fn lead_on<'p>(keep: &[&'p [Segment]], leads: impl Fn(&Segment) -> bool) -> Vec<&'p [Segment]> {
    keep.iter()
        .filter_map(|path| path.split_first())
        .filter(|(step, _)| leads(step))
        .map(|(_, rest)| rest)
        .collect()
}

/// A number as its digits: `1.4155551234e10` is a telephone number as well.
fn digits(value: Value<'_>) -> Option<String> {
    let written = value.as_number()?;
    let whole = value.as_i64().filter(|_| written.contains(['.', 'e', 'E']));
    Some(whole.map_or_else(|| written.to_owned(), |number| number.to_string()))
}

/// The names of an object, each with the number of the last one made from it.
fn names_of(object: Value<'_>) -> Map<String, u32> {
    object
        .members()
        .map(|(name, _)| (name.into_owned(), 1))
        .collect()
}

/// The name itself, or with ` (2)` and so on where two names would become one: apart from the mask,
/// so that it is not taken for a part of what is hidden when it is read again.
fn unused(name: String, taken: &mut Map<String, u32>) -> String {
    let mut candidate = name.clone();
    while taken.contains_key(&candidate) {
        // Counting on from the last one keeps a thousand equal names linear.
        let number = taken.entry(name.clone()).or_insert(1);
        *number += 1;
        candidate = format!("{name} ({number})");
    }
    taken.insert(candidate.clone(), 1);
    candidate
}
