//! `trunkline new`: a pipeline to start from.

mod parts;
mod sample;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io::{BufRead, IsTerminal, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use clap::builder::PossibleValuesParser;

use self::sample::Sample;
use super::show;
use crate::config::{self, Fixed};
use crate::graph::check::check;
use crate::setting::is_name;
use crate::{sink, source, transform};

pub(super) const EXAMPLES: &str = "Examples:
  trunkline new                                      asks what it is for
  trunkline new exports.yaml --job exports           from a bucket to a warehouse
  trunkline new --source stdin --transform dedup --transform pii_mask --sink file
What is written can be validated and run at once: whatever has to be said stands in variables with
defaults.";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file to write; default the name with `.yaml`. One that is there is never overwritten.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// What the pipeline is for.
    #[arg(long, value_enum)]
    job: Option<Job>,
    /// Where events come from; default what the job needs.
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(source::KINDS))]
    source: Option<String>,
    /// What is done with them, in this order; default what the job needs.
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(offered()))]
    transform: Vec<String>,
    /// Where they go; default what the job needs.
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(sink::KINDS))]
    sink: Option<String>,
    /// The pipeline's name; default that of the file, or the job.
    #[arg(long)]
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Job {
    /// Who is in which conversation: Genesys Cloud, live, to InfluxDB.
    Live,
    /// Exports in a bucket, to a warehouse.
    Exports,
    /// Messages to customers: RabbitMQ to Open Messaging.
    Outbound,
    /// Something to see at once: some events, on the screen.
    Quickstart,
}

impl Job {
    /// Its name, its source, its transforms and its sink.
    fn parts(
        self,
    ) -> (
        &'static str,
        &'static str,
        &'static [&'static str],
        &'static str,
    ) {
        match self {
            Job::Live => (
                "live",
                "genesys_websocket",
                &["genesys_normalize", "dedup", "causal_reorder"],
                "influxdb",
            ),
            Job::Exports => ("exports", "s3_export", &["dedup", "pii_mask"], "warehouse"),
            Job::Outbound => ("outbound", "rabbitmq", &[], "open_messaging"),
            Job::Quickstart => ("quickstart", "file", &["dedup", "pii_mask"], "stdout"),
        }
    }
}

/// What is to be written.
struct Plan {
    name: String,
    source: String,
    transforms: Vec<String>,
    sink: String,
}

/// The transforms to start with: a plugin has to be there first, and the build may have no VRL.
fn offered() -> Vec<&'static str> {
    let is_there = |kind: &&str| *kind != "plugin" && (cfg!(feature = "remap") || *kind != "remap");
    transform::KINDS.iter().copied().filter(is_there).collect()
}

/// Writes the file, and says what comes next.
pub(super) fn new(arguments: &Arguments) -> ExitCode {
    let asked = if stdin().is_terminal() && stdout().is_terminal() {
        questions(arguments, &mut stdin().lock(), &mut stdout())
    } else {
        arguments.job
    };
    let folder = arguments.file.as_deref().and_then(Path::parent);
    let folder = folder.unwrap_or(Path::new(""));
    let written = write(arguments, asked);
    match written.and_then(|told| sample::write_schema(folder).map(|()| told)) {
        Ok(told) => {
            show::print(&told);
            ExitCode::SUCCESS
        }
        Err(told) => {
            show::complain(&format!("error: {told}\n"));
            ExitCode::FAILURE
        }
    }
}

/// The job, asked for where neither it nor what it would say is there.
fn questions(
    arguments: &Arguments,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Option<Job> {
    let said = arguments.job.is_some() || (arguments.source.is_some() && arguments.sink.is_some());
    if said {
        return arguments.job;
    }
    let jobs = Job::value_variants();
    let _ = writeln!(output, "What is the pipeline for?");
    for (number, job) in (1..).zip(jobs) {
        let value = job.to_possible_value();
        let help = value
            .as_ref()
            .and_then(|it| it.get_help())
            .map(ToString::to_string);
        let _ = writeln!(output, "  {number}  {}", help.unwrap_or_default());
    }
    // Whoever does not answer, or not as asked, gets what shows something at once.
    let _ = write!(output, "A number [4]: ").and_then(|()| output.flush());
    let mut line = String::new();
    let _ = input.read_line(&mut line);
    let number: usize = line.trim().parse().unwrap_or(jobs.len());
    jobs.get(number.wrapping_sub(1))
        .copied()
        .or(Some(Job::Quickstart))
}

/// What is said of the files that were written, or why they were not.
fn write(arguments: &Arguments, job: Option<Job>) -> Result<String, String> {
    let plan = plan(arguments, job)?;
    let default = || PathBuf::from(format!("{}.yaml", plan.name));
    let file = arguments.file.clone().unwrap_or_else(default);
    let shown = file.display();
    let there = || format!("{shown} is there already; name another file, or move it away");
    if file.exists() {
        return Err(there());
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let sample = Sample::of(&plan, folder);
    let mut text = plan.text(&sample.shown());
    let loaded = config::parse(&file.to_string_lossy(), &text, &Fixed::new());
    let pipeline = check(&loaded).pipeline;
    // All parts are valid, but a folder may have a name that cannot stand in a variable.
    let pipeline =
        pipeline.ok_or_else(|| format!("{shown}: choose a folder with a plainer name"))?;
    sample.write()?;
    text.push_str(&sample.test(pipeline)?);
    create(&file, &text).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => there(),
        _ => format!("{shown} cannot be written: {error}"),
    })?;
    Ok(told(&plan, &file, &sample))
}

fn create(file: &Path, text: &str) -> std::io::Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).open(file);
    opened.and_then(|mut open| open.write_all(text.as_bytes()))
}

/// What there is now, and what can be done with it.
fn told(plan: &Plan, file: &Path, sample: &Sample) -> String {
    let (shown, events) = (file.display(), sample.shown());
    // Who is written to is personal data, and has to leave.
    let allow = match plan.sink.as_str() {
        "open_messaging" => " --allow-pii output",
        _ => "",
    };
    let look = match plan.goes_on() {
        true => format!("  trunkline top {shown}          while it runs\n"),
        false => String::new(),
    };
    let fed = match plan.source.as_str() {
        "stdin" => format!(" < {events}/{}", sample::EVENTS),
        _ => String::new(),
    };
    format!(
        "{shown} is written. What is in capitals in it are variables with defaults.\n\
         {events} holds some events to try it with, {} is what editors complete it by.\n\n  \
         trunkline validate {shown}\n  trunkline test {shown}\n  \
         trunkline dry-run {shown} --input {events}{allow}\n  trunkline run {shown}{fed}\n{look}{}",
        sample::SCHEMA,
        needs(plan)
    )
}

/// What a run waits for that is not there by itself.
fn needs(plan: &Plan) -> &'static str {
    let kinds = [plan.source.as_str(), plan.sink.as_str()];
    if kinds.contains(&"rabbitmq") {
        return "\nA run needs a RabbitMQ: AMQP_URL says where. `trunkline validate --probe` tells what \
                it finds there.\n";
    }
    if kinds.contains(&"genesys_websocket") {
        return "\nA run reads a simulated Genesys Cloud until GENESYS_REGION names a real one, and ends \
                with Ctrl-C.\n";
    }
    ""
}

fn plan(arguments: &Arguments, job: Option<Job>) -> Result<Plan, String> {
    let (word, source, transforms, sink) = job.unwrap_or(Job::Quickstart).parts();
    let stem = arguments.file.as_ref().and_then(|file| file.file_stem());
    let stem = stem.map(|stem| stem.to_string_lossy().into_owned());
    let name = match &arguments.name {
        Some(name) if !is_name(name) => {
            return Err(format!(
                "`{name}` cannot name a pipeline: use letters, digits, `_` and `-`, at most 64"
            ));
        }
        Some(name) => name.clone(),
        None => stem
            .filter(|stem| is_name(stem))
            .unwrap_or_else(|| word.to_owned()),
    };
    // Transforms of a job belong to its own kind of events.
    let own = arguments.source.is_some() || !arguments.transform.is_empty();
    let transforms = match own && job.is_none() || !arguments.transform.is_empty() {
        true => arguments.transform.clone(),
        false => transforms.iter().map(|&kind| kind.to_owned()).collect(),
    };
    Ok(Plan {
        name,
        source: arguments
            .source
            .clone()
            .unwrap_or_else(|| source.to_owned()),
        transforms,
        sink: arguments.sink.clone().unwrap_or_else(|| sink.to_owned()),
    })
}

impl Plan {
    /// Whether there is something to look at while it runs: it waits for more until it is stopped.
    fn goes_on(&self) -> bool {
        ["genesys_webhook", "genesys_websocket", "rabbitmq"].contains(&&*self.source)
    }

    /// The file, but for its tests; `sample` is the folder of events to try it with.
    fn text(&self, sample: &str) -> String {
        let Plan {
            name, source, sink, ..
        } = self;
        let mut text = parts::HEAD.replace("{name}", name);
        text = text.replace("{schema}", sample::SCHEMA);
        let simulated = ["genesys_websocket", "open_messaging"];
        if simulated.contains(&source.as_str()) || simulated.contains(&sink.as_str()) {
            text.push_str(parts::SIMULATOR);
        }
        if self.goes_on() {
            text.push_str(parts::API);
        }
        text.push_str("\nsources:\n  input:\n");
        let settings = parts::source(source).replace("{sample}", sample);
        text.push_str(&part(name, source, &settings, None));
        let mut inputs = "input".to_owned();
        if !self.transforms.is_empty() {
            text.push_str("\ntransforms:\n");
        }
        let mut taken = vec!["input".to_owned(), "output".to_owned()];
        for kind in &self.transforms {
            let numbered = (2..).map(|number| format!("{kind}_{number}"));
            let mut names = std::iter::once(kind.clone()).chain(numbered);
            let own = names.find(|name| !taken.contains(name));
            let own = own.unwrap_or_else(|| kind.clone());
            text.push_str(&format!("  {own}:\n"));
            let settings = parts::transform(kind).replace("{key}", sample::key(source, sink));
            text.push_str(&part(name, kind, &settings, Some(&inputs)));
            inputs = match kind.as_str() {
                "route" => format!("{own}.calls, {own}.else"),
                _ => own.clone(),
            };
            taken.push(own);
        }
        text.push_str("\nsinks:\n  output:\n");
        text.push_str(&part(name, sink, parts::sink(sink), Some(&inputs)));
        text
    }
}

/// A component: its type, what it reads, and its settings.
fn part(name: &str, kind: &str, settings: &str, inputs: Option<&str>) -> String {
    let inputs = inputs.map_or(String::new(), |inputs| format!("    inputs: [{inputs}]\n"));
    format!(
        "    type: {kind}\n{inputs}{}",
        settings.replace("{name}", name)
    )
}
