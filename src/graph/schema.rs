//! What a pipeline file may say, asked of the code that reads it.
//!
//! Nothing here is a list of fields: [`Schema::read`] gives made-up trees to [`super::check`] and
//! records what is asked for ([`crate::setting::Sketch`]). What stands beside the components is
//! what each field means, in words; a test holds these words against the fields that there are.

mod about;
mod explore;
mod given;
mod json;
mod markdown;
mod model;

use self::explore::explore;
use self::given::{Given, Step};
use self::model::Mapping;
use crate::client::{amqp, bucket, influx, statuses, tenants};
use crate::setting::{About, Value};
use crate::{sink, source, transform};

/// Everything that a pipeline file can hold.
pub struct Schema {
    root: Part,
    parts: Vec<Part>,
}

/// The file itself, or a type of component.
struct Part {
    /// `source`, `transform`, `sink` or `dead_letter`; empty for the file itself.
    section: &'static str,
    kind: &'static str,
    mapping: Mapping,
}

impl Part {
    fn definition(&self) -> String {
        format!("{}_{}", self.section, self.kind)
    }
}

/// What fields mean, by their paths.
struct Words {
    /// Of the component itself, by the whole path.
    own: &'static [About],
    /// Of what several have, by the end of the path.
    shared: Vec<&'static [About]>,
}

impl Words {
    fn none() -> Words {
        let (own, shared) = (&[][..], Vec::new());
        Words { own, shared }
    }

    /// The words for the field, the longest path first.
    fn about(&self, path: &str) -> Option<&'static str> {
        self.find(path).map(|(_, words)| *words)
    }

    fn find(&self, path: &str) -> Option<&'static About> {
        let own = self.own.iter().find(|(of, _)| *of == path);
        let ends = |of: &str| {
            let before = path.strip_suffix(of);
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        own.or_else(|| {
            let shared = self.shared.iter().copied().flatten();
            let fits = shared.filter(|(of, _)| !of.is_empty() && ends(of));
            fits.max_by_key(|(of, _)| of.len())
        })
    }
}

/// What several components read with the same code.
const READ: [(&[&str], &[About]); 5] = [
    (&["file", "s3_export", "stdin"], source::ABOUT),
    (&["s3_export"], bucket::ABOUT),
    (&["rabbitmq"], amqp::ABOUT),
    (&["activity", "causal_reorder", "influxdb"], influx::ABOUT),
    (&["delivery_receipt", "open_messaging"], statuses::ABOUT),
];

/// The name of the component that is asked.
const IT: &str = "it";

impl Schema {
    /// Asks all readers.
    pub fn read() -> Schema {
        let mut parts = Vec::new();
        for (section, kinds) in [
            ("source", source::KINDS),
            ("transform", transform::KINDS),
            ("sink", sink::KINDS),
            ("dead_letter", sink::KINDS),
        ] {
            parts.extend(kinds.iter().map(|kind| {
                let (given, way) = around(section, kind);
                Part {
                    section,
                    kind,
                    mapping: explore(&given, &way, &["type"]).unwrap_or_default(),
                }
            }));
        }
        let (given, _) = around("", "");
        let root = Part {
            section: "",
            kind: "",
            mapping: explore(&given, &[], &[]).unwrap_or_default(),
        };
        Schema { root, parts }
    }

    fn words(&self, part: &Part) -> Words {
        let (own, mut shared) = match part.section {
            "source" => (source::about(part.kind), vec![about::SOURCE]),
            "transform" => (transform::about(part.kind), vec![about::TRANSFORM]),
            "" => (about::PIPELINE, vec![tenants::ABOUT, about::TESTED]),
            _ => (sink::about(part.kind), vec![about::SINK, about::TRANSFORM]),
        };
        shared.push(about::COMMON);
        let read = READ.iter().filter(|(kinds, _)| kinds.contains(&part.kind));
        shared.extend(read.map(|(_, about)| about));
        Words { own, shared }
    }
}

/// A pipeline with this component, and where it is.
fn around(section: &str, kind: &str) -> (Given, Vec<Step>) {
    let component = |kind: &str, input: Option<&str>| {
        let mut all = vec![("type".to_owned(), Given::text(kind))];
        let inputs = input.map(|input| Given::List(vec![Given::text(input)]));
        all.extend(inputs.map(|inputs| ("inputs".to_owned(), inputs)));
        Given::Map(all)
    };
    let (source, sink) = (component("stdin", None), component("blackhole", Some("in")));
    let given = Given::map([
        ("version", Given::Scalar(Value::Int(1))),
        ("name", Given::text("p")),
        ("sources", Given::map([("in", source)])),
        ("sinks", Given::map([("out", sink)])),
    ]);
    let (section, it) = match section {
        "source" => ("sources", component(kind, None)),
        "transform" => ("transforms", component(kind, Some("in"))),
        "sink" => ("sinks", component(kind, Some("in"))),
        "dead_letter" => {
            let given = given.with(&[], section, component(kind, None));
            return (given, vec![Step::field(section)]);
        }
        _ => return (given, Vec::new()),
    };
    let way = [Step::field(section)];
    let given = match given.at(&way) {
        Some(_) => given,
        None => given.with(&[], section, Given::empty()),
    };
    let given = given.with(&way, IT, it);
    (given, vec![Step::field(section), Step::field(IT)])
}

#[cfg(test)]
mod tests;
