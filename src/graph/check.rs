//! From the tree of a file to a checked pipeline, with every mistake on the way.

mod edges;
mod heads;
mod whole;

use std::collections::{HashMap, HashSet};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::buffer;
use super::common;
use super::encryption;
use super::interface;
use super::outline::{Doubts, Kind, Outline, Shape};
use super::print::{Print, print};
use super::simulated::{self, Platform};
use super::{
    DeadLetterNode, Input, Pipeline, SinkNode, SourceNode, StateSetting, TransformNode, storage,
};
use crate::config::Loaded;
use crate::diagnostic::{Report, Span};
use crate::edge::EdgePolicy;
use crate::layer::{Redact, SinkPart, SourcePart, StackPolicy, TransformPart};
use crate::mask::Redactor;
use crate::setting::{Fields, Key, NAME_LENGTH, Node, read_name, wrong_type};
use crate::{sink, source, transform};
use heads::{SECTIONS, check_size, check_version, name, read_node};
use whole::{Limit, limit_of};

/// What came of checking a file.
pub struct Checked {
    /// The pipeline; `None` when there is any error.
    pub pipeline: Option<Pipeline>,
    /// Its shape, as far as it could be read.
    pub outline: Outline,
    /// Every mistake of the file.
    pub report: Report,
    /// Other files that its settings name, and that were read.
    pub files: Vec<PathBuf>,
}

/// Checks a file that was read. Pure but for the files that its settings name (a JSON Schema).
pub fn check(loaded: &Loaded) -> Checked {
    let mut report = loaded.report.clone();
    let mut outline = Outline::default();
    let base = FilePath::new(&*loaded.file)
        .parent()
        .unwrap_or(FilePath::new(""));
    let (mut pipeline, mut files) = (None, Vec::new());
    if let Some(tree) = &loaded.tree {
        let mut checking = Checking {
            base: base.into(),
            ..Checking::default()
        };
        if let Some(settings) = checking.root(tree, &mut report) {
            outline = checking.outline(&settings.name);
            outline.check(&checking.doubts, &mut report);
            checking.check_whole(&settings, &outline, &mut report);
            files = std::mem::take(&mut checking.files);
            // Whatever was wrong is in the report: what stands in for it never runs.
            pipeline = (!report.has_errors()).then(|| checking.assemble(settings, &outline));
        }
    }
    Checked {
        pipeline,
        outline,
        report,
        files,
    }
}

/// What stands beside the nodes.
struct Settings {
    name: String,
    state: StateSetting,
    encryption: Option<crate::seal::Keyring>,
    api: Option<interface::Interface>,
    simulator: Option<Platform>,
    delivery: super::PumpPolicy,
    grace: Duration,
    dead_letter: Option<DeadLetterNode>,
    /// Whether the file has dead letters for the pipeline, right or wrong.
    letters: bool,
}

/// A node that was read, with the place of what may contradict something else.
struct Draft<P> {
    shape: Shape,
    node: Option<P>,
}

#[derive(Default)]
struct Checking {
    base: PathBuf,
    sources: Vec<Draft<SourceNode>>,
    transforms: Vec<Draft<TransformNode>>,
    sinks: Vec<Draft<SinkNode>>,
    masks: Vec<transform::pii_mask::Config>,
    limits: Vec<Limit>,
    doubts: Doubts,
    /// The first source without dead letters of its own.
    bare: Option<Span>,
    /// The folder of the pipeline's state, where there is one.
    home: Option<PathBuf>,
    /// Folders of buffers on disk, with the node that each belongs to.
    folders: HashMap<PathBuf, String>,
    /// Files that settings name.
    files: Vec<PathBuf>,
    /// Sources whose readers have a buffer on disk unless they say otherwise.
    durable: HashSet<String>,
    /// Sources that read the simulated platform.
    simulated: Vec<(String, Span)>,
    /// Nodes whose buffers say how many batches are under way.
    says_in_flight: HashSet<String>,
}

impl Checking {
    fn root(&mut self, tree: &Node, report: &mut Report) -> Option<Settings> {
        let mut fields = Fields::new(tree, "a pipeline", report)?;
        check_version(&mut fields);
        let name = name(&mut fields);
        let before = fields.report().errors();
        let state = storage::check(&mut fields);
        self.home = match &state {
            StateSetting::Embedded(path) => Some(path.clone()),
            // A wrong one is reported: that buffers have no folder is then not told as well.
            _ if fields.report().errors() > before => Some(PathBuf::new()),
            _ => None,
        };
        let encryption = encryption::read(&mut fields);
        let api = interface::read(&mut fields);
        let simulator = simulated::read(&mut fields);
        let delivery = common::delivery(&mut fields);
        let grace = fields.or("grace", Duration::from_secs(30));
        let dead_letter = self.dead_letter("the pipeline", &mut fields);
        let letters = fields.has("dead_letter");
        check_size(tree, &mut fields)?;
        for section in SECTIONS {
            self.section(section, &mut fields);
        }
        if simulator.is_none() && !fields.has("simulator") {
            self.check_platform(&mut fields);
        }
        fields.finish();
        Some(Settings {
            name: name.unwrap_or_default(),
            state,
            encryption,
            api,
            simulator,
            delivery,
            grace,
            dead_letter,
            letters,
        })
    }

    /// Sources that name no platform, in a file without a simulator.
    fn check_platform(&self, fields: &mut Fields<'_>) {
        for (name, span) in &self.simulated {
            let message = format!(
                "source `{name}` names no platform: `region` and `auth` are missing or empty"
            );
            fields.error("missing-field", *span, message).hint(
                "set them, or add `simulator: {}` to the pipeline to read a simulated platform",
            );
        }
    }

    fn section(&mut self, section: &'static str, fields: &mut Fields<'_>) {
        let node = match section {
            "transforms" => fields.node(section),
            _ => fields.required_node(section),
        };
        let Some(node) = node else { return };
        let Some(entries) = node.as_map() else {
            let expected = format!("`{section}` to be a mapping of names to components");
            let entry = wrong_type(node, &expected, fields.report());
            entry.hint("write `name: { type: ..., ... }` below it for each one");
            return;
        };
        if entries.is_empty() && section != "transforms" {
            let message = format!("`{section}` needs at least one component");
            let kinds = match section {
                "sources" => source::KINDS,
                _ => sink::KINDS,
            };
            fields
                .error("empty-value", node.span, message)
                .hint(format!("the types are `{}`", kinds.join("`, `")));
        }
        for (key, node) in entries {
            // A component with a wrong name is read all the same, so that all its mistakes show.
            let key = &self.named(key, fields.report());
            match section {
                "sources" => self.source(key, node, fields.report()),
                "transforms" => self.transform(key, node, fields.report()),
                _ => self.sink(key, node, fields.report()),
            }
        }
    }

    /// The name that messages have for a component, after saying what is wrong with it.
    fn named(&mut self, key: &Key, report: &mut Report) -> Key {
        let mut key = key.clone();
        if read_name(&key, report).is_none() {
            key.name = key.name.chars().take(NAME_LENGTH).collect();
        }
        self.check_taken(&key, report);
        key
    }

    fn check_taken(&self, key: &Key, report: &mut Report) {
        if key.name == "dead_letter" {
            let message = "the name `dead_letter` is taken by the pipeline's dead letters";
            report
                .error("duplicate-name", key.span, message)
                .hint("call it otherwise, such as `rejected`");
            return;
        }
        let Some(first) = self.shapes().find(|shape| shape.name == key.name) else {
            return;
        };
        let message = format!(
            "there is already a {} called `{}`",
            first.kind.word(),
            key.name
        );
        report
            .error("duplicate-name", key.span, message)
            .hint(format!(
                "it is defined at line {}; call one of the two otherwise",
                first.span.line
            ));
    }

    fn shapes(&self) -> impl Iterator<Item = &Shape> {
        let sources = self.sources.iter().map(|draft| &draft.shape);
        let transforms = self.transforms.iter().map(|draft| &draft.shape);
        let sinks = self.sinks.iter().map(|draft| &draft.shape);
        sources.chain(transforms).chain(sinks)
    }

    fn outline(&self, name: &str) -> Outline {
        Outline {
            name: name.into(),
            nodes: self.shapes().cloned().collect(),
        }
    }

    fn source(&mut self, key: &Key, node: &Node, report: &mut Report) {
        let mut shape = Shape::new(key, Kind::Source);
        let what = format!("source `{}`", key.name);
        let kinds = ("source", source::KINDS);
        let read = read_node(&what, node, kinds, report, |kind, fields| {
            shape.component = kind.into();
            let part = source::Config::check(kind, fields);
            let reconnect = common::reconnect(fields);
            let dead_letter = self.dead_letter(&what, fields);
            if part.as_ref().is_some_and(|part| part.wants_durable()) {
                self.durable.insert(key.name.clone());
            }
            if part.as_ref().is_some_and(SourcePart::wants_simulator) {
                self.simulated.push((key.name.clone(), key.span));
            }
            if !fields.has("dead_letter") {
                self.bare.get_or_insert(key.span);
            }
            Some(SourceNode {
                name: key.name.as_str().into(),
                component: kind,
                part: Box::new(part?),
                reconnect,
                dead_letter,
                print: print(node, &["dead_letter"]),
            })
        });
        self.sources.push(Draft { shape, node: read });
    }

    fn transform(&mut self, key: &Key, node: &Node, report: &mut Report) {
        let mut shape = Shape::new(key, Kind::Transform);
        shape.inputs = self.inputs(node, report);
        let inputs = shape.sources();
        let what = format!("transform `{}`", key.name);
        let kinds = ("transform", transform::KINDS);
        let read = read_node(&what, node, kinds, report, |kind, fields| {
            fields.required_node("inputs");
            let buffer = self.buffer(&key.name, fields, EdgePolicy::default());
            let buffer = buffer
                .or_else(|| self.by_itself(&key.name, &inputs, fields, EdgePolicy::default()));
            let dead_letter = self.dead_letter(&what, fields);
            let part = transform::Config::check(kind, fields, &self.base);
            // Its outputs are known only when it is right; until then it counts as having all.
            let part = part?;
            shape.component = kind.into();
            (shape.main, shape.outputs) = part.outputs();
            if let transform::Config::PiiMask(mask) = &part {
                self.masks.push(mask.clone());
            }
            self.limits.extend(limit_of(&what, &part, fields));
            let part: Box<dyn TransformPart> = Box::new(part);
            Some(TransformNode {
                name: key.name.as_str().into(),
                component: kind,
                inputs,
                buffer,
                part,
                dead_letter,
                print: self.print_of(node),
            })
        });
        self.transforms.push(Draft { shape, node: read });
    }

    fn sink(&mut self, key: &Key, node: &Node, report: &mut Report) {
        let mut shape = Shape::new(key, Kind::Sink);
        shape.inputs = self.inputs(node, report);
        let inputs = shape.sources();
        let what = format!("sink `{}`", key.name);
        let kinds = ("sink", sink::KINDS);
        let read = read_node(&what, node, kinds, report, |kind, fields| {
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
            let part: Box<dyn SinkPart> = Box::new(sink::Config::check(kind, fields)?);
            if !fields.has("retry") {
                policy.retry.attempts = part.attempts();
            }
            if buffer.partition.is_none() && !fields.has("concurrency") {
                policy.concurrency = part.calls();
                if !self.says_in_flight.contains(&key.name) {
                    buffer.in_flight = policy.concurrency;
                }
            }
            Some(SinkNode {
                name: key.name.as_str().into(),
                component: kind,
                inputs,
                buffer,
                policy,
                part,
                dead_letter,
                print: self.print_of(node),
            })
        });
        self.sinks.push(Draft { shape, node: read });
    }

    /// `dead_letter:` of a node or of the pipeline.
    fn dead_letter(&mut self, owner: &str, fields: &mut Fields<'_>) -> Option<DeadLetterNode> {
        let node = fields.node("dead_letter")?;
        let what = format!("`dead_letter` of {owner}");
        let kinds = ("sink", sink::KINDS);
        read_node(&what, node, kinds, fields.report(), |kind, f| {
            let policy = self.stack(&what, f);
            let part: Box<dyn SinkPart> = Box::new(sink::Config::check(kind, f)?);
            Some(DeadLetterNode {
                component: kind,
                part,
                policy,
                print: print(node, &[]),
            })
        })
    }

    /// What a transform or sink says, and what is in a file that it names.
    fn print_of(&mut self, node: &Node) -> Print {
        let said = print(node, &["inputs", "dead_letter"]);
        let file = node.get("schema").and_then(Node::as_text);
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

    fn assemble(self, settings: Settings, outline: &Outline) -> Pipeline {
        let Settings {
            name,
            state,
            encryption,
            api,
            simulator,
            delivery,
            grace,
            dead_letter,
            ..
        } = settings;
        let redact: Arc<dyn Redact> = Arc::new(Masking(redactor(&self.masks)));
        let sources = self
            .sources
            .into_iter()
            .filter_map(|draft| draft.node)
            .collect();
        let mut transforms: HashMap<String, TransformNode> = self
            .transforms
            .into_iter()
            .filter_map(|draft| draft.node.map(|node| (node.name.to_string(), node)))
            .collect();
        let order = outline.order();
        let mut transforms: Vec<_> = order
            .iter()
            .filter_map(|name| transforms.remove(name))
            .collect();
        buffer::before_holders(&mut transforms, &self.says_in_flight);
        let sinks = self
            .sinks
            .into_iter()
            .filter_map(|draft| draft.node)
            .collect();
        // With an account of its own a pipeline reads the real platform alone.
        let simulator = simulator.filter(|_| !self.simulated.is_empty());
        let name = name.into();
        Pipeline {
            name,
            sources,
            transforms,
            sinks,
            dead_letter,
            redact,
            delivery,
            grace,
            state,
            encryption,
            api,
            simulator,
        }
    }
}

/// Masks dead letters by the rules of all masks of the pipeline and by detection.
struct Masking(Redactor);

impl Redact for Masking {
    fn event(&self, event: &mut crate::event::Event) {
        self.0.redact(event);
    }

    fn text(&self, text: &str) -> String {
        self.0.redact_text(text)
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
            main: true,
            span: key.span,
        }
    }

    fn sources(&self) -> Vec<Input> {
        self.inputs.iter().map(|(input, _)| input.clone()).collect()
    }
}

/// The rules by which a pipeline's dead letters are masked.
fn redactor(masks: &[transform::pii_mask::Config]) -> Redactor {
    Redactor::new(masks.iter().map(transform::pii_mask::Config::policy))
}
