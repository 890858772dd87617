//! The source `s3_export`: the objects of a bucket or folder, as they turn up.

mod config;
mod key_time;
mod selection;

#[cfg(test)]
mod tests;

pub use config::{Config, ReadMode, Sqs};
pub use key_time::{Form, KeyTime};
