//! A message as it comes, and the call that it becomes.

mod fields;
mod reading;

pub(super) use fields::{About, Fields};

use crate::client::genesys::{Body, Outgoing, Party};
use crate::client::tenants::Organization;
use crate::event::{Event, Path};
use crate::failure::Failure;
use reading::Reading;

/// Longest id of a message, a conversation or a recipient, in bytes.
const ID_BYTES: usize = 256;

/// Why a message is not sent as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub reason: &'static str,
    pub at: String,
    pub what: &'static str,
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        Failure::rejected(wrong.reason, format!("`{}` {}", wrong.at, wrong.what))
    }
}

fn wrong(reason: &'static str, path: &Path, what: &'static str) -> Wrong {
    let at = path.to_string();
    Wrong { reason, at, what }
}

/// A message that can be sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub id: String,
    pub tenant: String,
    pub organization: String,
    integration: Option<String>,
    /// As it is said.
    pub time: Option<String>,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Agentless {
        to: String,
        text: String,
    },
    Conversation {
        conversation: String,
        communication: String,
        text: String,
    },
    Inbound {
        from: Party,
        body: Body,
    },
    Event {
        from: Party,
    },
    Receipt {
        to: Party,
        message: String,
        delivered: bool,
        reason: Option<String>,
    },
}

/// What a message can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Agentless,
    Conversation,
    Inbound,
    Event,
    Receipt,
}

const KINDS: [(&str, Kind); 5] = [
    ("agentless", Kind::Agentless),
    ("conversation", Kind::Conversation),
    ("inbound", Kind::Inbound),
    ("event", Kind::Event),
    ("receipt", Kind::Receipt),
];

impl Message {
    /// Reads and checks.
    pub fn read(event: &Event, fields: &Fields, about: &About) -> Result<Self, Wrong> {
        let id = |read: &Option<String>, path| {
            let missing = "is missing, or is no id of 1 to 256 bytes without control characters";
            read.clone().ok_or_else(|| wrong("bad_id", path, missing))
        };
        let reading = Reading { event, fields };
        let what = match reading.kind()? {
            Kind::Agentless => What::Agentless {
                to: reading.party()?.id,
                text: reading.text_alone()?,
            },
            Kind::Conversation => What::Conversation {
                conversation: reading.id(&fields.conversation)?,
                communication: reading.id(&fields.communication)?,
                text: reading.text_alone()?,
            },
            Kind::Inbound => What::Inbound {
                from: reading.party()?,
                body: reading.body()?,
            },
            Kind::Event => What::Event {
                from: reading.party()?,
            },
            Kind::Receipt => reading.receipt()?,
        };
        Ok(Self {
            id: id(&about.id, &fields.message_id)?,
            tenant: id(&about.tenant, &fields.tenant)?,
            organization: id(&about.organization, &fields.organization)?,
            integration: match reading.said(&fields.integration) {
                true => Some(reading.id(&fields.integration)?),
                false => None,
            },
            time: reading.time()?,
            what,
        })
    }

    /// What its status is kept by.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.tenant, self.organization, self.id)
    }

    /// Whether the time of its first try has to be known at the next one.
    pub fn needs_time(&self) -> bool {
        self.time.is_none() && matches!(self.what, What::Inbound { .. })
    }

    /// The call that sends it.
    pub fn outgoing(
        &self,
        organization: &Organization,
        time: &str,
        existing: bool,
    ) -> Result<Outgoing, Wrong> {
        let refuse = |what| Wrong {
            reason: "integration_not_allowed",
            at: ".integrationId".to_owned(),
            what,
        };
        let named = self.integration.as_deref();
        if named.is_some_and(|named| !organization.allows(named)) {
            return Err(refuse("is none that the organisation may use"));
        }
        let integration = || {
            let found = named.or(organization.integration()).map(str::to_owned);
            found.ok_or_else(|| refuse("is missing, and the organisation has not just one"))
        };
        let time = time.to_owned();
        Ok(match self.what.clone() {
            What::Agentless { to, text } => Outgoing::Agentless {
                integration: integration()?,
                to,
                text,
                existing,
            },
            What::Conversation {
                conversation,
                communication,
                text,
            } => Outgoing::Conversation {
                conversation,
                communication,
                text,
            },
            What::Inbound { from, body } => Outgoing::Inbound {
                integration: integration()?,
                from,
                message: self.id.clone(),
                time,
                body,
            },
            What::Event { from } => Outgoing::Typing {
                integration: integration()?,
                from,
                time,
            },
            What::Receipt {
                to,
                message,
                delivered,
                reason,
            } => Outgoing::Receipt {
                integration: integration()?,
                to,
                message,
                delivered,
                reason,
                time,
            },
        })
    }
}

fn text(event: &Event, path: &Path) -> Option<String> {
    let value = event.get(path)?;
    value.as_plain().map(|text| text.into_owned())
}

fn is_id(id: &str) -> bool {
    (1..=ID_BYTES).contains(&id.len()) && !id.chars().any(char::is_control)
}
