//! The engine: compiles components, keeps what it compiled, and has the clock for their calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::Refusal;
use super::program::{self, Program};
use super::ticker::{Call, Ticker};

/// Programs that are kept after they were compiled. A pipeline that is checked again (a reload, a
/// look at its files, each of its tests) finds them.
const KEPT: usize = 16;

/// Compiles plugins. A clone is the same one; a process needs one. Until the first plugin is loaded
/// there is nothing behind it, and no thread.
#[derive(Clone, Default)]
pub struct Engine(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// By the size of the stack, which is a matter of compilation.
    machines: Vec<Machine>,
    ticker: Option<Arc<Clock>>,
    kept: Vec<(Key, Result<Arc<Program>, Refusal>)>,
}

/// What the content of a file was compiled for.
type Key = ([u8; 32], usize);

/// One engine of `wasmtime`, and the clock by which its calls end.
#[derive(Clone)]
pub(super) struct Machine {
    pub engine: wasmtime::Engine,
    stack: usize,
    clock: Arc<Clock>,
}

struct Clock(Ticker);

impl Machine {
    /// A call begins.
    pub fn call(&self) -> Call<'_> {
        self.clock.0.call()
    }
}

impl Engine {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A component, or a core module that is made one, compiled and looked through. What was
    /// compiled before is not compiled again. Blocks for as long as compiling takes.
    ///
    /// # Errors
    /// When it is no plugin that this program can run.
    pub fn load(&self, bytes: &[u8], stack: usize) -> Result<Arc<Program>, Refusal> {
        let key = (Sha256::digest(bytes).into(), stack);
        let machine = {
            let mut inner = self.lock();
            if let Some(at) = inner.kept.iter().position(|(known, _)| *known == key) {
                // What was used last is kept longest.
                let found = inner.kept.remove(at);
                inner.kept.push(found.clone());
                return found.1;
            }
            inner.machine(stack)?
        };
        // Not under the lock: two pipelines may be checked at a time.
        let program = program::compile(bytes, key.0, &machine).map(Arc::new);
        let mut inner = self.lock();
        let surplus = (inner.kept.len() + 1).saturating_sub(KEPT);
        inner.kept.drain(..surplus);
        inner.kept.push((key, program.clone()));
        program
    }
}

impl Inner {
    fn machine(&mut self, stack: usize) -> Result<Machine, Refusal> {
        if let Some(known) = self.machines.iter().find(|it| it.stack == stack) {
            return Ok(known.clone());
        }
        let engine = wasmtime::Engine::new(&settings(stack))
            .map_err(|error| Refusal::Unfit(format!("plugins cannot run here: {error:#}")))?;
        let clock = (self.ticker)
            .get_or_insert_with(|| Arc::new(Clock(Ticker::new())))
            .clone();
        let started = clock.0.add(engine.clone());
        started.map_err(|error| Refusal::Unfit(format!("no thread for its clock: {error}")))?;
        let machine = Machine {
            engine,
            stack,
            clock,
        };
        self.machines.push(machine.clone());
        Ok(machine)
    }
}

fn settings(stack: usize) -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config.wasm_component_model(true);
    config.epoch_interruption(true);
    config.max_wasm_stack(stack);
    // Where a guest trapped is of no use without its source, and costs time at each trap.
    config.wasm_backtrace_max_frames(None);
    config.generate_address_map(false);
    // A number that is none may be told from another only by its bits; guests all do the same then.
    config.cranelift_nan_canonicalization(true);
    config
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Engine({} programs)", self.lock().kept.len())
    }
}
