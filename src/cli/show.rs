//! What all commands need to show things.

use std::io::{IsTerminal, Write};
use std::path::Path;

use super::{Colour, Format};
use crate::config::{self, Environment, Loaded, Variables};
use crate::diagnostic::{Report, Sources, render};
use crate::graph::Components;
use crate::graph::check::{Checked, check_with};

/// Whether to colour what goes to a stream: as asked, else on terminals unless `NO_COLOR` is set.
pub(super) fn colours(choice: Colour, stream: &impl IsTerminal) -> bool {
    match choice {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => stream.is_terminal() && Environment.get("NO_COLOR").is_none(),
    }
}

/// Reads and checks a file.
pub(super) fn read(file: &Path, own: &Components) -> (Loaded, Checked) {
    let loaded = config::load(file, &Environment);
    let checked = check_with(&loaded, own);
    (loaded, checked)
}

/// The report of one file as text.
pub(super) fn text(report: &Report, sources: &Sources, colour: bool) -> String {
    render::text(report, sources, colour)
}

/// Writes to stdout. A reader that went away is no mistake of ours.
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes to stderr.
pub(super) fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// The reports of all files in the asked form.
pub(super) fn reports(all: &[(Report, Sources)], format: Format, colour: bool) -> String {
    match format {
        Format::Text => all
            .iter()
            .map(|(report, sources)| text(report, sources, colour))
            .collect(),
        Format::Github => all
            .iter()
            .map(|(report, _)| render::github(report))
            .collect(),
        Format::Json => {
            let mut whole = Report::new("");
            all.iter()
                .for_each(|(report, _)| whole.append(report.clone()));
            render::json(&whole)
        }
    }
}
