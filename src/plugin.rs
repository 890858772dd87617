//! Plugins: transforms as WASM components that others have written.
//!
//! `plugins/wit/transform.wit` is the whole of what the two sides say to each other. An [`Engine`]
//! compiles components and stops calls that take too long; a `Program` is one that was compiled and
//! looked through; a `Runner` has its instances and gives them batches.
//!
//! **A guest is not trusted.** Its memory, its time, its stack, what it answers and what it logs are
//! bounded by [`Limits`]. It can call two functions of the host and nothing else: one that imports
//! more is refused before it runs. What it breaks is its own instance, which is thrown away.
//!
//! **Only the event that does it is rejected.** A call that fails is made again event by event, in
//! new instances where the old ones died. How many are made a second is bounded: a plugin that fails
//! with everything holds its events up, and does not bury them faster than somebody can look.

#[cfg(feature = "plugins")]
mod answer;
#[cfg(feature = "plugins")]
mod ears;
#[cfg(feature = "plugins")]
mod engine;
#[cfg(feature = "plugins")]
mod guest;
#[cfg(feature = "plugins")]
mod pace;
#[cfg(feature = "plugins")]
mod program;
#[cfg(feature = "plugins")]
mod runner;
#[cfg(feature = "plugins")]
mod ticker;
#[cfg(feature = "plugins")]
mod watch;
#[cfg(feature = "plugins")]
mod wire;
#[cfg(feature = "plugins")]
mod work;

use std::time::Duration;

#[cfg(feature = "plugins")]
pub use ears::Blot;
#[cfg(feature = "plugins")]
pub use engine::Engine;
#[cfg(feature = "plugins")]
pub use program::{FILE_BYTES, Program, read};
#[cfg(feature = "plugins")]
pub use runner::{Runner, Settings};
#[cfg(feature = "plugins")]
pub use watch::watch;

/// Stands for the engine in a program that was built without plugins.
#[cfg(not(feature = "plugins"))]
#[derive(Clone, Debug, Default)]
pub struct Engine;

/// What a plugin may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory of one instance; default 64 MiB.
    pub memory: usize,
    /// Processor time of one call; default 1 s. It is looked at every 10 ms.
    pub time: Duration,
    /// Instances, and so calls at a time; default: the number of cores.
    pub instances: usize,
    /// Bytes of what one call answers; default 64 MiB.
    pub answer: usize,
    /// Bytes of the stack of calls; default 512 KiB.
    pub stack: usize,
    /// Lines in the log a second; default 10.
    pub log_lines: u32,
    /// Names of counters, and of reasons for drops, that are told apart; default 32.
    pub counters: usize,
    /// Instances that are made a second in place of ones that died, and as many more at once;
    /// default 20.
    pub restarts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            time: Duration::from_secs(1),
            instances: std::thread::available_parallelism().map_or(1, usize::from),
            answer: 64 << 20,
            stack: 512 << 10,
            log_lines: 10,
            counters: 32,
            restarts: 20,
        }
    }
}

/// What a plugin finds wrong with its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where: a JSON pointer; empty for the whole.
    pub path: String,
    /// What, in the plugin's words.
    pub message: String,
}

/// Why a plugin is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its file cannot be read: why, as a clause.
    File(String),
    /// What is in the file is no plugin for this program: why, as a clause.
    Unfit(String),
    /// It does not take its configuration.
    Mistakes(Vec<Mistake>),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(why) => write!(out, "the file cannot be read: {why}"),
            Self::Unfit(why) => out.write_str(why),
            Self::Mistakes(mistakes) => {
                let all = mistakes.iter().map(|it| match it.path.as_str() {
                    "" => it.message.clone(),
                    path => format!("{path}: {}", it.message),
                });
                let all: Vec<_> = all.collect();
                write!(out, "it refuses its `config`: {}", all.join("; "))
            }
        }
    }
}
