//! A batch on its way into the tables, the same for every dialect.

use hashbrown::HashSet;

use super::config::Config;
use super::freshness::Freshness;
use super::load::Load;
use super::memo::Memo;
use super::model::EVENT_ID;
use super::refusal::{Refusal, Refusals};
use super::row::{self, Cells, Row};
use super::store::{Store, Trouble};
use crate::event::{Batch, Origin};
use crate::failure::Failure;
use crate::observe::NodeMeter;

/// Rows that may be refused in one batch before the rest is written row by row: to find each of many
/// by halves would take more transactions than that.
const MANY: usize = 64;

/// What all connections of a warehouse share.
pub(super) struct Shared {
    pub config: Config,
    pub memo: Memo,
    pub freshness: Freshness,
    pub meter: NodeMeter,
}

impl Shared {
    pub fn new(config: Config, meter: NodeMeter) -> Self {
        Self {
            memo: Memo::default(),
            // How late a backfill brings what is long past says nothing of the live run.
            freshness: Freshness::new(config.freshness && meter.hours().is_none(), meter.clone()),
            config,
            meter,
        }
    }
}

/// Writes a batch; durable when it returns.
///
/// # Errors
/// Names the events that are refused; all others are written. Any other failure speaks of the whole
/// batch, of which then nothing or some is written.
pub(super) async fn write<S: Store>(
    store: &mut S,
    shared: &Shared,
    batch: &Batch,
) -> Result<(), Failure> {
    let mut refusals = Refusals::default();
    let mut cells = Vec::with_capacity(batch.len());
    for event in batch.events() {
        match row::read(&shared.config.paths, event) {
            Ok(read) => cells.push(read),
            Err(refusal) => refusals.push(refusal, event.origin),
        }
    }
    match shared.config.staging {
        true => stage(store, shared, cells, &mut refusals).await?,
        false => {
            let rows = check(cells, &mut refusals);
            load(store, shared, &rows, &mut refusals).await?;
        }
    }
    refusals.into_result()
}

fn check<'e>(cells: Vec<Cells<'e>>, refusals: &mut Refusals) -> Vec<Row<'e>> {
    let mut rows = Vec::with_capacity(cells.len());
    for cells in cells {
        let origin = cells.origin;
        match Row::check(cells) {
            Ok(row) => rows.push(row),
            Err(refusal) => refusals.push(refusal, origin),
        }
    }
    rows
}

async fn stage<S: Store>(
    store: &mut S,
    shared: &Shared,
    cells: Vec<Cells<'_>>,
    refusals: &mut Refusals,
) -> Result<(), Failure> {
    if cells.is_empty() {
        return Ok(());
    }
    let times = cells.iter().filter_map(|cells| cells.verify().ok());
    let mut note = shared.freshness.note(times.map(|(time, _)| time));
    let mut also = Load {
        told: shared.meter.hours().is_some(),
        ..Load::default()
    };
    note.add_to(&mut also);
    match store.stage(&cells, &also).await {
        Ok(found) => {
            note.committed();
            let bad: HashSet<usize> = found.iter().map(|(_, place)| *place).collect();
            let good = cells.iter().enumerate().filter(|(at, _)| !bad.contains(at));
            let taken = good.filter_map(|(_, cells)| {
                let id = cells.text[EVENT_ID].as_deref()?;
                Some((cells.origin, id, cells.time?))
            });
            tell(shared, taken, store.written_facts());
            for (refusal, place) in found {
                refusals.push(refusal, cells[place].origin);
            }
            Ok(())
        }
        Err(Trouble::Failed(failure)) => Err(failure),
        // Which row it is shows only in the direct load.
        Err(Trouble::Refused(_)) => {
            let rows = check(cells, refusals);
            load(store, shared, &rows, refusals).await
        }
    }
}

/// Writes the rows; where the database refuses them together, in halves, down to single rows. They
/// are folded only here, since the newest row of an event may be the refused one.
async fn load<S: Store>(
    store: &mut S,
    shared: &Shared,
    rows: &[Row<'_>],
    refusals: &mut Refusals,
) -> Result<(), Failure> {
    let (mut waiting, mut refused) = (vec![rows], 0);
    while let Some(rows) = waiting.pop() {
        if rows.is_empty() {
            continue;
        }
        let mut load = Load::of(rows, &shared.config.source_system, &shared.memo);
        let mut note = shared.freshness.note(rows.iter().map(|row| row.time));
        note.add_to(&mut load);
        load.told = shared.meter.hours().is_some();
        match store.load(&load).await {
            Ok(_) => {
                shared.memo.committed(&load);
                note.committed();
                let taken = rows
                    .iter()
                    .map(|row| (row.origin, row.event_id(), row.time));
                tell(shared, taken, store.written_facts());
            }
            Err(Trouble::Failed(failure)) => return Err(failure),
            Err(Trouble::Refused(reason)) => match rows {
                [row] => {
                    refused += 1;
                    refusals.push(Refusal::Constraint(reason), row.origin);
                }
                rows if refused >= MANY => waiting.extend(rows.chunks(1).rev()),
                rows => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    waiting.extend([second, first]);
                }
            },
        }
    }
    Ok(())
}

/// Tells the completeness ledger of a backfill what was committed: the events by origin, id and time.
/// An event whose row another event of the batch made counts as unchanged. So do those of a batch that
/// came again because the answer to its commit was lost: their rows were there.
fn tell<'e>(
    shared: &Shared,
    taken: impl Iterator<Item = (Origin, &'e str, i64)> + Clone,
    written: Option<HashSet<String>>,
) {
    let Some(hours) = shared.meter.hours() else {
        return;
    };
    hours.ids(taken.clone().map(|(_, id, time)| (id, time)));
    if let Some(mut new) = written {
        hours.rows(taken.map(|(origin, id, _)| (origin, new.remove(id))));
    }
}
