//! `trunkline schema`.

use std::process::ExitCode;

use clap::ValueEnum;

use super::show;
use crate::graph::schema::Schema;

pub(super) const EXAMPLES: &str = "Examples:
  trunkline schema > schema.json                     for an editor, see below
  trunkline schema --format markdown                 the reference, to read
With `# yaml-language-server: $schema=schema.json` as its first line a pipeline is completed and
checked by editors that speak to a YAML language server.";

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Form {
    /// A JSON Schema (draft 2020-12).
    Json,
    /// Tables of all fields.
    Markdown,
}

pub(super) fn schema(form: Form) -> ExitCode {
    let schema = Schema::read();
    show::print(&match form {
        Form::Json => format!("{:#}\n", schema.json()),
        Form::Markdown => schema.markdown(),
    });
    ExitCode::SUCCESS
}
