//! What the unit tests share.

use std::path::PathBuf;

use super::Config;
use crate::client::bucket::{Location, Store};
use crate::codec::{Compression, Framing, Limits};
use crate::source::Format;

/// Everything at its default, in a folder.
pub(super) fn config(prefix: &str) -> Config {
    let location = Location {
        store: Store::Folder(PathBuf::from("nowhere")),
        prefix: prefix.to_owned(),
    };
    let format = Format {
        framing: Framing::Auto,
        compression: Compression::Auto,
        limits: Limits::default(),
    };
    Config::new(location, format)
}
