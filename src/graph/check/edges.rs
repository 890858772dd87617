//! The buffers in front of nodes: those that the file names, and those that stand there by themselves.

use std::path::{Component, PathBuf};

use super::Checking;
use crate::edge::{DiskPolicy, EdgePolicy};
use crate::graph::Input;
use crate::graph::buffer::{self, Around};
use crate::setting::Fields;

impl Checking {
    /// `buffer:` of a node; no two of them may lie in one folder.
    pub(super) fn buffer(
        &mut self,
        node: &str,
        fields: &mut Fields<'_>,
        default: EdgePolicy,
    ) -> Option<EdgePolicy> {
        let home = self.home.as_deref();
        let read = buffer::edge(fields, default, &Around { node, home })?;
        let (policy, span) = (read.policy, read.folder);
        if read.says_in_flight {
            self.says_in_flight.insert(node.to_owned());
        }
        if let Some(disk) = &policy.disk {
            // `a/./b` and `a/b/` are `a/b`.
            let parts = disk.path.components();
            let folder: PathBuf = parts.filter(|part| *part != Component::CurDir).collect();
            if let Some(other) = self.folders.insert(folder, node.to_owned()) {
                let message = format!("the buffer of `{other}` lies in this folder already");
                fields
                    .error("duplicate-path", span, message)
                    .hint("give each buffer a `path` of its own");
            }
        }
        Some(policy)
    }

    /// The buffer on disk of a node that says nothing of one and reads a source that cannot deliver
    /// again.
    pub(super) fn by_itself(
        &mut self,
        node: &str,
        inputs: &[Input],
        fields: &mut Fields<'_>,
        default: EdgePolicy,
    ) -> Option<EdgePolicy> {
        let source = inputs.iter().find(|it| self.durable.contains(&it.node));
        let source = source.filter(|_| !fields.has("buffer"))?;
        let Some(home) = &self.home else {
            let message = format!(
                "`{}` cannot deliver its events again, and no buffer on disk keeps them",
                source.node
            );
            fields.warning("not-durable", fields.span(), message).hint(
                "give the pipeline `state: { type: embedded, path: state }`, or this node \
                 `buffer: { type: disk, path: … }`; `buffer: { type: memory }` says that it is meant so",
            );
            return None;
        };
        let disk = DiskPolicy::at(buffer::folder(home, node));
        self.folders.insert(disk.path.clone(), node.to_owned());
        Some(EdgePolicy {
            disk: Some(disk),
            ..default
        })
    }
}
