//! What makes two tellings of a fact the same: an identifier out of the content alone.
//!
//! 128 bits of SipHash-1-3 with a key that never changes, so that the same fact has the same
//! identifier in every run, on every worker and in every version.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};
use smallvec::SmallVec;

use crate::event::Value;

/// Part of what is hashed: another way to make identifiers would need another number.
const SCHEME: u8 = 1;

/// An identifier in the making: what is to be hashed, all at once, which is faster than in pieces.
pub(super) struct Identity(SmallVec<[u8; 256]>);

impl Identity {
    /// Of a fact that snapshots tell.
    pub(super) fn of_snapshot() -> Self {
        Self::new(b's')
    }

    /// Of a detail event.
    pub(super) fn of_detail() -> Self {
        Self::new(b'd')
    }

    fn new(family: u8) -> Self {
        Self(SmallVec::from_slice(&[SCHEME, family]))
    }

    /// A text; its length goes in too, so that no two lists of texts run into one.
    pub(super) fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A time in milliseconds, or none.
    pub(super) fn time(&mut self, millis: Option<i64>) {
        self.0.extend_from_slice(&[u8::from(millis.is_some())]);
        self.0.extend_from_slice(&millis.unwrap_or(0).to_le_bytes());
    }

    /// A flag.
    pub(super) fn flag(&mut self, flag: bool) {
        self.0.extend_from_slice(&[u8::from(flag)]);
    }

    /// The members of an object of texts, in whatever order they come.
    pub(super) fn members(&mut self, object: Value<'_>) {
        let mut sum = 0_u128;
        for (name, value) in object.members() {
            let mut one = Self::new(b'm');
            one.text(&name);
            one.text(&value.as_plain().unwrap_or_default());
            sum = sum.wrapping_add(one.sum());
        }
        self.0.extend_from_slice(&sum.to_le_bytes());
    }

    fn sum(&self) -> u128 {
        let mut hasher = SipHasher13::new();
        hasher.write(&self.0);
        hasher.finish128().as_u128()
    }

    /// 32 hexadecimal digits.
    pub(super) fn digits(&self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let sum = self.sum();
        std::array::from_fn(|place| DIGITS[(sum >> (124 - 4 * place)) as usize & 15])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn digits(fill: impl FnOnce(&mut Identity)) -> String {
        let mut identity = Identity::of_snapshot();
        fill(&mut identity);
        String::from_utf8(identity.digits().to_vec()).unwrap()
    }

    #[test]
    fn is_the_same_in_every_version() {
        let told = digits(|it| {
            it.text("c-1");
            it.text("p-1");
            it.time(Some(1_767_323_045_100));
            it.flag(false);
        });
        assert_eq!(told, "781e8c87483e7b78c8477f4807e263d1");
    }

    #[test]
    fn differs_where_the_content_does() {
        let all = [
            digits(|it| (it.text("ab"), it.text("c")).0),
            digits(|it| (it.text("a"), it.text("bc")).0),
            digits(|it| it.text("abc")),
            digits(|it| it.time(None)),
            digits(|it| it.time(Some(0))),
            digits(|it| it.flag(true)),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one), "{place}");
        }
    }

    #[test]
    fn members_count_in_any_order() {
        let of = |json: &str| {
            let event = Event::parse(json.into(), &Default::default(), &Default::default());
            digits(|it| it.members(event.unwrap().body()))
        };
        assert_eq!(of(r#"{"a":"1","b":"2"}"#), of(r#"{"b":"2","a":"1"}"#));
        assert_ne!(of(r#"{"a":"1","b":"2"}"#), of(r#"{"a":"2","b":"1"}"#));
        assert_ne!(of("{}"), of(r#"{"a":""}"#));
    }
}
