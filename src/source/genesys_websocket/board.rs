//! How the channels of a source stand, as its figures and alerts show it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::genesys::Topic;
use crate::observe::NodeMeter;

/// Refused topics that an alert names; the others are counted.
const NAMED: usize = 10;

/// Shared by the tasks of a source.
pub(super) struct Board {
    meter: NodeMeter,
    state: Mutex<State>,
}

struct State {
    channels: BTreeMap<u32, Standing>,
    /// Since when no channel is open.
    dark: Option<Instant>,
}

#[derive(Default)]
struct Standing {
    open: bool,
    full: bool,
    topics: usize,
    refused: Vec<String>,
}

impl Board {
    pub fn new(meter: NodeMeter) -> Self {
        Self {
            meter,
            state: Mutex::new(State {
                channels: BTreeMap::new(),
                dark: Some(Instant::now()),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A channel's socket is open, or not any more.
    pub fn open(&self, channel: u32, open: bool) {
        let mut state = self.state();
        state.channels.entry(channel).or_default().open = open;
        let count = state.channels.values().filter(|one| one.open).count();
        state.dark = match count {
            0 => state.dark.or_else(|| Some(Instant::now())),
            _ => None,
        };
        self.meter.figure("channels", count as u64);
    }

    /// For how long no channel has been open.
    pub fn dark(&self) -> Duration {
        self.state()
            .dark
            .map(|since| since.elapsed())
            .unwrap_or_default()
    }

    /// A channel waits for room among those of the OAuth client, or has found it.
    pub fn full(&self, channel: u32, waits: bool) {
        let mut state = self.state();
        let standing = state.channels.entry(channel).or_default();
        if standing.full == waits {
            return;
        }
        standing.full = waits;
        let waiting = state.channels.values().filter(|one| one.full).count();
        drop(state);
        let message = match waiting {
            0 => "there is room for all channels".to_owned(),
            _ => format!(
                "{waiting} channels wait for room: the OAuth client has as many as it may, and a \
                 further one would take another worker's"
            ),
        };
        self.meter
            .alert("genesys_channels_full", message, waiting > 0);
    }

    /// The placeholders stand for nothing: the lists of the platform are empty.
    pub fn nothing_to_hear(&self, none: bool) {
        let message = match none {
            true => "no topic is left once the placeholders are filled in",
            false => "there are topics",
        };
        self.meter.alert("genesys_no_topics", message, none);
    }

    /// What became of a channel's topics. Refused ones are named, each once in the log.
    pub fn topics(&self, channel: u32, permitted: usize, refused: &[Topic]) {
        let described: Vec<String> = refused.iter().map(describe).collect();
        let mut state = self.state();
        let standing = state.channels.entry(channel).or_default();
        let news: Vec<String> = described
            .iter()
            .filter(|one| !standing.refused.contains(one))
            .cloned()
            .collect();
        standing.topics = permitted;
        standing.refused = described;
        let topics: usize = state.channels.values().map(|one| one.topics).sum();
        let all: Vec<String> = state
            .channels
            .values()
            .flat_map(|one| one.refused.clone())
            .collect();
        drop(state);
        for topic in news {
            tracing::warn!(
                source = self.meter.name(),
                channel,
                "topic refused: {topic}"
            );
        }
        self.meter.figure("topics", topics as u64);
        self.meter.figure("topics_rejected", all.len() as u64);
        let named = all
            .iter()
            .take(NAMED)
            .cloned()
            .collect::<Vec<_>>()
            .join("; ");
        let message = match all.len() {
            0 => "all topics are permitted".to_owned(),
            count if count > NAMED => format!("{count} topics are refused: {named}; …"),
            count => format!("{count} topics are refused: {named}"),
        };
        self.meter
            .alert("genesys_topics_rejected", message, !all.is_empty());
    }
}

/// A topic with what it lacks. The words of the platform are shortened.
fn describe(topic: &Topic) -> String {
    let short =
        |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(200).collect() };
    let mut text = short(&topic.id);
    let missing = topic.missing_permissions.as_deref().unwrap_or_default();
    if !missing.is_empty() {
        text += &format!(" (needs {})", short(&missing.join(", ")));
    } else if let Some(reason) = &topic.rejection_reason {
        text += &format!(" ({})", short(reason));
    }
    text
}
