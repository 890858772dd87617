//! What a dead letter keeps under the pipeline's key: the event as it was before anything masked it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::event::{Event, Labels};
use crate::seal::{Keyring, Sealed};

/// Binds a sealed piece to its letter: moved to another one it does not open.
const CONTEXT: &str = "trunkline dead letter ";

/// What a letter is about, unmasked, with all that the engine knew about it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Original {
    /// The event's JSON, or the beginning of what was no event.
    pub body: String,
    /// What stood beside it.
    pub facts: Facts,
}

/// What the engine knew about an event, beside its body.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Event time in microseconds since 1970 (UTC), once a stage had read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
    /// The conversation's own counter; 0 for none.
    pub counter: u64,
    /// Names of labels.
    pub labels: Vec<String>,
    /// Its class in edges with priorities.
    pub priority: u8,
    /// When it arrived, in microseconds since 1970 (UTC).
    pub received: i64,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What the transport gave.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for Original {
    /// Sizes only: this is personal data.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Original({} bytes, {:?})", self.body.len(), self.facts)
    }
}

impl fmt::Debug for Facts {
    /// Without what the transport gave.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "Facts({:?}, {} headers)",
            self.time,
            self.headers.len()
        )
    }
}

impl Facts {
    /// Those of an event.
    pub fn of(event: &Event) -> Self {
        let extra = event.extra();
        let headers = extra.map_or(&[][..], |extra| &extra.headers);
        Self {
            time: event.time,
            counter: event.counter,
            labels: event.labels.names().map(str::to_owned).collect(),
            priority: event.priority,
            received: event.provenance().received,
            tenant: extra.and_then(|extra| Some(extra.tenant.as_ref()?.to_string())),
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
        }
    }

    /// Gives them to an event.
    pub fn give(&self, event: &mut Event) {
        event.time = self.time;
        event.counter = self.counter;
        event.priority = self.priority;
        for (label, name) in Labels::ALL {
            if self.labels.iter().any(|given| given == name) {
                event.labels.insert(label);
            }
        }
        if self.tenant.is_some() || !self.headers.is_empty() {
            let extra = event.extra_mut();
            extra.tenant = self.tenant.as_deref().map(Into::into);
            extra.headers = self
                .headers
                .iter()
                .map(|(name, value)| (name.as_str().into(), value.clone()))
                .collect();
        }
    }
}

impl Original {
    /// As text for the letter of this id.
    pub fn seal(&self, keys: &Keyring, id: &str) -> String {
        // The body stands behind the line of facts as it is: it may be nested as deep as can be
        // read, and is then one too deep for a member.
        let mut plain = serde_json::to_vec(&self.facts).unwrap_or_default();
        plain.push(b'\n');
        plain.extend_from_slice(self.body.as_bytes());
        STANDARD.encode(keys.seal(&context(id), &plain))
    }

    /// Opens what the letter of this id holds.
    ///
    /// # Errors
    /// When the key is not there, or the text is not what was sealed for this letter.
    pub fn open(keys: &Keyring, id: &str, sealed: &str) -> Result<Self, Sealed> {
        let sealed = STANDARD.decode(sealed).map_err(|_| Sealed::Damaged)?;
        let plain = keys.open(&context(id), &sealed)?;
        let plain = String::from_utf8(plain).map_err(|_| Sealed::Damaged)?;
        let (facts, body) = plain.split_once('\n').ok_or(Sealed::Damaged)?;
        Ok(Self {
            body: body.to_owned(),
            facts: serde_json::from_str(facts).map_err(|_| Sealed::Damaged)?,
        })
    }
}

fn context(id: &str) -> Vec<u8> {
    format!("{CONTEXT}{id}").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::seal::Key;

    fn keys(byte: u8) -> Keyring {
        let key = Key::parse(&STANDARD.encode([byte; 32])).unwrap();
        Keyring::new(key, Vec::new()).unwrap()
    }

    #[test]
    fn an_original_opens_for_its_letter_with_all_that_was_known() {
        let body = "{\"a\":\n[1]}";
        let event = || Event::parse(body.to_owned(), &Arc::default(), &Arc::default()).unwrap();
        let mut known = event();
        (known.time, known.counter, known.priority) = (Some(-5), 7, 2);
        known.labels.insert(Labels::GAP);
        known.labels.insert(Labels::LATE);
        known.extra_mut().tenant = Some("acme".into());
        known.extra_mut().headers = vec![("from".into(), "+14155551234".into())];
        let facts = Facts::of(&known);
        let original = Original {
            body: body.into(),
            facts,
        };
        let sealed = original.seal(&keys(1), "one");
        assert!(!sealed.contains("4155551234"));
        assert!(!format!("{original:?}").contains("4155551234"));
        let opened = Original::open(&keys(1), "one", &sealed).unwrap();
        assert_eq!(opened, original);
        let mut again = event();
        opened.facts.give(&mut again);
        assert_eq!(Facts::of(&again), original.facts);
        assert_eq!(
            Original::open(&keys(1), "other", &sealed),
            Err(Sealed::Damaged)
        );
        let key = keys(1).id();
        assert_eq!(
            Original::open(&keys(2), "one", &sealed),
            Err(Sealed::UnknownKey(key))
        );
        assert_eq!(
            Original::open(&keys(1), "one", "no base64"),
            Err(Sealed::Damaged)
        );
    }
}
