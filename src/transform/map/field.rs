//! One field of the output: where its value comes from and what is done to it.
//!
//! The order is fixed, whatever the order in the file: the source, `pattern`, `present`, the `as`
//! that make text (`string`, `lower`, `upper`), `lookup`, `divide` or `multiply`, the other `as`,
//! `default`. What `present`, `lookup` and `default` put in place is final.

mod check;

use std::borrow::Cow;

use compact_str::CompactString;

use super::item::{Cast, Factor, Item, Why};
use super::json::Json;
use super::locate::{Locator, Scope};
use super::template::Template;
use crate::clock::format_timestamp;
use crate::event::{Meta, Path};
use crate::setting::Pattern;

pub(super) use check::nullable_choice;

/// A field's rule.
#[derive(Clone, Debug)]
pub(super) struct Field {
    source: Source,
    pattern: Option<(Pattern, Take)>,
    present: Option<Json>,
    lookup: Option<Lookup>,
    factor: Option<Factor>,
    cast: Option<Cast>,
    pub default: Option<Json>,
}

#[derive(Clone, Debug)]
enum Source {
    /// The first that is there and not null.
    First(Vec<Locator>),
    Template(Template),
    Constant(Json),
    /// Seconds from the earliest time of the one to the latest of the other.
    Between(Locator, Locator),
    /// The earliest or the latest of all times that the paths lead to.
    Extreme(Vec<Locator>, Better),
    /// What is known of the event besides its body.
    Meta(Meta),
}

/// Which of two times is the one that is wanted.
type Better = fn(i64, i64) -> i64;

/// What becomes of the text that an expression found.
#[derive(Clone, Debug)]
enum Take {
    /// The group of this number; 0 is all that was found.
    Group(usize),
    /// Groups with text between them. One that took no part in the match is empty.
    Text(Vec<Found>),
}

#[derive(Clone, Debug)]
enum Found {
    Text(String),
    Group(usize),
}

impl Take {
    fn of(&self, pattern: &Pattern, text: &str) -> Option<String> {
        let found = pattern.captures(text)?;
        let group = |number: usize| found.get(number).map(|part| part.as_str());
        match self {
            Self::Group(number) => group(*number).map(str::to_owned),
            Self::Text(pieces) => Some(
                pieces
                    .iter()
                    .map(|piece| match piece {
                        Found::Text(text) => text,
                        Found::Group(number) => group(*number).unwrap_or_default(),
                    })
                    .collect(),
            ),
        }
    }
}

#[derive(Clone, Debug)]
struct Lookup {
    /// Sorted by the text.
    table: Vec<(String, Json)>,
    otherwise: Otherwise,
}

/// What becomes of a value that a lookup does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Otherwise {
    Keep,
    Null,
    Reject,
}

/// Why a field has no value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// A conversion failed: `on_error` says what happens.
    Failed(Why),
    /// The field's own rule refuses the event.
    Refused(Why),
}

impl From<Why> for Trouble {
    fn from(why: Why) -> Self {
        Self::Failed(why)
    }
}

impl Field {
    /// The value, or `None` where there is none.
    pub(super) fn value<'a>(&'a self, scope: Scope<'a, '_>) -> Result<Option<Item<'a>>, Trouble> {
        let default = || self.default.as_ref().map(|Json(text)| Item::Constant(text));
        let item = match self.source(scope)? {
            Some(Item::Null) => return Ok(default().or(Some(Item::Null))),
            Some(item) => item,
            None => return Ok(default()),
        };
        match self.converted(item)? {
            Some(item) => Ok(Some(item)),
            None => Ok(default()),
        }
    }

    fn source<'a>(&'a self, scope: Scope<'a, '_>) -> Result<Option<Item<'a>>, Trouble> {
        Ok(match &self.source {
            Source::First(locators) => first(locators, scope),
            Source::Template(template) => template
                .fill(scope)
                .map(|text| Item::Text(Cow::Owned(text))),
            Source::Constant(Json(text)) => Some(Item::Constant(text)),
            Source::Between(from, to) => between(from, to, scope)?,
            Source::Extreme(locators, better) => {
                let found = extreme_of(locators, scope, *better)?;
                found.map(|time| Item::Text(format_timestamp(time).into()))
            }
            Source::Meta(meta) => scope
                .event
                .meta(*meta)
                .map(|text| Item::Text(Cow::Borrowed(text))),
        })
    }

    fn converted<'a>(&'a self, mut item: Item<'a>) -> Result<Option<Item<'a>>, Trouble> {
        if let Some((pattern, take)) = &self.pattern {
            let text = item.into_text()?;
            let Some(found) = take.of(pattern, &text) else {
                return Ok(None);
            };
            item = Item::Text(Cow::Owned(found));
        }
        if let Some(Json(text)) = &self.present {
            return Ok(Some(Item::Constant(text)));
        }
        if let Some(cast) = self.cast.filter(|cast| cast.is_textual()) {
            item = item.cast(cast)?;
        }
        if let Some(lookup) = &self.lookup
            && let Some(known) = lookup.find(&item)?
        {
            return Ok(Some(known));
        }
        if let Some(factor) = self.factor {
            item = item.scaled(factor)?;
        }
        if let Some(cast) = self.cast.filter(|cast| !cast.is_textual()) {
            item = item.cast(cast)?;
        }
        Ok(Some(item))
    }

    pub(super) fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        match &mut self.source {
            Source::First(locators) | Source::Extreme(locators, _) => {
                locators.iter_mut().for_each(|it| it.paths(visit));
            }
            Source::Template(template) => template.paths(visit),
            Source::Constant(_) | Source::Meta(_) => {}
            Source::Between(from, to) => {
                from.paths(visit);
                to.paths(visit);
            }
        }
    }
}

/// A null counts only where nothing better follows.
fn first<'a>(locators: &[Locator], scope: Scope<'a, '_>) -> Option<Item<'a>> {
    let mut null = None;
    for locator in locators {
        match locator.find(scope).map(Item::of) {
            Some(Item::Null) => null = Some(Item::Null),
            Some(item) => return Some(item),
            None => {}
        }
    }
    null
}

fn between<'a>(
    from: &Locator,
    to: &Locator,
    scope: Scope<'a, '_>,
) -> Result<Option<Item<'a>>, Why> {
    let (begin, end) = (
        extreme_of(std::slice::from_ref(from), scope, i64::min)?,
        extreme_of(std::slice::from_ref(to), scope, i64::max)?,
    );
    let (Some(begin), Some(end)) = (begin, end) else {
        return Ok(None);
    };
    let micros = end
        .checked_sub(begin)
        .ok_or("the times are too far apart")?;
    Item::number(micros as f64 / 1e6).map(Some)
}

/// The earliest or latest of the times that paths lead to, nulls left out.
fn extreme_of(
    locators: &[Locator],
    scope: Scope<'_, '_>,
    better: Better,
) -> Result<Option<i64>, Why> {
    let mut found: Option<i64> = None;
    let mut wrong = None;
    for locator in locators {
        locator.each(scope, &mut |value| match Item::of(value) {
            Item::Null => {}
            item => match item.time() {
                Ok(time) => found = Some(found.map_or(time, |other| better(other, time))),
                Err(why) => wrong = Some(why),
            },
        });
    }
    wrong.map_or(Ok(found), Err)
}

impl Lookup {
    /// What the table says; `None` keeps the value.
    fn find<'a>(&'a self, item: &Item<'a>) -> Result<Option<Item<'a>>, Trouble> {
        let text = item.clone().into_text()?;
        let found = self
            .table
            .binary_search_by(|(known, _)| known.as_str().cmp(&text));
        match (found, self.otherwise) {
            (Ok(index), _) => Ok(Some(Item::Constant(&self.table[index].1.0))),
            (Err(_), Otherwise::Keep) => Ok(None),
            (Err(_), Otherwise::Null) => Ok(Some(Item::Null)),
            (Err(_), Otherwise::Reject) => Err(Trouble::Refused("a value that `lookup` lacks")),
        }
    }
}

/// The JSON text of a value, for laying it over a body.
pub(super) fn json_of(item: &Item<'_>) -> Option<CompactString> {
    let mut out = Vec::new();
    item.write_json(&mut out);
    CompactString::from_utf8(out).ok()
}
