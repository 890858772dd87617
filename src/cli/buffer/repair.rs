//! `trunkline buffer repair`.

use super::Place;
use crate::cli::show::print;
use crate::cli::table::tame;
use crate::failure::Failure;
use crate::graph::Components;
use crate::journal::{self, Repair};

pub(super) fn repair(place: &Place, own: &Components) -> Result<bool, Failure> {
    let (folder, keys) = place.open(own)?;
    let done = journal::repair(folder, keys.as_ref())?;
    print(&page(&done));
    Ok(true)
}

fn page(done: &Repair) -> String {
    let mut text = String::new();
    for (file, events) in &done.taken_back {
        text += &format!("{}: taken back, {events} events\n", tame(file));
    }
    for (file, lost) in &done.rewritten {
        text += &format!(
            "{}: written anew, {lost} events lost; the original is in damaged/\n",
            tame(file)
        );
    }
    for file in &done.set_aside {
        text += &format!("{}: none of this buffer's, now in damaged/\n", tame(file));
    }
    if text.is_empty() {
        text += "nothing to repair\n";
    }
    match done.lost_events {
        0 => text + "no events are missing\n",
        1 => text + "1 event is lost\n",
        lost => text + &format!("{lost} events are lost\n"),
    }
}
