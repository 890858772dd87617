//! `plugin`: a transform that others have written, as a WASM component.
//!
//! ```yaml
//! tiers:
//!   type: plugin
//!   inputs: [x]
//!   path: plugins/loyalty_tier.wasm
//!   config: { key: .customerId, table: { c-1: gold }, default: none }
//!   memory: 64MiB
//!   time: 1s
//! ```
//!
//! `plugins/README.md` says how one is written. What it drops is counted as `plugin:<reason>`. What it
//! rejects goes to the dead letters (`plugin_rejected`), as does an event with which it fails:
//! `plugin_trap`, `plugin_timeout`, `plugin_memory`, `plugin_answer` or `plugin_error`. Events keep
//! their order. The file is looked at while the pipeline runs, and a changed one takes over.

mod about;
#[cfg(feature = "plugins")]
mod config;

pub use about::ABOUT;
#[cfg(feature = "plugins")]
pub use config::Config;

#[cfg(not(feature = "plugins"))]
use crate::layer::TransformContext;
#[cfg(not(feature = "plugins"))]
use crate::stage::Stage;

/// Nothing: this program was built without plugins.
#[cfg(not(feature = "plugins"))]
pub enum Config {}

#[cfg(not(feature = "plugins"))]
impl Config {
    /// Says so.
    pub fn check(
        fields: &mut crate::setting::Fields<'_>,
        _: &std::path::Path,
        _: &crate::plugin::Engine,
    ) -> Option<Self> {
        // Its fields are right in another program.
        fields.entries();
        let message = "this program was built without plugins";
        let entry = fields.error("not-built-in", fields.span_of("type"), message);
        entry.hint("build it with the feature `plugins`, which is on by default");
        None
    }

    /// See [`super::Config::took`].
    pub fn took(&self) -> String {
        match *self {}
    }

    /// See [`crate::layer::TransformPart::stay_home`].
    pub fn stay_home(&mut self) -> Option<&'static str> {
        match *self {}
    }

    /// See [`crate::layer::TransformPart::build`].
    pub fn build(&self, _: TransformContext) -> Stage {
        match *self {}
    }
}
