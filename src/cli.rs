//! The command line.

mod backfill;
mod buffer;
mod check;
mod ddl;
mod dlq;
mod draw;
mod dry_run;
mod new;
mod probe;
mod reload;
mod remote;
mod run;
mod schema;
mod show;
mod simulate;
mod table;
mod tap;
mod test;
mod top;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::graph::Components;
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
  trunkline dry-run p.yaml --input sample.ndjson     see what would leave, without sending it
  trunkline test pipelines/*.yaml                    run the tests of pipelines
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
    /// Run a pipeline with its ends replaced: sources are fed from files, and sinks show what would leave.
    ///
    /// The real graph, up to the last step: SQL with its parameters, line protocol, HTTP requests, AMQP
    /// messages as they would be sent, dead letters as they would be kept, the ledger, and the places
    /// where personal data still leaves. Connects to nothing and writes nothing; the state is empty at
    /// its beginning and in memory; windows and time-outs pass at once. Output may hold personal data:
    /// what would leave is shown as it would leave.
    #[command(name = "dry-run", after_help = dry_run::EXAMPLES)]
    DryRun(Box<dry_run::Arguments>),
    /// Run the tests that stand in pipeline files, below `tests:`.
    ///
    /// Each is a dry run that is told what to do: events are given to sources, a clock that stands still
    /// is moved, sinks are down or slow for a while, and what came out of every node is held against what
    /// is expected. Connects to nothing and writes nothing; hours pass at once.
    #[command(after_help = test::EXAMPLES)]
    Test(test::Arguments),
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
    /// Write a pipeline to start from; asks what it is for where that is not said.
    #[command(after_help = new::EXAMPLES)]
    New(new::Arguments),
    /// Print what a pipeline file may say, as a JSON Schema for editors, or as a page to read.
    #[command(after_help = schema::EXAMPLES)]
    Schema {
        /// What to print.
        #[arg(long, value_enum, default_value_t = schema::Form::Json)]
        format: schema::Form,
    },
    /// Be a platform on loopback, with made-up conversations, to build and try pipelines against.
    Simulate {
        #[command(subcommand)]
        platform: simulate::Simulate,
    },
    /// Look at events as they pass through nodes of a running process.
    ///
    /// Over the interface of the process (`api` of its file). Events are sampled and masked as dead
    /// letters are; nothing waits for whoever looks.
    #[command(after_help = tap::EXAMPLES)]
    Tap(tap::Arguments),
    /// Watch the pipelines of a running process: rates, latencies, buffers, drops, breakers, who waits.
    ///
    /// Over the interface of the process (`api` of its file), for each node in the order in which data
    /// flows. A process that goes away is asked again until it answers.
    #[command(after_help = top::EXAMPLES)]
    Top(top::Arguments),
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
  trunkline graph --format svg pipelines/quickstart.yaml > flow.svg";

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
    /// A picture for a browser or a page, with what each sink is promised.
    Svg,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    main_with(Components::default())
}

/// The same, in a binary that has components of its own.
pub fn main_with(components: Components) -> ExitCode {
    let own = &components;
    let Arguments { color, command } = Arguments::parse();
    match command {
        Command::Run(arguments) => run::run(arguments, color, own),
        Command::Validate {
            files,
            format,
            probe,
            probe_timeout,
        } => {
            let probe = probe.then(|| std::time::Duration::from_secs(probe_timeout));
            check::validate(&files, format, color, probe, own)
        }
        Command::Backfill(arguments) => backfill::backfill(&arguments, color, own),
        Command::DryRun(arguments) => dry_run::dry_run(&arguments, color, own),
        Command::Test(arguments) => test::test(&arguments, color, own),
        Command::Graph { file, format } => draw::graph(&file, format, color, own),
        Command::Dlq { command } => dlq::dlq(command, color, own),
        Command::Buffer { command } => buffer::buffer(command, color, own),
        Command::Ddl(arguments) => ddl::ddl(&arguments, color, own),
        Command::New(arguments) => new::new(&arguments),
        Command::Schema { format } => schema::schema(format),
        Command::Simulate { platform } => simulate::simulate(platform),
        Command::Tap(arguments) => tap::tap(&arguments, color, own),
        Command::Top(arguments) => top::top(&arguments, color, own),
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
