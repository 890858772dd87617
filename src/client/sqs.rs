//! Amazon SQS: what S3 tells it about new objects.
//!
//! A message that was received is invisible to others for a while ([`Queue::extend`] makes that
//! longer) and comes again unless it is deleted.

mod notification;
mod probe;

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::get_queue_attributes::GetQueueAttributesOutput;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, MessageSystemAttributeName, QueueAttributeName,
};
use reqwest::Url;

pub use notification::{Notified, Unreadable, notified};

use super::aws::{self, Answer, Keys, read_endpoint};
use crate::failure::Failure;
use crate::setting::{Fields, Secret};

const NAME: &str = "SQS";
/// Most messages of one call, as SQS has it.
pub const MOST_MESSAGES: usize = 10;
/// Longest wait for a message, as SQS has it.
pub const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Longest that a message can be kept from others, as SQS has it.
pub const LONGEST_HOLD: Duration = Duration::from_secs(12 * 3600);

/// Where a queue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `queue_url`: such as `https://sqs.eu-central-1.amazonaws.com/123456789012/exports`.
    pub queue_url: Url,
    /// `region`: default that of the URL, else what the machine says.
    pub region: Option<String>,
    /// `endpoint`: default the server of the URL where that is not Amazon's.
    pub endpoint: Option<Url>,
    /// `auth`: default the chain of the SDK.
    pub keys: Option<Keys>,
}

impl Settings {
    /// Reads `queue_url` (required), `region`, `endpoint` and `auth`.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        fields.required_node("queue_url");
        let queue_url = read_endpoint(fields, "queue_url");
        let region: Option<String> = fields.filled("region");
        let endpoint = read_endpoint(fields, "endpoint");
        let keys = fields.section("auth", "the `auth` of the queue", Keys::check);
        let queue_url = queue_url?;
        Some(Self {
            region: region.or_else(|| region_of(&queue_url)),
            endpoint: endpoint.or_else(|| server_of(&queue_url)),
            keys,
            queue_url,
        })
    }
}

/// `sqs.eu-central-1.amazonaws.com` names its region.
fn region_of(url: &Url) -> Option<String> {
    let mut parts = url.host_str()?.split('.');
    let region = (parts.next() == Some("sqs")).then(|| parts.next())??;
    (parts.next() == Some("amazonaws")).then(|| region.to_owned())
}

fn server_of(url: &Url) -> Option<Url> {
    let host = url.host_str()?;
    let is_amazon = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    if is_amazon {
        return None;
    }
    let mut server = url.clone();
    server.set_path("/");
    Some(server)
}

/// A message that nobody else sees for the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id: the same whenever it comes.
    pub id: String,
    /// What names this receipt of it. Whoever has it can delete the message.
    pub receipt: Secret,
    /// Its text.
    pub body: String,
    /// How often it was received, this time included; about, as SQS says.
    pub received: u32,
    /// When it was sent, in milliseconds since 1970; 0 where the server does not say.
    pub sent_millis: i64,
}

/// What a queue is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Messages that wait; about.
    pub waiting: u64,
    /// Messages that somebody has received and neither deleted nor given back; about.
    pub in_flight: u64,
    /// How long a message that was received stays invisible.
    pub visibility: Duration,
    /// After how many receipts it goes to another queue; none where it never does.
    pub max_receives: Option<u32>,
    /// Whether messages are encrypted where they lie; none where the server does not say.
    pub encrypted: Option<bool>,
}

/// A queue. Clones share the connections.
#[derive(Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// Prepares connections; asks for nothing yet.
    ///
    /// # Errors
    /// `Fatal` (`aws_region`) where no region is to be found.
    pub async fn open(settings: &Settings) -> Result<Self, Failure> {
        let shared = aws::config(
            settings.region.as_deref(),
            settings.endpoint.as_ref(),
            settings.keys.as_ref(),
        )
        .await?;
        Ok(Self {
            client: Client::new(&shared),
            url: settings.queue_url.as_str().to_owned(),
        })
    }

    /// Waits up to `wait` (at most 20 s) for messages, and takes up to `max` (at most 10). They stay
    /// invisible to others for `hold`, or as long as the queue says.
    ///
    /// # Errors
    /// `Fatal` where only a person can help (no such queue, credentials); else what may pass.
    pub async fn receive(
        &self,
        max: usize,
        wait: Duration,
        hold: Option<Duration>,
    ) -> Result<Vec<Message>, Failure> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(max.clamp(1, MOST_MESSAGES) as i32)
            .wait_time_seconds(seconds(wait.min(LONGEST_WAIT)))
            .set_visibility_timeout(hold.map(|hold| seconds(hold.min(LONGEST_HOLD))))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await
            .map_err(|error| failure(&error))?;
        let messages = answer.messages.unwrap_or_default().into_iter();
        // Without a receipt it could not be deleted, and nothing but a broken server sends one so.
        Ok(messages.filter_map(message).collect())
    }

    /// Deletes these messages. The answer names those (by their place) that are still there: they come
    /// again.
    ///
    /// # Errors
    /// As [`Queue::receive`]; some may be deleted then.
    pub async fn delete(&self, receipts: &[Secret]) -> Result<Vec<usize>, Failure> {
        let mut left = Vec::new();
        for (round, part) in receipts.chunks(MOST_MESSAGES).enumerate() {
            let first = round * MOST_MESSAGES;
            let mut request = self.client.delete_message_batch().queue_url(&self.url);
            for (place, receipt) in part.iter().enumerate() {
                let entry = DeleteMessageBatchRequestEntry::builder()
                    .id((first + place).to_string())
                    .receipt_handle(receipt.expose());
                let entry = entry.build().unwrap_or_else(|_| {
                    unreachable!("an entry has an id and a receipt, and needs no more")
                });
                request = request.entries(entry);
            }
            let answer = request.send().await.map_err(|error| failure(&error))?;
            // Only what the answer calls deleted is; a server may forget to name the others.
            let done: Vec<&str> = answer.successful().iter().map(|done| done.id()).collect();
            let places = first..first + part.len();
            left.extend(places.filter(|place| !done.contains(&place.to_string().as_str())));
        }
        Ok(left)
    }

    /// Keeps a message from others for so long from now on (whole seconds, at most 12 hours in all);
    /// zero gives it back. `false` when it is nobody's any more: it was deleted, or others have it.
    ///
    /// # Errors
    /// As [`Queue::receive`].
    pub async fn extend(&self, receipt: &Secret, hold: Duration) -> Result<bool, Failure> {
        let asked = self
            .client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt.expose())
            .visibility_timeout(seconds(hold.min(LONGEST_HOLD)))
            .send()
            .await;
        let Err(error) = asked else { return Ok(true) };
        match aws::answer(&error, NAME) {
            Answer::Error { code, .. } if is_lost(&code) => Ok(false),
            _ => Err(failure(&error)),
        }
    }

    /// What the queue is like.
    ///
    /// # Errors
    /// As [`Queue::receive`].
    pub async fn attributes(&self) -> Result<Attributes, Failure> {
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::All)
            .send()
            .await
            .map_err(|error| failure(&error))?;
        Ok(attributes(answer))
    }
}

fn attributes(answer: GetQueueAttributesOutput) -> Attributes {
    let all = answer.attributes.unwrap_or_default();
    let number = |name| -> u64 {
        let text: Option<&String> = all.get(&name);
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let policy = all.get(&QueueAttributeName::RedrivePolicy);
    let policy: Option<serde_json::Value> = policy.and_then(|text| serde_json::from_str(text).ok());
    let max = policy
        .as_ref()
        .and_then(|policy| policy.get("maxReceiveCount"));
    // Written as a number or as text.
    let max = max.and_then(|max| match max {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    });
    let own = all.get(&QueueAttributeName::SqsManagedSseEnabled);
    let own = own.map(|text| text == "true");
    let key = all.contains_key(&QueueAttributeName::KmsMasterKeyId);
    Attributes {
        waiting: number(QueueAttributeName::ApproximateNumberOfMessages),
        in_flight: number(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        visibility: Duration::from_secs(number(QueueAttributeName::VisibilityTimeout)),
        max_receives: max.and_then(|max| u32::try_from(max).ok()),
        encrypted: if key { Some(true) } else { own },
    }
}

/// Whole seconds, as SQS takes them: a part of one counts whole.
fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis().div_ceil(1_000)).unwrap_or(i32::MAX)
}

fn message(message: aws_sdk_sqs::types::Message) -> Option<Message> {
    let attributes = message.attributes.unwrap_or_default();
    let number = |name| {
        attributes
            .get(&name)
            .and_then(|text: &String| text.parse().ok())
    };
    let received = number(MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or(1);
    Some(Message {
        id: message.message_id.unwrap_or_default(),
        receipt: Secret::new(message.receipt_handle?),
        body: message.body.unwrap_or_default(),
        received: u32::try_from(received).unwrap_or(u32::MAX),
        sent_millis: number(MessageSystemAttributeName::SentTimestamp).unwrap_or(0),
    })
}

/// Codes of a receipt that is worth nothing any more.
fn is_lost(code: &str) -> bool {
    let code = code.trim_start_matches("AWS.SimpleQueueService.");
    matches!(
        code,
        "MessageNotInflight" | "ReceiptHandleIsInvalid" | "InvalidParameterValue"
    )
}

fn failure<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let (status, code, kms) = match aws::answer(error, NAME) {
        Answer::None(failure) => return failure,
        Answer::Error { status, code, kms } => (status, code, kms),
    };
    if let Some(failure) = aws::bad_credentials(&code, NAME) {
        return failure;
    }
    if aws::is_passing(status, &code) {
        return aws::passing(NAME, status, &code);
    }
    let what = match code.as_str() {
        code if code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist") => {
            "there is no queue of this name"
        }
        _ if kms || code.to_ascii_lowercase().starts_with("kms") => {
            "the credentials may not use the key that the queue is encrypted with: they need \
             kms:Decrypt"
        }
        _ if matches!(status, 401 | 403) || code.contains("AccessDenied") => {
            "the credentials may not do this: they need sqs:ReceiveMessage, sqs:DeleteMessage, \
             sqs:ChangeMessageVisibility and sqs:GetQueueAttributes"
        }
        _ => "SQS does not take the request",
    };
    Failure::fatal("sqs_refused", format!("{what} (status {status}, {code})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_queue_says_where_it_is() {
        let url = |text| Url::parse(text).unwrap();
        let amazon = url("https://sqs.eu-central-1.amazonaws.com/123456789012/exports");
        assert_eq!(region_of(&amazon).as_deref(), Some("eu-central-1"));
        assert_eq!(server_of(&amazon), None);
        let other = url("http://127.0.0.1:5000/123456789012/exports");
        assert_eq!(region_of(&other), None);
        assert_eq!(server_of(&other), Some(url("http://127.0.0.1:5000/")));
    }

    #[test]
    fn times_are_whole_seconds_and_never_less() {
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(20)), 20);
        assert_eq!(seconds(Duration::MAX), i32::MAX);
    }
}
