//! What stands at the head of a file and of each node: version, name, size, `type`.

use crate::diagnostic::{Report, nearest};
use crate::setting::{Fields, Node, Setting, Shape, is_name};

/// Most components of a pipeline: each is a service that calls the next, and a thread's stack holds
/// all of a chain (`tests/cli.rs` runs the longest one, with stack to spare).
const MOST_COMPONENTS: usize = 128;

pub(super) const SECTIONS: [&str; 3] = ["sources", "transforms", "sinks"];

/// Too many components are told once, and none of them is read.
pub(super) fn check_size(tree: &Node, fields: &mut Fields<'_>) -> Option<()> {
    let entries = SECTIONS.iter().filter_map(|name| tree.get(name)?.as_map());
    let last = entries.flatten().nth(MOST_COMPONENTS);
    let Some((key, _)) = last else {
        return Some(());
    };
    let message = format!("a pipeline has at most {MOST_COMPONENTS} components");
    fields
        .error("too-complex", key.span, message)
        .hint("several pipelines can run in one process: `trunkline run a.yaml b.yaml`");
    None
}

pub(super) fn check_version(fields: &mut Fields<'_>) {
    fields.takes("version", || Shape::Int { least: 1, most: 1 });
    if let Some(version) = fields.required::<i64>("version")
        && version != 1
    {
        let span = fields.span_of("version");
        let message = format!("this build reads version 1, not version {version}");
        fields
            .error("unsupported-version", span, message)
            .hint("write `version: 1`, or use the build that this file was written for");
    }
}

pub(super) fn name(fields: &mut Fields<'_>) -> Option<String> {
    fields.takes("name", || Shape::Text("a name"));
    let name = fields.required::<String>("name")?;
    if is_name(&name) {
        return Some(name);
    }
    let span = fields.span_of("name");
    fields
        .error("bad-name", span, "this cannot name a pipeline")
        .hint("use letters, digits, `_` and `-`, at most 64, starting with a letter or `_`");
    None
}

/// Reads the `type` of a node, then the rest by it.
pub(super) fn read_node<T>(
    what: &str,
    node: &Node,
    (word, kinds): (&str, &[&'static str]),
    report: &mut Report,
    read: impl FnOnce(&'static str, &mut Fields<'_>) -> Option<T>,
) -> Option<T> {
    let shown = node
        .get("type")
        .and_then(Node::as_text)
        .filter(|kind| kinds.contains(kind));
    let what = match shown {
        Some(kind) => format!("{what} ({kind})"),
        None => what.to_owned(),
    };
    let mut fields = Fields::new(node, &what, report)?;
    fields.takes("type", || {
        Shape::Words(kinds.iter().map(|&kind| kind.to_owned()).collect())
    });
    let said = fields.required_node("type")?;
    let kind = String::read(said, fields.report())?;
    let Some(kind) = kinds.iter().find(|known| **known == kind) else {
        // The nearest name of a hidden value would tell most of it.
        let near = nearest(&kind, kinds.iter().copied()).filter(|_| !said.from_variable);
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the types are `{}`", kinds.join("`, `")),
        };
        let message = format!("{} is not a type of {word}", said.shown());
        fields
            .error("unknown-component", said.span, message)
            .hint(hint);
        return None;
    };
    let value = read(kind, &mut fields);
    fields.finish();
    value
}
