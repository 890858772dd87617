//! What no node can see by itself: settings that contradict each other across the pipeline.

use std::time::Duration;

use super::{Checking, Settings};
use crate::diagnostic::{Report, Span};
use crate::graph::encryption::is_unmasked;
use crate::graph::outline::Outline;
use crate::graph::sections::mixed;
use crate::setting::Fields;
use crate::transform;

/// A bound of a node that must fit the pipeline's own.
pub(super) struct Limit {
    pub node: String,
    pub held: Option<(usize, Span)>,
    pub wait: Option<(&'static str, Duration, Span)>,
}

/// The bounds of a transform that holds events.
pub(super) fn limit_of(
    what: &str,
    part: &transform::Config,
    fields: &mut Fields<'_>,
) -> Option<Limit> {
    let transform::Config::CausalReorder(config) = part else {
        return None;
    };
    let held = Some((config.max_held, fields.span_of("max_held")));
    let wait = Some(("max_wait", config.max_wait, fields.span_of("max_wait")));
    Some(Limit {
        node: what.into(),
        held,
        wait,
    })
}

impl Checking {
    pub(super) fn check_whole(
        &mut self,
        settings: &Settings,
        outline: &Outline,
        report: &mut Report,
    ) {
        self.check_limits(settings, report);
        // Who reads whom is known only where nothing is wrong.
        if !report.has_errors() {
            self.check_sections(outline, report);
            if settings.encryption.is_none() {
                self.check_rest(outline, report);
            }
        }
    }

    /// A transform without an edge belongs to one section of lanes.
    fn check_sections(&mut self, outline: &Outline, report: &mut Report) {
        let mut nodes: Vec<_> = self
            .transforms
            .iter_mut()
            .filter_map(|draft| draft.node.take())
            .collect();
        let order = outline.order();
        nodes.sort_by_key(|node| order.iter().position(|name| **name == *node.name));
        for (name, one, other) in mixed(&nodes) {
            let span = span_of(outline, &name);
            let begins = [one, other].into_iter().filter_map(|it| it.begins);
            let begins: Vec<String> = begins.map(|it| format!("`{it}`")).collect();
            let message = format!(
                "`{name}` reads events that are partitioned by the buffer of {} together with others",
                begins.join(" and by that of ")
            );
            report.error("mixed-partitions", span, message).hint(
                "give it a `buffer` of its own, with `partition_by` where order by key matters",
            );
        }
        for node in nodes {
            let shape = |draft: &&mut super::Draft<_>| *draft.shape.name == *node.name;
            if let Some(draft) = self.transforms.iter_mut().find(shape) {
                draft.node = Some(node);
            }
        }
    }

    /// Buffers on disk that hold what came before the mask.
    fn check_rest(&self, outline: &Outline, report: &mut Report) {
        let transforms = self.transforms.iter().filter_map(|it| it.node.as_ref());
        let transforms = transforms.filter_map(|node| Some((&node.name, node.buffer.as_ref()?)));
        let sinks = self.sinks.iter().filter_map(|it| it.node.as_ref());
        let sinks = sinks.map(|node| (&node.name, &node.buffer));
        for (name, edge) in transforms.chain(sinks) {
            // What goes into the mask itself is not masked yet either.
            if edge.disk.is_some() && is_unmasked(outline, name) {
                let message = format!(
                    "the buffer of `{name}` keeps events on disk that no `pii_mask` has seen, in plain text"
                );
                report
                    .warning("unmasked-at-rest", span_of(outline, name), message)
                    .hint("add `encryption: { key: \"${BUFFER_KEY}\" }` to the pipeline");
            }
        }
    }

    /// Bounds that contradict each other (what is held must fit what may be under way).
    fn check_limits(&self, settings: &Settings, report: &mut Report) {
        let delivery = &settings.delivery;
        for limit in &self.limits {
            if let Some((held, span)) = limit.held
                && held > delivery.max_events
            {
                let most = delivery.max_events;
                let message = format!(
                    "{} may hold {held} events, but only {most} may be under way",
                    limit.node
                );
                report
                    .error("conflicting-limits", span, message)
                    .hint(format!(
                        "lower `max_held` to at most {most}, or raise `delivery.max_events`"
                    ));
            }
            if let Some((name, wait, span)) = limit.wait
                && wait >= delivery.deadline
            {
                let message = format!(
                    "the `{name}` of {} ({wait:?}) is not shorter than the deadline of a delivery ({:?})",
                    limit.node, delivery.deadline
                );
                let hint = format!("lower `{name}`, or raise `delivery.deadline`");
                report.error("conflicting-limits", span, message).hint(hint);
            }
        }
        if let Some(span) = self.bare.filter(|_| !settings.letters) {
            report
                .warning(
                    "no-dead-letter",
                    span,
                    "records that are refused have nowhere to go: the first one stops the run",
                )
                .hint(
                    "add `dead_letter: { type: file, path: dead-letters.ndjson }` to the pipeline",
                );
        }
    }
}

fn span_of(outline: &Outline, name: &str) -> Span {
    let shape = outline.nodes.iter().find(|shape| shape.name == name);
    shape.map(|shape| shape.span).unwrap_or_default()
}
