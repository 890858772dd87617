//! `trunkline validate --probe`: what the sources and sinks of a pipeline find out there.

use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::Format;
use super::table::tame;
use crate::graph::Pipeline;
use crate::graph::probe::{Probed, probe};
use crate::layer::{Finding, Grade};

/// What was found for one file.
pub(super) struct Looked {
    file: String,
    nodes: Vec<Probed>,
}

impl Looked {
    /// Whether something is so that the pipeline could not run.
    pub(super) fn has_errors(&self) -> bool {
        let mut findings = self.nodes.iter().flat_map(|node| &node.findings);
        findings.any(|finding| finding.grade == Grade::Error)
    }
}

/// Looks. Each node has `limit` to answer.
///
/// # Errors
/// In words, when no runtime can be started.
pub(super) fn look(file: &Path, pipeline: &Pipeline, limit: Duration) -> Result<Looked, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let nodes = runtime.block_on(probe(pipeline, limit));
    // A look that hangs in a thread of its own is not waited for.
    runtime.shutdown_background();
    Ok(Looked {
        file: file.display().to_string(),
        nodes,
    })
}

/// All that was found, in the asked form.
pub(super) fn render(all: &[Looked], format: Format, colour: bool) -> String {
    match format {
        Format::Text => all.iter().map(|looked| text(looked, colour)).collect(),
        Format::Json => json(all),
        Format::Github => all.iter().map(github).collect(),
    }
}

fn text(looked: &Looked, colour: bool) -> String {
    let strong = if colour {
        Style::new().bold()
    } else {
        Style::new()
    };
    let mut out = String::new();
    for node in &looked.nodes {
        let Probed {
            kind, component, ..
        } = node;
        let name = tame(&node.node);
        let took = match node.findings.is_empty() {
            true => String::new(),
            false => format!(", {} ms", node.took.as_millis()),
        };
        out.push_str(&format!(
            "  {strong}{kind} {name}{strong:#} ({component}){took}\n"
        ));
        if node.findings.is_empty() {
            out.push_str("    nothing to look at\n");
        }
        for finding in &node.findings {
            let sign = sign(finding.grade, colour);
            out.push_str(&format!("    {sign} {}\n", tame(&finding.message)));
        }
    }
    out
}

/// A sign where there are colours, else a word.
fn sign(grade: Grade, colour: bool) -> String {
    let (sign, word, of) = match grade {
        Grade::Good => ("✓", "ok:     ", AnsiColor::Green),
        Grade::Unknown => ("?", "unknown:", AnsiColor::Cyan),
        Grade::Warning => ("!", "warning:", AnsiColor::Yellow),
        Grade::Error => ("✗", "error:  ", AnsiColor::Red),
    };
    match colour {
        true => {
            let style = of.on_default().bold();
            format!("{style}{sign}{style:#}")
        }
        false => word.to_owned(),
    }
}

fn json(all: &[Looked]) -> String {
    let finding =
        |finding: &Finding| json!({ "grade": word(finding.grade), "message": finding.message });
    let entries = all.iter().flat_map(|looked| {
        looked.nodes.iter().map(move |node| {
            json!({
                "file": looked.file, "kind": node.kind, "node": node.node,
                "component": node.component, "seconds": node.took.as_secs_f64(),
                "findings": node.findings.iter().map(finding).collect::<Vec<_>>(),
            })
        })
    });
    let entries: Vec<_> = entries.collect();
    format!("{}\n", serde_json::Value::Array(entries))
}

fn word(grade: Grade) -> &'static str {
    match grade {
        Grade::Good => "good",
        Grade::Unknown => "unknown",
        Grade::Warning => "warning",
        Grade::Error => "error",
    }
}

/// What a person should see in a pull request; the rest is as it should be, or not known.
fn github(looked: &Looked) -> String {
    let mut out = String::new();
    for node in &looked.nodes {
        for finding in &node.findings {
            let level = match finding.grade {
                Grade::Error => "error",
                Grade::Warning => "warning",
                Grade::Good | Grade::Unknown => continue,
            };
            // What ends a property or a command in that language.
            let file = looked
                .file
                .replace('%', "%25")
                .replace(',', "%2C")
                .replace(':', "%3A");
            let message = tame(&finding.message).replace('%', "%25");
            let (kind, name) = (node.kind, &node.node);
            out.push_str(&format!(
                "::{level} file={file}::{kind} `{name}`: {message}\n"
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked() -> Looked {
        let findings = vec![
            Finding::new(Grade::Good, "it is there"),
            Finding::new(Grade::Warning, "not\u{1b}[31m encrypted"),
            Finding::new(Grade::Error, "50% is gone"),
        ];
        let node = |kind, node: &str, findings| Probed {
            kind,
            node: node.to_owned(),
            component: "file",
            findings,
            took: Duration::from_micros(12_900),
        };
        Looked {
            file: "p.yaml".to_owned(),
            nodes: vec![node("source", "in", vec![]), node("sink", "out", findings)],
        }
    }

    #[test]
    fn words_stand_where_there_are_no_colours_and_nothing_commands_the_terminal() {
        let plain = text(&looked(), false);
        assert_eq!(
            plain,
            "  source in (file)\n    nothing to look at\n  sink out (file), 12 ms\n    \
             ok:      it is there\n    warning: not·[31m encrypted\n    error:   50% is gone\n"
        );
        let coloured = text(&looked(), true);
        assert!(coloured.contains("✓") && coloured.contains("✗") && !coloured.contains("error:"));
    }

    #[test]
    fn the_other_forms_say_the_same() {
        let all = [looked()];
        let read: serde_json::Value = serde_json::from_str(&json(&all)).unwrap();
        assert_eq!(read[1]["findings"][2]["grade"], "error");
        assert_eq!(read[0]["findings"], json!([]));
        assert_eq!(read[1]["seconds"], json!(0.0129));
        let shown = github(&all[0]);
        assert!(
            shown.ends_with("::error file=p.yaml::sink `out`: 50%25 is gone\n"),
            "{shown}"
        );
        assert!(all[0].has_errors());
    }
}
