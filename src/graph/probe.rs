//! Looking at what a pipeline would talk to, before it runs.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use super::{Pipeline, otlp};
use crate::layer::{Finding, Grade, Probing};

/// Probes under way at the same time.
const AT_ONCE: usize = 8;

/// What the probe of one node found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// `source`, `sink` or `metrics`.
    pub kind: &'static str,
    /// The node's name.
    pub node: String,
    /// The type of its component.
    pub component: &'static str,
    /// What was found; none where there is nothing to look at.
    pub findings: Vec<Finding>,
    /// How long that took.
    pub took: Duration,
}

/// Probes every source and sink, several at a time, each for at most `limit`; in the order of the
/// file. Nothing is written, taken or changed.
pub async fn probe(pipeline: &Pipeline, limit: Duration) -> Vec<Probed> {
    let sources = pipeline.sources.iter().map(|source| {
        let name = source.name.to_string();
        ("source", name, source.component, source.part.probe())
    });
    let sinks = pipeline.sinks.iter().map(|sink| {
        let name = sink.name.to_string();
        ("sink", name, sink.component, sink.part.probe())
    });
    let metrics = pipeline.metrics.iter().map(|export| {
        let probing: Probing<'_> = Box::pin(otlp::probe(export));
        ("metrics", "otlp".to_owned(), "otlp", probing)
    });
    let probes: Vec<_> = sources.chain(sinks).chain(metrics).collect();
    let probes = probes
        .into_iter()
        .map(|(kind, node, component, probing)| async move {
            let began = Instant::now();
            let findings = limited(probing, limit).await;
            Probed {
                kind,
                node,
                component,
                findings,
                took: began.elapsed(),
            }
        });
    futures::stream::iter(probes)
        .buffered(AT_ONCE)
        .collect()
        .await
}

async fn limited(probing: Probing<'_>, limit: Duration) -> Vec<Finding> {
    match tokio::time::timeout(limit, probing).await {
        Ok(findings) => findings,
        Err(_) => {
            let message = format!("no answer within {limit:?}");
            vec![Finding::new(Grade::Error, message)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_ends_is_an_error_in_its_time() {
        let never: Probing<'_> = Box::pin(std::future::pending());
        let began = tokio::time::Instant::now();
        let found = limited(never, Duration::from_secs(20)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(20));
        assert_eq!(found[0].grade, Grade::Error);
        let quick: Probing<'_> = Box::pin(async { vec![Finding::new(Grade::Good, "it is there")] });
        assert_eq!(
            limited(quick, Duration::from_secs(20)).await[0].grade,
            Grade::Good
        );
    }
}
