//! `trunkline validate`.

use std::io::stdout;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::{Colour, Format};
use super::{probe, show};
use crate::graph::Components;
use crate::graph::Pipeline;
use crate::graph::check::Checked;
use crate::graph::outline::Kind;
use crate::graph::promise::promises;
use crate::observe::render_promises;

/// Checks the files; with `probing`, what is right in all of them then has so long to answer, each
/// source and sink.
pub(super) fn validate(
    files: &[PathBuf],
    format: Format,
    colour: Colour,
    probing: Option<Duration>,
    own: &Components,
) -> ExitCode {
    let mut reports = Vec::with_capacity(files.len());
    let mut pipelines = Vec::new();
    let mut good = String::new();
    let colours = show::colours(colour, &stdout());
    for file in files {
        let (loaded, checked) = show::read(file, own);
        if !checked.report.has_errors() {
            good.push_str(&format!("{}: ok, {}\n", loaded.file, counts(&checked)));
            for (what, took) in &checked.took {
                good.push_str(&format!("  {what}: {took}\n"));
            }
            let promises = checked.pipeline.as_ref().map(promises);
            good.push_str(&render_promises(&promises.unwrap_or_default(), colours));
        }
        pipelines.extend(checked.pipeline.map(|pipeline| (file, pipeline)));
        reports.push((checked.report, loaded.sources()));
    }
    let failed = reports.iter().any(|(report, _)| report.has_errors());
    // One document on stdout: that of the probe where there is one.
    let probing = probing.filter(|_| !failed);
    let mut text = match (probing, format) {
        (Some(_), Format::Json) => String::new(),
        _ => show::reports(&reports, format, colours),
    };
    if format == Format::Text {
        text.push_str(&good);
        text.push_str(&summary(
            reports.iter().map(|(report, _)| report.errors()).sum(),
        ));
    }
    show::print(&text);
    let unfit = probing.is_some_and(|limit| probe_all(&pipelines, limit, format, colours));
    if failed || unfit {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Whether something is so that a pipeline could not run.
fn probe_all(
    pipelines: &[(&PathBuf, Pipeline)],
    limit: Duration,
    format: Format,
    colours: bool,
) -> bool {
    let mut all = Vec::with_capacity(pipelines.len());
    for (file, pipeline) in pipelines {
        match probe::look(file, pipeline, limit) {
            Ok(looked) => all.push(looked),
            Err(why) => {
                show::complain(&format!("{why}\n"));
                return true;
            }
        }
    }
    show::print(&probe::render(&all, format, colours));
    all.iter().any(probe::Looked::has_errors)
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
