//! The settings, and the node that they make.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::diagnostic::{Report, Span};
use crate::event::Batch;
use crate::failure::Failure;
use crate::layer::TransformContext;
use crate::plugin::{self, Blot, Engine, Limits, Mistake, Program, Refusal, Runner, Settings};
use crate::setting::{Fields, Node, Setting, Shape, Size, Value};
use crate::stage::{Applied, Stage, Transform};

/// How often the file is looked at, unless told.
const RELOAD: Duration = Duration::from_secs(2);
const RELOADS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3600));
const TIMES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));

/// A plugin that was compiled and has taken its configuration.
pub struct Config {
    path: PathBuf,
    settings: Settings,
    program: Arc<Program>,
    reload: Option<Duration>,
    /// Its instances, which all lanes share; there from the first lane on.
    runner: OnceLock<Arc<Runner>>,
}

impl Config {
    /// Reads the fields, compiles the plugin, and asks it whether it takes its configuration.
    pub fn check(fields: &mut Fields<'_>, base: &Path, engine: &Engine) -> Option<Self> {
        let path = fields.required::<PathBuf>("path").map(|it| base.join(it));
        fields.takes("config", || Shape::Any.map());
        let config = fields.node("config");
        let is_config = config.is_none_or(|it| is_mapping(it, fields.report()));
        let limits = limits(fields);
        let reload = reload(fields);
        let settings = Settings {
            engine: engine.clone(),
            config: config.map_or("{}".into(), |it| it.to_json().to_string().into()),
            limits: limits?,
            blot: Blot::new(config.map(secrets).unwrap_or_default()),
        };
        let (path, reload) = (path?, reload?);
        if !is_config {
            return None;
        }
        let loaded = plugin::read(&path)
            .and_then(|bytes| engine.load(&bytes, settings.limits.stack))
            .and_then(|program| settings.check(&program).map(|()| program));
        match loaded {
            Ok(program) => Some(Self {
                path,
                settings,
                program,
                reload,
                runner: OnceLock::new(),
            }),
            Err(refusal) => {
                told(refusal, config, fields);
                None
            }
        }
    }

    /// How long the plugin took to compile, for people.
    pub fn took(&self) -> String {
        format!("compiled in {} ms", self.program.took.as_millis())
    }

    /// Its file is not looked at: a rehearsal has one version.
    pub fn stay_home(&mut self) -> Option<&'static str> {
        self.reload = None;
        None
    }

    /// The node.
    pub fn build(&self, context: TransformContext) -> Stage {
        let runner = self.runner.get_or_init(|| {
            let (settings, program) = (self.settings.clone(), self.program.clone());
            let runner = Runner::new(settings, program, context.meter.clone());
            let runner = Arc::new(runner);
            tracing::info!(plugin = context.meter.name(), "{}", self.took());
            if let Some(every) = self.reload {
                let watched = Arc::downgrade(&runner);
                tokio::spawn(plugin::watch(watched, self.path.clone(), every));
            }
            runner
        });
        let plugin = Plugin(runner.clone());
        context.plain(plugin)
    }
}

/// The transform.
#[derive(Clone)]
struct Plugin(Arc<Runner>);

impl Transform for Plugin {
    async fn apply(&self, batch: Batch) -> Result<Applied, Failure> {
        self.0.apply(batch).await
    }
}

fn is_mapping(node: &Node, report: &mut Report) -> bool {
    let is_one = node.as_map().is_some();
    if !is_one {
        crate::setting::wrong_type(node, "a mapping", report);
    }
    is_one
}

fn limits(fields: &mut Fields<'_>) -> Option<Limits> {
    let usual = Limits::default();
    let memory = size(fields, "memory", usual.memory, (1 << 20, 2 << 30));
    let time = fields.or("time", usual.time);
    let time = within(fields, "time", time, TIMES);
    let instances = count(fields, "instances", None, (1, 256));
    let answer = size(fields, "answer", usual.answer, (64 << 10, 1 << 30));
    let stack = size(fields, "stack", usual.stack, (64 << 10, 1 << 20));
    let log_lines = count(fields, "log_lines", Some(usual.log_lines), (0, 1000));
    let counters = count(fields, "counters", Some(32), (0, 32));
    let restarts = count(fields, "restarts", Some(usual.restarts), (1, 1000));
    Some(Limits {
        memory: memory?,
        time: time?,
        instances: instances?.map_or(usual.instances, |it| it as usize),
        answer: answer?,
        stack: stack?,
        log_lines: log_lines?.unwrap_or_default(),
        counters: counters?.unwrap_or_default() as usize,
        restarts: restarts?.unwrap_or_default(),
    })
}

fn outside<T>(fields: &mut Fields<'_>, name: &str, range: &str) -> Option<T> {
    let message = format!("`{name}` is not between {range}");
    fields.error("out-of-range", fields.span_of(name), message);
    None
}

fn within(
    fields: &mut Fields<'_>,
    name: &'static str,
    time: Duration,
    (least, most): (Duration, Duration),
) -> Option<Duration> {
    match least <= time && time <= most {
        true => Some(time),
        false => outside(fields, name, &format!("{least:?} and {}s", most.as_secs())),
    }
}

fn size(
    fields: &mut Fields<'_>,
    name: &'static str,
    usual: usize,
    (least, most): (u64, u64),
) -> Option<usize> {
    let Size(bytes) = fields.or(name, Size(usual as u64));
    match (least..=most).contains(&bytes) {
        true => usize::try_from(bytes).ok(),
        false => outside(
            fields,
            name,
            &format!("{} and {}", shown(least), shown(most)),
        ),
    }
}

/// A bound of a size, as a file would say it.
fn shown(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{}KiB", bytes >> 10),
        most if most >= 1024 => format!("{}GiB", most >> 10),
        most => format!("{most}MiB"),
    }
}

/// A number, or `None` in it where the file says none and there is no default.
fn count(
    fields: &mut Fields<'_>,
    name: &'static str,
    usual: Option<u32>,
    (least, most): (u32, u32),
) -> Option<Option<u32>> {
    let told = match usual {
        Some(usual) => Some(fields.or(name, usual)),
        None => fields.optional(name),
    };
    match told.is_none_or(|it| (least..=most).contains(&it)) {
        true => Some(told),
        false => outside(fields, name, &format!("{least} and {most}")),
    }
}

/// A duration, or `None` in it for `off`.
fn reload(fields: &mut Fields<'_>) -> Option<Option<Duration>> {
    let off = || Shape::Words(vec!["off".into()]);
    fields.takes("reload", || Duration::shape().or(off()));
    let node = fields.node("reload");
    if node.and_then(Node::as_text) == Some("off") {
        return Some(None);
    }
    let every = match node {
        Some(node) => Duration::read(node, fields.report())?,
        None => RELOAD,
    };
    within(fields, "reload", every, RELOADS).map(Some)
}

/// Values that are not in the file itself: the plugin knows them, and its words must not tell them.
fn secrets(node: &Node) -> Vec<String> {
    match &node.value {
        Value::List(items) => items.iter().flat_map(secrets).collect(),
        Value::Map(entries) => entries.iter().flat_map(|(_, it)| secrets(it)).collect(),
        _ if !node.from_variable => Vec::new(),
        _ => {
            let text = node.as_text().map(str::to_owned);
            let json = node.to_json();
            let plain = json
                .as_str()
                .map_or_else(|| json.to_string(), str::to_owned);
            text.into_iter().chain([plain]).collect()
        }
    }
}

fn told(refusal: Refusal, config: Option<&Node>, fields: &mut Fields<'_>) {
    let (path, whole) = (fields.span_of("path"), fields.span_of("config"));
    match refusal {
        Refusal::File(why) => {
            let message = format!("the plugin cannot be read: {why}");
            let hint = "the path starts at the folder of the pipeline file";
            fields.error("missing-file", path, message).hint(hint);
        }
        Refusal::Unfit(why) => {
            let message = format!("this plugin cannot be used: {why}");
            fields.error("bad-plugin", path, message);
        }
        Refusal::Mistakes(mistakes) if mistakes.is_empty() => {
            let message = "the plugin refuses its `config` and says nothing more";
            fields.error("bad-plugin-config", whole, message);
        }
        Refusal::Mistakes(mistakes) => {
            for Mistake { path, message } in mistakes {
                let (span, rest) = place(config, whole, &path);
                let message = match rest.as_str() {
                    "" => message,
                    rest => format!("`{rest}`: {message}"),
                };
                fields.error("bad-plugin-config", span, message);
            }
        }
    }
}

/// Where a JSON pointer leads, as far as it leads, and the rest of it.
fn place(config: Option<&Node>, whole: Span, pointer: &str) -> (Span, String) {
    let (mut span, mut node) = (whole, config);
    let mut steps = pointer.split('/').skip(1);
    let mut rest = Vec::new();
    for step in steps.by_ref() {
        let step = step.replace("~1", "/").replace("~0", "~");
        let next = node.and_then(|node| match node.as_list() {
            Some(items) => step.parse().ok().and_then(|at: usize| items.get(at)),
            None => node.get(&step),
        });
        let Some(next) = next else {
            rest.push(step);
            break;
        };
        (span, node) = (next.span, Some(next));
    }
    rest.extend(steps.map(str::to_owned));
    // A plugin may name anything here: a few words are enough.
    let rest: String = rest.join("/").chars().take(80).collect();
    (span, rest)
}
