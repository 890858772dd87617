//! `trunkline run`.

use std::collections::HashMap;
use std::io::{self, IsTerminal, stderr};
use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::reload::{Watched, reload_for_ever};
use super::show;
use super::{Colour, LogShape, RunArguments};
use crate::api;
use crate::failure::Failure;
use crate::graph::Components;
use crate::graph::promise::promises;
use crate::graph::run::{open_store, run_reloading};
use crate::graph::{Interface, Pipeline, StateSetting};
use crate::observe::{Ledger, Observer, Screen, Show, draw_progress, init_log, render_promises};

pub(super) fn run(arguments: RunArguments, colour: Colour, own: &Components) -> ExitCode {
    let colour = show::colours(colour, &stderr());
    let Some(pipelines) = read_all(&arguments, colour, own) else {
        return ExitCode::FAILURE;
    };
    let screen = match init_log(arguments.log_format.into(), &arguments.log_level, colour) {
        Ok(screen) => screen,
        Err(error) => return fail(&error.to_string()),
    };
    let observers = observe(&pipelines, &arguments, colour);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start threads: {error}")),
    };
    let (outcome, ledgers) = runtime.block_on(drive(
        pipelines, observers, &arguments, &screen, colour, own,
    ));
    // A read of stdin that never returns must not hold up the end of the process.
    runtime.shutdown_background();
    for ledger in &ledgers {
        show::complain(&ledger.render(terminal_width(), colour));
    }
    let mut good = outcome;
    for ledger in &ledgers {
        if let Err(wrong) = ledger.adds_up() {
            show::complain(&format!("error: the ledger does not add up: {wrong}\n"));
            good = false;
        }
    }
    if let Some(file) = &arguments.summary
        && let Err(error) = write_summary(file, &ledgers)
    {
        return fail(&format!("cannot write {}: {error}", file.display()));
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn fail(message: &str) -> ExitCode {
    show::complain(&format!("error: {message}\n"));
    ExitCode::FAILURE
}

fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(stderr());
    size.map_or(100, |size| usize::from(size.ws_col).clamp(60, 160))
}

/// Checks all files before anything starts: a broken pipeline never runs.
fn read_all(arguments: &RunArguments, colour: bool, own: &Components) -> Option<Vec<Pipeline>> {
    let mut pipelines = Vec::new();
    let mut good = true;
    for file in &arguments.files {
        let (loaded, checked) = show::read(file, own);
        show::complain(&show::text(&checked.report, &loaded.sources(), colour));
        good &= !checked.report.has_errors();
        pipelines.extend(checked.pipeline);
    }
    good &= !clash(&pipelines);
    good.then_some(pipelines)
}

/// Pipelines of one process need names and state of their own.
fn clash(pipelines: &[Pipeline]) -> bool {
    let mut names = HashMap::new();
    let mut states = HashMap::new();
    let mut clash = false;
    for pipeline in pipelines {
        if names.insert(&pipeline.name, ()).is_some() {
            fail(&format!("two pipelines are called `{}`", pipeline.name));
            clash = true;
        }
        if let StateSetting::Embedded(path) = &pipeline.state
            && let Some(other) = states.insert(path, &pipeline.name)
        {
            let (path, name) = (path.display(), &pipeline.name);
            fail(&format!(
                "`{other}` and `{name}` both keep their state in {path}"
            ));
            clash = true;
        }
    }
    clash
}

/// An observer for each pipeline, after saying what is promised: as a table to people, as log lines
/// to programs.
fn observe(pipelines: &[Pipeline], arguments: &RunArguments, colour: bool) -> Vec<Observer> {
    let people = stderr().is_terminal() && matches!(arguments.log_format, LogShape::Text);
    let observe = |pipeline: &Pipeline| {
        let observer = Observer::new(&pipeline.name);
        let promises = promises(pipeline);
        if people {
            show::complain(&format!("promised by {}:\n", pipeline.name));
            show::complain(&render_promises(&promises, colour));
        }
        for promise in promises.iter().filter(|_| !people) {
            let (source, sink, why) = (&promise.source, &promise.sink, &promise.why);
            let words = promise.guarantee.words();
            tracing::info!(pipeline = %pipeline.name, %source, %sink, why, "promised: {words}");
        }
        observer.set_promises(promises);
        let tap = pipeline.api.as_ref().map(|api| api.tap);
        observer.taps().allow(tap.unwrap_or_default());
        observer
    };
    pipelines.iter().map(observe).collect()
}

async fn drive(
    pipelines: Vec<Pipeline>,
    observers: Vec<Observer>,
    arguments: &RunArguments,
    screen: &Screen,
    colour: bool,
    own: &Components,
) -> (bool, Vec<Ledger>) {
    let (stop, stopping) = watch::channel(false);
    let ready = begin(&pipelines, &observers, stop).await;
    let apis = match ready {
        Ok(apis) => apis,
        Err(failure) => return (report(Err(failure)), Vec::new()),
    };
    let mut running = JoinSet::new();
    let mut watching = JoinSet::new();
    for ((pipeline, observer), file) in pipelines.into_iter().zip(&observers).zip(&arguments.files)
    {
        let (observer, mut stopping) = (observer.clone(), stopping.clone());
        let (reloads, reloading) = mpsc::channel(1);
        let watched = Watched {
            file: file.clone(),
            api: pipeline.api.clone(),
            observer: observer.clone(),
            reloads,
            own: own.clone(),
            colour,
        };
        watching.spawn(reload_for_ever(watched, arguments.watch));
        running.spawn(async move {
            let stop = async move {
                // The sender lives as long as the process listens for signals.
                let _ = stopping.wait_for(|stop| *stop).await;
            };
            let mut stop = Box::pin(stop);
            let opened = tokio::select! {
                opened = open_store(&pipeline) => opened,
                // A shared store that is away may take longer than anybody wants to wait.
                () = &mut stop => return Ok(()),
            };
            let store = opened.inspect_err(|failure| {
                let failed = crate::observe::RunState::Failed(failure.to_string());
                observer.set_state(failed);
            })?;
            run_reloading(pipeline, &observer, store, stop, reloading).await
        });
    }
    let all = async {
        let mut good = true;
        while let Some(ended) = running.join_next().await {
            let failed = |panic: tokio::task::JoinError| Failure::fatal("panic", panic.to_string());
            good &= report(ended.map_err(failed).and_then(|outcome| outcome));
        }
        good
    };
    let show = if arguments.no_progress {
        Show::Never
    } else {
        Show::OnTerminal
    };
    let good = match observers.first() {
        Some(first) => draw_progress(first.progress(), screen.clone(), show, all).await,
        None => all.await,
    };
    apis.end();
    (good, observers.iter().map(Observer::ledger).collect())
}

fn report(outcome: Result<(), Failure>) -> bool {
    if let Err(failure) = &outcome {
        tracing::error!("{failure}");
    }
    outcome.is_ok()
}

/// Servers of the API: they answer until the last ledger is closed.
struct Apis(Vec<tokio::task::JoinHandle<()>>);

impl Apis {
    fn end(self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Starts to listen: for signals, and on the addresses that pipelines name.
async fn begin(
    pipelines: &[Pipeline],
    observers: &[Observer],
    stop: watch::Sender<bool>,
) -> Result<Apis, Failure> {
    let broken = |error: io::Error| Failure::fatal("signals", format!("no signals: {error}"));
    let signals = listen().map_err(broken)?;
    tokio::spawn(async move {
        let mut signals = signals;
        signals.recv().await;
        tracing::info!("stopping: what was accepted is delivered; a second signal ends at once");
        stop.send_replace(true);
        signals.recv().await;
        std::process::exit(130);
    });
    let mut apis = Vec::new();
    for interface in interfaces(pipelines)? {
        let address = interface.address;
        let (shown, access) = (shown(interface, pipelines, observers), access(interface));
        let served = api::serve(address, shown, access, std::future::pending::<()>()).await;
        let (address, handle) = served.map_err(|error| {
            Failure::fatal("api", format!("cannot serve the API on {address}: {error}"))
        })?;
        tracing::info!("metrics, health and views on http://{address}");
        apis.push(handle);
    }
    Ok(Apis(apis))
}

/// The interfaces that pipelines name, each address once.
fn interfaces(pipelines: &[Pipeline]) -> Result<Vec<&Interface>, Failure> {
    let mut found: Vec<&Interface> = Vec::new();
    for interface in pipelines.iter().filter_map(|it| it.api.as_ref()) {
        match found.iter().find(|it| it.address == interface.address) {
            None => found.push(interface),
            Some(known) if *known == interface => {}
            Some(_) => {
                let address = interface.address;
                let message = format!("two pipelines say different things about `api` {address}");
                return Err(Failure::fatal("api", message));
            }
        }
    }
    Ok(found)
}

/// The pipelines that are shown there: all but those that another token protects.
fn shown(at: &Interface, pipelines: &[Pipeline], observers: &[Observer]) -> Vec<Observer> {
    let open = |pipeline: &Pipeline| {
        let token = pipeline.api.as_ref().and_then(|api| api.token.as_ref());
        token.is_none() || token == at.token.as_ref()
    };
    let all = pipelines.iter().zip(observers);
    let shown = all.filter(|(pipeline, _)| open(pipeline));
    shown.map(|(_, observer)| observer.clone()).collect()
}

fn access(interface: &Interface) -> api::Access {
    let access = api::Access::open();
    let access = access
        .allow_origins(&interface.cors)
        .with_taps(interface.tap);
    match &interface.token {
        Some(token) => access.with_token(token.expose(), interface.protect_metrics),
        None => access,
    }
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

fn listen() -> io::Result<Signals> {
    let (interrupt, terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    Ok(Signals {
        interrupt,
        terminate,
    })
}

impl Signals {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Written beside and renamed, so that a reader never finds half of it.
fn write_summary(file: &Path, ledgers: &[Ledger]) -> io::Result<()> {
    let json = match ledgers {
        [one] => one.to_json(),
        many => {
            let all: Vec<String> = many.iter().map(Ledger::to_json).collect();
            format!("[{}]", all.join(","))
        }
    };
    let mut beside = file.as_os_str().to_owned();
    beside.push(".part");
    std::fs::write(&beside, json + "\n")?;
    std::fs::rename(&beside, file)
}
