//! From a pipeline file to the tree of its settings.
//!
//! Reading has three steps, each bounded: the file (at most [`FILE_BYTES`]), the YAML (`tree`:
//! nodes, depth, aliases and text are counted while they are built, so that a bomb ends at its limit
//! and not in memory), and the variables (`expand`: inside scalars only, after the parser has decided
//! where each one ends, so that a value can never become structure).

mod environment;
mod expand;
mod lines;
mod scalar;
mod syntax;
mod tree;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

pub use environment::{Before, Environment, FILE_LIMIT, Fixed, Variables};
pub use expand::TEXT_BYTES;
pub use tree::{DEPTH, NODES};

use crate::diagnostic::{Report, Sources, Span};
use crate::setting::Node;

/// The largest pipeline file, in bytes.
pub const FILE_BYTES: usize = 1 << 20;

/// What came of reading one file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// Its text, for showing places in it; empty when it could not be read.
    pub text: Arc<str>,
    /// The settings, or `None` when the file is no YAML or passes a limit. Mistakes that leave the
    /// rest readable (a field given twice, a missing variable) keep the tree.
    pub tree: Option<Node>,
    /// Every mistake found so far; whoever reads the tree adds to it.
    pub report: Report,
    /// The variables that it names, set or not.
    pub variables: BTreeSet<String>,
}

impl Loaded {
    fn refused(file: &str, text: String, report: Report) -> Loaded {
        Loaded {
            file: file.into(),
            text: text.into(),
            tree: None,
            report,
            variables: BTreeSet::new(),
        }
    }

    /// The text of this file, as the renderers want it.
    pub fn sources(&self) -> Sources {
        let mut sources = Sources::default();
        sources.insert(self.file.clone(), self.text.clone());
        sources
    }
}

/// Reads a file. Never fails as a whole: what is wrong is in the report.
pub fn load(path: &Path, variables: &dyn Variables) -> Loaded {
    let file = path.to_string_lossy();
    let mut report = Report::new(&*file);
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.error(
                "unreadable-file",
                None,
                format!("the file cannot be read: {error}"),
            );
            return Loaded::refused(&file, String::new(), report);
        }
    };
    if bytes.len() > FILE_BYTES {
        report.error(
            "too-large",
            None,
            "the file is larger than 1 MiB, the most for a pipeline",
        );
        return Loaded::refused(&file, String::new(), report);
    }
    match String::from_utf8(bytes) {
        Ok(text) => parse(&file, &text, variables),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let (line, column) = expand::advance((1, 1), text.get(..valid).unwrap_or(""));
            report
                .error(
                    "syntax",
                    Span::on_line(line, column, 1),
                    "the file is not UTF-8 text",
                )
                .hint("save the file in UTF-8");
            Loaded::refused(&file, text, report)
        }
    }
}

/// One byte past the limit tells that there is more, without reading it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads text as if it were the file `file`, whose folder relative `${file:...}` paths start from.
pub fn parse(file: &str, text: &str, variables: &dyn Variables) -> Loaded {
    let mut report = Report::new(file);
    if text.len() > FILE_BYTES {
        report.error(
            "too-large",
            None,
            "the file is larger than 1 MiB, the most for a pipeline",
        );
        return Loaded::refused(file, String::new(), report);
    }
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let mut expander = expand::Expander::new(variables, folder);
    let tree = tree::build(text, &mut expander, &mut report);
    let variables = expander.finish(&mut report);
    Loaded {
        file: file.into(),
        text: text.into(),
        tree,
        report,
        variables,
    }
}

#[cfg(test)]
mod tests;
