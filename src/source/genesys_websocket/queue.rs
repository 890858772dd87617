//! The queue between the sockets and the engine: bounded by frames and by bytes. Whoever writes
//! waits for room, so that pressure reaches the socket.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::codec::Reason;
use crate::failure::Failure;

/// What a frame counts beyond its text, in bytes.
const OVERHEAD: usize = 64;

/// What the tasks of the source tell it, in the order in which it happened on each channel.
pub(super) enum Item {
    /// An event.
    Frame(Frame),
    /// A frame that is none.
    Refused {
        channel: u32,
        reason: Reason,
        sample: Vec<u8>,
        length: u64,
    },
    /// The channel was alive at this time (microseconds since 1970): all before is in the queue.
    Heard { channel: u32, at: i64 },
    /// The channel was deaf and hears again.
    Missed(Missed),
    /// What could be re-read for a gap is in the queue.
    Filled { channel: u32, from: i64 },
    /// It cannot go on.
    Failed(Failure),
}

/// The text of an event.
pub(super) struct Frame {
    pub channel: u32,
    pub text: Utf8Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// A time in which a channel heard nothing, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missed {
    pub channel: u32,
    pub from: i64,
    pub to: i64,
    /// The platform's own time before it, where frames tell one: it may not be ours.
    pub told: Option<i64>,
    pub reason: &'static str,
}

/// Where the tasks write.
#[derive(Clone)]
pub(super) struct Inlet {
    items: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
    bytes: usize,
}

/// A queue of so many frames and bytes.
pub(super) fn queue(frames: usize, bytes: usize) -> (Inlet, mpsc::Receiver<Item>) {
    let (items, outlet) = mpsc::channel(frames);
    let room = Arc::new(Semaphore::new(bytes));
    (Inlet { items, room, bytes }, outlet)
}

impl Inlet {
    /// An event. A frame larger than the whole queue waits until it is empty.
    pub async fn frame(&self, channel: u32, text: Utf8Bytes) {
        let size = (text.as_str().len() + OVERHEAD).min(self.bytes);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(size).await.ok();
        let frame = Frame {
            channel,
            text,
            _room: room,
        };
        self.tell(Item::Frame(frame)).await;
    }

    /// Anything else. When nobody reads any more, the tasks are about to be ended.
    pub async fn tell(&self, item: Item) {
        let _ = self.items.send(item).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn frames_and_bytes_are_bounded_and_a_giant_passes_alone() {
        let (inlet, mut outlet) = queue(3, 300);
        let text = || Utf8Bytes::from("x".repeat(100));
        assert!(inlet.frame(0, text()).now_or_never().is_some());
        assert!(inlet.frame(0, text()).now_or_never().is_none(), "328 bytes");
        assert!(
            inlet
                .tell(Item::Heard { channel: 0, at: 1 })
                .now_or_never()
                .is_some()
        );
        let giant = Utf8Bytes::from("x".repeat(1000));
        let mut waiting = Box::pin(inlet.frame(0, giant));
        assert!((&mut waiting).now_or_never().is_none());
        drop(outlet.recv().await);
        assert!((&mut waiting).now_or_never().is_some());
    }
}
