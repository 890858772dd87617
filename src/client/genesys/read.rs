//! What is read of the platform: conversations, and the lists that placeholders stand for.

use serde::Deserialize;
use serde_json::json;

use super::Client;
use super::call::{Call, Method};
use super::notifications::segment;
use super::refusal::CallError;

/// Entries of a page; the most that the lists take.
const PAGE: usize = 100;
/// Most pages of one list: 100,000 entries.
const PAGES: usize = 1000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    entities: Vec<Entity>,
    #[serde(rename = "pageCount")]
    pages: Option<u64>,
}

#[derive(Deserialize)]
struct Entity {
    id: Option<String>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    conversations: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    conversation_id: Option<String>,
}

impl Client {
    /// A conversation as it stands now: its JSON text as it came. `None` where there is none of
    /// this id. Can wait.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn conversation(&self, id: &str) -> Result<Option<Vec<u8>>, CallError> {
        let path = format!("/conversations/{}", segment(id));
        let call = Call::new("reading a conversation", Method::GET, path);
        match self.raw(call.can_wait().hiding(id)).await {
            Ok(body) => Ok(Some(body)),
            Err(error) if matches!(error.status(), Some(404 | 410)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ids of the conversations that the details query names for an interval (RFC 3339 times), at
    /// most `most`. Can wait.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn conversations_between(
        &self,
        from: &str,
        to: &str,
        most: usize,
    ) -> Result<Vec<String>, CallError> {
        let mut found = Vec::new();
        for page in 1..=PAGES {
            let body = json!({
                "interval": format!("{from}/{to}"),
                "order": "asc",
                "orderBy": "conversationStart",
                "paging": { "pageSize": PAGE, "pageNumber": page },
            });
            let path = "/analytics/conversations/details/query";
            let call = Call::new("asking which conversations there were", Method::POST, path);
            let details: Details = self.call(call.body(body).can_wait()).await?;
            let full = details.conversations.len() >= PAGE;
            let ids = details.conversations.into_iter();
            found.extend(ids.filter_map(|detail| detail.conversation_id));
            if !full || found.len() >= most {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }

    /// The ids of all routing queues.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn queues(&self) -> Result<Vec<String>, CallError> {
        self.listed("listing the queues", "/routing/queues").await
    }

    /// The ids of all active users.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn users(&self) -> Result<Vec<String>, CallError> {
        self.listed("listing the users", "/users").await
    }

    /// Whether there is a queue to be seen: one small request.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn has_queues(&self) -> Result<bool, CallError> {
        self.has("listing the queues", "/routing/queues").await
    }

    /// Whether there is a user to be seen: one small request.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn has_users(&self) -> Result<bool, CallError> {
        self.has("listing the users", "/users").await
    }

    async fn has(&self, what: &'static str, path: &str) -> Result<bool, CallError> {
        let call = Call::new(what, Method::GET, path)
            .query("pageSize", "1")
            .query("pageNumber", "1");
        let listed: Page = self.call(call).await?;
        Ok(!listed.entities.is_empty())
    }

    async fn listed(&self, what: &'static str, path: &str) -> Result<Vec<String>, CallError> {
        let mut found = Vec::new();
        for page in 1..=PAGES {
            let call = Call::new(what, Method::GET, path)
                .query("pageSize", PAGE.to_string())
                .query("pageNumber", page.to_string());
            let listed: Page = self.call(call).await?;
            // Where the number of pages is not said, a short page is the last.
            let last = listed
                .pages
                .map_or(listed.entities.len() < PAGE, |pages| page as u64 >= pages);
            if listed.entities.is_empty() {
                break;
            }
            found.extend(listed.entities.into_iter().filter_map(|entity| entity.id));
            if last {
                break;
            }
        }
        Ok(found)
    }
}
