//! A channel of the notification service, its topics and its socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::config::{Faults, Limits};
use super::oracle::{Fate, Meta, Oracle};
use super::random::Random;

/// Longest that the fault `delay`, or `reorder` with nothing behind it, keeps a frame.
const MAX_LATE: f64 = 10e6;

/// Which protocol its socket speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Protocol {
    /// Topics are kept on the channel, whatever becomes of its sockets.
    Notifications,
    /// The channel is its socket.
    Events,
}

/// Times are microseconds since 1970, simulated.
pub(super) struct Channel {
    /// Counts from 1, as channels are made.
    pub(super) number: u64,
    /// A credential: whoever knows it may listen.
    pub(super) id: String,
    pub(super) client: usize,
    pub(super) token: String,
    pub(super) protocol: Protocol,
    pub(super) expires: i64,
    /// When it was made, connected to or subscribed on last: the oldest is evicted first.
    pub(super) used: i64,
    /// The same as an order, since times can be equal.
    pub(super) use_order: u64,
    pub(super) entries: Vec<Entry>,
    pub(super) socket: Option<Socket>,
    pub(super) warning: Warning,
    pub(super) random: Random,
    pub(super) held: Vec<Held>,
}

/// What was subscribed to: one of the channel's topics, and the single names it stands for.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) asked: String,
    pub(super) singles: Vec<String>,
}

/// Of a planned close.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Warning {
    Due,
    Given,
}

/// A frame on its way to one channel.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) meta: Arc<Meta>,
    pub(super) text: Utf8Bytes,
    pub(super) fault: Option<&'static str>,
}

/// A frame kept back by a fault.
pub(super) struct Held {
    /// Goes on after so many others of the channel...
    left: u32,
    /// ...or at this time at the latest.
    due: i64,
    frame: Frame,
}

/// What a socket's task is given to do.
pub(super) enum Out {
    Frame(Frame),
    /// Of the service itself; not the oracle's business.
    System(String),
    End(Ending),
}

/// How a socket ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// It stays open, nothing comes any more, nobody answers.
    Silent,
    /// FIN without a close frame.
    Abrupt,
    /// A close frame with this code.
    Code(u16),
}

/// How much waits for a socket.
#[derive(Default)]
pub(super) struct Load {
    frames: AtomicUsize,
    bytes: AtomicUsize,
}

impl Load {
    fn add(&self, bytes: usize) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn take(&self, bytes: usize) {
        self.frames.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn exceeds(&self, limits: &Limits) -> bool {
        self.frames.load(Ordering::Relaxed) >= limits.queue
            || self.bytes.load(Ordering::Relaxed) >= limits.queue_bytes
    }
}

/// The open socket of a channel; its task has the other end.
pub(super) struct Socket {
    pub(super) id: u64,
    pub(super) sender: UnboundedSender<Out>,
    pub(super) load: Arc<Load>,
    /// Interrupts a write that the client does not take.
    pub(super) cut: Arc<Notify>,
    /// Next heartbeat.
    pub(super) beat: i64,
    /// When the client said something last.
    pub(super) heard: i64,
    pub(super) death: Option<Death>,
}

/// Planned from the beginning, by the fault `socket_life`.
#[derive(Clone, Copy)]
pub(super) struct Death {
    pub(super) at: i64,
    /// `None`: planned, with a warning.
    pub(super) how: Option<Ending>,
    pub(super) warned: bool,
}

impl Death {
    pub(super) fn draw(faults: &Faults, random: &mut Random, now: i64) -> Option<Self> {
        let life = faults.socket_life?.as_secs_f64() * 1e6 * random.between(0.5, 1.5);
        let how = match random.below(4) {
            0 => Some(Ending::Silent),
            1 => Some(Ending::Abrupt),
            2 => Some(Ending::Code(1001)),
            _ => None,
        };
        Some(Self {
            at: now + life as i64,
            how,
            warned: false,
        })
    }
}

impl Channel {
    /// Tells a frame, with the faults that befall it.
    pub(super) fn tell(
        &mut self,
        frame: Frame,
        faults: &Faults,
        limits: &Limits,
        oracle: &mut Oracle,
        now: i64,
    ) {
        if self.socket.is_none() {
            oracle.note(&frame.meta, self.number, Fate::NoSocket, frame.fault);
            return;
        }
        if self.random.share(faults.drop) {
            oracle.note(&frame.meta, self.number, Fate::FaultDropped, frame.fault);
            return;
        }
        if self.random.share(faults.duplicate) {
            let again = Frame {
                fault: Some("duplicate"),
                ..frame.clone()
            };
            oracle.counts.duplicated += 1;
            self.late_or_now(frame, faults, limits, oracle, now);
            self.late_or_now(again, faults, limits, oracle, now);
        } else {
            self.late_or_now(frame, faults, limits, oracle, now);
        }
    }

    fn late_or_now(
        &mut self,
        mut frame: Frame,
        faults: &Faults,
        limits: &Limits,
        oracle: &mut Oracle,
        now: i64,
    ) {
        let delayed = self.random.share(faults.delay);
        let overtaken = self.random.share(faults.reorder);
        // What is kept back is bounded as the queue is.
        if (delayed || overtaken) && self.held.len() < limits.queue {
            let left = match delayed {
                true => u32::MAX,
                false => 1 + self.random.below(8) as u32,
            };
            let due = match delayed {
                true => now + (self.random.unit() * MAX_LATE) as i64,
                false => now + MAX_LATE as i64,
            };
            oracle.counts.late += 1;
            frame.fault = frame.fault.or(Some("late"));
            self.held.push(Held { left, due, frame });
            return;
        }
        self.push(frame, limits, oracle);
        if !self.held.is_empty() {
            for held in &mut self.held {
                held.left -= 1;
            }
            self.release(i64::MIN, limits, oracle);
        }
    }

    /// Sends what was kept back for long enough.
    pub(super) fn release(&mut self, now: i64, limits: &Limits, oracle: &mut Oracle) {
        let mut at = 0;
        while at < self.held.len() {
            if self.held[at].left == 0 || self.held[at].due <= now {
                let held = self.held.remove(at);
                self.push(held.frame, limits, oracle);
            } else {
                at += 1;
            }
        }
    }

    fn push(&mut self, frame: Frame, limits: &Limits, oracle: &mut Oracle) {
        let number = self.number;
        let Some(socket) = &self.socket else {
            oracle.note(&frame.meta, number, Fate::NoSocket, frame.fault);
            return;
        };
        if socket.load.exceeds(limits) {
            // Who does not read is cut off; what waits for him was not told.
            socket.cut.notify_one();
            oracle.counts.cut_off += 1;
            self.socket = None;
            oracle.note(&frame.meta, number, Fate::NoSocket, frame.fault);
            return;
        }
        socket.load.add(frame.text.len());
        if let Err(lost) = socket.sender.send(Out::Frame(frame))
            && let Out::Frame(frame) = lost.0
        {
            oracle.note(&frame.meta, number, Fate::NoSocket, frame.fault);
            self.socket = None;
        }
    }

    /// A message of the service; nobody misses it where there is no socket.
    pub(super) fn system(&self, text: String) {
        if let Some(socket) = &self.socket {
            let _ = socket.sender.send(Out::System(text));
        }
    }

    /// Ends the socket once what waits for it is sent; frames from now on have none.
    pub(super) fn hang_up(&mut self, how: Ending) {
        if let Some(socket) = self.socket.take() {
            let _ = socket.sender.send(Out::End(how));
        }
    }

    /// Frames that are on their way.
    pub(super) fn waiting(&self) -> usize {
        let queued = self
            .socket
            .as_ref()
            .map_or(0, |it| it.load.frames.load(Ordering::Relaxed));
        queued + self.held.len()
    }

    /// Every frame that was kept back meets its end with the channel.
    pub(super) fn abandon(&mut self, oracle: &mut Oracle) {
        for held in self.held.drain(..) {
            oracle.note(
                &held.frame.meta,
                self.number,
                Fate::NoSocket,
                held.frame.fault,
            );
        }
    }

    /// `v2.system.…`, and the heartbeat's `channel.metadata`.
    pub(super) fn warn(&self) {
        self.system(format!(
            r#"{{"topicName":"v2.system.socket_closing","version":"2","eventBody":{{"message":"This websocket will be closed in 60 seconds.","channelId":"{}"}},"metadata":{{}}}}"#,
            self.id
        ));
    }
}

/// What the service says each half minute.
pub(super) const HEARTBEAT: &str =
    r#"{"topicName":"channel.metadata","eventBody":{"message":"WebSocket Heartbeat"}}"#;
/// Its answer to `{"message":"ping"}`.
pub(super) const PONG: &str = r#"{"topicName":"channel.metadata","eventBody":{"message":"pong"}}"#;
