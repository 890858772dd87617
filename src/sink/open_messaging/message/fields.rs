//! Where everything is found in an event, and who a message is about.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::{is_id, text};
use crate::client::statuses::Ids;
use crate::event::{Event, Kind as Type, Path};

macro_rules! fields {
    ($($name:ident: $default:literal, $doc:literal;)*) => {
        /// Where everything is found in an event.
        #[derive(Clone, Debug)]
        pub(in crate::sink::open_messaging) struct Fields {
            $(#[doc = $doc] pub $name: Path,)*
        }

        impl Default for Fields {
            fn default() -> Self {
                Self { $($name: Path::of([$default]),)* }
            }
        }

        impl Fields {
            /// All of them by their names in a pipeline file.
            pub fn all(&mut self) -> Vec<(&'static str, &mut Path)> {
                vec![$((stringify!($name), &mut self.$name),)*]
            }
        }
    };
}

fields! {
    message_id: "messageId", "Its own id; derived from what it says where it has none.";
    tenant: "tenantId", "Who sends.";
    organization: "organizationId", "Through which of its organisations.";
    integration: "integrationId", "Through which integration; the only one where there is one.";
    conversation: "conversationId", "The conversation that it belongs to.";
    communication: "communicationId", "The agent's communication in it.";
    recipient: "recipient", "The customer: an object with `id` and `idType`, or an id.";
    text: "textBody", "The text.";
    content: "content", "Attachments.";
    kind: "kind", "What it is, where that is said.";
    time: "time", "When it was written (RFC 3339).";
    metadata: "metadata", "Kept by the platform with an inbound message.";
    receipt: "receipt", "Of a receipt: `messageId` (the platform's), `status`, `reason`.";
}

/// Who a message is about, as far as it can be read: for statuses, also of messages that are wrong.
#[derive(Clone, Debug, Default)]
pub(in crate::sink::open_messaging) struct About {
    pub id: Option<String>,
    pub tenant: Option<String>,
    pub organization: Option<String>,
    pub conversation: Option<String>,
}

impl About {
    pub fn read(event: &Event, fields: &Fields) -> Self {
        let id = |path: &Path| text(event, path).filter(|id| is_id(id));
        Self {
            id: match event.get(&fields.message_id) {
                Some(value) if value.kind() != Type::Null => id(&fields.message_id),
                _ => Some(derived(event)),
            },
            tenant: id(&fields.tenant),
            organization: id(&fields.organization),
            conversation: id(&fields.conversation),
        }
    }

    /// For its status.
    pub fn ids(&self) -> Ids<'_> {
        Ids {
            message: self.id.as_deref(),
            tenant: self.tenant.as_deref(),
            organization: self.organization.as_deref(),
            conversation: self.conversation.as_deref(),
        }
    }

    /// What its status is kept by.
    pub fn key(&self) -> Option<String> {
        let (tenant, organization) = (self.tenant.as_ref()?, self.organization.as_ref()?);
        Some(format!("{tenant}/{organization}/{}", self.id.as_ref()?))
    }
}

/// The same for the same message, whoever delivers it how often.
fn derived(event: &Event) -> String {
    let digest = Sha256::digest(event.to_json().as_bytes());
    format!("tl-{}", URL_SAFE_NO_PAD.encode(&digest[..18]))
}
