//! What another version does otherwise, as text for people.

use super::render::{Styles, line, title};
use crate::cli::table::tame;
use crate::graph::rehearsal::{Change, Changes, Difference};

/// Fields of one row that are shown; a new row has all of them.
const FIELDS: usize = 40;

/// Everything that differs.
pub(super) fn text(difference: &Difference, most: usize, colour: bool) -> String {
    let styles = Styles::new(colour);
    let mut out = String::new();
    if difference.is_none() {
        line(&mut out, "both versions do the same");
    }
    if let Some((before, after)) = &difference.failures {
        title("how they end", styles, &mut out);
        line(&mut out, &format!("  - {}", tame(before)));
        line(&mut out, &format!("  + {}", tame(after)));
    }
    for changes in &difference.sinks {
        sink(changes, most, styles, &mut out);
    }
    if !difference.dead_letters.is_empty() {
        title("dead letters", styles, &mut out);
        for (reason, (before, after)) in &difference.dead_letters {
            line(
                &mut out,
                &format!("  {}: {before} -> {after}", tame(reason)),
            );
        }
    }
    if difference.uncompared > 0 {
        let more = format!(
            "\n{} things were not compared: more than are kept (see --limit)",
            difference.uncompared
        );
        line(&mut out, &more);
    }
    out
}

fn sink(changes: &Changes, most: usize, styles: Styles, out: &mut String) {
    let counts = format!(
        "{}: {} added, {} removed, {} changed, {} the same",
        changes.node,
        changes.added.len(),
        changes.removed.len(),
        changes.changed.len(),
        changes.same
    );
    title(&counts, styles, out);
    if changes.wording {
        line(
            out,
            "  the rows are the same; the statements or addresses are others",
        );
    }
    for (field, count) in &changes.fields {
        line(out, &format!("  {count} times {}", tame(field)));
    }
    let (good, bad, quiet) = (styles.good, styles.bad, styles.quiet);
    let lists = [
        ("added", &changes.added),
        ("removed", &changes.removed),
        ("changed", &changes.changed),
    ];
    for (word, list) in lists {
        for change in list.iter().take(most) {
            line(
                out,
                &format!("  {quiet}{word}{quiet:#} {}", tame(&change.key)),
            );
            fields(change, good, bad, out);
        }
        if list.len() > most {
            let more = format!(
                "  {quiet}… and {} more {word} (--show all){quiet:#}",
                list.len() - most
            );
            line(out, &more);
        }
    }
}

fn fields(change: &Change, good: anstyle::Style, bad: anstyle::Style, out: &mut String) {
    for (name, before, after) in change.fields.iter().take(FIELDS) {
        let (name, old, new) = (
            tame(name),
            tame(&before.to_string()),
            tame(&after.to_string()),
        );
        if !before.is_null() {
            line(out, &format!("    {bad}- {name}: {old}{bad:#}"));
        }
        if !after.is_null() {
            line(out, &format!("    {good}+ {name}: {new}{good:#}"));
        }
    }
}
