//! Channels of the notification service, and the topics on them.

use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::Client;
use super::call::{Call, Method};
use super::refusal::CallError;
use crate::failure::Failure;

/// A channel. Its URI and its id are credentials: who knows one reads the events.
#[derive(Clone, PartialEq, Eq)]
pub struct Channel {
    id: String,
    uri: String,
}

impl Channel {
    /// A channel that was made earlier.
    pub fn of(id: impl Into<String>, uri: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            uri: uri.into(),
        }
    }

    /// Its id, for the one place that keeps it.
    pub fn expose_id(&self) -> &str {
        &self.id
    }

    /// Where its socket is, for the one place that opens it.
    pub fn expose_uri(&self) -> &str {
        &self.uri
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Channel([secret])")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    id: String,
    connect_uri: String,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    entities: Vec<Value>,
}

/// A topic as the platform answers for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Topic {
    /// Its id, such as `v2.users.{id}.conversations` filled in.
    pub id: String,
    /// `Permitted` or `Rejected`.
    pub state: Option<String>,
    /// Why it was refused.
    pub rejection_reason: Option<String>,
    /// Permissions that the OAuth client lacks for it.
    pub missing_permissions: Option<Vec<String>>,
}

impl Topic {
    /// Whether it was refused.
    pub fn is_rejected(&self) -> bool {
        let state = self.state.as_deref();
        state.is_some_and(|state| state.eq_ignore_ascii_case("rejected"))
    }
}

#[derive(Deserialize)]
struct Subscribed {
    #[serde(default)]
    entities: Vec<Topic>,
}

const CHANNELS: &str = "/notifications/channels";

impl Client {
    /// Makes a channel. The platform keeps 20 for each OAuth client and deletes the one that was
    /// not used for longest when a further one is made: count them first.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn make_channel(&self) -> Result<Channel, CallError> {
        let call = Call::new("making a notification channel", Method::POST, CHANNELS);
        let made: Made = self.call(call.only_once()).await?;
        let uri = Url::parse(&made.connect_uri).ok();
        if !uri.is_some_and(|uri| self.endpoints().allows(&uri)) {
            let message = "the platform gave a channel whose address is no `wss` URI";
            return Err(CallError::Failed(Failure::transient(
                "genesys_answer",
                message,
            )));
        }
        Ok(Channel::of(made.id, made.connect_uri))
    }

    /// How many channels the OAuth client has, whoever made them. Their ids are not read: those of
    /// other tokens are hidden anyway.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn count_channels(&self) -> Result<usize, CallError> {
        let call = Call::new("listing the notification channels", Method::GET, CHANNELS);
        let listed: Listed = self
            .call(call.query("includechannels", "oauthclient"))
            .await?;
        Ok(listed.entities.len())
    }

    /// The forms of all topics that there are, such as `v2.users.{id}.presence`.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn available_topics(&self) -> Result<Vec<String>, CallError> {
        let path = "/notifications/availabletopics";
        let call = Call::new("listing the topics", Method::GET, path);
        let listed: Subscribed = self.call(call).await?;
        Ok(listed.entities.into_iter().map(|topic| topic.id).collect())
    }

    /// Whether the channel is still there.
    ///
    /// # Errors
    /// As [`Client::call`]; a 404 is no error.
    pub async fn has_channel(&self, channel: &Channel) -> Result<bool, CallError> {
        let path = format!("{CHANNELS}/{}", segment(&channel.id));
        let call = Call::new("looking for a notification channel", Method::HEAD, path);
        match self.raw(call.hiding(&channel.id)).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts these topics in place of all on the channel, and answers what became of each. Topics
    /// that are refused do not stand in the way of the others. Extends the channel's life.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn set_topics(
        &self,
        channel: &Channel,
        topics: &[String],
    ) -> Result<Vec<Topic>, CallError> {
        self.subscribe(Method::PUT, channel, topics).await
    }

    /// Adds topics to those on the channel. As [`set_topics`](Self::set_topics).
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn add_topics(
        &self,
        channel: &Channel,
        topics: &[String],
    ) -> Result<Vec<Topic>, CallError> {
        self.subscribe(Method::POST, channel, topics).await
    }

    /// The topics on the channel.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn topics(&self, channel: &Channel) -> Result<Vec<Topic>, CallError> {
        let call = Call::new(
            "reading the topics of a channel",
            Method::GET,
            subscriptions(channel),
        );
        let subscribed: Subscribed = self.call(call.hiding(&channel.id)).await?;
        Ok(subscribed.entities)
    }

    async fn subscribe(
        &self,
        method: Method,
        channel: &Channel,
        topics: &[String],
    ) -> Result<Vec<Topic>, CallError> {
        let wanted: Vec<Value> = topics.iter().map(|id| json!({ "id": id })).collect();
        let call = Call::new("subscribing to topics", method, subscriptions(channel))
            .query("ignoreErrors", "true")
            .body(Value::Array(wanted))
            .hiding(&channel.id);
        let subscribed: Subscribed = self.call(call).await?;
        Ok(subscribed.entities)
    }
}

fn subscriptions(channel: &Channel) -> String {
    format!("{CHANNELS}/{}/subscriptions", segment(&channel.id))
}

/// Text as one segment of a path: an id from outside must not lead elsewhere.
pub(super) fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
                escaped.push(byte as char);
            }
            // Dots alone would climb.
            b'.' if text.bytes().any(|other| other != b'.') => escaped.push('.'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod segments {
    use super::segment;

    #[test]
    fn an_id_stays_within_its_segment() {
        assert_eq!(segment("streaming-0-aZ.9"), "streaming-0-aZ.9");
        assert_eq!(segment("../x?y#z"), "..%2Fx%3Fy%23z");
        assert_eq!(segment(".."), "%2E%2E");
    }
}
