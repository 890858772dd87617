//! `trunkline dlq replay`.

use std::io::stderr;

use tokio::signal::unix::{SignalKind, signal};

use super::{Choice, Colour, Location, tame};
use crate::cli::show::{colours, complain, print};
use crate::failure::Failure;
use crate::graph::replay::{entrance, replay as replay_letters};
use crate::graph::run::open_store;
use crate::graph::{Components, Pipeline};
use crate::layer::SourcePart;
use crate::letters::{Outcomes, Replaying, Taken, Tally, take};
use crate::observe::{LogFormat, Observer, Show, draw_progress, init_log};

pub(super) fn replay(
    place: &Location,
    choice: &Choice,
    no_progress: bool,
    colour: Colour,
    own: &Components,
) -> Result<bool, Failure> {
    let mut desk = place.open(own)?;
    let keys = desk.keys();
    let Some(pipeline) = desk.pipeline.take() else {
        let message = "letters go through a pipeline: name its file before `--file`";
        return Err(Failure::fatal("no_pipeline", message));
    };
    let filter = choice.filter()?;
    let limit = choice.limit.unwrap_or(u64::MAX);
    let open = |node: &str| entrance(&pipeline, node);
    let mut taken = take(&desk.shelves, &filter, limit, keys.as_ref(), open)?;
    tell(&taken);
    let outcomes = Outcomes::new(desk.shelves.clone());
    let mut ran = Ok(());
    let nodes = std::mem::take(&mut taken.nodes);
    if !nodes.is_empty() {
        let total = nodes.values().map(|marks| marks.len() as u64).sum();
        let sources = nodes.into_iter().map(|(node, marks)| {
            let part: Box<dyn SourcePart> = Box::new(Replaying {
                shelves: desk.shelves.clone(),
                marks,
                keys: keys.clone(),
                outcomes: outcomes.clone(),
            });
            (node, part)
        });
        ran = run(
            pipeline,
            sources.collect(),
            &outcomes,
            taken.bytes,
            no_progress,
            colour,
        );
        let tally = outcomes.tally();
        let known = tally.delivered + tally.dropped + tally.dead_lettered + tally.failed;
        outcomes.missing(total - known.min(total));
    }
    if let Err(failure) = &ran {
        complain(&format!("error: {}\n", explained(failure)));
    }
    let tally = outcomes.tally();
    close(&taken, &tally);
    let still_there = taken.stuck_count + tally.failed + tally.dead_lettered;
    Ok(ran.is_ok() && still_there == 0)
}

/// What is known before anything is sent.
fn tell(taken: &Taken) {
    for why in &taken.stuck {
        complain(&format!("not replayed: {}\n", tame(why)));
    }
    let more = taken.stuck_count - taken.stuck.len() as u64;
    if more > 0 {
        complain(&format!("not replayed: {more} more\n"));
    }
    if taken.masked > 0 {
        complain(&format!(
            "note: of {} letters only the masked event is there, since the pipeline had no \
             `encryption`: what is delivered is masked\n",
            taken.masked
        ));
    }
}

fn run(
    pipeline: Pipeline,
    sources: Vec<(String, Box<dyn SourcePart>)>,
    outcomes: &Outcomes,
    bytes: u64,
    no_progress: bool,
    colour: Colour,
) -> Result<(), Failure> {
    let cannot = |error: &dyn std::fmt::Display| Failure::fatal("no_start", error.to_string());
    let colour = colours(colour, &stderr());
    let screen = init_log(LogFormat::Text, "warn", colour).map_err(|it| cannot(&it))?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().build().map_err(|it| cannot(&it))?;
    let show = if no_progress {
        Show::Never
    } else {
        Show::OnTerminal
    };
    let observer = Observer::new(&pipeline.name);
    let ran = runtime.block_on(async {
        let store = open_store(&pipeline).await?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|it| cannot(&it))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(|it| cannot(&it))?;
        let stop = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        observer.progress().add_total(1, bytes);
        let run = replay_letters(pipeline, &observer, store, sources, stop);
        let ran = draw_progress(observer.progress(), screen, show, run).await;
        // Also after a failure: what was settled until then leaves.
        ran.and(outcomes.finish().await)
    });
    runtime.shutdown_background();
    if let Err(wrong) = observer.ledger().adds_up() {
        let message = format!("the ledger does not add up: {wrong}");
        return Err(Failure::fatal("bad_ledger", message));
    }
    ran
}

/// The failure, and what to do about those that a replay meets.
fn explained(failure: &Failure) -> String {
    let reason = failure.losses().first().map(|loss| loss.cause.reason);
    let hint = match reason {
        Some("state_locked") => {
            "\nhint: the pipeline runs, and its state has room for one process: stop it, replay, \
             and start it again; what it reads waits meanwhile"
        }
        Some("file_in_use") => {
            "\nhint: the pipeline runs and writes to that file: stop it, replay, and start it again"
        }
        _ => "",
    };
    format!("{failure}{hint}")
}

fn close(taken: &Taken, tally: &Tally) {
    for (reason, count) in &tally.reasons {
        complain(&format!("failed, {count}: {}\n", tame(reason)));
    }
    if taken.asked == 0 {
        return print("no dead letters to replay\n");
    }
    let Tally {
        delivered,
        dropped,
        dead_lettered,
        failed,
        ..
    } = tally;
    let failed = failed + taken.stuck_count;
    print(&format!(
        "replayed {}: delivered {delivered}, dropped {dropped}, dead-lettered again \
         {dead_lettered}, failed {failed} (still there)\n",
        taken.asked
    ));
}
