//! What an error means: by its SQLSTATE, in words of our own. The server's message is shown only
//! where it speaks of names and never of values; its DETAIL, which has values, never.
//!
//! Codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

use tokio_postgres::Error;

use crate::failure::Failure;

/// What can be done about an error.
#[derive(Debug)]
pub enum Verdict {
    /// A row is refused, for this reason.
    Refused(String),
    /// The whole statement or connection failed.
    Failed(Failure),
}

impl Verdict {
    /// As a failure, where there are no rows to tell apart.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Refused(reason) => Failure::rejected("constraint", reason),
            Self::Failed(failure) => failure,
        }
    }
}

/// What the server says, but for what may hold values.
struct Told<'a> {
    code: &'a str,
    /// Shown only of codes whose message speaks of names.
    message: &'a str,
    constraint: Option<&'a str>,
    column: Option<&'a str>,
}

/// What an error means, at this place (for people).
pub fn verdict(error: &Error, place: &str) -> Verdict {
    match error.as_db_error() {
        Some(error) => of_server(
            &Told {
                code: error.code().code(),
                message: error.message(),
                constraint: error.constraint(),
                column: error.column(),
            },
            place,
        ),
        None => Verdict::Failed(of_connection(error, place)),
    }
}

fn of_connection(error: &Error, place: &str) -> Failure {
    use std::error::Error as _;
    // Kinds of the library: closed, io, tls, time-outs. Values that do not fit what the server said
    // of its parameters are a mistake of ours or of the schema.
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    if text.contains("serializing parameter") || text.contains("deserializing column") {
        return Failure::fatal("warehouse_schema", format!("{place}: {text}"));
    }
    // A server without TLS, or with a certificate of nobody we know, will be the same tomorrow.
    if text.contains("server does not support TLS") || text.contains("invalid peer certificate") {
        return Failure::fatal("warehouse_tls", format!("{place}: {text}"));
    }
    if text.contains("password missing") || text.contains("authentication") {
        return Failure::fatal("warehouse_login", format!("{place}: {text}"));
    }
    Failure::disconnected("warehouse_unreachable", format!("{place}: {text}"))
}

fn of_server(error: &Told<'_>, place: &str) -> Verdict {
    let code = error.code;
    let class = code.get(..2).unwrap_or_default();
    let told = || format!("{place}: {} (SQLSTATE {code})", error.message);
    let failed = match (class, code) {
        ("22" | "23" | "44", _) | (_, "P0001" | "54000" | "54011") => {
            return Verdict::Refused(reason(error));
        }
        // Serialization, deadlock, lock not to be had, cancelled by a time-out.
        (_, "40001" | "40P01" | "55P03" | "57014") | ("40", _) => busy(place, code),
        (_, "57P03") => Failure::disconnected(
            "warehouse_unreachable",
            format!("{place} is starting, or is not taking connections just now (SQLSTATE {code})"),
        ),
        (_, "53300") => Failure::transient(
            "warehouse_busy",
            format!("{place} has no connection left for us (SQLSTATE {code})"),
        ),
        // Out of memory or disk: others must go first.
        ("53", _) => busy(place, code),
        // Ends just now; the connection is gone.
        ("57", _) | ("08", _) => Failure::disconnected("warehouse_unreachable", gone(place, code)),
        // A standby after a failover: another connection may find the new primary.
        (_, "25006") => Failure::disconnected(
            "warehouse_read_only",
            format!("{place} can only be read just now (SQLSTATE 25006): a standby?"),
        ),
        // Redshift's word for two transactions that cannot stand one after the other.
        (_, "XX000")
            if error
                .message
                .to_ascii_lowercase()
                .contains("serializable isolation") =>
        {
            busy(place, code)
        }
        // What the transaction was before is known from the error that ended it.
        ("25", _) => busy(place, code),
        ("28", _) => Failure::fatal("warehouse_login", told()),
        (_, "3D000") => Failure::fatal(
            "warehouse_database",
            format!("{}: make it first (`CREATE DATABASE`)", told()),
        ),
        (_, "42501") => Failure::fatal(
            "warehouse_rights",
            format!(
                "{}: the role needs `GRANT USAGE ON SCHEMA …` and `GRANT SELECT, INSERT, UPDATE ON \
                 ALL TABLES IN SCHEMA …`, `GRANT CREATE` to make tables, and `GRANT TEMPORARY ON DATABASE \
                 …` for staging",
                told()
            ),
        ),
        ("42" | "3F", _) => Failure::fatal("warehouse_schema", told()),
        // Of other codes it is not known whether the message holds a value.
        _ => Failure::fatal("warehouse_error", format!("{place}: SQLSTATE {code}")),
    };
    Verdict::Failed(failed)
}

fn busy(place: &str, code: &str) -> Failure {
    let message = format!("{place} is busy (SQLSTATE {code})");
    Failure::transient("warehouse_busy", message)
}

fn gone(place: &str, code: &str) -> String {
    format!("{place} has ended the connection (SQLSTATE {code})")
}

/// Why a row is refused, by names alone.
fn reason(error: &Told<'_>) -> String {
    let code = error.code;
    let what = match code {
        "23502" => "a NOT NULL constraint",
        "23503" => "a foreign key",
        "23505" => "a unique key",
        "23514" => "a CHECK constraint",
        "23P01" => "an exclusion constraint",
        "22001" => "the length of a column",
        "22003" => "the range of a column",
        "22021" | "22P05" => "the encoding of the database",
        "P0001" => "a trigger",
        "44000" => "the condition of a view",
        _ => "the type or size of a column",
    };
    let named = match (error.constraint, error.column) {
        (Some(name), _) | (None, Some(name)) => format!(" `{name}`"),
        (None, None) => String::new(),
    };
    format!("{what}{named} of the table refuses the row (SQLSTATE {code})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    fn of(code: &str, message: &str) -> Verdict {
        let told = Told {
            code,
            message,
            constraint: Some("c_state"),
            column: None,
        };
        of_server(&told, "`db` at host:5432")
    }

    #[test]
    fn each_class_is_told_apart() {
        for (code, kind, reason) in [
            ("40001", Kind::Transient, "warehouse_busy"),
            ("40P01", Kind::Transient, "warehouse_busy"),
            ("55P03", Kind::Transient, "warehouse_busy"),
            ("57014", Kind::Transient, "warehouse_busy"),
            ("53300", Kind::Transient, "warehouse_busy"),
            ("53100", Kind::Transient, "warehouse_busy"),
            ("25P02", Kind::Transient, "warehouse_busy"),
            ("57P01", Kind::Disconnected, "warehouse_unreachable"),
            ("57P03", Kind::Disconnected, "warehouse_unreachable"),
            ("08006", Kind::Disconnected, "warehouse_unreachable"),
            ("25006", Kind::Disconnected, "warehouse_read_only"),
            ("28P01", Kind::Fatal, "warehouse_login"),
            ("3D000", Kind::Fatal, "warehouse_database"),
            ("42501", Kind::Fatal, "warehouse_rights"),
            ("42P01", Kind::Fatal, "warehouse_schema"),
            ("42703", Kind::Fatal, "warehouse_schema"),
            ("XX000", Kind::Fatal, "warehouse_error"),
        ] {
            let Verdict::Failed(failure) = of(code, "words") else {
                panic!("{code} is about rows");
            };
            assert_eq!(failure.kind(), kind, "{code}");
            assert_eq!(failure.losses()[0].cause.reason, reason, "{code}");
            assert!(failure.to_string().contains(code), "{failure}");
        }
        let redshift = of(
            "XX000",
            "1023 Serializable isolation violation on table - 1, t",
        );
        assert_eq!(redshift.into_failure().kind(), Kind::Transient);
    }

    #[test]
    fn a_refusal_names_the_constraint_and_never_a_value() {
        for code in [
            "22001", "22P02", "23502", "23505", "23514", "P0001", "44000",
        ] {
            let Verdict::Refused(reason) = of(code, "bad value: \"+14155551234\"") else {
                panic!("{code} is not about rows");
            };
            assert!(
                reason.contains("`c_state`") && reason.contains(code),
                "{reason}"
            );
            assert!(!reason.contains("1415"), "{reason}");
        }
        let unknown = of("F0000", "bad value: \"+14155551234\"").into_failure();
        assert!(!unknown.to_string().contains("1415"));
    }
}
