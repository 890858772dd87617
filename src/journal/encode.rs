//! From the batches of a group to its records.

use super::book::Core;
use super::entrance::Waiting;
use super::format::{RECORD_HEADER, RecordHeader, Salt};
use super::payload::Encoder;
use super::policy::{RECORD_BYTES, RECORD_EVENTS};
use super::walk::context;
use crate::event::{Batch, Event, Origin};
use crate::failure::{Cause, Failure, Kind};

/// Longest body, in bytes: longer ones could not be parsed again.
const MAX_BODY: usize = 256 << 20;

/// What is written under one sync. Its parts are used again for the next one.
#[derive(Default)]
pub(super) struct Group {
    /// The records, as they are written.
    pub bytes: Vec<u8>,
    /// How many events are in them.
    pub events: u64,
    /// For each batch: what was taken of it, where that is not all.
    pub taken: Vec<Option<Batch>>,
    /// Batches with events that were not taken: which one, how many, and the answer.
    pub refused: Vec<(usize, usize, Failure)>,
    encoder: Encoder,
    plain: Vec<u8>,
    packed: Vec<u8>,
}

/// Encodes the batches; the first event gets the sequence number `first`.
pub(super) fn encode(group: &mut Group, core: &Core, waiting: &[Waiting], first: u64, salt: Salt) {
    group.bytes.clear();
    group.events = 0;
    group.taken.clear();
    group.refused.clear();
    for (index, one) in waiting.iter().enumerate() {
        let mut too_large = Vec::new();
        for event in &one.batch {
            if !group.encoder.push(event, MAX_BODY) {
                too_large.push(event.origin);
            } else if group.is_record_full(core) {
                group.finish(core, first, salt);
            }
        }
        group.note(index, &one.batch, too_large);
    }
    group.finish(core, first, salt);
}

impl Group {
    fn is_record_full(&self, core: &Core) -> bool {
        let most = RECORD_BYTES.min(core.segment_size as usize);
        self.encoder.length() >= most || self.encoder.events() >= RECORD_EVENTS
    }

    fn note(&mut self, index: usize, batch: &Batch, too_large: Vec<Origin>) {
        let count = too_large.len();
        let text = "an event of more than 256 MiB is too large for a buffer on disk";
        let cause = Cause::new("record_too_large", text);
        let refusal = Failure::only(Kind::Rejected, cause, too_large.clone());
        self.taken.push(refusal.as_ref().map(|_| {
            let is_taken = |event: &&Event| !too_large.contains(&event.origin);
            batch.into_iter().filter(is_taken).cloned().collect()
        }));
        self.refused
            .extend(refusal.map(|refusal| (index, count, refusal)));
    }

    /// Closes the record that is open.
    fn finish(&mut self, core: &Core, first: u64, salt: Salt) {
        let events = self.encoder.events();
        if events == 0 {
            return;
        }
        self.plain.clear();
        self.encoder.finish(&mut self.plain);
        let mut header = RecordHeader {
            stored: 0,
            plain: self.plain.len() as u32,
            events,
            first: first + self.events,
            crc: 0,
            compressed: core.policy.compress && compress(&self.plain, &mut self.packed),
            sealed: core.keys.is_some(),
        };
        let stored = match header.compressed {
            true => &self.packed,
            false => &self.plain,
        };
        let sealed;
        let stored = match &core.keys {
            Some(keys) => {
                sealed = keys.seal(&context(&core.id, &header), stored);
                &sealed
            }
            None => stored,
        };
        header.stored = stored.len() as u32;
        header.crc = crc32c::crc32c(stored);
        self.bytes.reserve(RECORD_HEADER + stored.len());
        self.bytes.extend_from_slice(&header.bytes(salt));
        self.bytes.extend_from_slice(stored);
        self.events += u64::from(events);
    }
}

/// Compresses into `packed`; `false` when that saves less than a sixteenth.
fn compress(plain: &[u8], packed: &mut Vec<u8>) -> bool {
    packed.resize(lz4_flex::block::get_maximum_output_size(plain.len()), 0);
    match lz4_flex::block::compress_into(plain, packed) {
        Ok(length) => {
            packed.truncate(length);
            length + plain.len() / 16 < plain.len()
        }
        Err(_) => false,
    }
}
