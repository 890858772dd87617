//! From nothing to a socket on which events come: channel, topics, connection.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use url::Url;

use super::board::Board;
use super::config::{Config, Protocol};
use super::maker::{Maker, NotMade};
use super::memory::{Grip, Memory};
use super::now;
use super::queue::Inlet;
use super::socket::{Dial, NotOpen, Socket};
use crate::client::genesys::{CallError, Channel, Client, Topic};
use crate::failure::Failure;

/// Longest wait for the first word on a new socket.
const FIRST_WORD: Duration = Duration::from_secs(5);
/// Most calls by which topics that are refused together are told apart.
const PARTS: usize = 64;

/// What the tasks of a source share.
pub(super) struct Context {
    pub node: Arc<str>,
    pub config: Arc<Config>,
    pub client: Client,
    pub dial: Dial,
    pub maker: Maker,
    pub board: Board,
    pub inlet: Inlet,
    pub memory: Arc<Memory>,
    /// Where the socket of `protocol: events` is, without its token.
    pub events: String,
}

/// On what a socket is opened.
pub(super) enum On {
    /// A channel that we had.
    Old(Grip),
    /// A new one. `true` where one of ours is replaced by it, which may use the reserve.
    New(bool),
}

/// A socket with its channel.
pub(super) struct Open {
    pub socket: Socket,
    /// `None` with `protocol: events`.
    pub grip: Option<Grip>,
    /// Whether the topics are known to be on the channel.
    pub subscribed: bool,
    /// The topics that it was opened for.
    pub topics: Arc<Vec<String>>,
}

/// Why there is no socket.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// Nothing will go well until a person acts.
    Fatal(Failure),
    /// The OAuth client has as many channels as it may.
    Full,
    /// It may go well later, on this channel if there is one; at least after so long.
    Later(String, Option<Grip>, Option<Duration>),
}

impl Obstacle {
    fn on(self, grip: &Grip) -> Self {
        match self {
            Self::Later(why, None, wait) => Self::Later(why, Some(grip.clone()), wait),
            other => other,
        }
    }
}

impl From<CallError> for Obstacle {
    fn from(error: CallError) -> Self {
        if error.is_fatal() {
            return Self::Fatal(error.into());
        }
        let text = error.to_string();
        Self::Later(text, None, Failure::from(error).retry_after())
    }
}

impl From<NotMade> for Obstacle {
    fn from(error: NotMade) -> Self {
        match error {
            NotMade::Full => Self::Full,
            NotMade::Failed(error) => error.into(),
        }
    }
}

impl From<Failure> for Obstacle {
    fn from(failure: Failure) -> Self {
        CallError::Failed(failure).into()
    }
}

/// Opens a socket on which these topics come.
pub(super) async fn open(
    context: Arc<Context>,
    number: u32,
    topics: Arc<Vec<String>>,
    on: On,
) -> Result<Open, Obstacle> {
    if context.config.protocol == Protocol::Events {
        return open_events(&context, &topics).await;
    }
    let roll = match on {
        On::New(roll) => roll,
        On::Old(grip) => match open_old(&context, number, grip, &topics).await? {
            Some(open) => return Ok(open),
            None => true,
        },
    };
    open_new(&context, number, &topics, roll).await
}

/// On a channel that we had: it has kept its topics, so the socket comes first and the gap stays
/// short. `None` when the channel is gone.
async fn open_old(
    context: &Context,
    number: u32,
    grip: Grip,
    topics: &Arc<Vec<String>>,
) -> Result<Option<Open>, Obstacle> {
    let allowed = Url::parse(grip.channel.expose_uri());
    if !allowed.is_ok_and(|uri| context.client.endpoints().allows(&uri)) {
        return Ok(None);
    }
    match connect(context, &grip.channel).await {
        Ok(socket) => Ok(Some(Open {
            socket,
            grip: Some(grip),
            subscribed: false,
            topics: topics.clone(),
        })),
        Err(NotOpen::Status(400 | 401 | 403 | 404 | 410)) => {
            tracing::info!(source = %context.node, channel = number, "the channel is gone");
            context.memory.hold(number, None);
            Ok(None)
        }
        Err(NotOpen::Status(status)) => Err(Obstacle::Later(answered(status), Some(grip), None)),
        // The host of a channel that is gone may be gone too: the platform knows.
        Err(NotOpen::Failed(why)) => {
            match subscribe(context, number, &grip.channel, topics).await {
                Ok(false) => {
                    tracing::info!(source = %context.node, channel = number, "the channel is gone: {why}");
                    context.memory.hold(number, None);
                    Ok(None)
                }
                Err(fatal @ Obstacle::Fatal(_)) => Err(fatal),
                Ok(true) | Err(_) => Err(Obstacle::Later(why, Some(grip), None)),
            }
        }
    }
}

async fn open_new(
    context: &Context,
    number: u32,
    topics: &Arc<Vec<String>>,
    roll: bool,
) -> Result<Open, Obstacle> {
    let made = context.maker.make(roll).await;
    context
        .board
        .full(number, matches!(made, Err(NotMade::Full)));
    let grip = made?;
    match subscribe(context, number, &grip.channel, topics).await {
        Ok(true) => {}
        Ok(false) => {
            return Err(Obstacle::Later(
                "the new channel is gone".to_owned(),
                None,
                None,
            ));
        }
        // It is empty, but there: another try can use it.
        Err(obstacle) => {
            context.maker.give_back(grip).await;
            return Err(obstacle);
        }
    }
    match connect(context, &grip.channel).await {
        Ok(socket) => Ok(Open {
            socket,
            grip: Some(grip),
            subscribed: true,
            topics: topics.clone(),
        }),
        Err(NotOpen::Status(status @ 400..500)) => {
            Err(Obstacle::Later(answered(status), None, None))
        }
        Err(NotOpen::Status(status)) => {
            Err(Obstacle::Later(answered(status), None, None).on(&grip))
        }
        Err(NotOpen::Failed(why)) => Err(Obstacle::Later(why, None, None).on(&grip)),
    }
}

fn answered(status: u16) -> String {
    format!("the socket was answered with {status}")
}

async fn connect(context: &Context, channel: &Channel) -> Result<Socket, NotOpen> {
    let mut socket = context.dial.open(channel.expose_uri()).await?;
    match socket.answers(FIRST_WORD.min(context.dial.timeout)).await {
        true => Ok(socket),
        false => Err(NotOpen::Failed("it was closed at once".to_owned())),
    }
}

/// The socket of `protocol: events`: its credential is the token, and a frame subscribes.
async fn open_events(context: &Context, topics: &Arc<Vec<String>>) -> Result<Open, Obstacle> {
    let mut token = context.client.token().await?;
    let mut renewed = false;
    let mut socket = loop {
        let uri = Url::parse_with_params(&context.events, [("access_token", token.expose())]);
        let uri =
            uri.map_err(|_| Obstacle::Later("the address is no URI".to_owned(), None, None))?;
        match context.dial.open(uri.as_str()).await {
            Ok(socket) => break socket,
            Err(NotOpen::Status(401)) if !renewed => {
                renewed = true;
                token = context.client.renewed(&token).await?;
            }
            Err(NotOpen::Status(status)) => {
                return Err(Obstacle::Later(answered(status), None, None));
            }
            Err(NotOpen::Failed(why)) => return Err(Obstacle::Later(why, None, None)),
        }
    };
    let frame = json!({ "subscription": { "topics": topics.as_slice() } });
    socket.say(frame.to_string()).await;
    context.board.topics(0, topics.len(), &[]);
    Ok(Open {
        socket,
        grip: None,
        subscribed: true,
        topics: topics.clone(),
    })
}

/// Puts the topics on a channel and shows what became of each. `false` when the channel is gone.
pub(super) async fn subscribe(
    context: &Context,
    number: u32,
    channel: &Channel,
    topics: &[String],
) -> Result<bool, Obstacle> {
    let answers = match context.client.set_topics(channel, topics).await {
        Ok(answers) => answers,
        Err(error) if matches!(error.status(), Some(404 | 410)) => return Ok(false),
        Err(error) if error.status() == Some(403) => {
            apart(&context.client, channel, topics).await?
        }
        Err(error) => return Err(error.into()),
    };
    let refused: Vec<Topic> = answers.into_iter().filter(Topic::is_rejected).collect();
    let permitted = topics.len().saturating_sub(refused.len());
    context.board.topics(number, permitted, &refused);
    Ok(true)
}

/// When all are refused because of some: halves are tried until those are found, the others are
/// added. What is not told apart by then counts as refused.
async fn apart(
    client: &Client,
    channel: &Channel,
    topics: &[String],
) -> Result<Vec<Topic>, CallError> {
    let refused = |id: &String, why: &str| Topic {
        id: id.clone(),
        state: Some("Rejected".to_owned()),
        rejection_reason: Some(why.to_owned()),
        missing_permissions: None,
    };
    let (mut answers, mut left, mut calls) = (Vec::new(), Vec::new(), 0);
    let (first, second) = topics.split_at(topics.len() / 2);
    left.extend([second, first]);
    while let Some(part) = left.pop() {
        if part.is_empty() {
            continue;
        }
        if calls == PARTS {
            answers.extend(
                part.iter()
                    .map(|id| refused(id, "refused together with others")),
            );
            continue;
        }
        calls += 1;
        match client.add_topics(channel, part).await {
            Ok(answered) => answers.extend(answered),
            Err(error) if error.status() == Some(403) && part.len() > 1 => {
                let (first, second) = part.split_at(part.len() / 2);
                left.extend([second, first]);
            }
            Err(CallError::Refused { refusal, .. }) if refusal.status == 403 => {
                answers.push(refused(&part[0], &refusal.message));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(answers)
}

/// When a channel of this number and age is to be replaced. Channels of one start are replaced one
/// after the other.
pub(super) fn roll_after(config: &Config, number: u32, made: i64) -> Duration {
    // Half a hundredth each: 7 minutes of 23 hours, so 20 channels take two hours and a quarter.
    let stagger = config.roll_over / 200 * (number % 20);
    let due = config.roll_over - stagger;
    let age = Duration::from_micros(u64::try_from(now() - made).unwrap_or_default());
    due.saturating_sub(age)
}
