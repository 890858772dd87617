//! Components of an embedding program, beside those that are built in.
//!
//! ```
//! use trunkline::event::Batch;
//! use trunkline::failure::Failure;
//! use trunkline::graph::Components;
//! use trunkline::setting::Fields;
//! use trunkline::stage::{Applied, Transform};
//!
//! /// `type: sample`: keeps one event in so many.
//! #[derive(Clone)]
//! struct Sample { every: u64 }
//!
//! impl Sample {
//!     fn check(fields: &mut Fields<'_>) -> Option<Self> {
//!         Some(Self { every: fields.required("every")? })
//!     }
//! }
//!
//! impl Transform for Sample {
//!     async fn apply(&self, mut batch: Batch) -> Result<Applied, Failure> {
//!         let before = batch.len();
//!         batch.make_mut().retain(|event| event.origin.index() as u64 % self.every == 0);
//!         let dropped = vec![("sampled", (before - batch.len()) as u64)];
//!         Ok(Applied { batch, dropped, ..Applied::default() })
//!     }
//! }
//!
//! let components = Components::default().transform("sample", Sample::check);
//! # let _ = components;
//! ```

use std::sync::Arc;

use futures::future::{BoxFuture, ready};

use crate::failure::Failure;
use crate::layer::{Kept, SinkContext, SinkPart, SourcePart, TransformContext, TransformPart};
use crate::plugin::Engine;
use crate::setting::Fields;
use crate::stage::{Sink, Stage, Transform};
use crate::{sink, source, transform};

type Check<P> = Arc<dyn Fn(&mut Fields<'_>) -> Option<Box<P>> + Send + Sync>;
type Own<P> = Vec<(&'static str, Check<P>)>;

/// Types that pipeline files may name besides those of the catalogues. One of the same name takes the
/// place of a built-in type. `trunkline schema` does not know them.
#[derive(Clone, Default)]
pub struct Components {
    sources: Own<dyn SourcePart>,
    transforms: Own<dyn TransformPart>,
    sinks: Own<dyn SinkPart>,
    plugins: Engine,
}

impl Components {
    /// Adds a type of source. `check` reads its settings: it asks for every field and reports every
    /// mistake, and connects to nothing.
    pub fn source<P, C>(mut self, kind: &'static str, check: C) -> Self
    where
        P: SourcePart + 'static,
        C: Fn(&mut Fields<'_>) -> Option<P> + Send + Sync + 'static,
    {
        let check = move |fields: &mut Fields<'_>| Some(Box::new(check(fields)?) as _);
        put(&mut self.sources, kind, Arc::new(check));
        self
    }

    /// Adds a type of transform: batch in, batch out, by the unnamed output. What it rejects goes to the
    /// dead letters.
    pub fn transform<T, C>(self, kind: &'static str, check: C) -> Self
    where
        T: Transform,
        C: Fn(&mut Fields<'_>) -> Option<T> + Send + Sync + 'static,
    {
        self.transform_part(kind, move |fields| check(fields).map(Plain))
    }

    /// Adds a type of transform that is built by its own rules: with state, with time, or as a layer.
    pub fn transform_part<P, C>(mut self, kind: &'static str, check: C) -> Self
    where
        P: TransformPart + 'static,
        C: Fn(&mut Fields<'_>) -> Option<P> + Send + Sync + 'static,
    {
        let check = move |fields: &mut Fields<'_>| Some(Box::new(check(fields)?) as _);
        put(&mut self.transforms, kind, Arc::new(check));
        self
    }

    /// Adds a type of sink: what it reads of the settings is what writes. Limits, retries, time-outs,
    /// breaker, metrics and dead letters are put around it as around every sink.
    pub fn sink<S, C>(self, kind: &'static str, check: C) -> Self
    where
        S: Sink,
        C: Fn(&mut Fields<'_>) -> Option<S> + Send + Sync + 'static,
    {
        self.sink_part(kind, move |fields| check(fields).map(Plain))
    }

    /// Adds a type of sink that is opened by its own rules, can be probed, or promises more.
    pub fn sink_part<P, C>(mut self, kind: &'static str, check: C) -> Self
    where
        P: SinkPart + 'static,
        C: Fn(&mut Fields<'_>) -> Option<P> + Send + Sync + 'static,
    {
        let check = move |fields: &mut Fields<'_>| Some(Box::new(check(fields)?) as _);
        put(&mut self.sinks, kind, Arc::new(check));
        self
    }

    /// What compiles plugins. Who checks a file again with the same components compiles none twice.
    pub(super) fn plugins(&self) -> &Engine {
        &self.plugins
    }

    /// All types of sources.
    pub(super) fn sources(&self) -> Vec<&'static str> {
        kinds(&self.sources, source::KINDS)
    }

    /// All types of transforms.
    pub(super) fn transforms(&self) -> Vec<&'static str> {
        kinds(&self.transforms, transform::KINDS)
    }

    /// All types of sinks.
    pub(super) fn sinks(&self) -> Vec<&'static str> {
        kinds(&self.sinks, sink::KINDS)
    }

    pub(super) fn own_source(&self, kind: &str) -> Option<Check<dyn SourcePart>> {
        find(&self.sources, kind)
    }

    pub(super) fn own_transform(&self, kind: &str) -> Option<Check<dyn TransformPart>> {
        find(&self.transforms, kind)
    }

    pub(super) fn own_sink(&self, kind: &str) -> Option<Check<dyn SinkPart>> {
        find(&self.sinks, kind)
    }
}

fn put<P: ?Sized>(own: &mut Own<P>, kind: &'static str, check: Check<P>) {
    own.retain(|(known, _)| *known != kind);
    own.push((kind, check));
}

fn find<P: ?Sized>(own: &Own<P>, kind: &str) -> Option<Check<P>> {
    let found = own.iter().find(|(known, _)| *known == kind)?;
    Some(found.1.clone())
}

fn kinds<P: ?Sized>(own: &Own<P>, built_in: &[&'static str]) -> Vec<&'static str> {
    let mut all: Vec<_> = own.iter().map(|(kind, _)| *kind).collect();
    all.extend(built_in);
    all.sort_unstable();
    all.dedup();
    all
}

/// What needs nothing but its settings.
struct Plain<T>(T);

impl<T: Transform> TransformPart for Plain<T> {
    fn build(&self, context: TransformContext) -> Result<Stage, Failure> {
        Ok(context.plain(self.0.clone()))
    }
}

impl<S: Sink> SinkPart for Plain<S> {
    fn kept(&self) -> Kept {
        Kept::Lasting {
            idempotent: None,
            limit: Some("as far as its own code goes"),
        }
    }

    fn build(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Stage, Failure>> {
        Box::pin(ready(Ok(context.stack(self.0))))
    }
}

#[cfg(test)]
mod tests;
