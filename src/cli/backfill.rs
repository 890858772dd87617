//! `trunkline backfill`: a range of the past through a pipeline, beside its live run.

mod range;
mod summary;

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};

use super::Colour;
use super::show::{colours, complain, print, text};
use super::table::Table;
use crate::config::{self, Environment};
use crate::event::Path;
use crate::failure::Failure;
use crate::graph::Components;
use crate::graph::Pipeline;
use crate::graph::backfill::{Aim, Aimed, aim, backfill as run_backfill, prepare};
use crate::graph::check::check_with;
use crate::graph::run::open_store;
use crate::layer::{Books, SourcePart, Survey};
use crate::observe::{LogFormat, Observer, Progress, Show, draw_progress, init_log, size};

use range::{Range, parse_rate, parse_time};
use summary::{Found, Summary};

pub(super) const EXAMPLES: &str = "Examples:
  trunkline backfill pipelines/export-to-warehouse.yaml --from 2026-01-01 --to 2026-02-01
  trunkline backfill p.yaml --from 2026-01-01 --to 2026-02-01 --dry-run
  trunkline backfill p.yaml --from 2026-01-01T06:00:00+01:00 --to 2026-01-02 --throttle 20MB/s
  trunkline backfill p.yaml --from 2026-01-01 --to 2026-02-01 --yes --format json > ledger.json

Exit codes: 0 everything is accounted for, 1 something is not (or it failed), 3 stopped before the
end: the same command goes on from there.";

/// The run was stopped before its end.
const STOPPED: u8 = 3;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Beginning of the range: a date or an RFC 3339 time, UTC unless it has an offset.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: i64,
    /// End of the range, which is no longer in it.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: i64,
    /// Read at most so much in a second, as stored (such as 20MB/s).
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    throttle: Option<u64>,
    /// The source, where several of the file could be read.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Folder of the backfill's own state [default: backfill-FROM-TO in the pipeline's state].
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Where records have their own time; can be given several times, the first that holds one is
    /// taken [default: what the source says under `event_time`, or else .timestamp,
    /// .detail.eventBody.eventTime, .conversationStart, .time].
    #[arg(long = "event-time", value_name = "PATH")]
    event_time: Vec<String>,
    /// List what would be read, by day, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before it begins (nobody is asked where there is no terminal).
    #[arg(long, short)]
    yes: bool,
    /// How the summary looks.
    #[arg(long, value_enum, default_value_t = Shape::Text)]
    format: Shape,
    /// Show no progress.
    #[arg(long)]
    no_progress: bool,
    /// Least severe log lines shown.
    #[arg(long, default_value = "info", value_name = "LEVEL", value_parser = super::LEVELS)]
    log_level: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// A table, for people.
    Text,
    /// One object, for programs.
    Json,
}

/// A backfill that was understood.
struct Plan {
    range: Range,
    aimed: Aimed,
    pipeline: Pipeline,
    books: Vec<(Arc<str>, Arc<dyn Books>)>,
    /// Where records have their own time, for people.
    event_time: String,
}

pub(super) fn backfill(arguments: &Arguments, colour: Colour, own: &Components) -> ExitCode {
    let ended = plan(arguments, colours(colour, &stderr()), own)
        .and_then(|plan| plan.map(|plan| drive(plan, arguments, colour)).transpose());
    match ended {
        Ok(Some(code)) => code,
        // What is wrong with the file was said.
        Ok(None) => ExitCode::FAILURE,
        Err(message) => {
            complain(&format!("error: {message}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Reads the file and turns its pipeline into the backfill; `None` when it has mistakes.
fn plan(arguments: &Arguments, colour: bool, own: &Components) -> Result<Option<Plan>, String> {
    let range = Range::new(arguments.from, arguments.to)?;
    let paths = arguments.event_time.iter().map(|written| {
        let path = written.parse::<Path>();
        path.map_err(|error| format!("`--event-time {written}`: {error}"))
    });
    let event_time = paths.collect::<Result<Vec<_>, _>>()?;
    let mut loaded = config::load(&arguments.file, &Environment);
    let order = Aim {
        source: arguments.source.clone(),
        from: range.begin(),
        to: range.end(),
        name: range.folder(),
        throttle: arguments.throttle,
        state: arguments.state.clone(),
    };
    let aimed = match &mut loaded.tree {
        // A file that is broken is told about before a source that is not in it.
        Some(tree) if !loaded.report.has_errors() => Some(aim(tree, &order)?),
        _ => None,
    };
    let checked = check_with(&loaded, own);
    complain(&text(&checked.report, &loaded.sources(), colour));
    let (Some(mut pipeline), Some(aimed)) = (checked.pipeline, aimed) else {
        return Ok(None);
    };
    if checked.report.has_errors() {
        return Ok(None);
    }
    let sinks = pipeline.sinks.iter();
    let books = sinks.filter_map(|sink| Some((sink.name.clone(), sink.part.books()?)));
    let books = books.collect();
    let event_time = prepare(&mut pipeline, &aimed.source, event_time);
    let event_time: Vec<String> = event_time.iter().map(Path::to_string).collect();
    Ok(Some(Plan {
        range,
        aimed,
        pipeline,
        books,
        event_time: event_time.join(", "),
    }))
}

fn drive(plan: Plan, arguments: &Arguments, colour: Colour) -> Result<ExitCode, String> {
    let level = match arguments.dry_run {
        true => "warn",
        false => &arguments.log_level,
    };
    let screen = init_log(LogFormat::Text, level, colours(colour, &stderr()));
    let screen = screen.map_err(|error| error.to_string())?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start threads: {error}"))?;
    let code = runtime.block_on(async {
        let survey = match arguments.dry_run || asks(arguments) {
            true => survey(&plan).await.map_err(|failure| failure.to_string())?,
            false => None,
        };
        if arguments.dry_run {
            return told(&plan, survey, colours(colour, &stdout()));
        }
        if asks(arguments) && !agreed(&plan, survey) {
            complain("nothing was read\n");
            return Ok(ExitCode::from(STOPPED));
        }
        let show = match arguments.no_progress {
            true => Show::Never,
            false => Show::OrLog,
        };
        let summary = work(plan, screen, show).await;
        let summary = summary.map_err(|failure| failure.to_string())?;
        print(&match arguments.format {
            Shape::Text => summary.render(colours(colour, &stdout())),
            Shape::Json => summary.to_json(),
        });
        Ok(match (summary.is_good(), summary.stopped) {
            (false, _) => ExitCode::FAILURE,
            (true, true) => ExitCode::from(STOPPED),
            (true, false) => ExitCode::SUCCESS,
        })
    });
    // A read that never returns must not hold up the end of the process.
    runtime.shutdown_background();
    code
}

/// Whether there is somebody to ask.
fn asks(arguments: &Arguments) -> bool {
    !arguments.yes && !arguments.dry_run && stdin().is_terminal() && stderr().is_terminal()
}

async fn survey(plan: &Plan) -> Result<Option<Survey>, Failure> {
    match plan.pipeline.sources.first() {
        Some(source) => SourcePart::survey(&*source.part).await,
        None => Ok(None),
    }
}

/// `--dry-run`: what would be read.
fn told(plan: &Plan, survey: Option<Survey>, colour: bool) -> Result<ExitCode, String> {
    let source = &plan.aimed.source;
    let survey = survey.ok_or_else(|| format!("`{source}` cannot list what it would read"))?;
    let mut table = Table::new(["DAY", "OBJECTS", "BYTES"], colour);
    for (day, (objects, bytes)) in &survey.days {
        let day = match day.as_str() {
            "" => "unknown",
            day => day,
        };
        table.push([day.to_owned(), objects.to_string(), size(*bytes)]);
    }
    let (objects, bytes) = survey.total();
    let range = plan.range.shown();
    print(&format!(
        "{}would read {objects} objects ({}) from `{source}`, {range}; nothing was read\n",
        table.render(),
        size(bytes),
    ));
    Ok(ExitCode::SUCCESS)
}

fn agreed(plan: &Plan, survey: Option<Survey>) -> bool {
    let (objects, bytes) = survey.unwrap_or_default().total();
    let (source, range) = (&plan.aimed.source, plan.range.shown());
    complain(&format!(
        "read {objects} objects ({}) from `{source}`, {range}? [y/N] ",
        size(bytes)
    ));
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Runs it, checks what came of it, and writes that to the warehouses.
async fn work(plan: Plan, screen: crate::observe::Screen, show: Show) -> Result<Summary, Failure> {
    let Plan {
        range,
        aimed,
        pipeline,
        books,
        event_time,
    } = plan;
    let (name, state) = (pipeline.name.clone(), aimed.state.display().to_string());
    let source = &aimed.source;
    tracing::info!(source, state, event_time, "backfill, {}", range.shown());
    let store = open_store(&pipeline).await?;
    let resumed = !store.checkpoints(&aimed.source).await?.is_empty();
    let observer = Observer::new(&name);
    let stopped = Arc::new(AtomicBool::new(false));
    let run = {
        let stop = until_stopped(stopped.clone())?;
        run_backfill(pipeline, &observer, store, stop)
    };
    let resumed = Resumed {
        progress: observer.progress(),
        due: AtomicBool::new(resumed),
    };
    let ran = tokio::select! {
        ran = draw_progress(observer.progress(), screen, show, run) => ran,
        () = resumed.watch() => Ok(()),
    };
    resumed.tell();
    let stopped = stopped.load(Ordering::SeqCst);
    let mut summary = Summary::new(&name, &aimed, &range, &observer, stopped);
    for (sink, books) in books {
        let run = summary.run_id();
        let kept = match books.keep(&run, &summary.hours()).await {
            Ok(()) if stopped || ran.is_err() => continue,
            Ok(()) => match summary.span() {
                Some((first, last)) => books.facts(first, last + 1).await,
                None => continue,
            },
            Err(failure) => Err(failure),
        };
        match kept {
            Ok(Some(facts)) => summary.found(Found { sink, facts }),
            Ok(None) => {}
            Err(failure) => summary.wrong(format!("`{sink}`: {failure}")),
        }
    }
    if let Err(failure) = ran {
        summary.wrong(format!("the run failed: {failure}"));
    }
    Ok(summary)
}

/// Ready at the first signal. A second one ends the process: what is settled stays so.
fn until_stopped(stopped: Arc<AtomicBool>) -> Result<impl Future<Output = ()>, Failure> {
    let broken = |error| Failure::fatal("signals", format!("no signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(broken)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(broken)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stopped.store(true, Ordering::SeqCst);
        tracing::info!("stopping: what is under way is delivered first");
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    })
}

/// Says once how much was done before, as soon as the source has passed over it.
struct Resumed {
    progress: Progress,
    /// An earlier run has read something.
    due: AtomicBool,
}

impl Resumed {
    /// Watches the progress; never ready.
    async fn watch(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while self.due.load(Ordering::Relaxed) {
            ticks.tick().await;
            if self.progress.snapshot().records > 0 {
                self.tell();
            }
        }
        std::future::pending().await
    }

    /// A run that finds nothing new is over before anybody looks.
    fn tell(&self) {
        let now = self.progress.snapshot();
        if let Some(total) = now.files_total.filter(|_| now.files_skipped > 0)
            && self.due.swap(false, Ordering::Relaxed)
        {
            tracing::info!("resuming: {} of {total} objects done", now.files_skipped);
        }
    }
}
