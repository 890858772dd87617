//! The platform's enums. The same idea is spelt four ways, in one table here.

/// How a value is spelt in each family of shapes.
#[derive(Clone, Copy)]
pub(super) struct Spelling {
    /// Snapshots (`v2.users.{id}.conversations` and its like).
    pub(super) event: &'static str,
    /// REST.
    pub(super) rest: &'static str,
    /// Detail events.
    pub(super) detail: &'static str,
    /// Analytics.
    pub(super) analytics: &'static str,
}

const fn spelt(
    event: &'static str,
    rest: &'static str,
    detail: &'static str,
    analytics: &'static str,
) -> Spelling {
    Spelling {
        event,
        rest,
        detail,
        analytics,
    }
}

/// Of a communication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Alerting,
    Dialing,
    Contacting,
    Offering,
    Connected,
    Parked,
    Scheduled,
    Disconnected,
    Terminated,
}

impl State {
    /// The same in events and REST; detail events and analytics have no states.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Alerting => "alerting",
            Self::Dialing => "dialing",
            Self::Contacting => "contacting",
            Self::Offering => "offering",
            Self::Connected => "connected",
            Self::Parked => "parked",
            Self::Scheduled => "scheduled",
            Self::Disconnected => "disconnected",
            Self::Terminated => "terminated",
        }
    }

    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Disconnected | Self::Terminated)
    }
}

/// Why a communication ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Endpoint,
    DoNotDisturb,
    Client,
    System,
    Timeout,
    Transfer,
    NoAnswer,
    Peer,
    Error,
    Spam,
}

impl Ending {
    pub(super) fn spelling(self) -> Spelling {
        match self {
            Self::Endpoint => spelt("endpoint", "endpoint", "ENDPOINT", "endpoint"),
            Self::DoNotDisturb => spelt(
                "endpoint.dnd",
                "endpoint.donotdisturb",
                "DND_ENDPOINT",
                "dndEndpoint",
            ),
            Self::Client => spelt("client", "client", "CLIENT", "client"),
            Self::System => spelt("system", "system", "SYSTEM", "system"),
            Self::Timeout => spelt("timeout", "timeout", "TIMEOUT", "timeout"),
            Self::Transfer => spelt("transfer", "transfer", "TRANSFER", "transfer"),
            Self::NoAnswer => spelt(
                "transfer.noanswer",
                "transfer.noanswer",
                "NO_ANSWER_TRANSFER",
                "noAnswerTransfer",
            ),
            Self::Peer => spelt("peer", "peer", "PEER", "peer"),
            Self::Error => spelt("error", "error", "ERROR", "error"),
            Self::Spam => spelt("spam", "spam", "SPAM", "spam"),
        }
    }
}

/// What people talk through. `event` and `rest` are the name of the list in a participant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Media {
    Call,
    Message,
    Email,
    Callback,
}

impl Media {
    pub(super) fn spelling(self) -> Spelling {
        match self {
            Self::Call => spelt("calls", "calls", "VOICE", "voice"),
            Self::Message => spelt("messages", "messages", "MESSAGE", "message"),
            Self::Email => spelt("emails", "emails", "EMAIL", "email"),
            Self::Callback => spelt("callbacks", "callbacks", "CALLBACK", "callback"),
        }
    }
}

/// Who began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    Inbound,
    Outbound,
}

impl Direction {
    pub(super) fn spelling(self) -> Spelling {
        match self {
            Self::Inbound => spelt("inbound", "inbound", "INBOUND", "inbound"),
            Self::Outbound => spelt("outbound", "outbound", "OUTBOUND", "outbound"),
        }
    }
}

/// What a participant is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Customer,
    Ivr,
    Acd,
    Agent,
}

impl Purpose {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Ivr => "ivr",
            Self::Acd => "acd",
            Self::Agent => "agent",
        }
    }

    /// `participantType` of REST.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Customer => "External",
            Self::Ivr => "IVR",
            Self::Acd => "ACD",
            Self::Agent => "Internal",
        }
    }
}
