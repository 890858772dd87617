//! What an error of the broker or the connection means.

use lapin::protocol::AMQPError;
use lapin::{Error, ErrorKind};
use rustls::AlertDescription;

use crate::failure::{Cause, Failure, Kind};

/// What can be done about an error met while `doing` something (a clause such as `declare the queue`).
pub fn failure(doing: &str, error: &Error) -> Failure {
    let (kind, reason, hint) = match error.kind() {
        ErrorKind::ProtocolError(told) => of_reply(told),
        ErrorKind::IOError(error) => match of_tls(error) {
            Some(hint) => (Kind::Fatal, "broker_tls", hint),
            None => (Kind::Disconnected, "broker_away", ""),
        },
        ErrorKind::AuthProviderError(_) => (Kind::Fatal, "broker_login", ""),
        ErrorKind::InvalidProtocolVersion(_) => (Kind::Fatal, "broker_version", ""),
        ErrorKind::ChannelsLimitReached => (Kind::Transient, "channels_used_up", ""),
        // What else there is means that this connection or channel is over.
        _ => (Kind::Disconnected, "broker_away", ""),
    };
    let mut message = format!("cannot {doing}: {}", told(error));
    if !hint.is_empty() {
        message.push_str(" (");
        message.push_str(hint);
        message.push(')');
    }
    Failure::new(kind, Cause::new(reason, message))
}

/// What can be done where one side does not take the other's certificate: it will be the same tomorrow.
fn of_tls(error: &std::io::Error) -> Option<&'static str> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    match inner {
        rustls::Error::InvalidCertificate(_) => Some(
            "the broker's certificate is not trusted: name its authority as `ca_file`, and the host of \
             `url` as the certificate does",
        ),
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied,
        ) => Some("the broker does not take our certificate: check `client_cert` and `client_key`"),
        _ => None,
    }
}

/// An error in words: the broker's own, where it said something.
fn told(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(told) => told.get_message().to_string(),
        ErrorKind::IOError(error) => error.to_string(),
        _ => error.to_string(),
    }
}

fn of_reply(told: &AMQPError) -> (Kind, &'static str, &'static str) {
    let message = told.get_message().to_string();
    match told.get_id() {
        // A classic queue whose node is down answers the same as one that is not there.
        404 if message.contains("is down or inaccessible") => {
            (Kind::Disconnected, "queue_away", "")
        }
        404 => (
            Kind::Fatal,
            "not_found",
            "make it on the broker, or say `declare: true`",
        ),
        // Somebody else consumes alone; they may go.
        403 if message.contains("exclusive") => (Kind::Disconnected, "queue_taken", ""),
        403 => (
            Kind::Fatal,
            "access_refused",
            "check the user, the password and what the user may do in this virtual host",
        ),
        405 => (Kind::Disconnected, "queue_taken", ""),
        // Not about what we asked for: a message was under way longer than the broker waits, or its
        // tag is of another life.
        406 if message.contains("timed out") || message.contains("delivery tag") => {
            (Kind::Disconnected, "ack_timeout", "")
        }
        406 => (
            Kind::Fatal,
            "precondition_failed",
            "it is there with other arguments: say those, or `declare: passive`",
        ),
        530 => (
            Kind::Fatal,
            "not_allowed",
            "check the virtual host of `url`, and whether the user may enter it",
        ),
        // The broker stops, is overrun, or an operator closed the connection: 320, 541, 506 and the
        // errors of framing.
        _ => (Kind::Disconnected, "broker_closed", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(code: u16, message: &str) -> (Kind, &'static str) {
        let told = AMQPError::from_id(code, message.into()).unwrap();
        let failure = failure("try", &ErrorKind::ProtocolError(told).into());
        (failure.kind(), failure.losses()[0].cause.reason)
    }

    #[test]
    fn a_person_is_called_for_what_does_not_pass_by_itself() {
        let cases = [
            (
                404,
                "NOT_FOUND - no queue 'q' in vhost '/'",
                Kind::Fatal,
                "not_found",
            ),
            (
                404,
                "NOT_FOUND - home node 'rabbit@a' of durable queue 'q' in vhost '/' is down or inaccessible",
                Kind::Disconnected,
                "queue_away",
            ),
            (
                403,
                "ACCESS_REFUSED - Login was refused",
                Kind::Fatal,
                "access_refused",
            ),
            (
                403,
                "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use",
                Kind::Disconnected,
                "queue_taken",
            ),
            (
                406,
                "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q'",
                Kind::Fatal,
                "precondition_failed",
            ),
            (
                406,
                "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out",
                Kind::Disconnected,
                "ack_timeout",
            ),
            (
                320,
                "CONNECTION_FORCED - broker forced connection closure",
                Kind::Disconnected,
                "broker_closed",
            ),
            (
                530,
                "NOT_ALLOWED - vhost v not found",
                Kind::Fatal,
                "not_allowed",
            ),
            (541, "INTERNAL_ERROR", Kind::Disconnected, "broker_closed"),
        ];
        for (code, message, kind, reason) in cases {
            assert_eq!(verdict(code, message), (kind, reason), "{message}");
        }
    }

    #[test]
    fn a_certificate_that_is_not_taken_will_not_be_taken_later() {
        let verdict = |error: rustls::Error| {
            let error = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
            let failure = failure("connect", &Error::from(error));
            (failure.kind(), failure.to_string())
        };
        let (kind, told) = verdict(rustls::CertificateError::UnknownIssuer.into());
        assert!(kind == Kind::Fatal && told.contains("ca_file"), "{told}");
        let (kind, told) = verdict(rustls::Error::AlertReceived(AlertDescription::UnknownCA));
        assert!(
            kind == Kind::Fatal && told.contains("client_cert"),
            "{told}"
        );
        let alert = rustls::Error::AlertReceived(AlertDescription::InternalError);
        assert_eq!(verdict(alert).0, Kind::Disconnected);
    }

    #[test]
    fn a_socket_that_broke_is_a_connection_that_is_gone() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let failure = failure("publish", &Error::from(broken));
        assert_eq!(failure.kind(), Kind::Disconnected);
        assert!(failure.to_string().contains("cannot publish"), "{failure}");
    }
}
