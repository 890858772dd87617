//! A plugin that keeps everything: what is left is what a plugin costs. For `benches/plugin.rs`.

wit_bindgen::generate!({ path: "../../wit", world: "plugin" });

use exports::trunkline::plugin::transform::{Batch, Guest, Mistake, Outcome};

struct Plugin;

impl Guest for Plugin {
    fn configure(_: String) -> Result<(), Vec<Mistake>> {
        Ok(())
    }

    fn apply(batch: Batch) -> Result<Vec<Outcome>, String> {
        Ok(batch.events.iter().map(|_| Outcome::Keep).collect())
    }
}

export!(Plugin);
