//! What may be told about a value that is wrong: its shape, never itself.

use crate::event::{Kind, Value};

/// `string of 12 characters`, `number`, `array of 3 elements`, `object of 5 members`.
pub(super) fn shape(value: &Value<'_>) -> String {
    match value.kind() {
        Kind::Text => {
            let length = value.as_str().map_or(0, |text| text.chars().count());
            format!("string of {}", count(length, "character"))
        }
        Kind::Array => format!("array of {}", count(value.elements().count(), "element")),
        Kind::Object => format!("object of {}", count(value.members().count(), "member")),
        Kind::Number if !is_whole(value) => "number with a fraction".to_owned(),
        kind => kind.name().to_owned(),
    }
}

/// `1 element`, `2 elements`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// True for a number without a fraction, however it is written: `3`, `3.0`, `3e2`.
pub(super) fn is_whole(value: &Value<'_>) -> bool {
    value.as_number().is_some_and(is_whole_text)
}

pub(super) fn is_whole_text(text: &str) -> bool {
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
    {
        return true;
    }
    text.parse::<f64>()
        .is_ok_and(|number| number.is_finite() && number.fract() == 0.0)
}

/// A place in an event, as a violation shows it.
#[derive(Default)]
pub(super) struct Place(String);

impl Place {
    /// Goes to a member. A name that may itself be personal data (a map by e-mail address or
    /// telephone number) is not shown.
    pub(super) fn member(&mut self, name: &str) {
        self.0.push('.');
        self.0
            .push_str(if is_telling(name) { name } else { "\"…\"" });
    }

    /// Goes to an element.
    pub(super) fn element(&mut self, index: usize) {
        self.0.push_str(&format!("[{index}]"));
    }

    /// The place, `.` for the whole body.
    pub(super) fn finish(self) -> String {
        if self.0.is_empty() {
            ".".to_owned()
        } else {
            self.0
        }
    }
}

/// Is it a name that a programmer gave: letters, few digits, nothing of an address?
fn is_telling(name: &str) -> bool {
    const MOST_DIGITS: usize = 4;
    let plain = |(at, c): (usize, char)| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$' | ':') || c == '@' && at == 0
    };
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    (1..=64).contains(&name.len()) && digits <= MOST_DIGITS && name.char_indices().all(plain)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::Event;

    #[test]
    fn a_shape_holds_no_value() {
        for (json, expected) in [
            (r#""+14155551234""#, "string of 12 characters"),
            (r#""é""#, "string of 1 character"),
            ("345", "number"),
            ("3.0", "number"),
            ("3.5", "number with a fraction"),
            ("true", "boolean"),
            ("null", "null"),
            ("[1]", "array of 1 element"),
            (r#"{"a":1,"b":2}"#, "object of 2 members"),
        ] {
            let event = Event::parse(json.into(), &Arc::default(), &Arc::default()).unwrap();
            assert_eq!(shape(&event.body()), expected);
        }
    }

    #[test]
    fn a_place_hides_names_that_are_data() {
        let mut place = Place::default();
        for name in [
            "data",
            "@type",
            "jo@example.com",
            "+14155551234",
            "14155551234",
            "",
        ] {
            place.member(name);
        }
        place.element(3);
        assert_eq!(place.finish(), r#".data.@type."…"."…"."…"."…"[3]"#);
        assert_eq!(Place::default().finish(), ".");
    }
}
