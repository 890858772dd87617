//! Sources, transforms and sinks, one by one: what each says, and what others have to know of it.

use super::heads::read_node;
use super::whole::{Limit, limit_of};
use super::{Checking, Draft};
use crate::diagnostic::{Report, Span};
use crate::edge::EdgePolicy;
use crate::graph::common;
use crate::graph::enabled::Enabled;
use crate::graph::off::{Off, forgiving};
use crate::graph::outline::{Kind, Shape};
use crate::graph::print::{Print, print};
use crate::graph::rehearsal::input::Ended;
use crate::graph::{DeadLetterNode, Input, PumpPolicy, SinkNode, SourceNode, TransformNode};
use crate::layer::{SinkPart, SourcePart, StackPolicy, TransformPart};
use crate::setting::{self, Fields, Key, Node, Setting, wrong_type};
use crate::{sink, source, transform};

impl Checking {
    pub(super) fn source(&mut self, key: &Key, node: &Node, report: &mut Report) {
        let mut shape = Shape::new(key, Kind::Source);
        let mut off = false;
        let what = format!("source `{}`", key.name);
        let kinds = ("source", &*self.components.sources());
        let read = |kind: &'static str, fields: &mut Fields<'_>| {
            shape.component = kind.into();
            let part: Option<Box<dyn SourcePart>> = match self.components.own_source(kind) {
                Some(check) => check(fields),
                None => source::Config::check(kind, fields).map(|part| Box::new(part) as _),
            };
            off = Enabled::read(fields, false).is_never();
            let reconnect = common::reconnect(fields);
            let dead_letter = self.dead_letter(&what, fields);
            if !off && part.as_ref().is_some_and(|part| part.wants_durable()) {
                self.durable.insert(key.name.clone());
            }
            if !off && part.as_ref().is_some_and(|part| part.wants_simulator()) {
                self.simulated.push((key.name.clone(), key.span));
            }
            if !fields.has("dead_letter") {
                self.bare.get_or_insert(key.span);
            }
            let part: Box<dyn SourcePart> = match part {
                Some(part) => part,
                // What its settings leave unset is not held against it, and a test can feed it.
                None if off => Box::new(Ended),
                None => return None,
            };
            Some(SourceNode {
                name: key.name.as_str().into(),
                component: kind,
                part,
                reconnect,
                dead_letter,
                print: print(node, &["dead_letter"]),
            })
        };
        let read = forgiving(node, report, |report| {
            read_node(&what, node, kinds, report, read)
        });
        self.sources.push(Draft {
            shape,
            node: read,
            off,
        });
    }

    pub(super) fn transform(&mut self, key: &Key, node: &Node, report: &mut Report) {
        let mut shape = Shape::new(key, Kind::Transform);
        shape.inputs = self.inputs(node, report);
        let inputs = shape.sources();
        let what = format!("transform `{}`", key.name);
        let kinds = ("transform", &*self.components.transforms());
        let read = |kind: &'static str, fields: &mut Fields<'_>| {
            fields.takes("inputs", inputs_shape);
            fields.required_node("inputs");
            let buffer = self.buffer(&key.name, fields, EdgePolicy::default());
            let buffer = buffer
                .or_else(|| self.by_itself(&key.name, &inputs, fields, EdgePolicy::default()));
            let dead_letter = self.dead_letter(&what, fields);
            let enabled = self.enabled(&key.name, fields);
            let part: Option<Box<dyn TransformPart>> = match self.components.own_transform(kind) {
                Some(check) => check(fields).inspect(|_| shape.component = kind.into()),
                None => {
                    let part = transform::Config::check(
                        kind,
                        fields,
                        &self.base,
                        self.components.plugins(),
                    );
                    // Its outputs are known only when it is right; until then it counts as having all.
                    if let Some(part) = &part {
                        shape.component = kind.into();
                        (shape.main, shape.outputs) = part.outputs();
                        check_enabled(&enabled, part, shape.main, fields);
                        self.note(&what, part, fields);
                    }
                    part.map(|part| Box::new(part) as _)
                }
            };
            let part: Box<dyn TransformPart> = match part {
                _ if enabled.is_never() => Box::new(Off),
                part => part?,
            };
            Some(TransformNode {
                name: key.name.as_str().into(),
                component: kind,
                inputs,
                enabled,
                buffer,
                part,
                dead_letter,
                print: self.print_of(node),
            })
        };
        let read = forgiving(node, report, |report| {
            read_node(&what, node, kinds, report, read)
        });
        self.transforms.push(Draft {
            shape,
            node: read,
            off: false,
        });
    }

    /// `enabled:` of a component that is given events.
    fn enabled(&mut self, name: &str, fields: &mut Fields<'_>) -> Enabled {
        let mut enabled = Enabled::read(fields, true);
        if enabled.meet(self.tenants.as_ref()) {
            let span = fields.span_of("enabled");
            self.flagged.push((name.to_owned(), span));
        }
        enabled
    }

    /// What others have to know of a transform.
    fn note(&mut self, what: &str, part: &transform::Config, fields: &mut Fields<'_>) {
        if let transform::Config::DeliveryReceipt(receipts) = part
            && !receipts.sink.is_empty()
        {
            let span = fields.span_of("sink");
            self.receipts.push((receipts.sink.clone(), span));
        }
        if let transform::Config::PiiMask(mask) = part {
            self.masks.push(mask.clone());
        }
        self.took
            .extend(part.took().map(|it| (what.to_owned(), it)));
        self.limits.extend(limit_of(what, part, fields));
    }

    pub(super) fn sink(&mut self, key: &Key, node: &Node, report: &mut Report) {
        let mut shape = Shape::new(key, Kind::Sink);
        shape.inputs = self.inputs(node, report);
        let inputs = shape.sources();
        let what = format!("sink `{}`", key.name);
        let kinds = ("sink", &*self.components.sinks());
        let read = |kind: &'static str, fields: &mut Fields<'_>| {
            fields.takes("inputs", inputs_shape);
            fields.required_node("inputs");
            shape.component = kind.into();
            let mut policy = self.stack(&what, fields);
            let default = EdgePolicy {
                in_flight: policy.concurrency,
                ..EdgePolicy::default()
            };
            let buffer = self.buffer(&key.name, fields, default.clone());
            let mut buffer = buffer
                .or_else(|| self.by_itself(&key.name, &inputs, fields, default.clone()))
                .unwrap_or(default);
            if let Some(partition) = &buffer.partition
                && !fields.has("concurrency")
            {
                // Each partition writes its own batches; one at a time would undo the partitions.
                policy.concurrency = partition.partitions;
            }
            let dead_letter = self.dead_letter(&what, fields);
            let enabled = self.enabled(&key.name, fields);
            shape.outputs = sink::outputs(kind).iter().map(|&it| it.into()).collect();
            let part: Option<Box<dyn SinkPart>> = match self.components.own_sink(kind) {
                Some(check) => check(fields),
                None => sink::Config::check(kind, fields).map(|mut part| {
                    if !enabled.is_never() {
                        self.introduce(&mut part, key);
                    }
                    Box::new(part) as _
                }),
            };
            let part: Box<dyn SinkPart> = match part {
                _ if enabled.is_never() => Box::new(Off),
                part => part?,
            };
            if part.wants_simulator() {
                self.simulated.push((key.name.clone(), key.span));
            }
            if !fields.has("retry") {
                policy.retry.attempts = part.attempts();
            }
            if !fields.has("per_key") {
                policy.per_key = part.apart();
            }
            if buffer.partition.is_none() && !fields.has("concurrency") {
                policy.concurrency = part.calls();
                if !self.says_in_flight.contains(&key.name) {
                    buffer.in_flight = policy.concurrency;
                }
            }
            let ordered = policy.per_key.as_ref();
            if ordered.is_some_and(|keyed| !keyed.order_by.is_empty()) {
                // Who waits is answered by itself, and holds up nobody: the edge only hands on.
                buffer.batch_events = 1;
                if !self.says_in_flight.contains(&key.name) {
                    buffer.in_flight = common::nonzero(PumpPolicy::default().max_events);
                }
            }
            Some(SinkNode {
                name: key.name.as_str().into(),
                component: kind,
                inputs,
                enabled,
                buffer,
                policy,
                part,
                dead_letter,
                print: self.print_of(node),
            })
        };
        let read = forgiving(node, report, |report| {
            read_node(&what, node, kinds, report, read)
        });
        self.sinks.push(Draft {
            shape,
            node: read,
            off: false,
        });
    }

    /// Hands a sink the tenants that it sends for.
    fn introduce(&mut self, part: &mut sink::Config, key: &Key) {
        if !part.wants_tenants() {
            return;
        }
        self.sending.push((key.name.clone(), key.span));
        if part.takes_orders() {
            self.orders.push((key.name.clone(), key.span));
        }
        if let Some(tenants) = &self.tenants {
            part.meet(tenants);
        }
    }

    /// `dead_letter:` of a node or of the pipeline.
    pub(super) fn dead_letter(
        &mut self,
        owner: &str,
        fields: &mut Fields<'_>,
    ) -> Option<DeadLetterNode> {
        fields.takes("dead_letter", || setting::Shape::Named("dead_letter"));
        let node = fields.node("dead_letter")?;
        let what = format!("`dead_letter` of {owner}");
        let kinds = ("sink", &*self.components.sinks());
        let read = |kind: &'static str, f: &mut Fields<'_>| {
            let policy = self.stack(&what, f);
            let enabled = Enabled::read(f, false);
            let part: Box<dyn SinkPart> = match self.components.own_sink(kind) {
                Some(check) => check(f)?,
                None => Box::new(sink::Config::check(kind, f)?),
            };
            let read = DeadLetterNode {
                component: kind,
                part,
                policy,
                print: print(node, &[]),
            };
            // Those of a node that are switched off go where they would go without them.
            Some((!enabled.is_never()).then_some(read))
        };
        let read = forgiving(node, fields.report(), |report| {
            read_node(&what, node, kinds, report, read)
        });
        read.flatten()
    }

    /// What a transform or sink says, and what is in a file that it names.
    fn print_of(&mut self, node: &Node) -> Print {
        let said = print(node, &["inputs", "dead_letter"]);
        let text = |name: &str| node.get(name).and_then(Node::as_text);
        let file = match text("type") {
            Some("remap") => text("file"),
            // A plugin looks at its file by itself, unless it was told not to.
            Some("plugin") => text("path").filter(|_| text("reload") == Some("off")),
            _ => text("schema"),
        };
        let Some(file) = file.map(|file| self.base.join(file)) else {
            return said;
        };
        // One that cannot be read was reported by whoever needs it.
        let content = std::fs::read(&file).ok();
        self.files.push(file);
        said.and(content)
    }

    /// The settings around a sink; its time limit has to fit the pipeline's.
    fn stack(&mut self, what: &str, fields: &mut Fields<'_>) -> StackPolicy {
        let policy = common::stack(fields);
        self.limits.push(Limit {
            node: what.into(),
            held: None,
            wait: Some(("timeout", policy.timeout, fields.span_of("timeout"))),
        });
        policy
    }

    /// `inputs:` of a node, each with its place. Read by hand, and first: also of a node whose type
    /// is wrong it is known what it reads.
    fn inputs(&mut self, node: &Node, report: &mut Report) -> Vec<(Input, Span)> {
        let Some(node) = node.get("inputs") else {
            self.doubts.unread = true;
            return Vec::new();
        };
        let items = node.as_list().unwrap_or(std::slice::from_ref(node));
        if items.is_empty() {
            report
                .error("empty-value", node.span, "`inputs` names nothing to read")
                .hint("name a source or a transform: `inputs: [name]`");
            self.doubts.unread = true;
        }
        let mut inputs = Vec::with_capacity(items.len());
        for item in items {
            let Some(text) = item.as_text() else {
                self.doubts.unread = true;
                wrong_type(item, "the name of a source or transform", report)
                    .hint("write `inputs: [name]`, or several: `inputs: [one, other]`");
                continue;
            };
            if item.from_variable {
                self.doubts.hidden.insert(item.span);
            }
            let (node, output) = text.split_once('.').unwrap_or((text, ""));
            let (node, output) = (node.into(), output.into());
            inputs.push((Input { node, output }, item.span));
        }
        inputs
    }
}

/// One name, or a list of them.
fn inputs_shape() -> setting::Shape {
    String::shape().or(String::shape().list())
}

/// Switching a transform off has to leave events somewhere to go, and should not unmask them unnoticed.
fn check_enabled(
    enabled: &Enabled,
    part: &transform::Config,
    has_main: bool,
    fields: &mut Fields<'_>,
) {
    if matches!(enabled, Enabled::Always) {
        return;
    }
    let span = fields.span_of("enabled");
    if !has_main {
        let message = "what has named outputs only cannot be switched off";
        fields
            .error("conflicting-fields", span, message)
            .hint("its events would have nowhere to go: take `enabled` out");
    } else if matches!(part, transform::Config::PiiMask(_)) {
        let message = "with its mask switched off, personal data goes on as it came";
        fields.report().warning("mask-disabled", span, message);
    }
}

impl Shape {
    fn new(key: &Key, kind: Kind) -> Self {
        Self {
            name: key.name.clone(),
            kind,
            component: String::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            main: kind != Kind::Sink,
            span: key.span,
        }
    }

    fn sources(&self) -> Vec<Input> {
        self.inputs.iter().map(|(input, _)| input.clone()).collect()
    }
}
