//! The records of `plugins/wit/transform.wit`, as they go over. Names and order are those of the file.

use std::borrow::Cow;
use std::sync::Arc;

use wasmtime::component::{ComponentType, Lift, Lower};

use crate::event::Provenance;

/// The interface that a plugin exports, without its version.
pub(super) const TRANSFORM: &str = "trunkline:plugin/transform@";
/// The interface that it may import.
pub(super) const HOST: &str = "trunkline:plugin/host@";
/// The version that is spoken here: major, minor.
pub(super) const VERSION: (u64, u64) = (1, 0);

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct Origin<'a> {
    pub source: &'a str,
    pub object: &'a str,
    pub received: i64,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct Header<'a> {
    pub name: &'a str,
    pub value: &'a str,
}

#[derive(ComponentType, Lower, Clone)]
#[component(record)]
pub(super) struct Event<'a> {
    pub body: &'a str,
    pub origin: u32,
    pub line: u64,
    pub time: Option<i64>,
    pub tenant: Option<&'a str>,
    pub headers: Option<Vec<Header<'a>>>,
}

#[derive(ComponentType, Lower, Clone)]
#[component(record)]
pub(super) struct Batch<'a> {
    pub origins: Vec<Origin<'a>>,
    pub events: Vec<Event<'a>>,
}

impl<'a> Batch<'a> {
    /// These events, whose bodies are already there as JSON.
    pub fn of(events: &'a [crate::event::Event], bodies: &'a [Cow<'a, str>]) -> Self {
        let mut batch = Batch {
            origins: Vec::with_capacity(1),
            events: Vec::with_capacity(events.len()),
        };
        let mut last: Option<&Arc<Provenance>> = None;
        for (event, body) in events.iter().zip(bodies) {
            let from = event.provenance();
            // Events of one delivery come from one place, nearly always.
            if !last.is_some_and(|last| Arc::ptr_eq(last, from)) {
                batch.origins.push(Origin {
                    source: &from.source,
                    object: &from.object,
                    received: from.received,
                });
                last = Some(from);
            }
            let extra = event.extra();
            let headers = extra.filter(|extra| !extra.headers.is_empty());
            let header = |(name, value): &'a (Arc<str>, String)| Header { name, value };
            batch.events.push(Event {
                body,
                origin: (batch.origins.len() - 1) as u32,
                line: event.position.line,
                time: event.time,
                tenant: extra.and_then(|extra| extra.tenant.as_deref()),
                headers: headers.map(|extra| extra.headers.iter().map(header).collect()),
            });
        }
        batch
    }
}

#[derive(ComponentType, Lift, Clone, Debug, PartialEq)]
#[component(record)]
pub(super) struct Rejection {
    pub reason: String,
    pub message: String,
}

#[derive(ComponentType, Lift, Clone, Debug, PartialEq)]
#[component(variant)]
pub(super) enum Outcome {
    #[component(name = "keep")]
    Keep,
    #[component(name = "replace")]
    Replace(Vec<String>),
    #[component(name = "drop")]
    Drop(String),
    #[component(name = "reject")]
    Reject(Rejection),
}

#[derive(ComponentType, Lift, Clone, Debug, PartialEq)]
#[component(record)]
pub(super) struct Mistake {
    pub path: String,
    pub message: String,
}

#[derive(ComponentType, Lift, Clone, Copy, Debug, PartialEq)]
#[component(enum)]
#[repr(u8)]
// They are read out of what a guest gives, by their numbers.
#[cfg_attr(not(test), expect(dead_code, reason = "only guests make them"))]
pub(super) enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}
