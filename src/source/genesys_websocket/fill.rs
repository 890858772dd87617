//! After a gap: the conversations that it may have changed are read again by REST.
//!
//! Those that the channel had told of and not told the end of, and those that the details query
//! names for the time of the gap. What is found goes to the engine as events of the topic
//! `trunkline.conversation.reread`; what did happen in between is not to be had, but where every
//! conversation stands now is. Gaps are filled one after the other.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use compact_str::CompactString;
use futures::StreamExt;
use jiff::Timestamp;
use serde::de::IgnoredAny;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::known::REREAD;
use super::now;
use super::opening::Context;
use super::queue::{Item, Missed};
use crate::observe::{Gap, NodeMeter};

/// For how long a re-read is remembered, in microseconds: an hour.
const COVERED: i64 = 3_600_000_000;
/// Re-reads that may fail in a row before the rest is given up.
const FAILURES: u64 = 20;
/// Longest time that the details query is asked for: seven days.
const LONGEST: i64 = 7 * 86_400_000_000;
/// The details query answers for whole milliseconds: the interval is never empty.
const SHORTEST: i64 = 1_000_000;

/// The task that fills gaps.
pub(super) struct Filler {
    pub context: Arc<Context>,
    pub meter: NodeMeter,
    pub gaps: mpsc::Receiver<Missed>,
    /// What was re-read lately, and when that began.
    pub covered: Mutex<HashMap<CompactString, i64>>,
}

/// What was re-read.
#[derive(Default)]
struct Outcome {
    reread: AtomicU64,
    failed: AtomicU64,
    in_a_row: AtomicU64,
}

impl Filler {
    /// Runs until it is ended.
    pub async fn run(mut self) {
        while let Some(missed) = self.gaps.recv().await {
            let outcome = Outcome::default();
            if self.context.config.fill.enabled {
                self.fill(missed, &outcome).await;
            }
            let count = |count: AtomicU64| count.into_inner();
            let (reread, failed) = (count(outcome.reread), count(outcome.failed));
            measured(&self.context.node, &self.meter, missed, reread, failed);
            let Missed { channel, from, .. } = missed;
            self.context
                .inlet
                .tell(Item::Filled { channel, from })
                .await;
        }
    }

    async fn fill(&self, missed: Missed, outcome: &Outcome) {
        let fill = self.context.config.fill;
        let old = missed.to - COVERED;
        self.covered().retain(|_, began| *began >= old);
        let mut ids = self.context.memory.known().of(missed.channel);
        if fill.unknown {
            self.add_unknown(missed, &mut ids, outcome).await;
        }
        let rest = ids.split_off(ids.len().min(fill.max_conversations));
        outcome
            .failed
            .fetch_add(rest.len() as u64, Ordering::Relaxed);
        futures::stream::iter(ids)
            .for_each_concurrent(fill.concurrency, |id| self.reread(id, missed, outcome))
            .await;
    }

    /// Those that nothing was heard of on any channel.
    async fn add_unknown(&self, missed: Missed, ids: &mut Vec<CompactString>, outcome: &Outcome) {
        let fill = self.context.config.fill;
        let look_back = i64::try_from(fill.look_back.as_micros()).unwrap_or(LONGEST);
        let (from, to) = match missed.told {
            // Nobody knows how late it is there now; nothing begins in the future.
            Some(told) => (told - look_back, told - look_back + LONGEST),
            None => {
                let from = (missed.from - look_back).max(missed.to - LONGEST);
                (from, missed.to.max(missed.from + SHORTEST))
            }
        };
        let (from, to) = (moment(from).to_string(), moment(to).to_string());
        let most = fill.max_conversations;
        let answer = self.context.client.conversations_between(&from, &to, most);
        let found = match answer.await {
            Ok(found) => found,
            Err(error) => {
                let (source, channel) = (&self.context.node, missed.channel);
                tracing::warn!(%source, channel, "conversations of a gap are not known: {error}");
                outcome.failed.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        // What another channel knows of is re-read for that one's gaps.
        let known = self.context.memory.known();
        let mut new = HashSet::new();
        let unknown = |id: &&String| {
            (1..=128).contains(&id.len()) && !known.contains(id) && new.insert((*id).clone())
        };
        ids.extend(found.iter().filter(unknown).map(CompactString::from));
    }

    fn covered(&self) -> MutexGuard<'_, HashMap<CompactString, i64>> {
        self.covered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was re-read after this gap already, for that of another channel: when a network
    /// fails, all channels have one.
    fn is_covered(&self, id: &str, missed: Missed) -> bool {
        let covered = self.covered();
        covered.get(id).is_some_and(|began| *began >= missed.to)
    }

    async fn reread(&self, id: CompactString, missed: Missed, outcome: &Outcome) {
        let failed = || outcome.failed.fetch_add(1, Ordering::Relaxed);
        if self.is_covered(&id, missed) {
            outcome.reread.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let began = now();
        if outcome.in_a_row.load(Ordering::Relaxed) >= FAILURES {
            failed();
            return;
        }
        let body = match self.context.client.conversation(&id).await {
            Ok(Some(body)) => body,
            Ok(None) => return self.context.memory.known().gone(&id),
            Err(error) => {
                failed();
                if outcome.in_a_row.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!(source = %self.context.node, "not re-read: {error}");
                }
                return;
            }
        };
        let Some(event) = envelope(body, missed) else {
            failed();
            return;
        };
        self.covered().insert(id, began);
        outcome.in_a_row.store(0, Ordering::Relaxed);
        outcome.reread.fetch_add(1, Ordering::Relaxed);
        self.context
            .inlet
            .frame(missed.channel, Utf8Bytes::from(event))
            .await;
    }
}

/// The event of a conversation that was re-read; `None` when it is not JSON.
fn envelope(body: Vec<u8>, missed: Missed) -> Option<String> {
    let body = String::from_utf8(body).ok()?;
    serde_json::from_str::<IgnoredAny>(&body).ok()?;
    let (from, to) = (moment(missed.from), moment(missed.to));
    Some(format!(
        "{{\"topicName\":\"{REREAD}\",\"version\":\"2\",\"eventBody\":{body},\
         \"metadata\":{{\"gapFrom\":\"{from}\",\"gapTo\":\"{to}\"}}}}"
    ))
}

fn moment(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Counts a gap and tells of it in one line.
pub(super) fn measured(node: &str, meter: &NodeMeter, missed: Missed, reread: u64, failed: u64) {
    let gap = Gap {
        from: moment(missed.from),
        to: moment(missed.to),
        reason: missed.reason,
        reread,
        failed,
    };
    tracing::warn!(
        source = node,
        channel = missed.channel,
        from = %gap.from,
        to = %gap.to,
        seconds = gap.seconds(),
        reason = gap.reason,
        reread,
        failed,
        "gap: nothing was heard"
    );
    meter.gap(gap);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSED: Missed = Missed {
        channel: 0,
        from: 1_000_000,
        to: 2_500_000,
        told: None,
        reason: "silent",
    };

    #[test]
    fn a_reread_conversation_is_an_event_as_it_came() {
        let event = envelope(b"{\"id\": \"c\"}".to_vec(), MISSED).unwrap();
        assert_eq!(
            event,
            "{\"topicName\":\"trunkline.conversation.reread\",\"version\":\"2\",\
             \"eventBody\":{\"id\": \"c\"},\"metadata\":{\"gapFrom\":\"1970-01-01T00:00:01Z\",\
             \"gapTo\":\"1970-01-01T00:00:02.5Z\"}}"
        );
        for bad in [&b"{}}"[..], b"", b"{},\"a\":1", b"\xff"] {
            assert!(envelope(bad.to_vec(), MISSED).is_none());
        }
    }
}
