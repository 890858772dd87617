//! Analytics.
#[derive(Default)]
pub(super) struct Jobs;
