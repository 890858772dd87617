//! Open Messaging: what is sent to a customer, and what a middleware tells of one.
//!
//! Requests and answers as Genesys documents them. Of an answer the platform's ids are kept. A receipt
//! may answer with a receipt of its own that says `Failed` although HTTP said 200.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::refusal::{Refusal, SendError};
use super::{Call, Client, Method};
use crate::client::http;
use crate::failure::Failure;
use crate::layer::rehearsal::{Leaving, SECRET};

/// Longest text of a message, in characters.
pub const TEXT_CHARACTERS: usize = 2_000;

/// A customer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Party {
    /// Such as a phone number or an address.
    pub id: String,
    /// `Email`, `Phone` or `Opaque`.
    pub id_type: String,
    /// As shown to agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// First name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
}

/// Something beside the text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Its id, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `Image`, `Video`, `Audio`, `File` or `Link`.
    pub media_type: String,
    /// Where it lies.
    pub url: String,
    /// Such as `image/png`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// A caption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What an inbound message says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// Empty where there is only an attachment.
    pub text: String,
    /// At most one of them, as the platform has it.
    pub content: Vec<Attachment>,
    /// Shown nowhere, and kept with the message.
    pub metadata: Option<Value>,
}

/// A call of Open Messaging.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// A text to a customer, by nobody in particular.
    Agentless {
        /// Whose name it is sent in.
        integration: String,
        /// The customer's address.
        to: String,
        /// The text.
        text: String,
        /// Joins the conversation that is open with the customer.
        existing: bool,
    },
    /// A text to the customer of a conversation, on an agent's communication.
    Conversation {
        /// Its id.
        conversation: String,
        /// Of the agent's communication in it.
        communication: String,
        /// The text.
        text: String,
    },
    /// A message of a customer.
    Inbound {
        /// Who takes it.
        integration: String,
        /// The customer.
        from: Party,
        /// The message's own id: the platform's idempotency hangs on it and on the time.
        message: String,
        /// When it was written (RFC 3339).
        time: String,
        /// What it says.
        body: Body,
    },
    /// A customer is typing.
    Typing {
        /// Who takes it.
        integration: String,
        /// The customer.
        from: Party,
        /// When (RFC 3339).
        time: String,
    },
    /// How a message of the platform fared on its way to the customer.
    Receipt {
        /// Who takes it.
        integration: String,
        /// The customer.
        to: Party,
        /// The platform's id of the message.
        message: String,
        /// Whether it was delivered.
        delivered: bool,
        /// A code of the platform's list, where it was not: such as `GeneralError`.
        reason: Option<String>,
        /// When (RFC 3339).
        time: String,
    },
}

/// What the platform says of a message that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Its id of the message.
    pub message: Option<String>,
    /// The conversation that the message is in.
    pub conversation: Option<String>,
}

/// Longest id of the platform that is kept.
const ID_BYTES: usize = 256;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    id: Value,
    conversation_id: Value,
    r#type: Value,
    status: Value,
    reasons: Value,
}

impl Outgoing {
    fn path(&self) -> String {
        let inbound = |integration: &str, what: &str| {
            let integration = segment(integration);
            format!("/conversations/messages/{integration}/inbound/open/{what}")
        };
        match self {
            Self::Agentless { .. } => "/conversations/messages/agentless".to_owned(),
            Self::Conversation {
                conversation,
                communication,
                ..
            } => format!(
                "/conversations/messages/{}/communications/{}/messages",
                segment(conversation),
                segment(communication)
            ),
            Self::Inbound { integration, .. } => inbound(integration, "message"),
            Self::Typing { integration, .. } => inbound(integration, "event"),
            Self::Receipt { integration, .. } => inbound(integration, "receipt"),
        }
    }

    fn call(&self) -> Call<'static> {
        Call::new("a message", Method::POST, self.path()).body(self.body())
    }

    fn body(&self) -> Value {
        match self {
            Self::Agentless {
                integration,
                to,
                text,
                existing,
            } => json!({
                "fromAddress": integration, "toAddress": to, "toAddressMessengerType": "open",
                "textBody": text, "useExistingActiveConversation": existing,
            }),
            Self::Conversation { text, .. } => json!({"textBody": text}),
            Self::Inbound {
                from,
                message,
                time,
                body,
                ..
            } => inbound(from, message, time, body),
            Self::Typing { from, time, .. } => json!({
                "channel": {"from": from, "time": time}, "events": [{"eventType": "Typing"}],
            }),
            Self::Receipt {
                to,
                message,
                delivered,
                reason,
                time,
                ..
            } => {
                let status = if *delivered { "Delivered" } else { "Failed" };
                let mut receipt = json!({
                    "id": message, "channel": {"to": to, "time": time}, "status": status,
                    "isFinalReceipt": true,
                });
                if let Some(code) = reason {
                    receipt["reasons"] = json!([{"code": code}]);
                }
                receipt
            }
        }
    }
}

fn inbound(from: &Party, message: &str, time: &str, body: &Body) -> Value {
    let mut request = json!({
        "channel": {"from": from, "messageId": message, "time": time},
    });
    if !body.text.is_empty() {
        request["text"] = json!(body.text);
    }
    if !body.content.is_empty() {
        let content = body.content.iter();
        let content: Vec<Value> = content.map(|it| json!({"attachment": it})).collect();
        request["content"] = json!(content);
    }
    if let Some(metadata) = &body.metadata {
        request["metadata"] = metadata.clone();
    }
    request
}

/// A part of a path: ids come from messages, and must stay one part.
fn segment(id: &str) -> String {
    if id == "." || id == ".." {
        // Encoded or not these are steps of a path; this names nothing.
        return "_".to_owned();
    }
    let mut out = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.' => {
                out.push(byte.into());
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl Client {
    /// The request that [`send`](Self::send) would make.
    ///
    /// # Errors
    /// Transient (`genesys_request`), where it is none that can be made.
    pub fn leaving(&self, outgoing: &Outgoing) -> Result<Leaving, Failure> {
        let request = self.request_of(&outgoing.call(), SECRET).build();
        let request = request.map_err(|_| {
            Failure::transient("genesys_request", "the request of a message cannot be made")
        })?;
        Ok(http::leaving(&request))
    }

    /// Sends, once: nothing is repeated but for a token that was not good any more. The place in the
    /// budget was taken before ([`turn`](Self::turn)).
    ///
    /// # Errors
    /// Says whether it was certainly not sent.
    pub async fn send(&self, outgoing: &Outgoing) -> Result<Sent, SendError> {
        let body = self.once_only(outgoing.call()).await?;
        // It was taken, whatever else the answer says or does not say.
        let answer: Answer = serde_json::from_slice(&body).unwrap_or_default();
        if answer.status.as_str() == Some("Failed") && answer.r#type.as_str() == Some("Receipt") {
            let code = answer.reasons.pointer("/0/code").and_then(Value::as_str);
            return Err(SendError::Refused(Refusal {
                status: 200,
                code: code.unwrap_or("receipt.failed").to_owned(),
                message: String::new(),
                correlation: None,
                retry_after: None,
                limit: None,
            }));
        }
        let id = |value: &Value| {
            let text = value
                .as_str()
                .filter(|id| id.len() <= ID_BYTES && !id.is_empty());
            text.map(str::to_owned)
        };
        Ok(Sent {
            message: id(&answer.id),
            conversation: id(&answer.conversation_id),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_one_part_of_the_path() {
        let typing = |integration: &str| {
            let call = Outgoing::Typing {
                integration: integration.to_owned(),
                from: Party::default(),
                time: String::new(),
            };
            call.path()
        };
        assert_eq!(
            typing("../../oauth?x#y z/é"),
            "/conversations/messages/..%2F..%2Foauth%3Fx%23y%20z%2F%C3%A9/inbound/open/event"
        );
        assert_eq!(typing(".."), "/conversations/messages/_/inbound/open/event");
    }

    #[test]
    fn an_inbound_message_is_as_the_platform_documents_it() {
        let from = Party {
            id: "ada@example.org".into(),
            id_type: "Email".into(),
            ..Party::default()
        };
        let image = Attachment {
            media_type: "Image".into(),
            url: "https://example.org/a.png".into(),
            ..Attachment::default()
        };
        let call = Outgoing::Inbound {
            integration: "i-1".into(),
            from,
            message: "mw-1".into(),
            time: "2026-01-02T03:04:05Z".into(),
            body: Body {
                text: "hello".into(),
                content: vec![image],
                metadata: None,
            },
        };
        assert_eq!(
            call.body(),
            json!({
                "channel": {
                    "from": {"id": "ada@example.org", "idType": "Email"},
                    "messageId": "mw-1", "time": "2026-01-02T03:04:05Z",
                },
                "text": "hello",
                "content": [{"attachment": {"mediaType": "Image", "url": "https://example.org/a.png"}}],
            })
        );
    }
}
