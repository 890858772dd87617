//! Conversations by messages: begun, looked at, handed on, ended.
//!
//! Each of these goes once, as a message does: whoever calls has taken a place in the budget before
//! ([`Client::turn`]) and knows best what to do about an answer that did not come. Ids are kept of what
//! is read, and no names, addresses or texts.

use serde::Deserialize;
use serde_json::{Value, json};

use super::messaging::Sent;
use super::notifications::segment;
use super::refusal::SendError;
use super::{Call, Client, Method};
use crate::failure::{Cause, Failure, Kind};

/// Participants of a conversation that are read; each transfer adds one.
const MOST: usize = 1_000;

/// A conversation as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Standing {
    /// Its id.
    pub id: String,
    /// When it began (RFC 3339).
    pub start_time: Option<String>,
    /// When it ended, if it has.
    pub end_time: Option<String>,
    /// All who took part, in the order in which they came.
    pub participants: Vec<Participant>,
}

/// One who takes part, or took part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Participant {
    /// Its id.
    pub id: String,
    /// Such as `customer`, `agent` or `acd`.
    pub purpose: String,
    /// The user, where it is one.
    pub user_id: Option<String>,
    /// The queue that it is in.
    pub queue_id: Option<String>,
    /// Its communications by messages.
    pub messages: Vec<Communication>,
}

/// What a participant takes part with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Communication {
    /// Its id: messages of an agent go out on it.
    pub id: String,
    /// Such as `alerting`, `connected` or `disconnected`.
    pub state: String,
}

/// Who comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A user, by id.
    User(String),
    /// Whoever is free in a queue, by id.
    Queue(String),
}

impl Communication {
    /// Whether it goes on.
    pub fn is_open(&self) -> bool {
        !matches!(self.state.as_str(), "disconnected" | "terminated")
    }
}

impl Standing {
    /// The agent's communication that was opened last and goes on.
    pub fn agents(&self) -> Option<&Communication> {
        let mut agents = (self.participants.iter().rev())
            .filter(|one| matches!(one.purpose.as_str(), "agent" | "user"));
        agents.find_map(|one| one.messages.iter().rev().find(|it| it.is_open()))
    }

    /// Who speaks for the organisation now: an agent, else whoever came last.
    pub fn speaker(&self) -> Option<&Participant> {
        let speaks = |one: &&Participant| {
            one.purpose != "customer" && one.messages.iter().any(Communication::is_open)
        };
        let all = || self.participants.iter().rev().filter(speaks);
        let agent = all().find(|one| matches!(one.purpose.as_str(), "agent" | "user"));
        agent.or_else(|| all().next())
    }
}

impl Client {
    /// Opens a conversation with a customer, in a queue where one is said. `existing` joins the one that
    /// is open with the customer.
    ///
    /// # Errors
    /// Says whether it was certainly not done.
    pub async fn begin_conversation(
        &self,
        to: &str,
        queue: Option<&str>,
        existing: bool,
    ) -> Result<Sent, SendError> {
        let mut body = json!({
            "toAddress": to, "toAddressMessengerType": "open", "useExistingConversation": existing,
        });
        if let Some(queue) = queue {
            body["queueId"] = json!(queue);
        }
        let path = "/conversations/messages";
        let call = Call::new("opening a conversation", Method::POST, path).body(body);
        let answer = self.once_only(call).await?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        let id = answer.get("id").and_then(Value::as_str);
        Ok(Sent {
            message: None,
            conversation: id.map(str::to_owned),
        })
    }

    /// A conversation as it stands now.
    ///
    /// # Errors
    /// As a message; a refusal with 404 where there is none.
    pub async fn standing(&self, id: &str) -> Result<Standing, SendError> {
        let path = format!("/conversations/{}", segment(id));
        let call = Call::new("reading a conversation", Method::GET, path);
        let answer = self.once_only(call).await?;
        let mut standing: Standing = serde_json::from_slice(&answer).map_err(|_| {
            let message = "reading a conversation: the answer is not what it should be";
            let cause = Cause::new("genesys_answer", message);
            SendError::Unsent(Failure::new(Kind::Transient, cause))
        })?;
        standing.participants.truncate(MOST);
        Ok(standing)
    }

    /// The status of an integration of Open Messaging, such as `Active`, where it says one
    /// (`GET /api/v2/conversations/messaging/integrations/open/{integrationId}`, which needs
    /// `messaging:integration:view`).
    ///
    /// # Errors
    /// As a message; a refusal with 404 where there is none.
    pub async fn open_integration(&self, id: &str) -> Result<Option<String>, SendError> {
        let path = format!("/conversations/messaging/integrations/open/{}", segment(id));
        let call = Call::new("reading an integration", Method::GET, path);
        let answer = self.once_only(call).await?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        let status = answer.get("status").and_then(Value::as_str);
        Ok(status.map(str::to_owned))
    }

    /// Puts another in the place of a participant: the only way into a conversation by messages.
    ///
    /// # Errors
    /// Says whether it was certainly not done.
    pub async fn replace_participant(
        &self,
        conversation: &str,
        participant: &str,
        by: &Target,
    ) -> Result<(), SendError> {
        let (conversation, participant) = (segment(conversation), segment(participant));
        let path =
            format!("/conversations/messages/{conversation}/participants/{participant}/replace");
        let body = match by {
            Target::User(id) => json!({"userId": id, "transferType": "Unattended"}),
            Target::Queue(id) => json!({"queueId": id, "transferType": "Unattended"}),
        };
        let call = Call::new("handing a conversation on", Method::POST, path).body(body);
        self.once_only(call).await.map(|_| ())
    }

    /// Ends a conversation by messages for all who take part.
    ///
    /// # Errors
    /// Says whether it was certainly not done.
    pub async fn disconnect(&self, id: &str) -> Result<(), SendError> {
        let path = format!("/conversations/messages/{}", segment(id));
        let call = Call::new("ending a conversation", Method::PATCH, path);
        let call = call.body(json!({"state": "disconnected"}));
        self.once_only(call).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(json: Value) -> Standing {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn messages_go_out_on_the_last_open_communication_of_an_agent() {
        let with = |agent: &str, state: &str| {
            standing(json!({"id": "c", "participants": [
                {"id": "p0", "purpose": "customer", "messages": [{"id": "m0", "state": "connected"}]},
                {"id": "p1", "purpose": "agent", "messages": [{"id": "m1", "state": "disconnected"}]},
                {"id": "p2", "purpose": "acd", "messages": [{"id": "m2", "state": "connected"}]},
                {"id": "p3", "purpose": agent, "messages": [{"id": "m3", "state": state}]},
            ]}))
        };
        let found = |it: &Standing| it.agents().map(|it| it.id.clone());
        let speaks = |it: &Standing| it.speaker().map(|it| it.id.clone());
        let open = with("agent", "alerting");
        assert_eq!(found(&open).as_deref(), Some("m3"));
        assert_eq!(speaks(&open).as_deref(), Some("p3"));
        let gone = with("agent", "terminated");
        assert_eq!((found(&gone), speaks(&gone).as_deref()), (None, Some("p2")));
        let none = standing(json!({"id": "c", "participants": [
            {"id": "p0", "purpose": "customer", "messages": [{"id": "m0", "state": "connected"}]},
        ]}));
        assert_eq!((found(&none), speaks(&none)), (None, None));
    }
}
