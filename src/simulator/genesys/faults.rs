//! What goes wrong with calls that send a message, and what was sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::Value;

use super::messaging::string;
use super::platform::{Platform, Shared};
use super::reply::{Reply, error_body};
use super::route::{Request, limit_body, route};

/// Messages that are remembered.
const KEPT: usize = 200_000;

/// A message that the platform took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The customer: to whom, or from whom.
    pub partner: String,
    /// The sender's own id of the message, where the call has one.
    pub message_id: Option<String>,
    /// The text.
    pub text: String,
}

/// What becomes of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendFault {
    /// It is done and answered.
    None,
    /// Refused with 429 and `Retry-After` in seconds, with the limit of calls in a minute that the body
    /// names; nothing is done.
    Throttled {
        /// Seconds to wait.
        wait: u64,
        /// `limit.value` of the body; it may name none.
        limit: Option<u32>,
    },
    /// Refused with this status; nothing is done.
    Refused(u16),
    /// Done, and answered with this status.
    Gateway(u16),
    /// Done, and never answered.
    Lost,
    /// Done, and the connection ends in place of an answer.
    Cut,
}

/// The messages that the platform took, and the calls that tried it, in order; and what is planned for
/// those that come.
#[derive(Default)]
pub(super) struct Log {
    taken: VecDeque<Heard>,
    tried: VecDeque<Instant>,
    /// Faults of the next calls that send.
    pub(super) sends: VecDeque<SendFault>,
    /// Faults of the next calls that do not.
    pub(super) others: VecDeque<SendFault>,
}

fn keep<T>(kept: &mut VecDeque<T>, one: T) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(one);
}

impl Log {
    pub(super) fn taken(&self) -> Vec<Heard> {
        self.taken.iter().cloned().collect()
    }

    pub(super) fn tried(&self) -> Vec<Instant> {
        self.tried.iter().copied().collect()
    }
}

/// What becomes of an answer.
pub(super) enum Way {
    /// It goes, after so long.
    Goes(Reply, Duration),
    /// It does not.
    Lost,
    /// The connection ends.
    Cut,
}

/// Answers a request, with what goes wrong on the way.
pub(super) fn answer(shared: &Arc<Shared>, request: &Request) -> Way {
    let sends = is_send(request);
    let (fault, delay) = {
        let mut platform = shared.platform();
        match sends {
            true => drawn(&mut platform),
            false if request.path.first().is_some_and(|it| it == "oauth") => {
                (SendFault::None, Duration::ZERO)
            }
            false => {
                let planned = platform.log.others.pop_front();
                (planned.unwrap_or(SendFault::None), Duration::ZERO)
            }
        }
    };
    if let Some(reply) = refusal(&fault) {
        return Way::Goes(reply, delay);
    }
    let reply = route(shared, request);
    if sends && reply.status < 300 {
        note(shared, request);
    }
    match fault {
        SendFault::Lost => Way::Lost,
        SendFault::Cut => Way::Cut,
        SendFault::Gateway(status) => {
            let message = "The gateway did not get an answer";
            Way::Goes(Reply::error(status, "request.timeout", message), delay)
        }
        _ => Way::Goes(reply, delay),
    }
}

/// What becomes of a call that sends: what is planned for it, else what chance says.
fn drawn(platform: &mut Platform) -> (SendFault, Duration) {
    keep(&mut platform.log.tried, Instant::now());
    let faults = platform.config.faults.sends.clone();
    let shares = [
        (faults.throttled, throttled()),
        (faults.unauthorized, SendFault::Refused(401)),
        (faults.failed, SendFault::Refused(503)),
        (faults.lost, SendFault::Lost),
        (faults.gateway, SendFault::Gateway(504)),
    ];
    let delay = faults.delay.unwrap_or_default();
    if let Some(planned) = platform.log.sends.pop_front() {
        return (planned, delay);
    }
    // Each is drawn, so that what follows does not hang on what came of it.
    let drawn = shares.map(|(share, fault)| platform.random.share(share).then_some(fault));
    let first = drawn.into_iter().flatten().next();
    (first.unwrap_or(SendFault::None), delay)
}

fn throttled() -> SendFault {
    SendFault::Throttled {
        wait: 1,
        limit: None,
    }
}

/// The answer to a call that is refused before anything is done.
fn refusal(fault: &SendFault) -> Option<Reply> {
    let reply = match fault {
        SendFault::Throttled { wait, limit } => {
            let message = "Rate limit exceeded the maximum.";
            let mut body = error_body(429, "too.many.requests", message);
            if let Some(limit) = limit {
                body["limit"] = limit_body(*limit);
            }
            Reply::json(&body).status(429).with("retry-after", wait)
        }
        SendFault::Refused(401) => {
            Reply::error(401, "bad.credentials", "Invalid login credentials.")
        }
        SendFault::Refused(404) => Reply::not_found("conversation"),
        SendFault::Refused(status) => {
            Reply::error(*status, "service.unavailable", "The service is unavailable")
        }
        _ => return None,
    };
    Some(reply)
}

/// Whether it is a message, and not a token or a question.
fn is_send(request: &Request) -> bool {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    request.method == Method::POST
        && matches!(
            path[..],
            ["api", "v2", "conversations", "messages", "agentless"]
                | [
                    "api",
                    "v2",
                    "conversations",
                    "messages",
                    _,
                    "inbound",
                    "open",
                    "message"
                ]
                | [
                    "api",
                    "v2",
                    "conversations",
                    "messages",
                    _,
                    "communications",
                    _,
                    "messages"
                ]
        )
}

fn note(shared: &Shared, request: &Request) {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let first = |paths: &[&str]| {
        let found = paths.iter().find_map(|path| string(&body, path));
        found.unwrap_or_default().to_owned()
    };
    let heard = Heard {
        partner: first(&["/toAddress", "/channel/from/id"]),
        message_id: string(&body, "/channel/messageId").map(str::to_owned),
        text: first(&["/textBody", "/text"]),
    };
    keep(&mut shared.platform().log.taken, heard);
}
