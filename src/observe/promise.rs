//! What a pipeline promises for each way from a source to a sink, and how it is shown.

use std::fmt::Write as _;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// How often an event of a source is found in a sink, whatever becomes of the process. Ordered from
/// the weakest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// It may be missing.
    BestEffort,
    /// It is there, perhaps several times.
    AtLeastOnce,
    /// It is there, and writing it again changed nothing.
    EffectivelyOnce,
}

impl Guarantee {
    /// The words that stand in the table.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::BestEffort => "best effort",
            Self::AtLeastOnce => "at-least-once",
            Self::EffectivelyOnce => "effectively once (idempotent sink)",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::BestEffort => AnsiColor::Yellow.on_default(),
            Self::AtLeastOnce | Self::EffectivelyOnce => AnsiColor::Green.on_default(),
        }
    }
}

/// What is promised for the events of one source in one sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// The source's name.
    pub source: Arc<str>,
    /// The sink's name.
    pub sink: Arc<str>,
    /// How often an event of the one is found in the other.
    pub guarantee: Guarantee,
    /// What it rests on, or what it lacks, in clauses with `; ` between them.
    pub why: String,
}

/// A line for each promise, its columns aligned, each line indented by two. Nothing for none.
#[must_use]
pub fn render(promises: &[Promise], colour: bool) -> String {
    let pair = |promise: &Promise| format!("{} -> {}", promise.source, promise.sink);
    let widest = |length: fn(&Promise) -> usize| promises.iter().map(length).max().unwrap_or(0);
    // Names are ASCII, and so are the words.
    let names = widest(|promise| promise.source.len() + promise.sink.len() + 4);
    let words = widest(|promise| promise.guarantee.words().len());
    let mut text = String::new();
    for promise in promises {
        let (pair, word) = (pair(promise), promise.guarantee.words());
        let style = if colour {
            promise.guarantee.style()
        } else {
            Style::new()
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "  {pair:<names$}  {style}{word:<words$}{style:#}  {}",
            promise.why
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(source: &str, guarantee: Guarantee) -> Promise {
        Promise {
            source: source.into(),
            sink: "out".into(),
            guarantee,
            why: format!("as {source} is"),
        }
    }

    #[test]
    fn columns_are_aligned_and_colour_is_only_where_it_is_asked_for() {
        let promises = [
            promise("exports", Guarantee::AtLeastOnce),
            promise("in", Guarantee::BestEffort),
        ];
        let expected = "  exports -> out  at-least-once  as exports is\n  \
                          in -> out       best effort    as in is\n";
        assert_eq!(render(&promises, false), expected);
        let coloured = render(&promises, true);
        assert!(coloured.contains("\u{1b}[33mbest effort  \u{1b}[0m  as in is\n"));
        assert_eq!(render(&[], true), "");
    }

    #[test]
    fn the_weakest_is_the_least() {
        assert!(Guarantee::BestEffort < Guarantee::AtLeastOnce);
        assert!(Guarantee::AtLeastOnce < Guarantee::EffectivelyOnce);
    }
}
