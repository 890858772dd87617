//! What several dialects read to log in.

use std::path::PathBuf;

use crate::failure::Failure;
use crate::setting::Secret;

/// Most bytes of a file with a key.
const MOST_KEY: u64 = 64 << 10;

/// Reads a file that holds a key.
///
/// # Errors
/// `Fatal` (`warehouse_key`): it cannot be read, or is far too long for one.
pub(super) async fn read_key(path: PathBuf) -> Result<Secret, Failure> {
    let shown = path.display().to_string();
    let read = tokio::task::spawn_blocking(move || {
        let length = std::fs::metadata(&path)?.len();
        if length > MOST_KEY {
            return Err(std::io::Error::other("it is too large for a key"));
        }
        std::fs::read_to_string(&path)
    });
    let read = read
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)));
    read.map(Secret::new).map_err(|error| {
        Failure::fatal(
            "warehouse_key",
            format!("cannot read the key {shown}: {error}"),
        )
    })
}
