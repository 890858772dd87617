//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[("", "Records on standard input, to its end.")];
