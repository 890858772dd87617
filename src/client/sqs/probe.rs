//! What can be found out about a queue without taking a message or changing anything.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;

use super::{Attributes, NAME, Queue, Settings, attributes, failure};
use crate::client::aws::{self, Answer};
use crate::layer::{Finding, Grade};

/// For the one question.
const QUESTION: Duration = Duration::from_secs(8);
/// So few receipts before a message goes elsewhere leave no room for a restart or two.
const FEW: u32 = 3;

impl Queue {
    /// Looks, without taking a message, whether the queue is there, encrypted on the way and at rest,
    /// and what becomes of messages that cannot be read. Ends after an error.
    pub async fn probe(settings: &Settings) -> Vec<Finding> {
        let queue = match Self::open(settings).await {
            Ok(queue) => queue,
            Err(failure) => return vec![Finding::new(Grade::Error, failure.to_string())],
        };
        let endpoint = settings.endpoint.as_ref().unwrap_or(&settings.queue_url);
        let mut found = vec![match endpoint.scheme() {
            "http" => Finding::new(
                Grade::Warning,
                "the queue: not encrypted on the way, since its URL is an `http` one",
            ),
            _ => Finding::new(Grade::Good, "the queue: encrypted on the way (TLS)"),
        }];
        let asked = queue
            .client
            .get_queue_attributes()
            .queue_url(&queue.url)
            .attribute_names(QueueAttributeName::All)
            .send();
        let error = match tokio::time::timeout(QUESTION, asked).await {
            Err(_) => {
                let message = "the queue: no answer within 8 s";
                found.push(Finding::new(Grade::Error, message));
                return found;
            }
            Ok(Ok(answer)) => {
                found.extend(told(&attributes(answer)));
                return found;
            }
            Ok(Err(error)) => error,
        };
        found.push(match aws::answer(&error, NAME) {
            // Whoever only takes messages need not be allowed to look at the queue.
            Answer::Error { code, .. } if code.contains("AccessDenied") => Finding::new(
                Grade::Unknown,
                "the queue: allow sqs:GetQueueAttributes, and it can be found out whether it is \
                 encrypted and has a queue for what cannot be read",
            ),
            _ => Finding::new(Grade::Error, format!("the queue: {}", failure(&error))),
        });
        found
    }
}

fn told(attributes: &Attributes) -> Vec<Finding> {
    let Attributes {
        waiting,
        encrypted,
        max_receives,
        ..
    } = attributes;
    let there = format!("the queue is there; about {waiting} messages wait");
    let at_rest = match encrypted {
        Some(true) => Finding::new(Grade::Good, "the queue: encrypted at rest"),
        Some(false) => Finding::new(
            Grade::Warning,
            "the queue: messages are not encrypted at rest; set SqsManagedSseEnabled, or a key of KMS",
        ),
        None => Finding::new(
            Grade::Unknown,
            "the queue: whether it is encrypted at rest, the server does not say",
        ),
    };
    let elsewhere = match max_receives {
        None => Finding::new(
            Grade::Warning,
            "the queue: no redrive policy, so a message that cannot be read comes again until the \
             queue forgets it; set one, or `on_bad_message: delete`",
        ),
        Some(few) if *few < FEW => Finding::new(
            Grade::Warning,
            format!(
                "the queue: after {few} receipts a message goes to another queue; a restart takes \
                 one, too: allow at least {FEW}"
            ),
        ),
        Some(times) => Finding::new(
            Grade::Good,
            format!("the queue: what cannot be read goes to another queue after {times} receipts"),
        ),
    };
    vec![Finding::new(Grade::Good, there), at_rest, elsewhere]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_should_know_of_a_queue_is_told() {
        let grades = |encrypted, max_receives| {
            let found = told(&Attributes {
                waiting: 3,
                in_flight: 0,
                visibility: Duration::from_secs(30),
                max_receives,
                encrypted,
            });
            found.iter().map(|it| it.grade).collect::<Vec<_>>()
        };
        use Grade::{Good, Unknown, Warning};
        assert_eq!(grades(Some(true), Some(5)), [Good, Good, Good]);
        assert_eq!(grades(Some(false), None), [Good, Warning, Warning]);
        assert_eq!(grades(None, Some(1)), [Good, Unknown, Warning]);
    }
}
