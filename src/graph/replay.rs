//! Dead letters through a pipeline again: each event enters at the node that refused it.
//!
//! A replay is a run of the same pipeline with other sources: those of the file are left out, and
//! one stands in for each node that is handed events, read by that node besides what it reads.

use std::collections::HashSet;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use super::run::run;
use super::sections::sections;
use super::{Input, Pipeline, Print, SourceNode, TransformNode};
use crate::edge::EdgePolicy;
use crate::event::Batch;
use crate::failure::Failure;
use crate::layer::{Backoff, Resting, SinkPart, SourcePart, TransformContext, TransformPart};
use crate::letters::{LetterFile, LetterQueue, Shelf};
use crate::observe::Observer;
use crate::stage::{Applied, Stage, Transform};
use crate::state::Store;

/// What a source is called that stands in for those of the file: no name in a file has a dot.
const STAND_IN: &str = "replay";

/// Runs the pipeline without its own sources: what each of `sources` hands over enters at the
/// entrance of the node of that name. Ends when all of it is answered, or `stop` is ready.
///
/// # Errors
/// As [`run`]; and when there is no such node (`no_such_node`).
pub async fn replay(
    pipeline: Pipeline,
    observer: &Observer,
    store: Store,
    sources: Vec<(String, Box<dyn SourcePart>)>,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let pipeline = with_sources(pipeline, sources)?;
    run(pipeline, observer, store, stop).await
}

fn with_sources(
    mut pipeline: Pipeline,
    sources: Vec<(String, Box<dyn SourcePart>)>,
) -> Result<Pipeline, Failure> {
    pipeline.sources = Vec::with_capacity(sources.len());
    let sections = sections(&pipeline.transforms);
    for (node, part) in sources {
        let name = format!("{node}.{STAND_IN}");
        let mut reads = name.clone();
        let begins = sections.get(node.as_str()).and_then(|it| it.begins.clone());
        if let Some(begins) = begins.filter(|begins| **begins != *node) {
            reads = format!("{name}.lanes");
            split(&mut pipeline.transforms, &begins, (&name, &reads), &node);
        }
        let Some(inputs) = inputs_of(&mut pipeline, &node) else {
            let message = format!("the pipeline has no transform or sink `{node}`");
            return Err(Failure::fatal("no_such_node", message));
        };
        inputs.push(main_output(&reads));
        pipeline.sources.push(SourceNode {
            name: name.into(),
            component: "dead_letters",
            part,
            reconnect: Backoff::default(),
            dead_letter: None,
            print: Print::default(),
        });
    }
    Ok(pipeline)
}

fn main_output(node: &str) -> Input {
    Input {
        node: node.into(),
        output: String::new(),
    }
}

fn inputs_of<'a>(pipeline: &'a mut Pipeline, node: &str) -> Option<&'a mut Vec<Input>> {
    let transforms = pipeline.transforms.iter_mut();
    let transforms = transforms.map(|it| (&it.name, &mut it.inputs));
    let sinks = pipeline.sinks.iter_mut();
    let mut all = transforms.chain(sinks.map(|it| (&it.name, &mut it.inputs)));
    all.find_map(|(name, inputs)| (**name == *node).then_some(inputs))
}

/// Puts a node that changes nothing in front of one that has an instance for each lane of an edge
/// further up: each event enters the lane that it was in, where what is remembered of its key is.
fn split(
    transforms: &mut Vec<TransformNode>,
    begins: &str,
    (from, name): (&str, &str),
    before: &str,
) {
    let edge = transforms.iter().find(|it| *it.name == *begins);
    let partition = edge.and_then(|it| it.buffer.as_ref()?.partition.clone());
    let at = transforms.iter().position(|it| *it.name == *before);
    let lanes = TransformNode {
        name: name.into(),
        component: "dead_letters",
        inputs: vec![main_output(from)],
        enabled: super::Enabled::Always,
        buffer: Some(EdgePolicy {
            partition,
            ..EdgePolicy::default()
        }),
        part: Box::new(Unchanged),
        dead_letter: None,
        print: Print::default(),
    };
    // Each transform stands after those that it reads.
    transforms.insert(at.unwrap_or(0), lanes);
}

/// Hands on what it is given.
#[derive(Clone)]
struct Unchanged;

impl TransformPart for Unchanged {
    fn build(&self, context: TransformContext) -> Result<Stage, Failure> {
        Ok(context.plain(self.clone()))
    }
}

impl Transform for Unchanged {
    async fn apply(&self, batch: Batch) -> Result<Applied, Failure> {
        Ok(batch.into())
    }
}

/// Whether events can be handed to the node of this name, or why not.
///
/// # Errors
/// The reason, for people.
pub fn entrance(pipeline: &Pipeline, node: &str) -> Result<(), String> {
    let transforms = pipeline.transforms.iter().map(|it| &it.name);
    let mut nodes = transforms.chain(pipeline.sinks.iter().map(|it| &it.name));
    if nodes.any(|name| **name == *node) {
        return Ok(());
    }
    Err(match pipeline.sources.iter().any(|it| *it.name == *node) {
        true => format!("`{node}` refused it when it was read: mend it where it comes from"),
        false => format!("the pipeline has no node `{node}` any more"),
    })
}

/// Where the pipeline's dead letters lie, and the names of those owners whose letters lie nowhere
/// that could be read.
pub fn shelves(pipeline: &Pipeline) -> (Vec<Arc<dyn Shelf>>, Vec<String>) {
    let own = |name: &Arc<str>| format!("`{name}`");
    let shared = pipeline.dead_letter.iter();
    let shared = shared.map(|it| ("the pipeline".to_owned(), it));
    let sources = pipeline.sources.iter();
    let sources = sources.filter_map(|it| Some((own(&it.name), it.dead_letter.as_ref()?)));
    let transforms = pipeline.transforms.iter();
    let transforms = transforms.filter_map(|it| Some((own(&it.name), it.dead_letter.as_ref()?)));
    let sinks = pipeline.sinks.iter();
    let sinks = sinks.filter_map(|it| Some((own(&it.name), it.dead_letter.as_ref()?)));
    let (mut shelves, mut unreadable): (Vec<Arc<dyn Shelf>>, _) = (Vec::new(), Vec::new());
    let mut seen: HashSet<PathBuf> = HashSet::new();
    let mut queues: HashSet<String> = HashSet::new();
    for (owner, node) in shared.chain(sources).chain(transforms).chain(sinks) {
        match SinkPart::rests(&*node.part) {
            Some(Resting::File(path)) => {
                if seen.insert(path.clone()) {
                    shelves.push(Arc::new(LetterFile::new(path)));
                }
            }
            Some(Resting::Queue(queue)) => {
                if queues.insert(queue.name()) {
                    shelves.push(Arc::new(LetterQueue::new(queue)));
                }
            }
            None => unreadable.push(owner),
        }
    }
    (shelves, unreadable)
}
