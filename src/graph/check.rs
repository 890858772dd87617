//! From the tree of a file to a checked pipeline, with every mistake on the way.

mod edges;
mod heads;
mod nodes;
mod whole;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::alerts;
use super::buffer;
use super::common;
use super::components::Components;
use super::encryption;
use super::interface;
use super::otlp;
use super::outline::{Doubts, Outline, Shape};
use super::simulated::{self, Platform};
use super::trial::{self, Trial};
use super::{DeadLetterNode, Pipeline, SinkNode, SourceNode, StateSetting, TransformNode, storage};
use crate::client::tenants::{self, Content, Tenants};
use crate::config::{Environment, Loaded};
use crate::diagnostic::{Report, Span};
use crate::layer::Redact;
use crate::mask::Redactor;
use crate::setting::{self, Fields, Key, NAME_LENGTH, Node, Secret, read_name, wrong_type};
use crate::transform;
use heads::{SECTIONS, check_size, check_version, name};
use whole::Limit;

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
    /// What took time to check, by component, and how long.
    pub took: Vec<(String, String)>,
    /// Its tests, as far as they could be read. The pipeline knows nothing of them.
    pub tests: Vec<Trial>,
}

/// Checks a file that was read. Pure but for the files that its settings name (a JSON Schema, a plugin).
pub fn check(loaded: &Loaded) -> Checked {
    check_with(loaded, &Components::default())
}

/// The same, of a file that may name these components too.
pub fn check_with(loaded: &Loaded, components: &Components) -> Checked {
    check_fed(loaded, components, &[])
}

/// The same, where these sources are fed by a test: they are there also when they are switched off.
pub(super) fn check_fed(loaded: &Loaded, components: &Components, fed: &[&str]) -> Checked {
    let mut report = loaded.report.clone();
    let mut outline = Outline::default();
    let base = FilePath::new(&*loaded.file)
        .parent()
        .unwrap_or(FilePath::new(""));
    let (mut pipeline, mut files, mut tests) = (None, Vec::new(), Vec::new());
    let mut took = Vec::new();
    if let Some(tree) = &loaded.tree {
        let mut checking = Checking {
            base: base.into(),
            components: components.clone(),
            fed: fed.iter().map(|&name| name.to_owned()).collect(),
            variables: loaded.variables.clone(),
            ..Checking::default()
        };
        if let Some(settings) = checking.root(tree, &mut report) {
            outline = checking.outline(&settings.name);
            outline.check(&checking.doubts, &mut report);
            checking.check_whole(&settings, &outline, &mut report);
            files = std::mem::take(&mut checking.files);
            tests = std::mem::take(&mut checking.tests);
            took = std::mem::take(&mut checking.took);
            // Whatever was wrong is in the report: what stands in for it never runs.
            pipeline = (!report.has_errors()).then(|| checking.assemble(settings, &outline));
        }
    }
    Checked {
        pipeline,
        outline,
        report,
        files,
        took,
        tests,
    }
}

/// What stands beside the nodes.
struct Settings {
    name: String,
    state: StateSetting,
    encryption: Option<crate::seal::Keyring>,
    api: Option<interface::Interface>,
    alerts: Option<super::AlertWebhook>,
    metrics: Option<super::OtlpExport>,
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
    /// A source that is switched off is checked, and that is all.
    off: bool,
}

#[derive(Default)]
struct Checking {
    base: PathBuf,
    components: Components,
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
    /// Who sends.
    tenants: Option<Tenants>,
    /// Sinks whose statuses somebody reads, and where that is said.
    receipts: Vec<(String, Span)>,
    /// Sinks that do what they are asked for over HTTP.
    orders: Vec<(String, Span)>,
    /// Components that are on for tenants with a flag, and where that is said.
    flagged: Vec<(String, Span)>,
    /// Sinks that send for tenants, and are not read yet whether there are any.
    sending: Vec<(String, Span)>,
    /// Sources that a test feeds.
    fed: HashSet<String>,
    took: Vec<(String, String)>,
    /// Variables that the file names.
    variables: BTreeSet<String>,
    tests: Vec<Trial>,
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
        let alerts = alerts::read(&mut fields);
        let metrics = otlp::read(&mut fields);
        let simulator = simulated::read(&mut fields);
        let told = fields.has("tenants");
        let shared = match &state {
            StateSetting::Redis(remote) => Some(remote.url.clone()),
            StateSetting::Memory | StateSetting::Embedded(_) => None,
        };
        self.tenants = self.tenants(&mut fields, shared);
        let delivery = common::delivery(&mut fields);
        let grace = fields.or("grace", Duration::from_secs(30));
        let dead_letter = self.dead_letter("the pipeline", &mut fields);
        let letters = fields.has("dead_letter");
        check_size(tree, &mut fields)?;
        for section in SECTIONS {
            self.section(section, &mut fields);
        }
        for (name, span) in self.flagged.iter().filter(|_| !told) {
            let message = format!("`{name}` asks for a flag of tenants, and the pipeline has none");
            let entry = fields.error("missing-field", *span, message);
            entry.hint("add `tenants:`, each with the `flags` that it has");
        }
        self.tests = trial::read(&mut fields, &self.outline(""), &self.variables);
        if simulator.is_none() && !fields.has("simulator") {
            self.check_platform(&mut fields);
            let nobody = !told && !self.sending.is_empty();
            let simulated = (self.tenants.as_ref()).is_some_and(|it| it.config().wants_simulator());
            if nobody || (told && simulated) {
                self.check_tenants(told, &mut fields);
            }
        }
        for (name, span) in &self.receipts {
            let mut sinks = self.sinks.iter().map(|it| &it.shape);
            if !sinks.any(|it| it.name == *name && it.component == "open_messaging") {
                let message = "`sink` names no sink of type `open_messaging`";
                fields.error("unknown-value", *span, message);
            }
        }
        let guarded = api.as_ref().is_some_and(|api| api.token.is_some());
        for (name, span) in self.orders.iter().filter(|_| !guarded) {
            let message = format!(
                "sink `{name}` takes orders over HTTP, and `api` has no token: whoever reaches it \
                 can write to customers"
            );
            fields
                .report()
                .warning("open-api", *span, message)
                .hint("add `api: { address: …, token: \"${API_TOKEN}\" }`");
        }
        fields.finish();
        Some(Settings {
            name: name.unwrap_or_default(),
            state,
            encryption,
            api,
            alerts,
            metrics,
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

    /// `tenants:`; the simulated one where the file says nothing. What is wrong is in the report.
    fn tenants(&mut self, fields: &mut Fields<'_>, shared: Option<Secret>) -> Option<Tenants> {
        let Some(node) = fields.node("tenants") else {
            return Some(Tenants::demo());
        };
        // A service whose address is left to a variable that is not set, and nobody else.
        let service = node.get("service").and_then(|service| service.get("url"));
        let others = ["list", "file"].iter().any(|name| node.get(name).is_some());
        if service.is_some_and(Node::is_unset) && !others {
            return Some(Tenants::demo());
        }
        let (base, files) = (&self.base, &mut self.files);
        let mut open = |path: PathBuf| {
            let path = base.join(path);
            let Loaded { tree, report, .. } = crate::config::load(&path, &Environment);
            files.push(path);
            Content { tree, report }
        };
        let read = |f: &mut Fields<'_>| tenants::Config::check(f, &mut open);
        let config = fields.section("tenants", "`tenants`", read);
        config.map(|config| Tenants::new(config.or_shared_by(shared)))
    }

    /// Tenants that are simulated, or none at all, in a file without a simulator.
    fn check_tenants(&self, told: bool, fields: &mut Fields<'_>) {
        if told {
            let message = "an organisation is simulated, and the pipeline has no `simulator`";
            fields
                .error("missing-field", fields.key_span_of("tenants"), message)
                .hint("add `simulator: {}`, or give the organisation a `region` and `auth`");
        }
        for (name, span) in self.sending.iter().filter(|_| !told) {
            let message = format!("sink `{name}` sends for tenants, and the pipeline has none");
            fields
                .error("missing-field", *span, message)
                .hint("add `tenants:`, or `simulator: {}` to send to a simulated platform");
        }
    }

    fn section(&mut self, section: &'static str, fields: &mut Fields<'_>) {
        fields.takes(section, || setting::Shape::Named(section).map());
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
                "sources" => self.components.sources(),
                _ => self.components.sinks(),
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

    fn assemble(self, settings: Settings, outline: &Outline) -> Pipeline {
        let Settings {
            name,
            state,
            encryption,
            api,
            alerts,
            metrics,
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
            .filter(|draft| !draft.off || self.fed.contains(&draft.shape.name))
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
        let (sends, flagged) = (!self.sending.is_empty(), !self.flagged.is_empty());
        let tenants = self.tenants.filter(|_| sends || flagged);
        let simulated = |it: &Tenants| it.config().wants_simulator();
        let sends = sends && tenants.as_ref().is_some_and(simulated);
        // With an account of its own a pipeline reads the real platform alone.
        let simulator = simulator.filter(|_| sends || !self.simulated.is_empty());
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
            alerts,
            metrics,
            simulator,
            tenants,
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

/// The rules by which a pipeline's dead letters are masked.
fn redactor(masks: &[transform::pii_mask::Config]) -> Redactor {
    Redactor::new(masks.iter().map(transform::pii_mask::Config::policy))
}
