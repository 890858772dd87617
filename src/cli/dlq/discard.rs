//! `trunkline dlq discard`.

use std::collections::HashSet;
use std::io::{BufRead, IsTerminal, stdin};

use super::{Choice, Location};
use crate::cli::show::{complain, print};
use crate::failure::Failure;
use crate::graph::Components;
use crate::letters::Mark;

pub(super) fn discard(
    place: &Location,
    choice: &Choice,
    yes: bool,
    own: &Components,
) -> Result<bool, Failure> {
    let desk = place.open(own)?;
    let filter = choice.filter()?;
    let limit = choice.limit.unwrap_or(u64::MAX);
    let mut marks: HashSet<Mark> = HashSet::new();
    let mut ids = Vec::new();
    if limit > 0 {
        desk.visit(&filter, |letter| {
            marks.insert(letter.mark);
            if !filter.ids.is_empty() {
                ids.push(letter.id);
            }
            (marks.len() as u64) < limit
        })?;
    }
    for id in filter.unmet(ids.iter().map(String::as_str)) {
        complain(&format!(
            "note: no letter has the id `{}`\n",
            super::tame(id)
        ));
    }
    if marks.is_empty() {
        print("no dead letters to discard\n");
        return Ok(true);
    }
    if !yes && !agreed(marks.len())? {
        print("nothing was discarded\n");
        return Ok(false);
    }
    let mut removed = 0;
    // Only what was counted: a letter that came meanwhile has been seen by nobody.
    for shelf in &desk.shelves {
        removed += shelf.remove(&marks)?;
    }
    print(&format!("discarded {removed}\n"));
    Ok(true)
}

fn agreed(count: usize) -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        let message = format!("{count} letters would be thrown away for good: say `--yes`");
        return Err(Failure::fatal("not_asked", message));
    }
    complain(&format!("throw away {count} dead letters for good? [y/N] "));
    let mut answer = String::new();
    let _ = stdin().lock().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
