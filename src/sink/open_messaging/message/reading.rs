//! What is checked of a message before anything is sent.

use jiff::Timestamp;
use url::Url;

use super::{Fields, KINDS, Kind, What, Wrong, is_id, text, wrong};
use crate::client::genesys::{Attachment, Body, Party, TEXT_CHARACTERS};
use crate::event::{Event, Kind as Type, Path, Value};

/// Longest address of an attachment, longest name or caption, and most metadata, in bytes.
const URL_BYTES: usize = 2_048;
const NAME_BYTES: usize = 1_024;
const METADATA_BYTES: usize = 16 << 10;
/// What an attachment can be, and what a recipient's id can be.
const MEDIA: [&str; 5] = ["Image", "Video", "Audio", "File", "Link"];
const ID_TYPES: [&str; 3] = ["Email", "Phone", "Opaque"];
/// Why a message was not delivered, as the platform lists it.
const REASONS: [&str; 13] = [
    "MessageExpired",
    "RateLimited",
    "MessageNotAllowed",
    "GeneralError",
    "UnsupportedMessage",
    "UnknownMessage",
    "InvalidMessageStructure",
    "InvalidDestination",
    "ServerError",
    "MediaTypeNotAllowed",
    "InvalidMediaContentLength",
    "RecipientOptedOut",
    "DataFiltered",
];

/// An event that is being read.
pub(super) struct Reading<'a> {
    pub event: &'a Event,
    pub fields: &'a Fields,
}

impl Reading<'_> {
    pub fn said(&self, path: &Path) -> bool {
        let value = self.event.get(path);
        value.is_some_and(|value| value.kind() != Type::Null)
    }

    pub fn id(&self, path: &Path) -> Result<String, Wrong> {
        let found = text(self.event, path).filter(|id| is_id(id));
        let what = "is missing, or is no id of 1 to 256 bytes without control characters";
        found.ok_or_else(|| wrong("bad_id", path, what))
    }

    /// What it is by what is there, unless it is said.
    pub fn kind(&self) -> Result<Kind, Wrong> {
        let fields = self.fields;
        if self.said(&fields.kind) {
            let word = text(self.event, &fields.kind).unwrap_or_default();
            let known = KINDS.iter().find(|(name, _)| *name == word);
            let what = "is not `agentless`, `conversation`, `inbound`, `event` or `receipt`";
            return known
                .map(|(_, kind)| *kind)
                .ok_or_else(|| wrong("bad_kind", &fields.kind, what));
        }
        if self.said(&fields.receipt) {
            return Ok(Kind::Receipt);
        }
        match self.said(&fields.conversation) && self.said(&fields.communication) {
            true => Ok(Kind::Conversation),
            false => Ok(Kind::Agentless),
        }
    }

    pub fn party(&self) -> Result<Party, Wrong> {
        let path = &self.fields.recipient;
        let bad = |what| wrong("bad_recipient", path, what);
        let value = self.event.get(path).ok_or_else(|| bad("is missing"))?;
        if value.kind() != Type::Object {
            return Ok(Party {
                id: self.id(path)?,
                id_type: "Opaque".to_owned(),
                ..Party::default()
            });
        }
        let id = member(&value, "id").filter(|id| is_id(id));
        let id_type = member(&value, "idType");
        let known = match &id_type {
            None => Some("Opaque"),
            Some(said) => ID_TYPES
                .into_iter()
                .find(|it| it.eq_ignore_ascii_case(said)),
        };
        let name = |name| match member(&value, name) {
            Some(text) if !is_line(&text) => Err(bad("has a name that is too long or no line")),
            other => Ok(other),
        };
        Ok(Party {
            id: id
                .ok_or_else(|| bad("has no `id` of 1 to 256 bytes without control characters"))?,
            id_type: known
                .ok_or_else(|| bad("has an `idType` that is not `Email`, `Phone` or `Opaque`"))?
                .to_owned(),
            nickname: name("nickname")?,
            first_name: name("firstName")?,
            last_name: name("lastName")?,
        })
    }

    /// The text of a message that can have no attachment.
    pub fn text_alone(&self) -> Result<String, Wrong> {
        if !self.attachments()?.is_empty() {
            let what = "cannot be sent here: attachments go with `kind: inbound`";
            return Err(wrong("media_not_allowed", &self.fields.content, what));
        }
        let text = self.text()?;
        match text.is_empty() {
            true => Err(wrong("bad_text", &self.fields.text, "is missing or empty")),
            false => Ok(text),
        }
    }

    fn text(&self) -> Result<String, Wrong> {
        let path = &self.fields.text;
        if !self.said(path) {
            return Ok(String::new());
        }
        let value = self
            .event
            .get(path)
            .filter(|value| value.kind() == Type::Text);
        let text = value.and_then(|value| value.as_str().map(|text| text.into_owned()));
        let text = text.ok_or_else(|| wrong("bad_text", path, "is no text"))?;
        match text.chars().count() <= TEXT_CHARACTERS {
            true => Ok(text),
            false => Err(wrong("bad_text", path, "is longer than 2000 characters")),
        }
    }

    pub fn body(&self) -> Result<Body, Wrong> {
        let fields = self.fields;
        let (text, content) = (self.text()?, self.attachments()?);
        if text.is_empty() && content.is_empty() {
            let what = "is missing or empty, and there is no attachment";
            return Err(wrong("bad_text", &fields.text, what));
        }
        if content.len() > 1 {
            let what = "has more than one attachment: the platform takes one in a message";
            return Err(wrong("bad_attachment", &fields.content, what));
        }
        let mut metadata = None;
        if let Some(value) = self.event.get(&fields.metadata)
            && value.kind() != Type::Null
        {
            let mut json = Vec::new();
            value.write_json(&mut json);
            let parsed = serde_json::from_slice(&json).ok();
            let fits = value.kind() == Type::Object && json.len() <= METADATA_BYTES;
            metadata = parsed.filter(|_| fits);
            if metadata.is_none() {
                let what = "is no object of at most 16 KiB";
                return Err(wrong("bad_metadata", &fields.metadata, what));
            }
        }
        Ok(Body {
            text,
            content,
            metadata,
        })
    }

    fn attachments(&self) -> Result<Vec<Attachment>, Wrong> {
        let path = &self.fields.content;
        let Some(value) = self.event.get(path) else {
            return Ok(Vec::new());
        };
        match value.kind() {
            Type::Null => Ok(Vec::new()),
            Type::Array => value
                .elements()
                .map(|entry| attachment(&entry, path))
                .collect(),
            _ => Err(wrong("bad_attachment", path, "is no list")),
        }
    }

    pub fn receipt(&self) -> Result<What, Wrong> {
        let path = &self.fields.receipt;
        let bad = |what| wrong("bad_receipt", path, what);
        let value = self.event.get(path).ok_or_else(|| bad("is missing"))?;
        let message = member(&value, "messageId").filter(|id| is_id(id));
        let delivered = match member(&value, "status").as_deref() {
            Some("Delivered" | "delivered") => true,
            Some("Failed" | "failed") => false,
            _ => return Err(bad("has a `status` that is not `Delivered` or `Failed`")),
        };
        let reason = member(&value, "reason").filter(|_| !delivered);
        if (reason.as_deref()).is_some_and(|reason| !REASONS.contains(&reason)) {
            return Err(bad("has a `reason` that the platform does not list"));
        }
        Ok(What::Receipt {
            to: self.party()?,
            message: message.ok_or_else(|| bad("has no `messageId` of the platform's"))?,
            delivered,
            reason,
        })
    }

    pub fn time(&self) -> Result<Option<String>, Wrong> {
        let path = &self.fields.time;
        if self.said(path) {
            let said = text(self.event, path);
            let time = said.and_then(|said| said.parse::<Timestamp>().ok());
            let what = "is no time such as `2026-01-02T03:04:05Z`";
            let time = time.ok_or_else(|| wrong("bad_time", path, what))?;
            return Ok(Some(format!("{time:.3}")));
        }
        let known = self.event.time;
        let known = known.and_then(|time| Timestamp::from_microsecond(time).ok());
        Ok(known.map(|time| format!("{time:.3}")))
    }
}

fn attachment(entry: &Value<'_>, path: &Path) -> Result<Attachment, Wrong> {
    let bad = |what| wrong("bad_attachment", path, what);
    let kind = member(entry, "contentType");
    if kind.is_some_and(|kind| kind != "Attachment") {
        return Err(bad("has a `contentType` that is not `Attachment`"));
    }
    let inner = entry
        .member("attachment")
        .filter(|it| it.kind() == Type::Object);
    let inner = inner.ok_or_else(|| bad("has an entry without one `attachment`"))?;
    let media = member(&inner, "mediaType").unwrap_or_default();
    if !MEDIA.contains(&media.as_str()) {
        return Err(bad(
            "has a `mediaType` that is not `Image`, `Video`, `Audio`, `File` or `Link`",
        ));
    }
    let url = member(&inner, "url").filter(|url| url.len() <= URL_BYTES);
    let parsed = url.as_deref().and_then(|url| Url::parse(url).ok());
    let safe = parsed.is_some_and(|url| {
        let bare = url.username().is_empty() && url.password().is_none();
        url.scheme() == "https" && url.has_host() && bare
    });
    let line = |name| match member(&inner, name) {
        Some(text) if !is_line(&text) => Err(bad("has a name that is too long or no line")),
        other => Ok(other),
    };
    Ok(Attachment {
        id: line("id")?,
        media_type: media,
        url: url
            .filter(|_| safe)
            .ok_or_else(|| bad("has a `url` that is not one of `https` without credentials"))?,
        mime: line("mime")?,
        filename: line("filename")?,
        text: line("text")?,
    })
}

fn member(value: &Value<'_>, name: &str) -> Option<String> {
    let found = value.member(name)?;
    found.as_plain().map(|text| text.into_owned())
}

fn is_line(text: &str) -> bool {
    text.len() <= NAME_BYTES && !text.chars().any(char::is_control)
}
