//! The webhook: outbound messages, signed and posted, and posted again when that fails.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use super::messaging;
use super::oracle::timestamp;
use super::platform::{Platform, Shared};
use super::reply::Reply;

/// Messages on their way at once.
const MAX_WAITING: u64 = 1_000;
/// After the first attempt.
const RETRIES: u32 = 5;
/// Between two attempts, and for one of them: simulated microseconds.
const PAUSE: i64 = 5_000_000;
const LIMIT: i64 = 10_000_000;
/// However fast the clock: for a real server to answer.
const LEAST_LIMIT: Duration = Duration::from_secs(1);

/// Standard base64 of the HMAC of the raw body, not hexadecimal digits.
pub(super) fn signature(secret: &str, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
    mac.update(body);
    format!("sha256={}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Posts a message in the background, where there is a webhook. `then` is the receipt that follows it:
/// of the message posted where it arrived, and that it failed where it did not.
pub(super) fn post(
    shared: &Arc<Shared>,
    platform: &mut Platform,
    id: String,
    body: String,
    then: Option<Receipt>,
) -> Result<(), Reply> {
    let integration = platform.config.integration.clone();
    let Some(url) = integration.webhook else {
        return Ok(());
    };
    let counts = &mut platform.teller.oracle.counts;
    if counts.webhooks_waiting >= MAX_WAITING {
        return Err(Reply::error(
            503,
            "service.unavailable",
            "Too many messages are on their way",
        ));
    }
    counts.webhooks_waiting += 1;
    let signed = signature(&integration.secret, body.as_bytes());
    let task = Arc::clone(shared);
    shared.spawn(async move {
        let arrived = deliver(&task, &url, &signed, body).await;
        let mut platform = task.platform();
        let counts = &mut platform.teller.oracle.counts;
        counts.webhooks_waiting -= 1;
        match arrived {
            true => counts.webhooks += 1,
            false => {
                counts.webhooks_failed += 1;
                messaging::mark(&mut platform, &id, "Failed");
            }
        }
        if let Some(receipt) = then {
            let receipt = if arrived { receipt } else { receipt.failed() };
            // With too many on their way the customer never hears of it.
            let _ = post(&task, &mut platform, id, receipt.body(&task), None);
        }
    });
    Ok(())
}

/// What became of a message, as the webhook is told: `Sent`, `Delivered`, `Failed` and others.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    pub(super) message: String,
    pub(super) conversation: String,
    pub(super) integration: String,
    pub(super) customer: String,
    pub(super) status: String,
    /// A code of the platform's list, such as `GeneralError`.
    pub(super) reason: Option<String>,
    pub(super) outbound: bool,
}

impl Receipt {
    fn failed(self) -> Self {
        Self {
            status: "Failed".to_owned(),
            reason: Some("GeneralError".to_owned()),
            ..self
        }
    }

    /// The normalised message of type `Receipt`.
    pub(super) fn body(&self, shared: &Shared) -> String {
        let time = format!("{:.3}", timestamp(shared.clock.now()));
        let (customer, integration) = (
            json!({"id": self.customer, "idType": "Opaque"}),
            json!({"id": self.integration, "idType": "Opaque"}),
        );
        let (to, from, direction) = match self.outbound {
            true => (customer, integration, "Outbound"),
            false => (integration, customer, "Inbound"),
        };
        let reasons: Vec<_> = self.reason.iter().map(|it| json!({"code": it})).collect();
        json!({
            "id": self.message,
            "channel": {
                "id": self.integration, "platform": "Open", "type": "Private",
                "messageId": self.message, "to": to, "from": from, "time": time,
            },
            "type": "Receipt", "status": self.status, "reasons": reasons,
            "isFinalReceipt": self.status != "Sent", "direction": direction,
            "conversationId": self.conversation,
        })
        .to_string()
    }
}

async fn deliver(shared: &Shared, url: &str, signature: &str, body: String) -> bool {
    let limit = shared.clock.real(LIMIT).max(LEAST_LIMIT);
    let Ok(client) = crate::client::http::client(limit) else {
        return false;
    };
    for attempt in 0..=RETRIES {
        if attempt > 0 {
            tokio::time::sleep(shared.clock.real(PAUSE)).await;
        }
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header("x-hub-signature-256", signature)
            .body(body.clone());
        match request.send().await.map(|it| it.status()) {
            Ok(status) if status.is_success() => return true,
            // Time-outs, 429 and 5xx are tried again; anything else is an answer.
            Ok(status) if status.as_u16() != 429 && !status.is_server_error() => return false,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_documented() {
        // The known answer of RFC 4231, case 2, in base64.
        let signed = signature("Jefe", b"what do ya want for nothing?");
        assert_eq!(
            signed,
            "sha256=W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="
        );
    }
}
