//! Any text as a pipeline file: it is refused with a reason or it is a pipeline, and no message
//! shows what a variable holds.

use trunkline::config::{self, Fixed};
use trunkline::diagnostic::render;
use trunkline::graph::{check::check, draw};

const SECRET: &str = "qQ7hunter2Qq";

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // What the file itself says may be shown.
    if text.contains(SECRET) {
        return;
    }
    let variables = Fixed::new()
        .with("A", SECRET)
        .with("N", "17")
        .with("E", "")
        .with_file("nowhere/key", SECRET);
    let loaded = config::parse("nowhere/fuzz.yaml", text, &variables);
    let checked = check(&loaded);
    assert_eq!(checked.pipeline.is_some(), !checked.report.has_errors());
    assert!(loaded.tree.is_some() || loaded.report.has_errors());
    for shown in [
        render::text(&checked.report, &loaded.sources(), true),
        render::json(&checked.report),
        render::github(&checked.report),
    ] {
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(shown.len() < 1 << 20, "{} bytes of messages", shown.len());
    }
    if checked.pipeline.is_some() {
        for picture in [
            draw::text(&checked.outline),
            draw::mermaid(&checked.outline),
            draw::dot(&checked.outline),
        ] {
            assert!(!picture.is_empty());
        }
    }
}
