//! `trunkline validate`.

use std::io::stdout;
use std::path::PathBuf;
use std::process::ExitCode;

use super::show;
use super::{Colour, Format};
use crate::graph::check::Checked;
use crate::graph::outline::Kind;
use crate::graph::promise::promises;
use crate::observe::render_promises;

pub(super) fn validate(files: &[PathBuf], format: Format, colour: Colour) -> ExitCode {
    let mut reports = Vec::with_capacity(files.len());
    let mut good = String::new();
    let colours = show::colours(colour, &stdout());
    for file in files {
        let (loaded, checked) = show::read(file);
        if !checked.report.has_errors() {
            good.push_str(&format!("{}: ok, {}\n", loaded.file, counts(&checked)));
            let promises = checked.pipeline.as_ref().map(promises);
            good.push_str(&render_promises(&promises.unwrap_or_default(), colours));
        }
        reports.push((checked.report, loaded.sources()));
    }
    let failed = reports.iter().any(|(report, _)| report.has_errors());
    let mut text = show::reports(&reports, format, colours);
    if format == Format::Text {
        text.push_str(&good);
        text.push_str(&summary(
            reports.iter().map(|(report, _)| report.errors()).sum(),
        ));
    }
    show::print(&text);
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn counts(checked: &Checked) -> String {
    let count = |kind: Kind| {
        let number = checked
            .outline
            .nodes
            .iter()
            .filter(|node| node.kind == kind)
            .count();
        format!(
            "{number} {}{}",
            kind.word(),
            if number == 1 { "" } else { "s" }
        )
    };
    [Kind::Source, Kind::Transform, Kind::Sink]
        .map(count)
        .join(", ")
}

fn summary(errors: usize) -> String {
    match errors {
        0 => String::new(),
        1 => "1 error\n".into(),
        errors => format!("{errors} errors\n"),
    }
}
