//! Makes the input of the first pipeline: `cargo run --example generate_quickstart`.
//!
//! Everything in it is made up: telephone numbers are of the ranges that are kept for fiction, card
//! numbers are test numbers, addresses end in `example.com`. The same bytes come out each time, and
//! the table of what is in them, and of what the pipeline makes of them, is counted while they are
//! made. `tests/quickstart.rs` holds the shipped files, and a run, against it.

#[path = "generate_quickstart/conversations.rs"]
mod conversations;
#[path = "generate_quickstart/made.rs"]
mod made;
#[path = "generate_quickstart/oddities.rs"]
mod oddities;
#[path = "generate_quickstart/page.rs"]
pub mod page;
#[path = "generate_quickstart/random.rs"]
pub mod random;

use std::path::Path;

pub use made::make;

/// Where the files are shipped, seen from the root of the project.
pub const FOLDER: &str = "examples/quickstart";

#[allow(dead_code)] // The test that includes this file has its own.
fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    for file in make().files {
        std::fs::write(folder.join(&file.name), &file.bytes)?;
        println!("{FOLDER}/{}: {} bytes", file.name, file.bytes.len());
    }
    Ok(())
}
