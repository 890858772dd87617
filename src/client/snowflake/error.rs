//! What goes wrong with Snowflake, by what can be done about it.

use std::fmt;

use snowflake_connector_rs::ErrorKind;

/// Most letters of the server's message that are kept.
const MOST_MESSAGE: usize = 300;

/// What can be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The session is gone; a new one works.
    Expired,
    /// It may go well if tried again: locks, throttling, no answer.
    Busy,
    /// A value of some row is not taken.
    Data,
    /// Nothing goes well until a person acts: credentials, a missing table, a missing right.
    Setup,
}

/// An error. Its message holds no value of a row and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What can be done.
    pub class: Class,
    /// The server's number, such as `002003`, where it gave one.
    pub code: Option<String>,
    message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl Error {
    fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            code: None,
            message: message.into(),
        }
    }

    pub(super) fn of(error: snowflake_connector_rs::Error) -> Self {
        match error.kind() {
            ErrorKind::SessionExpired => Self::new(Class::Expired, "the session has expired"),
            ErrorKind::Server => Self::numbered(
                error.snowflake_code().unwrap_or_default(),
                error.snowflake_message().unwrap_or_default(),
            ),
            ErrorKind::Auth => Self::login(&error),
            ErrorKind::Config => Self::new(
                Class::Setup,
                "the account or the `url` is no address of Snowflake (a host, no path)",
            ),
            ErrorKind::Network => Self::network(&error.to_string()),
            ErrorKind::Timeout => Self::new(Class::Busy, "Snowflake did not answer in time"),
            ErrorKind::Cancelled => Self::new(Class::Busy, "the statement was cancelled"),
            // The connector repeats parts of the answer here, which may be a row.
            _ => Self::new(Class::Busy, "Snowflake's answer cannot be read"),
        }
    }

    /// What the server said to a statement. The numbers are those of its documentation and drivers.
    fn numbered(code: &str, message: &str) -> Self {
        let class = class(code.parse().unwrap_or_default());
        let message = match class {
            Class::Expired => format!("the session is gone (Snowflake {code})"),
            Class::Busy => format!("Snowflake could not do it now (Snowflake {code})"),
            // The message of these repeats the value.
            Class::Data => format!("{} (Snowflake {code})", data(code, message)),
            Class::Setup => format!("Snowflake {code}: {}", shortened(message)),
        };
        Self {
            class,
            code: Some(code.to_owned()),
            message,
        }
    }

    fn login(error: &snowflake_connector_rs::Error) -> Self {
        match error.snowflake_message() {
            Some(message) => Self::new(
                Class::Setup,
                format!("Snowflake refuses the login: {}", shortened(message)),
            ),
            None if error.to_string().contains("private key") => Self::new(
                Class::Setup,
                "the private key cannot be read: it is to be PEM of PKCS #8 (`openssl pkcs8 -topk8` \
                 makes that of others), and encrypted exactly when there is a passphrase",
            ),
            None => Self::new(Class::Setup, "Snowflake refuses the login"),
        }
    }

    /// The connector says the status in its text alone: `HTTP 503: BODY`.
    fn network(text: &str) -> Self {
        let status = text.strip_prefix("HTTP ").and_then(|rest| rest.get(..3));
        match status.and_then(|status| status.parse::<u16>().ok()) {
            Some(401) => Self::new(Class::Expired, "the session is not known (HTTP 401)"),
            Some(429) => Self::new(
                Class::Busy,
                "Snowflake asks to be asked less often (HTTP 429)",
            ),
            Some(status @ (408 | 500..)) => Self::new(
                Class::Busy,
                format!("Snowflake is not available (HTTP {status})"),
            ),
            Some(status) => Self::new(
                Class::Setup,
                format!(
                    "Snowflake does not take requests from here (HTTP {status}): is the address right, and does a network policy allow this one?"
                ),
            ),
            None => Self::new(Class::Busy, "Snowflake cannot be reached"),
        }
    }
}

fn class(code: u32) -> Class {
    match code {
        // Sessions and their tokens that are unknown, ended, or past their time.
        390_103 | 390_104 | 390_110..=390_115 => Class::Expired,
        // Two source rows for one target: a mistake of whoever wrote the statement.
        100_090 => Class::Setup,
        100_000..=100_999 => Class::Data,
        // Internal errors, cancelled, waited too long for a lock, aborted by another, out of time.
        603..=605 | 624..=630 => Class::Busy,
        // Compilation: syntax, missing objects and rights; no warehouse, database or schema chosen;
        // a resource monitor that has had enough; a user who may not log in.
        1..=4_999 | 90_000..=99_999 | 390_000..=399_999 => Class::Setup,
        _ => Class::Busy,
    }
}

/// What is wrong with a value, in words that hold nothing of it.
fn data(code: &str, message: &str) -> &'static str {
    match code {
        "100072" => "a column that must not be empty would be",
        "100078" => "text is longer than its column",
        "100035" | "100038" | "100039" | "100040" | "100046" | "100096" | "100097" => {
            "a value does not fit the type of its column"
        }
        _ if message.contains("constraint") => "a constraint of the table refuses the row",
        _ => "the table refuses a value",
    }
}

/// One line of a message.
fn shortened(message: &str) -> String {
    let line: String = message
        .split_whitespace()
        .flat_map(|word| [word, " "])
        .collect();
    line.trim_end().chars().take(MOST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_class() {
        for (what, code, expected) in [
            ("no such session", "390104", Class::Expired),
            ("the session is gone", "390111", Class::Expired),
            ("the session has expired", "390112", Class::Expired),
            ("no such master token", "390113", Class::Expired),
            ("its token has expired", "390114", Class::Expired),
            ("its master token has expired", "390115", Class::Expired),
            ("an internal error", "000603", Class::Busy),
            ("cancelled", "000604", Class::Busy),
            ("waited too long for a lock", "000625", Class::Busy),
            ("out of time", "000630", Class::Busy),
            ("an internal error", "300005", Class::Busy),
            ("a number of the driver's", "261000", Class::Busy),
            ("no number", "", Class::Busy),
            ("syntax", "001003", Class::Setup),
            ("no such column", "000904", Class::Setup),
            ("no such table", "002003", Class::Setup),
            ("no right", "003001", Class::Setup),
            ("no warehouse", "000606", Class::Setup),
            ("no database", "090105", Class::Setup),
            ("over the quota of its monitor", "090073", Class::Setup),
            ("a wrong password", "390100", Class::Setup),
            ("a wrong key", "390144", Class::Setup),
            ("no such role", "390189", Class::Setup),
            ("no such object at log-in", "390201", Class::Setup),
            ("two rows for one key", "100090", Class::Setup),
            ("a number that is none", "100038", Class::Data),
            ("a time that is none", "100035", Class::Data),
            ("NULL where none may be", "100072", Class::Data),
            ("too long", "100078", Class::Data),
        ] {
            assert_eq!(Error::numbered(code, "m").class, expected, "{what}: {code}");
        }
    }

    #[test]
    fn a_value_is_never_repeated() {
        let message = "Numeric value '+14155551234' is not recognized";
        let error = Error::numbered("100038", message);
        assert!(!format!("{error} {error:?}").contains("4155551234"));
        let error = Error::numbered("000625", message);
        assert!(!format!("{error} {error:?}").contains("4155551234"));
    }

    #[test]
    fn who_must_act_is_told_what_the_server_says() {
        let message = "SQL compilation error:\nObject 'X' does not exist or not authorized.";
        let error = Error::numbered("002003", message);
        let expected =
            "Snowflake 002003: SQL compilation error: Object 'X' does not exist or not authorized.";
        assert_eq!(error.to_string(), expected);
        assert!(
            Error::numbered("002003", &"x".repeat(9999))
                .to_string()
                .len()
                < 400
        );
    }

    #[test]
    fn statuses_have_a_class() {
        for (text, expected) in [
            ("HTTP 503: busy", Class::Busy),
            ("HTTP 500: ill", Class::Busy),
            ("HTTP 429: slow", Class::Busy),
            ("HTTP 408: late", Class::Busy),
            ("HTTP 401: who", Class::Expired),
            ("HTTP 403: no", Class::Setup),
            ("HTTP 404: nobody", Class::Setup),
            ("HTTP x", Class::Busy),
            ("network error", Class::Busy),
        ] {
            assert_eq!(Error::network(text).class, expected, "{text}");
        }
    }
}
