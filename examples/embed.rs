//! The engine as a library: a pipeline from a text, with a transform of one's own, run to its end.
//!
//! ```sh
//! cargo run --example embed
//! ```
//!
//! It prints the closing ledger: what became of every record.

use std::error::Error;

use trunkline::config::{Fixed, parse};
use trunkline::diagnostic::render;
use trunkline::event::{Batch, Path, json_str};
use trunkline::failure::Failure;
use trunkline::graph::Components;
use trunkline::graph::check::check_with;
use trunkline::graph::run::{open_store, run};
use trunkline::observe::{Ledger, Observer};
use trunkline::setting::Fields;
use trunkline::stage::{Applied, Transform};

const PIPELINE: &str = "
version: 1
name: embedded
state: { type: memory }
dead_letter: { type: blackhole }
sources:
  records: { type: file, path: examples/quickstart, include: ['*.json'], framing: auto, read: once }
transforms:
  once: { type: dedup, inputs: [records], key: .event_id, window: 1h }
  here: { type: site, inputs: [once], name: Berlin }
sinks:
  out: { type: blackhole, inputs: [here] }
";

/// `type: site`: says in every record where it was taken.
#[derive(Clone)]
struct Site {
    field: Path,
    name: String,
}

impl Site {
    fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let field = Path::of(["site"]);
        let name: String = fields.required("name")?;
        Some(Self { field, name })
    }
}

impl Transform for Site {
    async fn apply(&self, mut batch: Batch) -> Result<Applied, Failure> {
        for event in batch.make_mut() {
            event.set(&self.field, json_str(&self.name));
        }
        Ok(batch.into())
    }
}

/// Runs a pipeline file until its inputs end.
async fn run_text(text: &str) -> Result<Ledger, Box<dyn Error>> {
    let loaded = parse("embedded.yaml", text, &Fixed::new());
    let checked = check_with(
        &loaded,
        &Components::default().transform("site", Site::check),
    );
    let Some(pipeline) = checked.pipeline else {
        // Every mistake, with its line, a caret and a hint.
        return Err(render::text(&checked.report, &loaded.sources(), false).into());
    };
    let observer = Observer::new(&pipeline.name);
    let store = open_store(&pipeline).await?;
    let stop = std::future::pending();
    run(pipeline, &observer, store, stop).await?;
    let ledger = observer.ledger();
    ledger.adds_up()?;
    Ok(ledger)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    print!("{}", run_text(PIPELINE).await?.render(80, false));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_records_have_a_fate() {
        let ledger = run_text(PIPELINE).await.unwrap();
        assert!(ledger.whole.delivered > 0);
        let site = ledger.node("here").unwrap();
        assert_eq!(site.counts.delivered, ledger.whole.delivered);
    }

    #[tokio::test]
    async fn a_mistake_is_told_with_its_place() {
        let text = PIPELINE.replace("name: Berlin", "nmae: Berlin");
        let told = run_text(&text).await.unwrap_err().to_string();
        assert!(told.contains("embedded.yaml:10:"), "{told}");
        assert!(told.contains("did you mean `name`?"), "{told}");
    }
}
