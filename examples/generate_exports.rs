//! Makes a small bucket of exports: `cargo run --example generate_exports`.
//!
//! It looks like the buckets that contact centers have: events that EventBridge and Firehose put
//! there (values one behind the other, without line breaks), records of another system (JSON lines
//! and arrays), conversations as the analytics interface tells them, and recordings with a file of
//! metadata beside each. All of it is made up: telephone numbers are of the ranges that are kept for
//! fiction, addresses end in `example.com`. The same bytes come out each time, and the rows that a
//! warehouse has to have in the end are noted while the files are made, from what is meant and not
//! from what is written. `tests/export_to_warehouse.rs` holds the shipped files, and runs, against it.

#[path = "generate_exports/bucket.rs"]
mod bucket;
#[path = "generate_exports/conversation.rs"]
mod conversation;
#[path = "generate_exports/pack.rs"]
mod pack;
#[path = "generate_quickstart/random.rs"]
pub mod random;
#[path = "generate_exports/truth.rs"]
mod truth;
#[path = "generate_exports/write.rs"]
mod write;

use std::path::Path;

pub use bucket::make;
#[allow(unused_imports)] // Of use to the test that includes this file.
pub use pack::time;
#[allow(unused_imports)] // Of use to the test that includes this file.
pub use truth::{Fact, Made, Object, Recording};

/// Where the objects are shipped, seen from the root of the project.
pub const FOLDER: &str = "examples/exports";

#[allow(dead_code)] // The test that includes this file has its own.
fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    for object in make().objects {
        let path = folder.join(&object.key);
        std::fs::create_dir_all(path.parent().unwrap_or(&folder))?;
        std::fs::write(path, &object.bytes)?;
        println!("{FOLDER}/{}: {} bytes", object.key, object.bytes.len());
    }
    Ok(())
}
