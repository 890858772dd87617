//! The command line.

mod backfill;
mod buffer;
mod check;
mod ddl;
mod dlq;
mod draw;
mod probe;
mod reload;
mod run;
mod show;
mod simulate;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::observe::LogFormat;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// A stream processor for contact-center data, driven by YAML pipelines.
#[derive(Parser)]
#[command(name = "trunkline", version, styles = STYLES, after_help = EXAMPLES)]
struct Arguments {
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  trunkline run pipelines/quickstart.yaml            run a pipeline
  trunkline validate pipelines/*.yaml                find every mistake, offline
  trunkline graph pipelines/quickstart.yaml          see how data flows
  trunkline dlq list pipelines/quickstart.yaml       see what was refused, and why";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
enum Command {
    /// Run one or many pipelines until their inputs end or a signal comes.
    ///
    /// SIGINT and SIGTERM drain: what was accepted is delivered, the ledger is printed, and the
    /// exit code is 0. A second signal ends the process at once; nothing that was answered is lost.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArguments),
    /// Check pipelines without running them; connects to nothing unless asked to probe.
    ///
    /// Reads the files given and those that their settings name. Exit code 0 when there is no
    /// error, 1 when there is.
    #[command(after_help = VALIDATE_EXAMPLES)]
    Validate {
        /// Pipeline files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// How to show what is wrong.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Then connect every source and sink, and say what they find; nothing is written.
        ///
        /// Whether they answer, take the credentials and are encrypted, and what the credentials can
        /// do beyond what is needed. Files with mistakes are not probed. Warnings do not change the
        /// exit code, errors do.
        #[arg(long)]
        probe: bool,
        /// Seconds that each source and sink has to answer a probe.
        #[arg(long, value_name = "SECONDS", default_value_t = 20, requires = "probe",
            value_parser = clap::value_parser!(u64).range(1..=600))]
        probe_timeout: u64,
    },
    /// Run a range of the past through a pipeline, beside its live run.
    ///
    /// Reads the objects of the range with the pipeline's object-storage source, once, with a state
    /// of its own. Can be stopped at any moment and goes on with the same command. At the end every
    /// record is accounted for, by the hour of its own time.
    #[command(after_help = backfill::EXAMPLES)]
    Backfill(Box<backfill::Arguments>),
    /// Draw a pipeline.
    #[command(after_help = GRAPH_EXAMPLES)]
    Graph {
        /// The pipeline file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What to draw for.
        #[arg(long, value_enum, default_value_t = Picture::Text)]
        format: Picture,
    },
    /// Look at dead letters, send them through their pipeline again, or throw them away.
    #[command(after_help = dlq::EXAMPLES)]
    Dlq {
        #[command(subcommand)]
        command: dlq::Dlq,
    },
    /// Look into disk buffers, and mend them.
    #[command(after_help = buffer::EXAMPLES)]
    Buffer {
        #[command(subcommand)]
        command: buffer::Buffer,
    },
    /// Print the SQL that makes a warehouse's tables, or that writes them; connects to nothing.
    ///
    /// The statements can be run again and again: they make what is missing and change nothing else.
    #[command(after_help = ddl::EXAMPLES)]
    Ddl(ddl::DdlArguments),
    /// Be a platform on loopback, with made-up conversations, to build and try pipelines against.
    Simulate {
        #[command(subcommand)]
        platform: simulate::Simulate,
    },
    /// Print completions for a shell.
    #[command(
        after_help = "Example:\n  trunkline completions bash > /etc/bash_completion.d/trunkline"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

const RUN_EXAMPLES: &str = "Examples:
  trunkline run pipelines/quickstart.yaml
  trunkline run --summary summary.json pipelines/quickstart.yaml
  trunkline run --watch live.yaml                    reload it when the file changes
  trunkline run live.yaml exports.yaml               two pipelines in one process
  cat events.ndjson | trunkline run from-stdin.yaml";
const VALIDATE_EXAMPLES: &str = "Examples:
  trunkline validate pipelines/quickstart.yaml
  trunkline validate --probe live.yaml               see whether all it talks to is there
  trunkline validate --format github pipelines/*.yaml  annotations in a pull request
  trunkline validate --format json p.yaml | jq .";
const GRAPH_EXAMPLES: &str = "Examples:
  trunkline graph pipelines/quickstart.yaml
  trunkline graph --format mermaid pipelines/quickstart.yaml >> README.md
  trunkline graph --format dot pipelines/quickstart.yaml | dot -Tsvg > flow.svg";

#[derive(clap::Args)]
struct RunArguments {
    /// Pipeline files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write the closing ledger to this file as JSON (an array when there are several pipelines).
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogShape::Text)]
    log_format: LogShape,
    /// Least severe log lines shown.
    #[arg(long, default_value = "info", value_name = "LEVEL", value_parser = LEVELS)]
    log_level: String,
    /// Reload a pipeline when its file changes, or one that it names (such as a schema).
    ///
    /// SIGHUP does it at any time. A file with mistakes changes nothing, and says so.
    #[arg(long)]
    watch: bool,
    /// Show no progress bar (there is none either when stderr is not a terminal).
    #[arg(long)]
    no_progress: bool,
}

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

#[derive(Clone, Copy, ValueEnum)]
enum LogShape {
    Text,
    Json,
}

impl From<LogShape> for LogFormat {
    fn from(shape: LogShape) -> Self {
        match shape {
            LogShape::Text => LogFormat::Text,
            LogShape::Json => LogFormat::Json,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With the line and a caret, for people.
    Text,
    /// One array of objects.
    Json,
    /// Workflow commands that annotate a pull request on GitHub.
    Github,
}

#[derive(Clone, Copy, ValueEnum)]
enum Picture {
    /// A tree for the terminal.
    Text,
    /// A flowchart for Markdown.
    Mermaid,
    /// A graph for Graphviz.
    Dot,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let Arguments { color, command } = Arguments::parse();
    match command {
        Command::Run(arguments) => run::run(arguments, color),
        Command::Validate {
            files,
            format,
            probe,
            probe_timeout,
        } => {
            let probe = probe.then(|| std::time::Duration::from_secs(probe_timeout));
            check::validate(&files, format, color, probe)
        }
        Command::Backfill(arguments) => backfill::backfill(&arguments, color),
        Command::Graph { file, format } => draw::graph(&file, format, color),
        Command::Dlq { command } => dlq::dlq(command, color),
        Command::Buffer { command } => buffer::buffer(command, color),
        Command::Ddl(arguments) => ddl::ddl(&arguments, color),
        Command::Simulate { platform } => simulate::simulate(platform),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "trunkline", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
