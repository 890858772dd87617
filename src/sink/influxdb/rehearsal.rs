//! Points that are shown instead of written.

use serde_json::Value;

use super::{Config, Target, encode};
use crate::client::influx::Client;
use crate::event::Batch;
use crate::failure::Failure;
use crate::layer::rehearsal::{Leaving, Recorder};
use crate::stage::Sink;

use super::line::Points;

/// For a client that asks nobody anything.
const NO_TIME: std::time::Duration = std::time::Duration::from_secs(1);

/// The sink without its last step.
#[derive(Clone)]
pub struct Rehearsal {
    points: std::sync::Arc<Points>,
    show: Recorder,
    to: Leaving,
}

impl Config {
    /// Shows each point as its line of line protocol, with the request that it would be in. How many
    /// lines share a request hangs on time, and is left out.
    ///
    /// # Errors
    /// `Fatal`, when the token cannot be sent as it is.
    pub fn rehearse(self, show: Recorder) -> Result<Rehearsal, Failure> {
        let to = match &self.target {
            Target::Server(server) => {
                let client = Client::new(server, NO_TIME)?;
                let request = client.leaving(self.points.precision, self.gzip);
                Leaving::new("point", String::new())
                    .with("to", request.head)
                    .with("headers", request.details.into_iter().collect::<Value>())
            }
            Target::File(path) => {
                Leaving::new("point", String::new()).with("to", path.to_string_lossy().as_ref())
            }
        };
        Ok(Rehearsal {
            points: self.points.into(),
            show,
            to,
        })
    }
}

impl Sink for Rehearsal {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let (lines, refused) = encode(&self.points, &batch);
        let mut events = batch.events().iter();
        let mut start = 0;
        for (end, origin) in lines.ends.iter().zip(&lines.origins) {
            let line = String::from_utf8_lossy(&lines.text[start..*end]);
            start = *end;
            let line = line.trim_end_matches('\n').to_owned();
            // Lines come in the order of their events, without those that are refused.
            if let Some(event) = events.find(|event| event.origin == *origin) {
                let fields = parts(&line);
                let head = Leaving {
                    head: line,
                    ..self.to.clone()
                };
                self.show.leave(head.of(event, fields));
            }
        }
        refused
    }
}

/// A line's measurement, tags, fields and time, by their names.
fn parts(line: &str) -> Vec<(String, Value)> {
    let mut parts = Vec::new();
    let mut sections = split(line, ' ').into_iter();
    let mut tags = split(sections.next().unwrap_or_default(), ',').into_iter();
    let measurement = tags.next().unwrap_or_default();
    parts.push(("measurement".to_owned(), plain(measurement).into()));
    for tag in tags {
        let (name, value) = tag_of(tag);
        parts.push((format!("tag.{name}"), plain(value).into()));
    }
    for field in split(sections.next().unwrap_or_default(), ',') {
        let (name, value) = tag_of(field);
        let text = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        let value = text.map_or_else(|| value.to_owned(), plain);
        parts.push((format!("field.{name}"), value.into()));
    }
    let time = sections.next().unwrap_or_default();
    parts.push(("time".to_owned(), time.into()));
    parts
}

fn tag_of(text: &str) -> (String, &str) {
    let mut halves = split(text, '=').into_iter();
    let name = halves.next().unwrap_or_default();
    (plain(name), text.get(name.len() + 1..).unwrap_or_default())
}

/// Cuts at a sign that is neither escaped nor in a string.
fn split(text: &str, at: char) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut escaped, mut quoted) = (false, false);
    for (place, sign) in text.char_indices() {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            sign if sign == at && !quoted => {
                parts.push(&text[start..place]);
                start = place + sign.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Without escapes.
fn plain(text: &str) -> String {
    let (mut out, mut escaped) = (String::with_capacity(text.len()), false);
    for sign in text.chars() {
        match sign {
            '\\' if !escaped => escaped = true,
            sign => {
                if escaped && !matches!(sign, ',' | ' ' | '=' | '"' | '\\') {
                    out.push('\\');
                }
                out.push(sign);
                escaped = false;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line = r#"participant\ x,queue=a\,b\=c,site=é text="say \"hi\", a=b",n=3i,ok=true 17"#;
        let parts = parts(line);
        let shown: Vec<String> = parts
            .iter()
            .map(|(n, v)| format!("{n}={}", v.as_str().unwrap()))
            .collect();
        let expected = [
            "measurement=participant x",
            "tag.queue=a,b=c",
            "tag.site=é",
            "field.text=say \"hi\", a=b",
            "field.n=3i",
            "field.ok=true",
            "time=17",
        ];
        assert_eq!(shown, expected);
    }
}
