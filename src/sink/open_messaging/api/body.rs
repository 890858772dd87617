//! Bodies of requests: read whole, so that all mistakes are told at once.

use serde_json::{Map, Value};
use url::Url;

use super::answer::{Mistake, Problem};
use crate::client::genesys::{TEXT_CHARACTERS, Target};

/// Letters of an id, and of a name.
const ID_LETTERS: usize = 128;
const RECIPIENT_LETTERS: usize = 64;
const NAME_LETTERS: usize = 256;
const URL_LETTERS: usize = 2_048;

/// What somebody wants to open.
#[derive(Debug)]
pub(super) struct NewConversation {
    pub organization: Option<String>,
    pub integration: Option<String>,
    /// As it came, and checked.
    pub recipient: Value,
    pub customer: String,
    pub message: Option<String>,
    pub how: How,
}

#[derive(Debug)]
pub(super) enum How {
    /// A text to the customer, without an agent.
    Text(String),
    /// An agent's side without a text.
    Agent { queue: Option<String> },
    /// What the customer says.
    Inbound {
        text: Option<String>,
        content: Option<Value>,
    },
}

impl NewConversation {
    pub fn existing(body: &Map<String, Value>) -> bool {
        body.get("existing")
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }
}

/// A text on a conversation.
#[derive(Debug)]
pub(super) struct NewMessage {
    pub organization: Option<String>,
    pub message: Option<String>,
    pub communication: Option<String>,
    pub text: String,
}

/// Who comes in.
#[derive(Debug)]
pub(super) struct NewParticipant {
    pub organization: Option<String>,
    pub participant: Option<String>,
    pub target: Target,
}

/// The object that a body is.
pub(super) fn object(body: &[u8], kind: Option<&str>) -> Result<Map<String, Value>, Problem> {
    let json = kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    });
    if !json {
        return Err(Problem::not_json_type());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::invalid(vec![(String::new(), "is no object")])),
        Err(_) => Err(Problem::unreadable()),
    }
}

/// Whether it is an id as this interface takes them.
pub(super) fn is_id(id: &str) -> bool {
    let sign = |c: char| c.is_ascii_alphanumeric() || "._:@+-".contains(c);
    (1..=ID_LETTERS).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(sign)
}

/// Whether it is an id as the platform makes them.
pub(super) fn is_uuid(id: &str) -> bool {
    let well = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    id.len() == 36 && id.bytes().enumerate().all(well)
}

fn is_name(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// Of an attachment: https, a host with a name, nobody's credentials.
fn is_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://") else {
        return false;
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, tail) = rest.split_at(end);
    let (name, port) = host
        .split_once(':')
        .map_or((host, None), |(a, b)| (a, Some(b)));
    let port = port.is_none_or(|port| {
        (1..=4).contains(&port.len())
            && !port.starts_with('0')
            && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    let label = |label: &str| {
        let part =
            |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_alphanumeric());
        label.split('-').all(part)
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    text.len() <= URL_LETTERS
        && port
        && name.split('.').all(label)
        && last.starts_with(|c: char| c.is_ascii_alphabetic())
        && tail.bytes().all(|byte| byte.is_ascii_graphic())
        && Url::parse(text).is_ok()
}

/// Reads members and remembers what was wrong.
pub(super) struct Reader<'b> {
    object: &'b Map<String, Value>,
    at: String,
    wrong: Vec<Mistake>,
}

impl<'b> Reader<'b> {
    pub fn new(object: &'b Map<String, Value>) -> Self {
        Self {
            object,
            at: String::new(),
            wrong: Vec::new(),
        }
    }

    fn mistake(&mut self, name: &str, what: &'static str) {
        self.wrong.push((format!("{}/{name}", self.at), what));
    }

    /// Members that are none of these are mistakes. Their names are the sender's, and are not repeated.
    fn only(&mut self, known: &[&str]) {
        if self.object.keys().any(|name| !known.contains(&&**name)) {
            let at = self.at.clone();
            self.wrong.push((at, "has a member that is not known"));
        }
    }

    fn text(
        &mut self,
        name: &str,
        what: &'static str,
        fits: impl Fn(&str) -> bool,
    ) -> Option<String> {
        match self.object.get(name)? {
            Value::String(text) if fits(text) => Some(text.clone()),
            _ => {
                self.mistake(name, what);
                None
            }
        }
    }

    fn required<T>(&mut self, name: &str, found: Option<T>) -> Option<T> {
        if found.is_none() && !self.object.contains_key(name) {
            self.mistake(name, "is missing");
        }
        found
    }

    fn id(&mut self, name: &str) -> Option<String> {
        self.text(
            name,
            "is no id of 1 to 128 letters, digits and `._:@+-`",
            is_id,
        )
    }

    fn uuid(&mut self, name: &str) -> Option<String> {
        self.text(name, "is no id of the platform", is_uuid)
    }

    fn name(&mut self, name: &str, most: usize) -> Option<String> {
        let what = "is too long, empty, or has control characters";
        self.text(name, what, |text| is_name(text, most))
    }

    fn words(&mut self) -> Option<String> {
        let fits = |text: &str| (1..=TEXT_CHARACTERS).contains(&text.chars().count());
        self.text("textBody", "is not 1 to 2000 characters", fits)
    }

    fn boolean(&mut self, name: &str) {
        if self.object.get(name).is_some_and(|it| !it.is_boolean()) {
            self.mistake(name, "is neither true nor false");
        }
    }

    fn of(&mut self, name: &str, inner: impl FnOnce(&mut Reader<'b>)) -> bool {
        let object = self.object;
        let Some(Value::Object(object)) = object.get(name) else {
            if object.contains_key(name) {
                self.mistake(name, "is no object");
            }
            return false;
        };
        let mut reader = Reader {
            object,
            at: format!("{}/{name}", self.at),
            wrong: Vec::new(),
        };
        inner(&mut reader);
        self.wrong.append(&mut reader.wrong);
        true
    }

    fn done<T>(self, read: Option<T>) -> Result<T, Problem> {
        match read {
            Some(read) if self.wrong.is_empty() => Ok(read),
            _ => Err(Problem::invalid(self.wrong)),
        }
    }

    fn recipient(&mut self) -> Option<(Value, String)> {
        let mut customer = None;
        let there = self.of("recipient", |r| {
            r.only(&["id", "idType", "nickname", "firstName", "lastName"]);
            let id = r.name("id", RECIPIENT_LETTERS);
            customer = r.required("id", id);
            let known = |text: &str| ["Email", "Phone", "Opaque"].contains(&text);
            r.text("idType", "is not `Email`, `Phone` or `Opaque`", known);
            for name in ["nickname", "firstName", "lastName"] {
                r.name(name, NAME_LETTERS);
            }
        });
        self.required("recipient", there.then_some(()));
        let value = self.object.get("recipient")?;
        Some((value.clone(), customer?))
    }

    fn content(&mut self) -> Option<Value> {
        let object = self.object;
        let value = object.get("content")?;
        let entry = match value.as_array().map(Vec::as_slice) {
            Some([Value::Object(entry)]) => entry,
            _ => {
                self.mistake("content", "is no list of one attachment");
                return None;
            }
        };
        let mut reader = Reader {
            object: entry,
            at: format!("{}/content/0", self.at),
            wrong: Vec::new(),
        };
        reader.only(&["contentType", "attachment"]);
        let kind = reader.text("contentType", "is not `Attachment`", |it| {
            it == "Attachment"
        });
        reader.required("contentType", kind);
        let there = reader.of("attachment", |r| {
            r.only(&["id", "mediaType", "url", "mime", "filename", "text"]);
            let known = |it: &str| ["Image", "Video", "Audio", "File", "Link"].contains(&it);
            let what = "is not `Image`, `Video`, `Audio`, `File` or `Link`";
            let media = r.text("mediaType", what, known);
            r.required("mediaType", media);
            let url = r.text("url", "is no URL of https with a host's name", is_url);
            r.required("url", url);
            for (name, most) in [
                ("id", ID_LETTERS),
                ("mime", ID_LETTERS),
                ("filename", NAME_LETTERS),
                ("text", NAME_LETTERS),
            ] {
                r.name(name, most);
            }
        });
        reader.required("attachment", there.then_some(()));
        self.wrong.append(&mut reader.wrong);
        Some(value.clone())
    }

    pub fn conversation(mut self) -> Result<NewConversation, Problem> {
        let known = |it: &str| ["outbound", "inbound"].contains(&it);
        let direction = self.text("direction", "is not `outbound` or `inbound`", known);
        let inbound = direction.as_deref() == Some("inbound");
        let shared = [
            "direction",
            "organizationId",
            "integrationId",
            "recipient",
            "messageId",
            "textBody",
        ];
        let own: &[&str] = if inbound {
            &["content"]
        } else {
            &["queueId", "existing"]
        };
        self.only(&[&shared, own].concat());
        let (organization, integration) = (self.id("organizationId"), self.id("integrationId"));
        let (message, text) = (self.id("messageId"), self.words());
        let recipient = self.recipient();
        let how = if inbound {
            let content = self.content();
            if !self.object.contains_key("textBody") && !self.object.contains_key("content") {
                self.mistake("textBody", "is missing, and there is no `content`");
            }
            How::Inbound { text, content }
        } else {
            self.boolean("existing");
            let queue = self.uuid("queueId");
            for name in ["queueId", "existing"] {
                if self.object.contains_key(name) && self.object.contains_key("textBody") {
                    self.mistake(name, "goes without a `textBody` only");
                }
            }
            match text {
                Some(text) => How::Text(text),
                None => How::Agent { queue },
            }
        };
        let read = recipient.map(|(recipient, customer)| NewConversation {
            organization,
            integration,
            recipient,
            customer,
            message,
            how,
        });
        self.done(read)
    }

    pub fn message(mut self) -> Result<NewMessage, Problem> {
        if self.object.contains_key("content") {
            let what = "cannot be sent on a conversation: the platform takes uploaded media only there; \
                        what a customer sends goes with `direction: inbound`";
            self.mistake("content", what);
        }
        self.only(&[
            "organizationId",
            "messageId",
            "communicationId",
            "textBody",
            "content",
        ]);
        let (organization, message) = (self.id("organizationId"), self.id("messageId"));
        let communication = self.uuid("communicationId");
        let text = self.words();
        let text = self.required("textBody", text);
        let read = text.map(|text| NewMessage {
            organization,
            message,
            communication,
            text,
        });
        self.done(read)
    }

    pub fn participant(mut self) -> Result<NewParticipant, Problem> {
        self.only(&["organizationId", "participantId", "userId", "queueId"]);
        let (organization, participant) = (self.id("organizationId"), self.uuid("participantId"));
        let (user, queue) = (self.uuid("userId"), self.uuid("queueId"));
        let both = ["userId", "queueId"].map(|name| self.object.contains_key(name));
        let target = match (user, queue, both) {
            (Some(user), _, [true, false]) => Some(Target::User(user)),
            (_, Some(queue), [false, true]) => Some(Target::Queue(queue)),
            (.., [false, false] | [true, true]) => {
                self.mistake("userId", "or `queueId` has to be there, and not both");
                None
            }
            _ => None,
        };
        let read = target.map(|target| NewParticipant {
            organization,
            participant,
            target,
        });
        self.done(read)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object_of(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn urls_are_of_https_and_have_a_hosts_name() {
        for good in [
            "https://example.org",
            "https://s3.eu-west-1.amazonaws.com/a/b.png?x=1&y=%20",
            "https://a:8443/x",
            "https://3cdn.example?x",
        ] {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "http://example.org",
            "https://",
            "https://user:pw@example.org",
            "https://127.0.0.1/x",
            "https://a..b/",
            "https://-a/",
            "https://xn--a/",
            "https://a/\n",
            "https://a:0/",
            "https://a:99999/",
            " https://a",
        ] {
            assert!(!is_url(bad), "{bad}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once_and_without_values() {
        let body = object_of(json!({
            "direction": "inbound", "organizationId": "a b", "secret-name": 1, "queueId": "x",
            "recipient": {"idType": "Pigeon", "nickname": ""},
            "content": [{"contentType": "Attachment", "attachment": {"url": "http://secret"}}],
        }));
        let problem = Reader::new(&body).conversation().unwrap_err();
        let answer = crate::observe::ViewAnswer::from(problem);
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        let paths = told["errors"].as_array().unwrap().iter();
        let mut paths: Vec<&str> = paths.filter_map(|it| it["path"].as_str()).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "",
                "/content/0/attachment/mediaType",
                "/content/0/attachment/url",
                "/organizationId",
                "/recipient/id",
                "/recipient/idType",
                "/recipient/nickname",
            ]
        );
        let text = String::from_utf8(answer.body).unwrap();
        assert!(
            !text.contains("secret") && !text.contains("Pigeon"),
            "{text}"
        );
    }
}
