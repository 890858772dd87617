//! A clock as a JSON object: `{"node": counter}`.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::{BadClock, VectorClock};
use crate::event::json_str;

impl fmt::Display for VectorClock {
    /// As JSON, nodes in the order of their names.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("{")?;
        for (index, (node, counter)) in self.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(out, "{comma}{}:{counter}", json_str(node))?;
        }
        out.write_str("}")
    }
}

impl FromStr for VectorClock {
    type Err = BadClock;

    fn from_str(json: &str) -> Result<Self, BadClock> {
        let counters: Counters = serde_json::from_str(json).map_err(|_| BadClock::NotCounters)?;
        counters.0
    }
}

/// What was wrong with the clock is kept beside what serde has to say about the JSON.
struct Counters(Result<VectorClock, BadClock>);

impl<'de> Deserialize<'de> for Counters {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Counters;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object of whole numbers from 0")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Counters, M::Error> {
                // Entries are taken one by one, so a hostile object is refused at its 65th node.
                let mut broken = None;
                let entries = std::iter::from_fn(|| {
                    map.next_entry::<String, u64>().unwrap_or_else(|error| {
                        broken = Some(error);
                        None
                    })
                });
                let clock = VectorClock::from_counters(entries);
                match broken {
                    Some(error) => Err(M::Error::custom(error)),
                    None => Ok(Counters(clock)),
                }
            }
        }
        from.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_reads() {
        for json in ["{}", r#"{"a":1,"b":18446744073709551615}"#, r#"{"\"":3}"#] {
            assert_eq!(json.parse::<VectorClock>().unwrap().to_string(), json);
        }
        let clock: VectorClock = r#" { "b" : 2, "a" : 1, "c": 0 } "#.parse().unwrap();
        assert_eq!(clock.to_string(), r#"{"a":1,"b":2}"#);
    }

    #[test]
    fn refuses_what_is_no_clock() {
        for json in [
            "",
            "[]",
            "1",
            r#"{"a":-1}"#,
            r#"{"a":1.5}"#,
            r#"{"a":"1"}"#,
            r#"{"a":18446744073709551616}"#,
            r#"{"a":1} x"#,
            r#"{"a":"#,
        ] {
            assert_eq!(json.parse::<VectorClock>(), Err(BadClock::NotCounters));
        }
        assert_eq!(
            r#"{"a":1,"a":2}"#.parse::<VectorClock>(),
            Err(BadClock::RepeatedNode)
        );
        let many: Vec<String> = (0..1000).map(|n| format!("\"{n}\":1")).collect();
        let many = format!("{{{}}}", many.join(","));
        assert!(many.parse::<VectorClock>().is_err());
    }
}
