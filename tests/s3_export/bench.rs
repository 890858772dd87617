//! A source as the engine drives it: opened again when it fails, its places kept with the answers.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use trunkline::config::{Fixed, parse};
use trunkline::failure::{Failure, Kind};
use trunkline::layer::{SourceContext, SourcePart};
use trunkline::observe::{NodeKind, Observer, Progress, Triggers};
use trunkline::setting::Fields;
use trunkline::source::Config;
use trunkline::stage::{Delivery, OpenSource, Source};
use trunkline::state::Store;

/// For whatever a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Bench {
    pub store: Store,
    pub triggers: Triggers,
    pub progress: Progress,
    observer: Observer,
    open: OpenSource,
    source: Option<Box<dyn Source>>,
    pub bodies: Vec<String>,
    /// Reason and object of each letter.
    pub letters: Vec<(&'static str, String)>,
    /// How often the source had to be opened again.
    pub reopened: u32,
}

impl Bench {
    /// Of these fields, over what an earlier run has kept.
    pub fn over(store: Store, yaml: &str) -> Self {
        let mut loaded = parse("source.yaml", yaml, &Fixed::new());
        let tree = loaded.tree.take().unwrap();
        let mut fields = Fields::new(&tree, "the source", &mut loaded.report).unwrap();
        let config = Config::check("s3_export", &mut fields);
        fields.finish();
        let found: Vec<_> = loaded.report.iter().map(|it| it.message.clone()).collect();
        assert!(found.is_empty(), "{found:?}");
        let observer = Observer::new("test");
        let progress = Progress::default();
        let open = Box::new(config.unwrap()).build(SourceContext {
            node: "exports".into(),
            paths: Arc::default(),
            store: store.clone(),
            progress: progress.clone(),
            meter: observer.node("exports", NodeKind::Source, "s3_export"),
            simulator: None,
            triggers: observer.triggers(),
        });
        Self {
            store,
            triggers: observer.triggers(),
            progress,
            observer,
            open,
            source: None,
            bodies: Vec::new(),
            letters: Vec::new(),
            reopened: 0,
        }
    }

    pub fn new(yaml: &str) -> Self {
        Self::over(Store::memory_durable(), yaml)
    }

    async fn opened(&mut self) -> Result<&mut Box<dyn Source>, Failure> {
        if self.source.is_none() {
            self.source = Some((self.open)().await?);
        }
        Ok(self.source.as_mut().unwrap())
    }

    /// The next delivery, with as many openings as that takes.
    pub async fn next(&mut self) -> Result<Option<Delivery>, Failure> {
        loop {
            let failure = match self.opened().await?.next().await {
                Ok(delivery) => return Ok(delivery),
                Err(failure) => failure,
            };
            self.source = None;
            if failure.kind() >= Kind::Rejected {
                return Err(failure);
            }
            self.reopened += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub fn see(&mut self, delivery: &Delivery) {
        let bodies = delivery.batch.events().iter().map(|event| event.to_json());
        self.bodies.extend(bodies);
        let letters = delivery.refused.iter();
        let told = letters.map(|letter| (letter.reason, letter.provenance.object.to_string()));
        self.letters.extend(told);
    }

    /// As the engine does it once all is delivered: first what is kept, then the settling.
    pub async fn settle(&self, delivery: Delivery) {
        let named = |place| ("exports".into(), place);
        let places = delivery.checkpoints.into_iter().map(named).collect();
        self.store.commit(vec![], places).await.unwrap();
        delivery.settle.run(Ok(())).await;
    }

    /// Takes and settles one delivery; false at the end.
    pub async fn step(&mut self) -> Result<bool, Failure> {
        let Some(delivery) = self.next().await? else {
            return Ok(false);
        };
        self.see(&delivery);
        self.settle(delivery).await;
        Ok(true)
    }

    /// To the end of the input.
    pub async fn drain(&mut self) {
        let all = async { while self.step().await.unwrap() {} };
        tokio::time::timeout(PATIENCE, all).await.expect("an end");
    }

    /// Until this is so.
    pub async fn until(&mut self, what: &str, met: impl Fn(&Self) -> bool) {
        let began = tokio::time::Instant::now();
        while !met(self) {
            assert!(began.elapsed() < PATIENCE, "not {what}: {:?}", self.letters);
            self.try_step().await;
        }
    }

    /// Takes and settles one delivery, if one comes soon: what a source has begun is not lost when
    /// nobody waits for it any more.
    pub async fn try_step(&mut self) {
        // Opening has no part in that: it takes its time, and would begin anew.
        self.opened().await.unwrap();
        let next = tokio::time::timeout(Duration::from_millis(500), self.next()).await;
        if let Ok(Some(delivery)) = next.unwrap_or(Ok(None)) {
            self.see(&delivery);
            self.settle(delivery).await;
        }
    }

    pub fn figure(&self, name: &str) -> u64 {
        let ledger = self.observer.ledger();
        let node = ledger.nodes.into_iter().find(|node| node.name == "exports");
        node.unwrap().figures.get(name).copied().unwrap_or(0)
    }

    /// How often each body came.
    pub fn counts(&self) -> HashMap<&str, u32> {
        let mut counts = HashMap::new();
        for body in &self.bodies {
            *counts.entry(body.as_str()).or_default() += 1;
        }
        counts
    }

    /// Each of these bodies came once, and nothing else.
    pub fn has_once(&self, expected: impl IntoIterator<Item = String>) {
        let counts = self.counts();
        let mut all = 0;
        for body in expected {
            assert_eq!(counts.get(body.as_str()), Some(&1), "{body}");
            all += 1;
        }
        assert_eq!(counts.len(), all);
    }
}

/// Records that name their object, with something to fill them that does not compress well.
pub fn records(name: &str, count: usize) -> Vec<String> {
    let filling = |number: usize| {
        let mut state = number as u64 ^ 0x9e37_79b9_7f4a_7c15;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            format!("{:08x}", state >> 32)
        };
        (0..8).map(|_| next()).collect::<String>()
    };
    (0..count)
        .map(|number| format!(r#"{{"o":"{name}","n":{number},"f":"{}"}}"#, filling(number)))
        .collect()
}

pub fn lines(records: &[String]) -> Vec<u8> {
    (records.join("\n") + "\n").into_bytes()
}

/// Of several members, as appending to an archive makes it.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let member = |part: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap()
    };
    let (first, second) = bytes.split_at(bytes.len() / 2);
    [member(first), member(second)].concat()
}
