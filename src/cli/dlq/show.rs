//! `trunkline dlq show`.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Form, Location, tame};
use crate::cli::show::{complain, print};
use crate::failure::Failure;
use crate::graph::Components;
use crate::layer::Original;
use crate::letters::{Filter, Kept, Reveal};
use crate::seal::Keyring;

pub(super) fn show(
    mut place: Location,
    mut id: Option<String>,
    reveal: bool,
    format: Form,
    own: &Components,
) -> Result<bool, Failure> {
    if place.file.is_some() && id.is_none() {
        // With a file there need be no pipeline: the one word is the id.
        let word = place.pipeline.take().map(PathBuf::into_os_string);
        id = word.and_then(|word| word.into_string().ok());
    }
    let Some(id) = id else {
        let message = "which one? `trunkline dlq list` shows the ids";
        return Err(Failure::fatal("no_id", message));
    };
    let desk = place.open(own)?;
    let letter = find(&desk, id)?;
    let original = match reveal {
        true => Some(original(&letter, desk.keys().as_ref())?),
        false => None,
    };
    print(&match format {
        Form::Text => page(&letter, original.as_ref()),
        Form::Json => json(&letter, original.as_ref()),
    });
    Ok(true)
}

/// The one letter whose id begins so.
fn find(desk: &super::Desk, id: String) -> Result<Box<Kept>, Failure> {
    let filter = Filter {
        ids: vec![id.clone()],
        ..Filter::default()
    };
    let mut found: Option<Box<Kept>> = None;
    let mut several = false;
    desk.visit(&filter, |letter| {
        several = found.as_ref().is_some_and(|other| other.id != letter.id);
        found = Some(letter);
        !several
    })?;
    match (found, several) {
        (Some(letter), false) => Ok(letter),
        (Some(_), true) => {
            let message = format!("the ids of several letters begin with `{}`", tame(&id));
            Err(Failure::fatal("no_such_letter", message))
        }
        (None, _) => {
            let message = format!("there is no letter whose id begins with `{}`", tame(&id));
            Err(Failure::fatal("no_such_letter", message))
        }
    }
}

fn original(letter: &Kept, keys: Option<&Keyring>) -> Result<Original, Failure> {
    let refuse = |message: String| Err(Failure::fatal("not_revealed", message));
    match letter.reveal(keys) {
        Reveal::Original(original) => {
            complain("warning: what follows is personal data, as it was before the mask\n");
            Ok(original)
        }
        Reveal::Shut(Some(why)) => refuse(format!("the original cannot be had: {why}")),
        Reveal::Shut(None) => refuse(
            "the original is encrypted: name the pipeline whose `encryption` has the key".into(),
        ),
        Reveal::Masked(_) | Reveal::Nothing => refuse(
            "there is no original: the pipeline had no `encryption` when it was refused".into(),
        ),
    }
}

fn page(letter: &Kept, original: Option<&Original>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<14}{}", tame(value));
        }
    };
    line("id", &letter.id);
    line("node", &letter.node);
    line("reason", &letter.reason);
    line("detail", &letter.detail);
    for violation in &letter.violations {
        let found = format!(
            "{}: expected {}, found {}",
            violation.path, violation.expected, violation.found
        );
        line("violation", &found);
    }
    line("tries", &letter.attempts.to_string());
    line("failed first", &letter.first_time);
    line("refused last", &letter.time);
    line("replaces", letter.replaces.as_deref().unwrap_or_default());
    line("source", &letter.source);
    line("from", &letter.origin());
    line("offset", &letter.position.offset.to_string());
    line(
        "lies in",
        &format!("{}:{}", letter.place.shelf, letter.place.line),
    );
    let sealed = match letter.sealed {
        Some(_) => "encrypted; `--reveal` opens it with the pipeline's key",
        None => "not kept: only the masked event is there",
    };
    line("original", sealed);
    line(
        "event (masked)",
        letter.event.as_deref().unwrap_or_default(),
    );
    if let Some(sample) = &letter.text {
        line("text (masked)", sample);
        line("length", &format!("{} bytes", letter.length));
    }
    if let Some(original) = original {
        let _ = writeln!(
            text,
            "event (unmasked, personal data):\n{}",
            tame(&original.body)
        );
    }
    text
}

/// The letter as it lies there, and beside it what was sealed.
fn json(letter: &Kept, original: Option<&Original>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let place = format!(
        "\"file\":{},\"file_line\":{}",
        quoted(&letter.place.shelf),
        letter.place.line
    );
    let original = original.map_or(String::new(), |original| {
        format!(",\"original\":{}", quoted(&original.body))
    });
    format!("{{{place},\"letter\":{}{original}}}\n", letter.line)
}
