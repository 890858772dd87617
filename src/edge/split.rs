//! A caller's batch, taken apart by lane and class.

use super::line::Room;
use super::policy::{EdgePolicy, PartitionPolicy, PriorityPolicy};
use crate::event::{Batch, Event};

/// What goes into one line as one.
pub(super) struct Piece {
    pub lane: usize,
    pub class: usize,
    pub batch: Batch,
    pub bytes: u64,
    /// The fingerprint of each event's key, where a worker has several batches under way.
    pub keys: Vec<u64>,
}

/// How batches are taken apart.
pub(super) struct Splitter {
    lanes: usize,
    partition: Option<PartitionPolicy>,
    priority: Option<PriorityPolicy>,
    /// Whether pieces know their keys.
    keyed: bool,
    /// Most of one piece, where there are several lanes.
    room: Room,
}

/// Where each event goes.
pub(super) struct Places {
    /// Lane and class as one number.
    places: Vec<u32>,
    keys: Vec<u64>,
}

impl Splitter {
    pub(super) fn new(policy: &EdgePolicy, lanes: usize, room: Room) -> Self {
        let partition = policy.partition.clone();
        let apart = policy.in_flight.get() > 1 && !policy.keys_overlap;
        Self {
            lanes,
            keyed: partition.is_some() && apart,
            partition,
            priority: policy.priority.clone(),
            room,
        }
    }

    /// How many classes there are, the one that no condition holds for included.
    pub(super) fn classes(&self) -> usize {
        self.priority.as_ref().map_or(1, |p| p.classes.len() + 1)
    }

    /// Takes a batch apart. What goes to one place as a whole is not copied.
    pub(super) fn split(&self, mut batch: Batch) -> (Vec<Piece>, Places) {
        if self.lanes == 1 && self.priority.is_none() && !self.keyed {
            let bytes = batch.bytes();
            let whole = Piece {
                lane: 0,
                class: 0,
                batch,
                bytes,
                keys: Vec::new(),
            };
            return (vec![whole], Places::nowhere());
        }
        let places = self.places(&batch);
        self.label(&mut batch, &places);
        let first = places.places.first().copied().unwrap_or_default();
        if places.places.iter().all(|place| *place == first) {
            let bytes = batch.bytes();
            if self.lanes == 1 || self.room.holds(batch.len(), bytes) {
                let keys = places.keys.clone();
                return (vec![self.piece(first, batch, bytes, keys)], places);
            }
        }
        (self.sort(batch, &places), places)
    }

    /// Finds each event's place.
    fn places(&self, batch: &Batch) -> Places {
        let classes = self.classes() as u32;
        let mut keys = Vec::with_capacity(if self.keyed { batch.len() } else { 0 });
        let place = |event: &Event| {
            let lane = match &self.partition {
                Some(partition) if self.lanes > 1 || self.keyed => {
                    let key = partition.fingerprint(event);
                    if self.keyed {
                        keys.push(key);
                    }
                    (key % self.lanes as u64) as u32
                }
                _ => 0,
            };
            let class = self.priority.as_ref().map_or(0, |p| p.class(event));
            lane * classes + u32::from(class)
        };
        let places = batch.events().iter().map(place).collect();
        Places { places, keys }
    }

    /// Writes each event's class on it.
    fn label(&self, batch: &mut Batch, places: &Places) {
        if self.priority.is_none() {
            return;
        }
        let classes = self.classes() as u32;
        let class = |place: &u32| (place % classes) as u8;
        let labelled = |(event, place): (&Event, &u32)| event.priority == class(place);
        // A batch that others share is copied only where there is something to write.
        if !batch.events().iter().zip(&places.places).all(labelled) {
            for (event, place) in batch.make_mut().iter_mut().zip(&places.places) {
                event.priority = class(place);
            }
        }
    }

    fn piece(&self, place: u32, batch: Batch, bytes: u64, keys: Vec<u64>) -> Piece {
        let (place, classes) = (place as usize, self.classes());
        Piece {
            lane: place / classes,
            class: place % classes,
            batch,
            bytes,
            keys,
        }
    }

    /// Moves each event to its place, in order; a place's events are cut where they would not fit
    /// a lane's share of the room.
    fn sort(&self, batch: Batch, places: &Places) -> Vec<Piece> {
        let mut counts = vec![0_usize; self.lanes * self.classes()];
        for place in &places.places {
            counts[*place as usize] += 1;
        }
        let most = match self.lanes {
            1 => usize::MAX,
            _ => self.room.events,
        };
        let bin = |count: &usize| Bin::new((*count).min(most), self.keyed);
        let mut bins: Vec<Bin> = counts.iter().map(bin).collect();
        let mut pieces = Vec::with_capacity(bins.len());
        let mut keys = places.keys.iter();
        for (event, place) in batch.into_events().into_iter().zip(&places.places) {
            let bin = &mut bins[*place as usize];
            let full = !self
                .room
                .holds(bin.events.len() + 1, bin.bytes + event.length());
            if full && self.lanes > 1 && !bin.events.is_empty() {
                let Bin {
                    events,
                    bytes,
                    keys,
                } = std::mem::take(bin);
                pieces.push(self.piece(*place, events.into(), bytes, keys));
            }
            bin.bytes += event.length();
            bin.keys.extend(keys.next());
            bin.events.push(event);
        }
        for (place, bin) in (0..).zip(bins) {
            if !bin.events.is_empty() {
                pieces.push(self.piece(place, bin.events.into(), bin.bytes, bin.keys));
            }
        }
        pieces
    }
}

/// What goes to one place, so far.
#[derive(Default)]
struct Bin {
    events: Vec<Event>,
    bytes: u64,
    keys: Vec<u64>,
}

impl Bin {
    fn new(events: usize, keyed: bool) -> Self {
        Self {
            events: Vec::with_capacity(events),
            bytes: 0,
            keys: Vec::with_capacity(if keyed { events } else { 0 }),
        }
    }
}

impl Places {
    /// Of a batch that was not taken apart.
    fn nowhere() -> Self {
        Self {
            places: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Puts a batch that was taken apart together again, in its order.
    pub(super) fn rejoin(self, mut pieces: Vec<Piece>, classes: usize) -> Batch {
        if pieces.len() == 1
            && let Some(piece) = pieces.pop()
        {
            return piece.batch;
        }
        let lanes = pieces.iter().map(|piece| piece.lane + 1).max();
        let mut bins: Vec<Vec<Event>> = Vec::new();
        bins.resize_with(lanes.unwrap_or(0) * classes, Vec::new);
        for piece in pieces {
            bins[piece.lane * classes + piece.class].extend(piece.batch.into_events());
        }
        let mut bins: Vec<_> = bins.into_iter().map(Vec::into_iter).collect();
        let event = |place: u32| bins[place as usize].next();
        self.places.into_iter().filter_map(event).collect()
    }
}
