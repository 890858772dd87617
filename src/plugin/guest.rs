//! One instance of a plugin, and one call of it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::component::{Func, TypedFunc};
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};

use super::ears::Ears;
use super::program::Program;
use super::ticker::STEP;
use super::wire::{self, Outcome};
use super::{Limits, Mistake, Refusal};
use crate::event::Event;

/// Processor time that an instance may take to be made and configured.
const CONFIGURE_TIME: Duration = Duration::from_secs(10);
/// Most mistakes in a configuration that are told.
const MISTAKES: usize = 32;
/// Memories, tables and core instances of one component. What is made of a core module has one, one
/// and a few for what lies between.
const PARTS: usize = 16;
/// Elements of all its tables.
const ELEMENTS: usize = 1 << 20;

/// What the host keeps for one instance.
pub(super) struct Host {
    pub ears: Arc<Ears>,
    room: Room,
    due: Due,
}

/// When the call that is under way is over its time: by the processor time of its thread, so that
/// nothing is taken for a loop because the machine is busy. A guest has nothing that it could wait
/// for, so its thread is at work whenever it may be.
struct Due {
    /// Of the thread.
    began: Duration,
    time: Duration,
}

impl Due {
    fn of(time: Duration) -> Self {
        Self {
            began: thread_time(),
            time,
        }
    }

    fn rest(&self) -> Duration {
        self.time
            .saturating_sub(thread_time().saturating_sub(self.began))
    }
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.try_into().unwrap_or_default()
}

/// Memory that an instance may still take.
struct Room {
    most: usize,
    taken: usize,
    /// Elements of tables.
    elements: usize,
    /// Whether it asked for more in this call.
    denied: bool,
}

impl ResourceLimiter for Room {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let fits = more <= self.most.saturating_sub(self.taken);
        match fits {
            true => self.taken += more,
            false => self.denied = true,
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let fits = more <= ELEMENTS.saturating_sub(self.elements);
        match fits {
            true => self.elements += more,
            false => self.denied = true,
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}

/// Why a call did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It trapped: in the words of the machine.
    Trap(String),
    /// It took too long.
    Time,
    /// It wanted more memory than it may have.
    Memory,
    /// What it answered breaks the contract: how, as a sentence.
    Answer(&'static str),
    /// It said that it failed: in its words.
    Error(String),
}

impl Fault {
    /// The word in the ledger and in the letters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Trap(_) => "plugin_trap",
            Self::Time => "plugin_timeout",
            Self::Memory => "plugin_memory",
            Self::Answer(_) => "plugin_answer",
            Self::Error(_) => "plugin_error",
        }
    }

    /// For people.
    pub fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Trap(how) => format!("the plugin trapped: {how}").into(),
            Self::Time => "the plugin took longer than `time`".into(),
            Self::Memory => "the plugin needed more than `memory`".into(),
            Self::Answer(how) => (*how).into(),
            Self::Error(said) => format!("the plugin failed: {said}").into(),
        }
    }
}

type Apply<'a> = TypedFunc<(wire::Batch<'a>,), (Result<Vec<Outcome>, String>,)>;
type Configure<'a> = TypedFunc<(&'a str,), (Result<(), Vec<wire::Mistake>>,)>;

/// An instance that took its configuration. For one call at a time.
pub(super) struct Guest {
    program: Arc<Program>,
    store: Store<Host>,
    apply: Func,
    time: Duration,
    dead: bool,
    /// Which version of the plugin it is of.
    pub version: u64,
}

impl Guest {
    /// A new instance. Blocks for as long as the plugin takes for its configuration.
    ///
    /// # Errors
    /// When the plugin cannot be instantiated, or does not take its configuration.
    pub fn new(
        program: &Arc<Program>,
        config: &str,
        limits: &Limits,
        ears: &Arc<Ears>,
        version: u64,
    ) -> Result<Self, Refusal> {
        let room = Room {
            most: limits.memory,
            taken: 0,
            elements: 0,
            denied: false,
        };
        let host = Host {
            ears: ears.clone(),
            room,
            due: Due::of(Duration::ZERO),
        };
        let mut store = Store::new(&program.machine.engine, host);
        store.limiter(|host| &mut host.room);
        store.set_hostcall_fuel(limits.answer);
        store.epoch_deadline_callback(|store| {
            let rest = store.data().due.rest();
            Ok(match rest.is_zero() {
                true => UpdateDeadline::Interrupt,
                false => UpdateDeadline::Continue(steps(rest)),
            })
        });
        allow(&mut store, CONFIGURE_TIME);
        let _call = program.machine.call();
        let (answered, apply) = start(program, &mut store, config).map_err(|error| {
            let detail = match fault_of(&error, &mut store.data_mut().room) {
                // What does not fit is told by the machine best.
                Fault::Answer(_) => format!("{error:#}"),
                fault => fault.detail().into_owned(),
            };
            Refusal::Unfit(format!("it cannot be started: {}", ears.clean(&detail)))
        })?;
        answered.map_err(|mistakes| Refusal::Mistakes(told(mistakes, ears)))?;
        Ok(Self {
            program: program.clone(),
            store,
            apply,
            time: limits.time,
            dead: false,
            version,
        })
    }

    /// Whether its last call killed it.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Asks it what becomes of these events.
    ///
    /// # Errors
    /// What went wrong; nothing is known of any of the events then.
    pub fn apply(&mut self, events: &[Event]) -> Result<Vec<Outcome>, Fault> {
        let bodies: Vec<_> = events.iter().map(Event::json).collect();
        let batch = wire::Batch::of(events, &bodies);
        allow(&mut self.store, self.time);
        let called = {
            let _call = self.program.machine.call();
            let typed: wasmtime::Result<Apply<'_>> = self.apply.typed(&self.store);
            typed.and_then(|apply| apply.call(&mut self.store, (batch,)))
        };
        match called {
            Ok((Ok(outcomes),)) if outcomes.len() == events.len() => Ok(outcomes),
            Ok((Ok(_),)) => Err(Fault::Answer(
                "it answered for more or fewer events than it was given",
            )),
            Ok((Err(said),)) => Err(Fault::Error(self.store.data().ears.clean(&said))),
            Err(error) => {
                self.dead = true;
                Err(fault_of(&error, &mut self.store.data_mut().room))
            }
        }
    }
}

/// A call that begins now may take so much processor time of this thread.
fn allow(store: &mut Store<Host>, time: Duration) {
    store.set_epoch_deadline(steps(time));
    let host = store.data_mut();
    host.due = Due::of(time);
    host.room.denied = false;
}

/// What `configure` answered, and `apply` to be called.
type Started = (Result<(), Vec<wire::Mistake>>, Func);

fn start(program: &Program, store: &mut Store<Host>, config: &str) -> wasmtime::Result<Started> {
    let instance = program.pre.instantiate(&mut *store)?;
    let missing = || wasmtime::format_err!("its functions are not there");
    let apply = instance
        .get_func(&mut *store, program.apply)
        .ok_or_else(missing)?;
    // So that one whose `apply` is of another kind is refused when it is checked.
    let _: Apply<'_> = apply.typed(&*store)?;
    let configure: Configure<'_> = instance.get_typed_func(&mut *store, program.configure)?;
    let (answered,) = configure.call(&mut *store, (config,))?;
    Ok((answered, apply))
}

fn told(mistakes: Vec<wire::Mistake>, ears: &Ears) -> Vec<Mistake> {
    let mistakes = mistakes.into_iter().take(MISTAKES);
    let mistakes = mistakes.map(|wire::Mistake { path, message }| Mistake {
        path,
        message: ears.clean(&message),
    });
    mistakes.collect()
}

/// Steps of the clock that are no less than this time.
fn steps(time: Duration) -> u64 {
    // The first step is under way already.
    let steps = time.as_nanos().div_ceil(STEP.as_nanos()) + 1;
    u64::try_from(steps).unwrap_or(u64::MAX)
}

fn fault_of(error: &wasmtime::Error, room: &mut Room) -> Fault {
    let denied = std::mem::take(&mut room.denied);
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Fault::Time,
        // Who is denied memory gives up by a trap, or does not even begin.
        _ if denied => Fault::Memory,
        Some(trap) => Fault::Trap(trap.to_string()),
        None => Fault::Answer("what it answered cannot be read, or is larger than `answer`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_a_thread_has_no_processor_is_not_its_own() {
        let due = Due::of(Duration::from_millis(20));
        let other = std::thread::spawn(|| {
            let from = std::time::Instant::now();
            while from.elapsed() < Duration::from_millis(60) {
                std::hint::spin_loop();
            }
        });
        other.join().unwrap();
        assert!(!due.rest().is_zero());
        while !due.rest().is_zero() {
            std::hint::spin_loop();
        }
    }
}
