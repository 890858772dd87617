//! Stops guests that take too long: a thread that counts time while calls are under way.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Length of a step. A guest looks at the count at each turn of a loop and at each call.
pub(super) const STEP: Duration = Duration::from_millis(10);
/// Steps that are counted on after the last call, so that the thread need not be woken for each.
const IDLE: u32 = 50;

/// Counts time for the engines that were given to it. Its thread rests while nothing is called.
pub(super) struct Ticker(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    engines: Vec<wasmtime::Engine>,
    calls: usize,
    started: bool,
    resting: bool,
    ended: bool,
}

impl Ticker {
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
        }))
    }

    /// From now on it counts for this one, too.
    ///
    /// # Errors
    /// When the machine has no thread for it: then nothing may be called.
    pub fn add(&self, engine: wasmtime::Engine) -> std::io::Result<()> {
        let mut state = self.0.lock();
        if !state.started {
            let shared = self.0.clone();
            thread::Builder::new()
                .name("plugin-time".into())
                .spawn(move || shared.count())?;
            state.started = true;
        }
        state.engines.push(engine);
        Ok(())
    }

    /// A call begins; it ends when what is answered is dropped.
    pub fn call(&self) -> Call<'_> {
        let mut state = self.0.lock();
        state.calls += 1;
        if state.resting {
            self.0.wake.notify_one();
        }
        Call(&self.0)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.wake.notify_one();
    }
}

/// A call that is under way.
pub(super) struct Call<'t>(&'t Shared);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.lock().calls -= 1;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: until the ticker is dropped.
    fn count(&self) {
        let mut idle = 0;
        let mut state = self.lock();
        while !state.ended {
            idle = if state.calls > 0 { 0 } else { idle + 1 };
            if idle > IDLE {
                state.resting = true;
                state = self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.resting = false;
                continue;
            }
            let waited = self.wake.wait_timeout(state, STEP);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state
                .engines
                .iter()
                .for_each(wasmtime::Engine::increment_epoch);
        }
    }
}
