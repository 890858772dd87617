//! The settings as they stand in the file.

use std::fs::File;
use std::io::Read;
use std::path::{Path as FilePath, PathBuf};

use super::{Config, Then};
use crate::diagnostic::Report;
use crate::script::{Purpose, SOURCE_BYTES, Script, Source, Zone};
use crate::setting::{Fields, Node, Setting, Written};

impl Config {
    /// Reads the settings; every mistake goes into the report, those of the program at their places.
    /// `file` lies relative to `base`, the folder of the pipeline file.
    pub fn check(fields: &mut Fields<'_>, base: &FilePath) -> Option<Self> {
        fields.takes("source", String::shape);
        fields.takes("file", PathBuf::shape);
        let zone = zone(fields);
        let on_error = then(fields, "on_error", Then::DeadLetter);
        let on_abort = then(fields, "on_abort", Then::Drop);
        let (source, file) = (fields.node("source"), fields.node("file"));
        let script = match (source, file) {
            (Some(source), None) => {
                String::read(source, fields.report())?;
                let source = Source::Inline(source);
                Script::compile(source, Purpose::Change, zone, fields.report())
            }
            (None, Some(node)) => from_file(node, base, zone, fields.report()),
            (Some(_), Some(_)) => {
                let span = fields.key_span_of("file");
                let message = "the program is either in `source` or in a `file`";
                fields.error("conflicting-fields", span, message);
                None
            }
            (None, None) => {
                let message = format!("{} needs a program: `source` or `file`", fields.what());
                fields.error("missing-field", fields.span(), message);
                None
            }
        };
        Some(Self {
            script: script?,
            on_error,
            on_abort,
        })
    }
}

fn then(fields: &mut Fields<'_>, name: &'static str, default: Then) -> Then {
    let words = [
        ("dead_letter", Then::DeadLetter),
        ("drop", Then::Drop),
        ("pass", Then::Pass),
    ];
    fields.choice(name, &words).unwrap_or(default)
}

fn zone(fields: &mut Fields<'_>) -> Zone {
    let name = fields.or("timezone", "UTC".to_owned());
    Zone::parse(&name).unwrap_or_else(|| {
        let span = fields.span_of("timezone");
        let message = "there is no such time zone";
        fields
            .error("unknown-value", span, message)
            .hint("a name of the IANA database, such as `Europe/Berlin`");
        Zone::default()
    })
}

/// A program in a file of its own. Its mistakes are told with the name and the places of that file.
fn from_file(node: &Node, base: &FilePath, zone: Zone, report: &mut Report) -> Option<Script> {
    let path = base.join(PathBuf::read(node, report)?);
    let text = match read(&path) {
        Ok(text) => text,
        Err(why) => {
            let message = format!("the program {} cannot be read: {why}", node.shown());
            let hint = "the path starts at the folder of the pipeline file";
            report.error("missing-file", node.span, message).hint(hint);
            return None;
        }
    };
    let written = Written::whole(&text);
    let source = Source::File {
        text: &text,
        written: &written,
    };
    let mut own = match node.from_variable {
        // Its name is nobody's business.
        true => Report::new("the program in the variable's file"),
        false => Report::new(path.to_string_lossy()),
    };
    own.keep_text(&text);
    let script = Script::compile(source, Purpose::Change, zone, &mut own);
    report.append(own);
    script
}

fn read(path: &FilePath) -> Result<String, String> {
    let why = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        kind => kind.to_string(),
    };
    // Opening a pipe would wait for its writer for ever, so the kind is asked for first.
    if !std::fs::metadata(path).map_err(why)?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    // One byte past the limit tells that it is longer.
    let mut limited = File::open(path).map_err(why)?.take(SOURCE_BYTES as u64 + 1);
    let mut text = String::new();
    limited.read_to_string(&mut text).map_err(why)?;
    Ok(text)
}
