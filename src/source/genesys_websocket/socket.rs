//! A WebSocket, and what the platform says on it about the socket itself.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use memchr::memmem;
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

use super::config::Protocol;
use crate::codec::Reason;

/// Bytes of a frame that is none, for its letter.
const SAMPLE: usize = 256;
/// Longest wait for the socket to take a ping.
const SEND: Duration = Duration::from_secs(5);

/// What sockets are opened with.
#[derive(Clone)]
pub(super) struct Dial {
    pub tls: Arc<ClientConfig>,
    pub protocol: Protocol,
    pub timeout: Duration,
    pub max_frame: usize,
}

/// Why a socket could not be opened. Never holds the address, which is a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotOpen {
    /// The other side answered with this HTTP status in place of the upgrade.
    Status(u16),
    /// Anything else.
    Failed(String),
}

/// An open socket.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    protocol: Protocol,
    /// Read while it was opened.
    early: Option<Heard>,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// An event, or what should be one.
    Event(Utf8Bytes),
    /// A frame that cannot be an event.
    Refused {
        reason: Reason,
        sample: Vec<u8>,
        length: u64,
        /// Whether the socket cannot be read any further.
        broken: bool,
    },
    /// The socket lives.
    Alive,
    /// The platform will close the socket soon.
    Closing,
    /// The channel has lost its topics to another.
    Unsubscribed,
    /// The token that made the channel is revoked.
    Revoked,
    /// The end, with its close code if there was one.
    Closed(Option<u16>),
}

impl Dial {
    /// Opens a socket. Before it is handed over, a notification socket is pinged, and the first
    /// thing that it says is waited for a while: what answers, works.
    pub async fn open(&self, uri: &str) -> Result<Socket, NotOpen> {
        let opened = tokio::time::timeout(self.timeout, self.connect(uri)).await;
        let late = || NotOpen::Failed("the handshake took too long".to_owned());
        opened.map_err(|_| late())?
    }

    async fn connect(&self, uri: &str) -> Result<Socket, NotOpen> {
        let mut request = uri
            .into_client_request()
            .map_err(|error| not_open(&error))?;
        if self.protocol == Protocol::Events {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert("accept", json);
        }
        // A message of several frames counts as one.
        let limits = WebSocketConfig::default()
            .read_buffer_size(64 << 10)
            .max_message_size(Some(self.max_frame))
            .max_frame_size(Some(self.max_frame));
        let tls = Some(Connector::Rustls(self.tls.clone()));
        let connected = connect_async_tls_with_config(request, Some(limits), true, tls).await;
        let (stream, _) = connected.map_err(|error| not_open(&error))?;
        Ok(Socket {
            stream,
            protocol: self.protocol,
            early: None,
        })
    }
}

fn not_open(error: &Error) -> NotOpen {
    match error {
        Error::Http(response) => NotOpen::Status(response.status().as_u16()),
        Error::Io(error) => NotOpen::Failed(format!("no connection: {error}")),
        Error::Tls(error) => NotOpen::Failed(format!("no TLS: {error}")),
        Error::Protocol(error) => NotOpen::Failed(format!("no WebSocket: {error}")),
        // These repeat the address.
        Error::Url(_) | Error::HttpFormat(_) => NotOpen::Failed("the address is no URI".to_owned()),
        _ => NotOpen::Failed("no WebSocket".to_owned()),
    }
}

impl Socket {
    /// What is heard next. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Heard {
        if let Some(early) = self.early.take() {
            return early;
        }
        match self.stream.next().await {
            None => Heard::Closed(None),
            Some(Ok(message)) => said(message, self.protocol),
            Some(Err(error)) => broken(&error),
        }
    }

    /// Asks for a sign of life.
    pub async fn ping(&mut self) {
        let ping = match self.protocol {
            Protocol::Notifications => Message::text("{\"message\":\"ping\"}"),
            Protocol::Events => Message::Ping(Vec::new().into()),
        };
        self.send(ping).await;
    }

    /// Sends a text. What does not go out is noticed by what does not come back.
    pub async fn say(&mut self, text: String) {
        self.send(Message::text(text)).await;
    }

    async fn send(&mut self, message: Message) {
        let _ = tokio::time::timeout(SEND, self.stream.send(message)).await;
    }

    /// Pings and waits for the first word, at most for so long. `false` when it was the end.
    pub async fn answers(&mut self, most: Duration) -> bool {
        self.ping().await;
        let Ok(first) = tokio::time::timeout(most, self.next()).await else {
            // It stands at least; the watchdog has the last word.
            return true;
        };
        let answers = !matches!(first, Heard::Closed(_));
        self.early = Some(first);
        answers
    }

    /// Says goodbye. What was on its way can still be read, up to the answer.
    pub async fn goodbye(&mut self) {
        self.send(Message::Close(None)).await;
    }
}

fn said(message: Message, protocol: Protocol) -> Heard {
    match message {
        Message::Text(text) => meaning(text, protocol),
        // Some gateways send text as binary.
        Message::Binary(bytes) => match Utf8Bytes::try_from(bytes.clone()) {
            Ok(text) => meaning(text, protocol),
            Err(_) => Heard::Refused {
                reason: Reason::NotUtf8,
                sample: bytes[..bytes.len().min(SAMPLE)].to_vec(),
                length: bytes.len() as u64,
                broken: false,
            },
        },
        Message::Close(frame) => Heard::Closed(frame.map(|frame| frame.code.into())),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Heard::Alive,
    }
}

/// An error that says something about a frame makes a letter; every error ends the socket.
fn broken(error: &Error) -> Heard {
    let refused = |reason, length| Heard::Refused {
        reason,
        sample: Vec::new(),
        length,
        broken: true,
    };
    match error {
        Error::Capacity(CapacityError::MessageTooLong { size, .. }) => {
            refused(Reason::RecordTooLarge, *size as u64)
        }
        Error::Utf8(_) => refused(Reason::NotUtf8, 0),
        _ => Heard::Closed(None),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow, default)]
    topic_name: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    event_type: Option<std::borrow::Cow<'a, str>>,
}

/// What a text says. Most are events, and are not parsed here: only those that hold one of a few
/// words anywhere are looked at.
fn meaning(text: Utf8Bytes, protocol: Protocol) -> Heard {
    let bytes = text.as_str().as_bytes();
    let holds = |word: &str| memmem::find(bytes, word.as_bytes()).is_some();
    let system = holds("channel.metadata") || holds("v2.system.");
    let confirmation = protocol == Protocol::Events && holds("\"subscription\"");
    if !system && !confirmation {
        return Heard::Event(text);
    }
    // An array of texts would pass for one too.
    if !text.as_str().trim_start().starts_with('{') {
        return Heard::Event(text);
    }
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text.as_str()) else {
        return Heard::Event(text);
    };
    let topic = envelope.topic_name.as_deref().unwrap_or_default();
    let word = topic
        .strip_prefix("v2.system.")
        .map(|rest| rest.split('.').next());
    match word.flatten() {
        Some("socket_closing") => return Heard::Closing,
        Some("no_longer_subscribed") => return Heard::Unsubscribed,
        Some("token_revoked") => return Heard::Revoked,
        Some(_) => return Heard::Alive,
        None => {}
    }
    let confirmed = confirmation && envelope.event_type.as_deref() == Some("subscription");
    if topic == "channel.metadata" || confirmed {
        return Heard::Alive;
    }
    Heard::Event(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, protocol: Protocol) -> Heard {
        meaning(Utf8Bytes::from(text), protocol)
    }

    #[test]
    fn the_platforms_own_frames_are_told_from_events() {
        let on = Protocol::Notifications;
        let system =
            |word: &str| format!("{{\"topicName\":\"v2.system.{word}\",\"eventBody\":{{}}}}");
        assert!(matches!(of(&system("socket_closing"), on), Heard::Closing));
        assert!(matches!(
            of(&system("no_longer_subscribed.streaming-1"), on),
            Heard::Unsubscribed
        ));
        assert!(matches!(of(&system("token_revoked.x"), on), Heard::Revoked));
        assert!(matches!(
            of(&system("subscription_changed.x"), on),
            Heard::Alive
        ));
        let heartbeat =
            r#"{"eventBody":{"message":"WebSocket Heartbeat"},"topicName":"channel.metadata"}"#;
        assert!(matches!(of(heartbeat, on), Heard::Alive));
    }

    #[test]
    fn an_event_that_only_speaks_of_them_is_an_event() {
        let on = Protocol::Notifications;
        for text in [
            r#"{"topicName":"v2.users.u.conversations","eventBody":{"a":"channel.metadata v2.system.socket_closing"}}"#,
            r#"{"topicName":"channel.metadata""#,
            r#"["v2.system.socket_closing"]"#,
            "not json",
            r#"{"eventType":"subscription"}"#,
        ] {
            assert!(matches!(of(text, on), Heard::Event(_)), "{text}");
        }
    }

    #[test]
    fn a_confirmation_is_no_event() {
        let on = Protocol::Events;
        let text = r#"{"eventType":"subscription","subscriptionId":"s"}"#;
        assert!(matches!(of(text, on), Heard::Alive));
        let text = r#"{"eventType":"x","data":{"a":"subscription"}}"#;
        assert!(matches!(of(text, on), Heard::Event(_)));
    }

    #[test]
    fn binary_text_is_text_and_other_bytes_are_refused() {
        let on = Protocol::Notifications;
        let text = Message::Binary(b"{\"a\":1}".to_vec().into());
        assert!(matches!(said(text, on), Heard::Event(text) if text.as_str() == "{\"a\":1}"));
        let bytes = Message::Binary(vec![0xff; 1000].into());
        let Heard::Refused {
            sample,
            length,
            broken,
            ..
        } = said(bytes, on)
        else {
            panic!("it is no text");
        };
        assert_eq!((sample.len(), length, broken), (SAMPLE, 1000, false));
    }

    #[tokio::test]
    async fn an_address_is_never_told() {
        let dial = Dial {
            tls: crate::client::http::tls(),
            protocol: Protocol::Notifications,
            timeout: Duration::from_secs(5),
            max_frame: 1024,
        };
        // Nobody listens on port 1, and the others are no addresses at all.
        for uri in [
            "ws://127.0.0.1:1/channels/hush",
            "wss://127.0.0.1:1/channels/hush",
            "hush",
            "http://hush/hush",
            "ws:///hush",
            "ws://a b/hush",
        ] {
            let Err(error) = dial.open(uri).await else {
                panic!("{uri} is open");
            };
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }
}
