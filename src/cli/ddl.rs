//! `trunkline ddl`.

use std::io::stderr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::Colour;
use super::show;
use crate::graph::Components;
use crate::layer::Script;
use crate::setting::is_name;
use crate::sink::warehouse::{Dialect, script};

pub(super) const EXAMPLES: &str = "Examples:
  trunkline ddl --dialect postgresql --role reporting | psql -d calls
  trunkline ddl pipelines/quickstart.yaml              for the warehouses of a pipeline
  trunkline ddl --dialect snowflake --statements       what a run will say, with placeholders";

/// What to print.
#[derive(clap::Args)]
pub(super) struct DdlArguments {
    /// Take dialect and schema from the warehouses of this pipeline.
    #[arg(value_name = "PIPELINE", conflicts_with_all = ["dialect", "schema"])]
    file: Option<PathBuf>,
    /// The dialect of SQL.
    #[arg(long, required_unless_present = "file", value_parser = dialects())]
    dialect: Option<Dialect>,
    /// The schema in which the tables live (a data set in BigQuery).
    #[arg(long, default_value = "cc_analytics", value_parser = schema)]
    schema: String,
    /// Also a role of this name that can read the schema and nothing else, for reporting tools.
    #[arg(long, conflicts_with = "statements", value_parser = role)]
    role: Option<String>,
    /// Print the statements with which a run writes, instead of those that make the tables.
    #[arg(long)]
    statements: bool,
    /// With `--statements`: those of the staged load (`staging: true`).
    #[arg(long, requires = "statements", conflicts_with = "file")]
    staging: bool,
}

/// Prints, and connects to nothing.
pub(super) fn ddl(arguments: &DdlArguments, colour: Colour, own: &Components) -> ExitCode {
    let wanted = match arguments.statements {
        true => Script::Statements,
        false => Script::Ddl {
            role: arguments.role.as_deref(),
        },
    };
    if let Err(wrong) = names(arguments) {
        show::complain(&format!("error: {wrong}\n"));
        return ExitCode::FAILURE;
    }
    match (&arguments.file, arguments.dialect) {
        (Some(file), _) => of_pipeline(file, wanted, colour, own),
        (None, Some(dialect)) => {
            let text = script(dialect, &arguments.schema, arguments.staging, wanted);
            show::print(&text);
            ExitCode::SUCCESS
        }
        // The parser asks for one of the two.
        (None, None) => ExitCode::FAILURE,
    }
}

/// What the dialect says of the names. Of a pipeline only the schemas have been looked at.
fn names(arguments: &DdlArguments) -> Result<(), String> {
    if let Some(dialect) = arguments.dialect {
        let taken = dialect.takes(&arguments.schema);
        taken.map_err(|rule| format!("the name of a schema {rule}"))?;
    }
    let Some(role) = &arguments.role else {
        return Ok(());
    };
    match arguments.dialect {
        Some(dialect) => dialect
            .takes_role(role)
            .map_err(|rule| format!("the name of a role {rule}")),
        // Its dialects are not known yet: the shortest name that one of them takes.
        None => Dialect::Postgres.takes(role).map_err(|_| {
            "the name of a role for a pipeline has at most 63 bytes; name the `--dialect` for \
             another"
                .to_owned()
        }),
    }
}

fn of_pipeline(file: &Path, wanted: Script<'_>, colour: Colour, own: &Components) -> ExitCode {
    let (loaded, checked) = show::read(file, own);
    let Some(pipeline) = checked.pipeline else {
        let colour = show::colours(colour, &stderr());
        show::complain(&show::text(&checked.report, &loaded.sources(), colour));
        return ExitCode::FAILURE;
    };
    // Two sinks may write the same tables.
    let mut scripts: Vec<String> = Vec::new();
    for text in pipeline
        .sinks
        .iter()
        .filter_map(|node| node.part.script(wanted))
    {
        if !scripts.contains(&text) {
            scripts.push(text);
        }
    }
    if scripts.is_empty() {
        show::complain(&format!("error: `{}` has no warehouse\n", loaded.file));
        return ExitCode::FAILURE;
    }
    show::print(&scripts.join("\n"));
    ExitCode::SUCCESS
}

fn dialects() -> impl TypedValueParser<Value = Dialect> {
    let names = Dialect::ALL.iter().map(|(name, _)| *name);
    PossibleValuesParser::new(names).try_map(|name| {
        let found = Dialect::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, dialect)| *dialect).ok_or("no such dialect")
    })
}

/// As the file's `schema`.
fn schema(text: &str) -> Result<String, &'static str> {
    match is_name(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("a name starts with a letter or `_` and goes on with letters, digits, `_` and `-`")
        }
    }
}

/// It is quoted, so it may have any letters; no database takes one without, or with a zero.
fn role(text: &str) -> Result<String, &'static str> {
    match text.is_empty() || text.chars().any(char::is_control) {
        true => Err("a role's name has at least one character, and no control characters"),
        false => Ok(text.to_owned()),
    }
}
