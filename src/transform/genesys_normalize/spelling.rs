//! One spelling for each idea. Genesys Cloud spells the same value in up to four ways: in snapshots
//! (`transfer.noanswer`), in detail events (`NO_ANSWER_TRANSFER`), in analytics
//! (`noAnswerTransfer`), and in replies of the REST API (`endpoint.donotdisturb`, `terminated`).
//!
//! Canonical is that of the snapshots. Letters' case and the separators `. _ -` and space do not
//! matter, so only another order of words or another word needs an entry of its own.

use std::borrow::Cow;

use super::drift::Drift;

/// No spelling is longer; hostile text is not looked at.
const MAX_LENGTH: usize = 40;

/// The values of one enumeration.
pub(super) struct Words {
    /// What an unknown value is counted as.
    drift: &'static str,
    /// Each canonical word with those that mean the same.
    words: &'static [(&'static str, &'static [&'static str])],
}

/// States of a communication. `terminated` is what replies of the REST API say where events say
/// `disconnected`; the same fact must not have two names.
pub(super) const STATES: Words = Words {
    drift: "call_state",
    words: &[
        ("connected", &[]),
        ("disconnected", &["terminated"]),
        ("alerting", &[]),
        ("dialing", &[]),
        ("contacting", &[]),
        ("offering", &[]),
        ("parked", &[]),
        ("scheduled", &[]),
        ("transmitting", &[]),
        ("uploading", &[]),
        ("converting", &[]),
        ("none", &[]),
    ],
};

/// Why a communication ended.
pub(super) const DISCONNECTS: Words = Words {
    drift: "disconnect_type",
    words: &[
        ("client", &[]),
        ("peer", &[]),
        ("system", &[]),
        ("transfer", &[]),
        ("endpoint", &[]),
        ("endpoint.dnd", &["dnd.endpoint", "endpoint.donotdisturb"]),
        ("timeout", &[]),
        ("transfer.conference", &["conference.transfer"]),
        ("transfer.consult", &["consult.transfer"]),
        ("transfer.forward", &["forward.transfer"]),
        ("transfer.noanswer", &["noanswer.transfer"]),
        ("transfer.notavailable", &["notavailable.transfer"]),
        ("transfer.dnd", &["dnd.transfer", "transfer.donotdisturb"]),
        ("transport.failure", &[]),
        ("error", &[]),
        ("other", &[]),
        ("spam", &[]),
        ("uncallable", &[]),
        ("inactivity", &[]),
        ("session.expired", &[]),
        ("takeover", &[]),
        ("unknown", &[]),
    ],
};

/// Media: the word of the snapshot's list in the singular.
pub(super) const MEDIA: Words = Words {
    drift: "media_type",
    words: &[
        ("call", &["calls", "voice"]),
        ("message", &["messages"]),
        ("email", &["emails"]),
        ("chat", &["chats"]),
        ("callback", &["callbacks"]),
        (
            "cobrowse",
            &["cobrowses", "cobrowsesession", "cobrowsesessions"],
        ),
        ("video", &["videos"]),
        ("screenshare", &["screenshares"]),
        ("internalmessage", &["internalmessages"]),
        ("screenmonitoring", &["screenmonitorings"]),
        ("socialexpression", &["socialexpressions"]),
        ("unknown", &[]),
    ],
};

/// Who began.
pub(super) const DIRECTIONS: Words = Words {
    drift: "direction",
    words: &[("inbound", &[]), ("outbound", &[]), ("unknown", &[])],
};

/// What a participant is there for: a free string on the platform, with these values seen.
pub(super) const PURPOSES: Words = Words {
    drift: "purpose",
    words: &[
        ("customer", &[]),
        ("agent", &[]),
        ("acd", &[]),
        ("ivr", &[]),
        ("user", &[]),
        ("external", &[]),
        ("workflow", &[]),
        ("botflow", &[]),
        ("voicemail", &[]),
        ("group", &[]),
        ("station", &[]),
        ("dialer", &[]),
        ("campaign", &[]),
        ("fax", &[]),
        ("api", &[]),
        ("inbound", &[]),
        ("outbound", &[]),
        ("manual", &[]),
        ("voicesurveyflow", &[]),
        ("unknown", &[]),
    ],
};

/// Whether a conversation is recorded: `none` in events, `NONE` in replies of the REST API.
pub(super) const RECORDINGS: Words = Words {
    drift: "recording_state",
    words: &[("none", &[]), ("active", &[]), ("paused", &[])],
};

/// How the time in a queue ended.
pub(super) const OUTCOMES: Words = Words {
    drift: "acd_outcome",
    words: &[
        ("abandon", &[]),
        ("answered", &[]),
        ("flow.out", &[]),
        ("unknown", &[]),
    ],
};

impl Words {
    /// The canonical word, if the value is known in any spelling.
    pub(super) fn known(&self, text: &str) -> Option<&'static str> {
        if let Some((word, _)) = self.words.iter().find(|(word, _)| *word == text) {
            return Some(word);
        }
        if text.is_empty() || text.len() > MAX_LENGTH {
            return None;
        }
        let means = |(word, others): &&(&'static str, &'static [&'static str])| {
            same(word, text) || others.iter().any(|other| same(other, text))
        };
        self.words.iter().find(means).map(|(word, _)| *word)
    }

    /// The canonical word, or an unknown value as it came, which is counted.
    pub(super) fn read<'a>(&self, text: Cow<'a, str>, drift: &mut Drift) -> Cow<'a, str> {
        match self.known(&text) {
            Some(word) => Cow::Borrowed(word),
            None => {
                drift.value(self.drift);
                text
            }
        }
    }
}

/// Whether two spellings differ in no more than case and separators.
fn same(one: &str, other: &str) -> bool {
    plain(one).eq(plain(other))
}

fn plain(text: &str) -> impl Iterator<Item = u8> + '_ {
    let is_letter = |byte: &u8| !matches!(byte, b'.' | b'_' | b'-' | b' ');
    text.bytes()
        .filter(is_letter)
        .map(|byte| byte.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::genesys_normalize::drift::Mode;

    #[test]
    fn every_spelling_of_a_value_gives_one_word() {
        for (words, canonical, spellings) in [
            (
                &DISCONNECTS,
                "transfer.noanswer",
                &[
                    "transfer.noanswer",
                    "NO_ANSWER_TRANSFER",
                    "noAnswerTransfer",
                ][..],
            ),
            (
                &DISCONNECTS,
                "endpoint.dnd",
                &[
                    "endpoint.dnd",
                    "DND_ENDPOINT",
                    "endpointDnd",
                    "endpoint.donotdisturb",
                ],
            ),
            (
                &DISCONNECTS,
                "transfer.conference",
                &[
                    "transfer.conference",
                    "CONFERENCE_TRANSFER",
                    "conferenceTransfer",
                ],
            ),
            (
                &DISCONNECTS,
                "session.expired",
                &["session.expired", "SESSION_EXPIRED", "sessionExpired"],
            ),
            (
                &STATES,
                "disconnected",
                &["disconnected", "DISCONNECTED", "terminated"],
            ),
            (&MEDIA, "call", &["call", "calls", "VOICE", "voice"]),
            (
                &MEDIA,
                "cobrowse",
                &["COBROWSE", "cobrowsesessions", "cobrowse"],
            ),
            (
                &MEDIA,
                "internalmessage",
                &["internalMessages", "INTERNALMESSAGE", "internalmessage"],
            ),
            (&DIRECTIONS, "inbound", &["inbound", "INBOUND"]),
            (&RECORDINGS, "none", &["none", "NONE"]),
            (&OUTCOMES, "flow.out", &["FLOW_OUT", "flowOut"]),
            (&PURPOSES, "botflow", &["botflow", "BOT_FLOW"]),
        ] {
            for spelling in spellings {
                assert_eq!(words.known(spelling), Some(canonical), "{spelling}");
            }
        }
    }

    #[test]
    fn no_spelling_means_two_things() {
        for words in [
            &STATES,
            &DISCONNECTS,
            &MEDIA,
            &DIRECTIONS,
            &PURPOSES,
            &RECORDINGS,
            &OUTCOMES,
        ] {
            for (word, others) in words.words {
                for spelling in others.iter().chain([word]) {
                    let upper = spelling.to_uppercase().replace('.', "_");
                    assert_eq!(words.known(&upper), Some(*word), "{spelling}");
                }
            }
        }
    }

    #[test]
    fn passes_on_what_it_does_not_know_and_counts_it() {
        let mut drift = Drift::new(Mode::Values);
        let long = "._".repeat(100_000);
        for text in ["Hibernating", "", &long] {
            assert_eq!(STATES.read(text.into(), &mut drift), text);
        }
        assert_eq!(STATES.read("CONNECTED".into(), &mut drift), "connected");
        assert_eq!(drift.counted(), [("call_state", 3)]);
    }
}
