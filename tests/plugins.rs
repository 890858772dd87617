//! Plugins by the real engine: what they may do, what they may not, and that nobody else notices.

#[path = "plugins/guests.rs"]
mod guests;
#[path = "plugins/refusals.rs"]
mod refusals;
#[path = "plugins/reloads.rs"]
mod reloads;
#[path = "plugins/shipped.rs"]
mod shipped;
#[path = "plugins/unruly.rs"]
mod unruly;
#[path = "kit/world.rs"]
#[allow(dead_code)] // Each of the tests that share it uses a part.
mod world;

use guests::guest;
use serde_json::Value;
use trunkline::observe::Ledger;

/// A pipeline of one plugin; `more` are fields of it.
fn pipeline(guest_name: &str, more: &str, letters: &std::path::Path) -> String {
    let path = guest(guest_name).display().to_string();
    let letters = letters.display();
    format!(
        "
version: 1
name: p
sources: {{ in: {{ type: stdin, framing: lines }} }}
transforms:
  plugin: {{ type: plugin, inputs: [in], path: {path}, {more} }}
sinks: {{ out: {{ type: blackhole, inputs: [plugin] }} }}
dead_letter: {{ type: file, path: {letters} }}
"
    )
}

/// What lies in the file of dead letters: reason, detail, and the `n` of the event.
fn letters(path: &std::path::Path) -> Vec<(String, String, Option<u64>)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let letter = |line: &str| {
        let letter: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| letter[name].as_str().unwrap().to_owned();
        (
            text("reason"),
            text("detail"),
            letter["event"]["n"].as_u64(),
        )
    };
    text.lines().map(letter).collect()
}

/// A figure of the plugin's node; 0 before there is one.
fn figure(ledger: &Ledger, name: &str) -> u64 {
    let node = ledger.node("plugin");
    node.and_then(|node| node.figures.get(name).copied())
        .unwrap_or(0)
}

/// How many events were buried.
fn buried(ledger: &Ledger) -> u64 {
    let node = ledger.node("plugin");
    node.map_or(0, |node| node.counts.dead_lettered_total())
}
