//! What leaves a pipeline beside its sinks (dead letters, taps, dry runs) is masked by all of its rules.

use std::sync::Arc;

use super::Policy;
use crate::event::{Event, Path};

/// Every rule of every masking step of a pipeline, and detection of all classes. A clone costs one
/// reference count. The events must be of the pipeline whose paths the policies hold.
#[derive(Clone, Debug)]
pub struct Redactor(Arc<[Policy]>);

impl Redactor {
    /// From the pipeline's policies; none is fine. What one of them keeps from detection is kept.
    pub fn new(policies: impl IntoIterator<Item = Policy>) -> Self {
        let mut policies: Vec<_> = policies.into_iter().collect();
        let keep: Vec<Path> = policies.iter().flat_map(Policy::kept).cloned().collect();
        policies.push(Policy::detect_all(keep));
        Self(policies.into())
    }

    /// Masks the event's body and what its transport gave.
    pub fn redact(&self, event: &mut Event) {
        for policy in self.0.iter() {
            policy.apply(std::slice::from_mut(event));
        }
        if event.extra().is_some_and(|extra| !extra.headers.is_empty()) {
            for (_, value) in &mut event.extra_mut().headers {
                *value = self.redact_text(value);
            }
        }
    }

    /// Masks everything that is detected in a text.
    pub fn redact_text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for policy in self.0.iter() {
            if let Some(scrubbed) = policy.detection().scrub(&text) {
                text = scrubbed;
            }
        }
        text
    }
}
