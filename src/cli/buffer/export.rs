//! `trunkline buffer export`.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, ErrorKind, Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Place;
use crate::cli::show::complain;
use crate::event::write_json_str;
use crate::failure::Failure;
use crate::graph::Components;
use crate::journal::{self, ExportedEvent};

pub(super) fn export(
    place: &Place,
    all: bool,
    output: Option<&Path>,
    own: &Components,
) -> Result<bool, Failure> {
    let (folder, keys) = place.open(own)?;
    let mut out: Box<dyn Write> = match output {
        None => Box::new(BufWriter::new(stdout().lock())),
        Some(path) => Box::new(BufWriter::new(create(path)?)),
    };
    complain("warning: these events are as they came; what no mask has seen is personal data\n");
    let mut gone = false;
    let mut line = Vec::new();
    let mut visit = |event: ExportedEvent<'_>| {
        line.clear();
        write_line(&event, &mut line);
        let written = out.write_all(&line);
        // A reader that has seen enough is no mistake.
        gone = matches!(&written, Err(error) if error.kind() == ErrorKind::BrokenPipe);
        written
    };
    let exported = journal::export(folder, keys.as_ref(), !all, &mut visit);
    let exported = match exported {
        Err(_) if gone => return Ok(true),
        exported => exported?,
    };
    match out.flush() {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        flushed => flushed.map_err(|error| failed(&error))?,
    }
    let events = exported.events;
    complain(&format!("{events} events\n"));
    if exported.lost > 0 {
        let lost = exported.lost;
        complain(&format!(
            "{lost} events are missing: `trunkline buffer inspect` says where\n"
        ));
    }
    Ok(exported.lost == 0)
}

/// For its owner alone: the events are not masked.
fn create(path: &Path) -> Result<std::fs::File, Failure> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(|error| {
        let path = path.display();
        Failure::fatal("export_io", format!("cannot make {path}: {error}"))
    })
}

fn failed(error: &io::Error) -> Failure {
    Failure::fatal("export_io", format!("cannot write the events: {error}"))
}

fn write_line(event: &ExportedEvent<'_>, line: &mut Vec<u8>) {
    line.extend_from_slice(format!("{{\"sequence\":{},\"source\":", event.sequence).as_bytes());
    write_json_str(event.source, line);
    line.extend_from_slice(b",\"object\":");
    write_json_str(event.object, line);
    let (at, offset) = (event.line, event.offset);
    line.extend_from_slice(format!(",\"line\":{at},\"offset\":{offset},\"event\":").as_bytes());
    let start = line.len();
    line.extend_from_slice(event.json.as_bytes());
    // Within a text JSON has no line breaks, so each is only white space.
    for byte in &mut line[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_with_where_it_came_from() {
        let event = ExportedEvent {
            sequence: 7,
            source: "in",
            object: "a\"b",
            line: 3,
            offset: 40,
            json: "{\n\"a\":\r\n1.10}",
        };
        let mut line = Vec::new();
        write_line(&event, &mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"sequence\":7,\"source\":\"in\",\"object\":\"a\\\"b\",\"line\":3,\"offset\":40,\"event\":{ \"a\":  1.10}}\n"
        );
    }
}
