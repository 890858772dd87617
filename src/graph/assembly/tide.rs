//! The end of the input, as those learn of it who hold events back.
//!
//! A node that holds events may let go of them only when nothing can come any more that they wait
//! for: the inputs of all sources above it have ended, *and* the edges on the way have handed on
//! what was in them. A disk buffer is a source to what lies behind it.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::watch;

use super::{Assembly, EdgeWatch, Handle};
use crate::graph::Input;
use crate::graph::roots::stopped;
use crate::stage::Phase;

/// What lies above a node: the pumps that feed it, and the edges on the way in the order of flow.
#[derive(Default)]
struct Above {
    seen: HashSet<String>,
    pumps: Vec<Handle>,
    edges: Vec<EdgeWatch>,
}

impl Assembly {
    /// Tells anew who waits for whom.
    pub(super) fn turn_tides(&mut self) {
        self.tides.abort_all();
        for (name, live) in &self.lives {
            if live.holds {
                let mut above = Above::default();
                self.climb(name, &mut above);
                let stopping = self.with.roots.stopping();
                let tide = tide(live.phase.clone(), above, stopping);
                self.tides.spawn(tide);
            }
            if let Some(durable) = &live.durable {
                let mut above = Above::default();
                self.climb_inputs(&live.inputs, &mut above);
                let stopping = self.with.roots.stopping();
                self.tides.spawn(durable.ebb(above.pumps, stopping));
            }
        }
    }

    fn climb(&self, name: &str, above: &mut Above) {
        let Some(live) = self.lives.get(name) else {
            return;
        };
        if !above.seen.insert(name.to_owned()) {
            return;
        }
        match &live.durable {
            Some(durable) => above.pumps.push(durable.handle().clone()),
            None => self.climb_inputs(&live.inputs, above),
        }
        above.edges.extend(live.edge.clone());
    }

    fn climb_inputs(&self, inputs: &[Input], above: &mut Above) {
        for Input { node, .. } in inputs {
            match self.roots.get(node.as_str()) {
                Some(root) => above.pumps.push(root.handle.clone()),
                None => self.climb(node, above),
            }
        }
    }
}

async fn tide(phase: Arc<watch::Sender<Phase>>, above: Above, stopping: watch::Receiver<bool>) {
    // A reload may have brought a node that is fed again.
    phase.send_if_modified(|phase| {
        let ended = *phase == Phase::InputEnded;
        *phase = if ended { Phase::Running } else { *phase };
        ended
    });
    let ended = async {
        join_all(above.pumps.into_iter().map(Handle::ended)).await;
        for edge in above.edges {
            edge.drained().await;
        }
    };
    let stopped = stopped(stopping);
    tokio::pin!(stopped);
    tokio::select! {
        biased;
        () = &mut stopped => {}
        () = ended => {
            phase.send_replace(Phase::InputEnded);
            stopped.await;
        }
    }
    phase.send_replace(Phase::Stopping);
}
