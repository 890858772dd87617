//! What errors of a Microsoft database mean.
//!
//! Numbers: "Troubleshoot transient connection errors in SQL Database and SQL Managed Instance" for
//! what passes, "Database engine events and errors" for the rest, and the messages of Azure Synapse
//! (42108, 42109). A text of the server's is repeated only where it cannot hold a value of a row.

use std::fmt;

/// What can be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It may go well if tried again on the same session.
    Busy,
    /// The session is of no use any more; another may be.
    Gone,
    /// The server does not let us in, or not do this: a person must see to it.
    Denied,
    /// A table or column is not there, or not what the statement takes it for.
    Missing,
    /// A value of a row is refused.
    Row,
    /// Nobody vouches for the server, or it does not encrypt.
    Untrusted,
    /// Anything else.
    Other,
}

/// An error. It holds no value of a row and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    class: Class,
    number: Option<u32>,
    message: String,
}

/// Errors of this severity end the session ("Database engine error severities").
const ENDS_SESSION: u8 = 20;

impl Fault {
    pub(super) fn of(error: tiberius::error::Error) -> Self {
        use tiberius::error::Error;
        match error {
            Error::Server(error) => {
                Self::server(error.code(), error.class(), error.state(), error.message())
            }
            Error::Tls(message) => Self {
                class: Class::Untrusted,
                number: None,
                message: untrusted(&message),
            },
            Error::Io { kind, .. } => Self::io(kind),
            Error::Routing { .. } => Self::gone("the server sends us on again and again"),
            Error::Protocol(message) if message.contains("encrypt") => Self {
                class: Class::Untrusted,
                number: None,
                message: "no encrypted connection: the server offers none".to_owned(),
            },
            // What cannot be read is no answer of such a server; its text may hold what was sent.
            _ => Self::strange("an answer that is not of this protocol"),
        }
    }

    /// An answer that no such server gives.
    pub(super) fn strange(what: &str) -> Self {
        Self::gone(&format!("the server sent {what}"))
    }

    fn gone(message: &str) -> Self {
        Self {
            class: Class::Gone,
            number: None,
            message: message.to_owned(),
        }
    }

    fn io(kind: std::io::ErrorKind) -> Self {
        use std::io::ErrorKind;
        Self::gone(match kind {
            ErrorKind::TimedOut => "the server did not answer in time",
            ErrorKind::ConnectionRefused => "nobody listens there",
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                "the server closed the connection"
            }
            ErrorKind::InvalidData => "the server sent what is not of this protocol",
            _ => "the server cannot be reached",
        })
    }

    /// An error that the server told us.
    fn server(number: u32, severity: u8, state: u8, text: &str) -> Self {
        let class = match classify(number) {
            Class::Busy | Class::Other if severity >= ENDS_SESSION => Class::Gone,
            class => class,
        };
        let message = match class {
            Class::Row => refused(number).to_owned(),
            // They name objects and users; their line ends would break ours.
            _ if repeatable(number) => {
                let text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
                format!("{text} (error {number})")
            }
            _ => format!("the server refuses (error {number}, state {state})"),
        };
        Self {
            class,
            number: Some(number),
            message,
        }
    }

    /// What can be done.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The server's number, where the error is its own.
    pub fn number(&self) -> Option<u32> {
        self.number
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn classify(number: u32) -> Class {
    match number {
        // Deadlock, lock time-out, conflict of updates, moved, out of memory or workers, throttled,
        // not yet up, paused.
        1205
        | 1222
        | 3960
        | 615
        | 4221
        | 701
        | 8645
        | 10928
        | 10929
        | 10936
        | 40197
        | 40501
        | 40544
        | 40549..=40553
        | 40613
        | 42108
        | 42109
        | 49918..=49920 => Class::Busy,
        // Log-in failed, no such database, firewall, password expired, account disabled or locked.
        18452 | 18456 | 18470 | 18486..=18488 | 4060 | 40615 | 40914 | 916 => Class::Denied,
        // No right to do it.
        229 | 230 | 262 | 297 | 300 | 1088 | 2760 | 15151 | 15247 => Class::Denied,
        207 | 208 | 213 | 2714 | 4902 | 4924 => Class::Missing,
        // Keys, nulls, checks, lengths, conversions, overflows.
        2601 | 2627 | 515 | 547 | 8152 | 2628 | 220 | 232 | 241..=245 | 248 | 295 | 8114 | 8115 => {
            Class::Row
        }
        _ => Class::Other,
    }
}

/// Whether the text of an error can hold no value of a row: it is about the log-in, the state of the
/// pool, objects, or the grammar of a statement, in which all values are bound.
fn repeatable(number: u32) -> bool {
    let known = matches!(
        classify(number),
        Class::Busy | Class::Denied | Class::Missing
    );
    known || matches!(number, 102 | 103 | 156 | 195 | 319 | 103_010 | 104_467)
}

fn refused(number: u32) -> &'static str {
    match number {
        2601 | 2627 => "a unique key",
        515 => "a NOT NULL constraint",
        547 => "a constraint",
        8152 | 2628 => "the length of a column",
        _ => "the type of a column",
    }
}

/// The library's advice about its own settings does not help who has ours.
fn untrusted(message: &str) -> String {
    let told = message.split(" To connect anyway").next();
    format!("no encrypted connection: {}", told.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(number: u32, severity: u8) -> Fault {
        Fault::server(number, severity, 1, "Conversion of 'personal data'\nfailed")
    }

    #[test]
    fn each_number_has_its_class() {
        for (what, number, class) in [
            ("deadlock", 1205, Class::Busy),
            ("lock time-out", 1222, Class::Busy),
            ("conflict of updates", 3960, Class::Busy),
            ("the database has moved", 615, Class::Busy),
            ("log-in waits for a secondary", 4221, Class::Busy),
            ("out of memory", 701, Class::Busy),
            ("out of memory grants", 8645, Class::Busy),
            ("throttled: workers", 10928, Class::Busy),
            ("throttled: busy", 10929, Class::Busy),
            ("the service moves it", 40197, Class::Busy),
            ("throttled", 40501, Class::Busy),
            ("over the quota of its size", 40544, Class::Busy),
            ("throttled: log", 40552, Class::Busy),
            ("not up", 40613, Class::Busy),
            ("throttled: requests", 49918, Class::Busy),
            ("throttled: subscription", 49920, Class::Busy),
            ("paused", 42108, Class::Busy),
            ("resuming", 42109, Class::Busy),
            ("log-in, or an expired token", 18456, Class::Denied),
            ("an expired password", 18488, Class::Denied),
            ("no such database", 4060, Class::Denied),
            ("no right", 229, Class::Denied),
            ("the firewall", 40615, Class::Denied),
            ("no such table", 208, Class::Missing),
            ("no such column", 207, Class::Missing),
            ("key", 2627, Class::Row),
            ("key", 2601, Class::Row),
            ("NULL", 515, Class::Row),
            ("check", 547, Class::Row),
            ("too long", 8152, Class::Row),
            ("too long", 2628, Class::Row),
            ("conversion", 245, Class::Row),
            ("conversion of a time", 241, Class::Row),
            ("overflow", 8115, Class::Row),
            ("syntax", 102, Class::Other),
            ("anything of the pool's own", 110_802, Class::Other),
        ] {
            assert_eq!(server(number, 14).class(), class, "{what}: {number}");
        }
    }

    #[test]
    fn what_ends_the_session_is_not_tried_on_it() {
        assert_eq!(server(40197, 20).class(), Class::Gone);
        assert_eq!(server(4014, 20).class(), Class::Gone);
        // Whoever may not log in may not log in on another session either.
        assert_eq!(server(18456, 20).class(), Class::Denied);
    }

    #[test]
    fn texts_that_may_hold_values_are_not_repeated() {
        for number in [245, 2627, 2628, 547, 8672, 110_802] {
            let text = server(number, 16).to_string();
            assert!(!text.contains("personal"), "{number}: {text}");
        }
        let text = server(208, 16).to_string();
        assert!(
            text.ends_with("failed (error 208)") && !text.contains('\n'),
            "{text}"
        );
    }

    #[test]
    fn broken_connections_are_gone_and_certificates_are_told() {
        let reset = tiberius::error::Error::Io {
            kind: std::io::ErrorKind::ConnectionReset,
            message: "at 10.0.0.1".into(),
        };
        assert_eq!(Fault::of(reset).class(), Class::Gone);
        let protocol = tiberius::error::Error::Protocol("token 0x41".into());
        assert_eq!(Fault::of(protocol).class(), Class::Gone);
        let tls = "the certificate was rejected. To connect anyway you can: trust_cert()";
        let fault = Fault::of(tiberius::error::Error::Tls(tls.into()));
        assert_eq!(fault.class(), Class::Untrusted);
        assert_eq!(
            fault.to_string(),
            "no encrypted connection: the certificate was rejected."
        );
    }
}
