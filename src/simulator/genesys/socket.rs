//! A WebSocket of a channel: writes what it is given, answers what the client says, and ends in
//! the way it is told to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::channel::{Ending, Frame, Load, Out, PONG, Protocol};
use super::notify;
use super::oracle::Fate;
use super::platform::Shared;

/// Frames written before they are flushed.
const AT_ONCE: usize = 256;
/// Longest message of a client.
const MAX_MESSAGE: usize = 256 * 1024;
/// For a client to take what is written.
const STALL: Duration = Duration::from_secs(60);
/// For a client to answer a close frame.
const GRACE: Duration = Duration::from_secs(5);
/// How long a dead socket is kept open for a client that does not notice.
const DEAD: Duration = Duration::from_secs(900);
/// A frame flushed so long ago has arrived.
const ARRIVED: Duration = Duration::from_secs(1);

type Stream = WebSocketStream<TokioIo<Upgraded>>;

/// What a socket's task has.
pub(super) struct Line {
    pub(super) shared: Arc<Shared>,
    /// Its channel.
    pub(super) number: u64,
    /// Its own number.
    pub(super) id: u64,
    pub(super) protocol: Protocol,
    pub(super) inbox: UnboundedReceiver<Out>,
    pub(super) load: Arc<Load>,
    pub(super) cut: Arc<Notify>,
}

/// Why a socket's task stops serving.
enum End {
    /// In order: told to, or the client closed.
    Ordered(Ending),
    Closed,
    /// The client, or the network, broke it.
    Broken,
}

/// Serves a connection until it ends.
pub(super) async fn serve(io: Upgraded, line: Line) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let stream =
        WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, Some(config)).await;
    line.shared.platform().sockets += 1;
    let shared = Arc::clone(&line.shared);
    line.run(stream).await;
    shared.platform().sockets -= 1;
}

impl Line {
    /// The connection broke before it became a socket.
    pub(super) fn never(mut self) {
        self.close_books(&End::Broken, VecDeque::new());
    }

    async fn run(mut self, mut stream: Stream) {
        let mut recent = VecDeque::new();
        let end = self.converse(&mut stream, &mut recent).await;
        self.close_books(&end, recent);
        match end {
            End::Ordered(Ending::Silent) => stay_silent(stream, &self.cut).await,
            End::Ordered(Ending::Abrupt) => hang_up(stream).await,
            End::Ordered(Ending::Code(code)) => say_goodbye(stream, code).await,
            End::Closed => drain(&mut stream).await,
            End::Broken => {}
        }
    }

    async fn converse(
        &mut self,
        stream: &mut Stream,
        recent: &mut VecDeque<(Instant, Frame)>,
    ) -> End {
        let mut batch = Vec::with_capacity(AT_ONCE);
        let cut = Arc::clone(&self.cut);
        loop {
            tokio::select! {
                biased;
                () = cut.notified() => return End::Broken,
                message = stream.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        if let Some(answer) = self.answer(&text)
                            && stream.send(Message::text(answer)).await.is_err() {
                            return End::Broken;
                        }
                    }
                    Some(Ok(Message::Close(_))) => return End::Closed,
                    // Answered by the library.
                    Some(Ok(_)) => self.heard(),
                    Some(Err(Error::ConnectionClosed)) => return End::Closed,
                    Some(Err(_)) | None => return End::Broken,
                },
                taken = self.inbox.recv_many(&mut batch, AT_ONCE) => {
                    // Nobody has the other end: the channel is gone.
                    if taken == 0 {
                        return End::Ordered(Ending::Abrupt);
                    }
                    let mut written = Vec::new();
                    let result = tokio::select! {
                        biased;
                        () = cut.notified() => Err(()),
                        result = timeout(STALL, write(stream, &mut batch, &mut written)) => result.unwrap_or(Err(())),
                    };
                    let fate = if result.is_ok() { Fate::Delivered } else { Fate::Unknown };
                    self.settle(&written, fate);
                    // What was not even written is for `close_books`.
                    let unwritten = batch.drain(..).filter_map(frame_of).collect::<Vec<_>>();
                    self.settle(&unwritten, Fate::NoSocket);
                    let now = Instant::now();
                    recent.extend(written.into_iter().map(|frame| (now, frame)));
                    while recent.front().is_some_and(|(at, _)| now - *at > ARRIVED) {
                        recent.pop_front();
                    }
                    match result {
                        Ok(None) => {}
                        Ok(Some(ending)) => return End::Ordered(ending),
                        Err(()) => { recent.retain(|(at, _)| *at != now); return End::Broken }
                    }
                }
            }
        }
    }

    fn heard(&self) {
        let now = self.shared.clock.now();
        let mut platform = self.shared.platform();
        if let Some(channel) = platform.teller.channels.get_mut(self.number)
            && let Some(socket) = &mut channel.socket
            && socket.id == self.id
        {
            socket.heard = now;
        }
    }

    /// What a client says. Text that means nothing is tolerated, as by the platform.
    fn answer(&self, text: &str) -> Option<String> {
        self.heard();
        let said: Value = serde_json::from_str(text).ok()?;
        if self.protocol == Protocol::Events {
            let topics = said.get("subscription")?.get("topics")?.as_array()?;
            return Some(notify::subscribe_events(&self.shared, self.number, topics));
        }
        match said.get("message")?.as_str()? {
            "ping" => Some(PONG.to_owned()),
            "subscribe" => {
                let topics = said.get("topics").and_then(Value::as_array);
                let result =
                    notify::subscribe_here(&self.shared, self.number, topics.map_or(&[], |it| it));
                let mut answer = match result {
                    Ok(()) => json!({"result": "200", "status": "subscribed", "topics": topics}),
                    Err((status, message)) => json!({
                        "result": status.to_string(), "status": "failure", "message": message,
                    }),
                };
                answer["correlationId"] = said.get("correlationId").cloned().unwrap_or(Value::Null);
                Some(answer.to_string())
            }
            _ => None,
        }
    }

    fn settle(&self, frames: &[Frame], fate: Fate) {
        if frames.is_empty() {
            return;
        }
        let mut platform = self.shared.platform();
        for frame in frames {
            self.load.take(frame.text.len());
            platform
                .teller
                .oracle
                .note(&frame.meta, self.number, fate, frame.fault);
        }
    }

    /// Every frame that was meant for this socket gets its fate.
    fn close_books(&mut self, end: &End, recent: VecDeque<(Instant, Frame)>) {
        self.inbox.close();
        let mut left = Vec::new();
        while let Ok(out) = self.inbox.try_recv() {
            left.extend(frame_of(out));
        }
        self.settle(&left, Fate::NoSocket);
        let now = Instant::now();
        let mut platform = self.shared.platform();
        let oracle = &mut platform.teller.oracle;
        if let End::Broken = end {
            for (at, frame) in &recent {
                if now - *at < ARRIVED {
                    oracle.doubt(&frame.meta, self.number, frame.fault);
                }
            }
        }
        let super::teller::Teller {
            channels, oracle, ..
        } = &mut platform.teller;
        channels.detach(self.number, self.id, oracle);
    }
}

fn frame_of(out: Out) -> Option<Frame> {
    match out {
        Out::Frame(frame) => Some(frame),
        Out::System(_) | Out::End(_) => None,
    }
}

/// Writes and flushes. `Ok(Some)`: the socket is to end like that, and what was before is flushed.
/// What was not written stays in the batch.
async fn write(
    stream: &mut Stream,
    batch: &mut Vec<Out>,
    written: &mut Vec<Frame>,
) -> Result<Option<Ending>, ()> {
    let mut ending = None;
    batch.reverse();
    while let Some(out) = batch.pop() {
        let text = match &out {
            Out::Frame(frame) => Message::Text(frame.text.clone()),
            Out::System(text) => Message::text(text.as_str()),
            Out::End(how) => {
                ending = Some(*how);
                break;
            }
        };
        written.extend(frame_of(out));
        stream.feed(text).await.map_err(drop)?;
    }
    stream.flush().await.map_err(drop)?;
    Ok(ending)
}

/// The peer has vanished: reads, so that the client's own writes do not fail, and says nothing.
async fn stay_silent(stream: Stream, cut: &Notify) {
    let mut raw = stream.into_inner();
    let mut buffer = [0; 4096];
    let read = async { while raw.read(&mut buffer).await.is_ok_and(|length| length > 0) {} };
    tokio::select! {
        () = cut.notified() => {}
        _ = timeout(DEAD, read) => {}
    }
}

/// FIN without a close frame. What the client still says is read: closing over unread bytes would
/// send a reset, and take back what was delivered.
async fn hang_up(stream: Stream) {
    let mut raw = stream.into_inner();
    let _ = raw.shutdown().await;
    let mut buffer = [0; 4096];
    let read = async { while raw.read(&mut buffer).await.is_ok_and(|length| length > 0) {} };
    let _ = timeout(GRACE, read).await;
}

async fn say_goodbye(mut stream: Stream, code: u16) {
    let reason = match code {
        1001 => "Going away",
        _ => "",
    };
    let frame = CloseFrame {
        code: code.into(),
        reason: reason.into(),
    };
    let close = async {
        if stream.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = stream.next().await {}
        }
    };
    let _ = timeout(GRACE, close).await;
}

/// Sends the answer to a close frame, and waits for the end.
async fn drain(stream: &mut Stream) {
    let end = async {
        let _ = stream.flush().await;
        while let Some(Ok(_)) = stream.next().await {}
    };
    let _ = timeout(GRACE, end).await;
}
