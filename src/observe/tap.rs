//! Taps: a live look at events on their way into and out of nodes.
//!
//! A [`Tap`] stands where events pass. While nobody looks it costs one relaxed atomic load for a batch.
//! Who looks ([`Taps::look`]) is given a sample at a bounded rate: what is taken is cloned (an event is
//! a reference to its batch) and put into a bounded channel without ever waiting; masking and writing
//! happen in the task of whoever looks. What is not shown is counted and told.

mod look;
mod pattern;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::clock::Wall;
use crate::diagnostic::nearest;
use crate::event::{Batch, Event};

pub use look::Look;

use look::Looker;
use pattern::Pattern;

/// Looks at one pipeline at the same time.
const MOST_LOOKS: usize = 8;
/// Patterns of names in one look.
const MOST_PATTERNS: usize = 32;
/// Most events a second that one look is shown.
pub const MOST_TAPPED: u32 = 1_000;

/// Masks personal data in an event.
type Mask = Arc<dyn Fn(&mut Event) + Send + Sync>;

/// What taps may show. The order is that of what is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TapPolicy {
    /// Nothing.
    Off,
    /// Events as dead letters are kept: masked by all rules of the pipeline.
    #[default]
    Masked,
    /// Also events as they are, to who asks for it.
    Unmasked,
}

/// Which side of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What comes in.
    In,
    /// What goes on to other nodes.
    Out,
}

impl Side {
    /// `in` or `out`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Side::In => "in",
            Side::Out => "out",
        }
    }
}

/// What somebody asks to see.
#[derive(Clone, Debug)]
pub struct TapAsk {
    /// Names of nodes (`order`) or of their outputs (`order.invalid`), with `*` for any letters.
    pub nodes: Vec<String>,
    /// Which side; `None`: what goes out, or what comes in where nothing goes out.
    pub side: Option<Side>,
    /// Events a second, over all these nodes: from 1 to [`MOST_TAPPED`].
    pub rate: u32,
    /// As they are, not masked.
    pub unmasked: bool,
    /// What the place where it is asked allows; the pipeline's own policy may allow less.
    pub allowed: TapPolicy,
}

/// Why there is nothing to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapRefusal {
    /// Taps are off, or it asks for more than is allowed.
    Forbidden(&'static str),
    /// No node has this name.
    Unknown(String),
    /// It asks for what cannot be; in words.
    Wrong(String),
    /// The pipeline does not run yet.
    NotYet,
    /// As many look as may.
    Busy,
}

/// A place where events pass: one output of a node, or its entrance. Clones share it.
#[derive(Clone)]
pub struct Tap(Arc<Point>);

struct Point {
    node: Box<str>,
    /// Empty for the unnamed one.
    output: Box<str>,
    side: Side,
    wall: Wall,
    watched: AtomicBool,
    lookers: RwLock<Arc<[Arc<Looker>]>>,
}

impl Tap {
    /// Shows a batch to who looks.
    #[inline]
    pub fn pass(&self, batch: &Batch) {
        if self.0.watched.load(Relaxed) {
            self.offer(batch);
        }
    }

    #[cold]
    fn offer(&self, batch: &Batch) {
        let lookers = self.0.lookers.read();
        let lookers = lookers.unwrap_or_else(PoisonError::into_inner).clone();
        let at = self.0.wall.micros();
        for looker in lookers.iter() {
            looker.take(self, batch.events(), at);
        }
    }

    /// As a pipeline file names it.
    fn address(&self) -> String {
        match &*self.0.output {
            "" => self.0.node.to_string(),
            output => format!("{}.{output}", self.0.node),
        }
    }
}

/// All taps of one run. Clones share them.
#[derive(Clone)]
pub struct Taps(Arc<Mutex<Registry>>);

struct Registry {
    wall: Wall,
    points: Vec<Tap>,
    lookers: Vec<Arc<Looker>>,
    mask: Option<Mask>,
    policy: TapPolicy,
}

impl Taps {
    pub(super) fn new(wall: Wall) -> Self {
        Self(Arc::new(Mutex::new(Registry {
            wall,
            points: Vec::new(),
            lookers: Vec::new(),
            mask: None,
            policy: TapPolicy::default(),
        })))
    }

    /// Where events enter a node. The same one at every call, so looks survive what stands behind it.
    #[must_use]
    pub fn entrance(&self, node: &str) -> Tap {
        self.lock().point(node, "", Side::In)
    }

    /// Where events leave by an output, which is empty for the unnamed one.
    #[must_use]
    pub fn out_of(&self, node: &str, output: &str) -> Tap {
        self.lock().point(node, output, Side::Out)
    }

    /// How events are masked. Until it is said, nothing is shown.
    pub fn mask_with(&self, mask: impl Fn(&mut Event) + Send + Sync + 'static) {
        self.lock().mask = Some(Arc::new(mask));
    }

    /// What the pipeline's own file allows; default: masked.
    pub fn allow(&self, policy: TapPolicy) {
        self.lock().policy = policy;
    }

    /// Begins to look. Ends when the look is dropped.
    ///
    /// # Errors
    /// When it is not allowed, names what is not there, or too many look.
    pub fn look(&self, ask: &TapAsk) -> Result<Look, TapRefusal> {
        let mut registry = self.lock();
        let mask = registry.permit(ask)?;
        if !(1..=MOST_TAPPED).contains(&ask.rate) {
            let range = format!("the rate is from 1 to {MOST_TAPPED} events a second");
            return Err(TapRefusal::Wrong(range));
        }
        let patterns = registry.patterns(&ask.nodes)?;
        if registry.lookers.len() >= MOST_LOOKS {
            return Err(TapRefusal::Busy);
        }
        let (looker, events) = Looker::new(patterns, ask.side, ask.rate);
        let looker = Arc::new(looker);
        registry.lookers.push(looker.clone());
        registry.wire();
        drop(registry);
        Ok(Look::new(looker, events, mask, self.clone()))
    }

    fn forget(&self, gone: &Arc<Looker>) {
        let mut registry = self.lock();
        registry.lookers.retain(|it| !Arc::ptr_eq(it, gone));
        registry.wire();
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn point(&mut self, node: &str, output: &str, side: Side) -> Tap {
        let same = |it: &&Tap| *it.0.node == *node && *it.0.output == *output && it.0.side == side;
        if let Some(known) = self.points.iter().find(same) {
            return known.clone();
        }
        let tap = Tap(Arc::new(Point {
            node: node.into(),
            output: output.into(),
            side,
            wall: self.wall.clone(),
            watched: AtomicBool::new(false),
            lookers: RwLock::new(Arc::default()),
        }));
        self.points.push(tap.clone());
        // Whoever looks at names like this sees a node that a reload brings, too.
        if !self.lookers.is_empty() {
            self.wire();
        }
        tap
    }

    /// How what is shown is masked: not at all, where that is allowed and asked for.
    fn permit(&self, ask: &TapAsk) -> Result<Option<Mask>, TapRefusal> {
        let refuse = |why| Err(TapRefusal::Forbidden(why));
        match self.policy.min(ask.allowed) {
            TapPolicy::Off => refuse("taps are off: `api.tap` of the pipeline file says so"),
            TapPolicy::Unmasked if ask.unmasked => Ok(None),
            TapPolicy::Masked if ask.unmasked => refuse(
                "events are shown masked here, unless `api.tap` of the pipeline file is `unmasked`",
            ),
            _ => match &self.mask {
                Some(mask) => Ok(Some(mask.clone())),
                None => Err(TapRefusal::NotYet),
            },
        }
    }

    fn patterns(&self, names: &[String]) -> Result<Vec<Pattern>, TapRefusal> {
        if names.is_empty() || names.len() > MOST_PATTERNS {
            let range = format!("name the nodes to look at, from 1 to {MOST_PATTERNS}");
            return Err(TapRefusal::Wrong(range));
        }
        let known = |pattern: &Pattern| self.points.iter().any(|tap| pattern.is_of(tap));
        let mut patterns = Vec::with_capacity(names.len());
        for name in names {
            let pattern = Pattern::new(name);
            if !known(&pattern) {
                return Err(TapRefusal::Unknown(self.unknown(name)));
            }
            patterns.push(pattern);
        }
        Ok(patterns)
    }

    fn unknown(&self, name: &str) -> String {
        // A name may be as long as a request's head.
        let shown: String = name.chars().take(80).collect();
        let mut all: Vec<String> = self.points.iter().map(Tap::address).collect();
        all.sort_unstable();
        all.dedup();
        let hint = match nearest(name, all.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are `{}`", all[..all.len().min(20)].join("`, `")),
        };
        format!("no node is called `{shown}`: {hint}")
    }

    /// Tells every point who looks at it.
    fn wire(&self) {
        for tap in &self.points {
            let silent = tap.0.side == Side::In && !self.has_outputs(&tap.0.node);
            let looks = |it: &&Arc<Looker>| it.looks_at(tap, silent);
            let lookers: Arc<[_]> = self.lookers.iter().filter(looks).cloned().collect();
            let watched = !lookers.is_empty();
            *tap.0
                .lookers
                .write()
                .unwrap_or_else(PoisonError::into_inner) = lookers;
            tap.0.watched.store(watched, Relaxed);
        }
    }

    fn has_outputs(&self, node: &str) -> bool {
        let mut outputs = self.points.iter().filter(|it| it.0.side == Side::Out);
        outputs.any(|it| *it.0.node == *node)
    }
}

#[cfg(test)]
mod tests;
