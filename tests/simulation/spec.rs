//! What a seed means: a graph, its faults, and what must arrive where.

use std::collections::BTreeSet;
use std::time::Duration;

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// In `from..=to`.
    pub fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    pub fn chance(&mut self, share: f64) -> bool {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64 <= share && share > 0.0
    }

    pub fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.range(from, to))
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A fixed choice for a label at a node.
pub fn choice(label: &str, salt: u64, of: u64) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    mix(label.bytes().fold(salt ^ 0xcbf2_9ce4_8422_2325, fold)) % of
}

#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub fail: f64,
    pub partial: f64,
    pub hang: f64,
    pub slow: f64,
    pub panic: f64,
    pub reject: f64,
    pub fatal: f64,
    /// Of the labels, one in this many always panics; 0: none.
    pub poison: u64,
    /// Of the labels, one in this many is always rejected; 0: none.
    pub never: u64,
}

#[derive(Clone, Debug)]
pub struct Buffer {
    pub max_events: usize,
    pub max_bytes: u64,
    /// 0: block, 1: drop newest, 2: drop oldest.
    pub when_full: u64,
    pub workers: usize,
    pub in_flight: usize,
    pub batch_events: usize,
    /// Lanes by key; 0: none.
    pub partitions: usize,
    /// Whether one key is of a higher class than the others.
    pub classes: bool,
}

#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    /// Events of each delivery.
    pub deliveries: Vec<usize>,
    /// Of each delivery, records that are no events.
    pub refused: Vec<usize>,
    pub keys: u64,
    /// One in this many deliveries carries a checkpoint; 0: none.
    pub checkpoint: u64,
    pub transport: bool,
    pub disconnect: f64,
    pub gap: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    Pass,
    Filter,
    Split,
    Route,
    Reject,
    Dedup,
}

#[derive(Clone, Debug)]
pub struct Transform {
    pub name: String,
    pub what: What,
    pub salt: u64,
    pub inputs: Vec<(String, String)>,
    pub buffer: Option<Buffer>,
    pub faults: Faults,
}

#[derive(Clone, Debug)]
pub struct Stack {
    pub timeout: u64,
    pub rate: Option<(u32, u64)>,
    pub concurrency: usize,
    pub breaker: Option<(u64, u32)>,
    pub attempts: u32,
    pub per_key: bool,
}

#[derive(Clone, Debug)]
pub struct Sink {
    pub name: String,
    pub salt: u64,
    pub inputs: Vec<(String, String)>,
    pub buffer: Buffer,
    pub stack: Stack,
    pub faults: Faults,
}

#[derive(Clone, Debug)]
pub struct Spec {
    pub seed: u64,
    pub sources: Vec<Source>,
    pub transforms: Vec<Transform>,
    pub sinks: Vec<Sink>,
    pub dead_letter: Option<(Stack, Faults)>,
    pub max_events: usize,
    pub max_bytes: u64,
    pub deadline: u64,
    pub grace: u64,
    pub stop: Option<u64>,
    /// Order per key is promised at every sink.
    pub ordered: bool,
}

/// What must become of one instance of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// The sink that accepts it, or the node that refuses it.
    pub node: String,
    pub refused: bool,
    pub label: String,
    /// The nodes on its way, its source first.
    pub via: Vec<String>,
}

impl Spec {
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5851_f42d);
        let rng = &mut rng;
        let ordered = rng.chance(0.2);
        // Some seeds fail rarely, some all the time.
        let harm = [0.0, 0.02, 0.1, 0.2][rng.range(0, 3) as usize];
        let sources = (0..rng.range(1, 3))
            .map(|n| source(rng, n, ordered))
            .collect::<Vec<_>>();
        let mut outputs: Vec<(String, String)> = sources
            .iter()
            .map(|s| (s.name.clone(), String::new()))
            .collect();
        let mut transforms = Vec::new();
        for n in 0..rng.range(0, 5) {
            let node = transform(rng, n, &outputs, harm, ordered);
            match node.what {
                What::Route => {
                    for name in ["a", "b", "rest"] {
                        outputs.push((node.name.clone(), name.into()));
                    }
                }
                What::Reject if rng.chance(0.4) => {
                    outputs.push((node.name.clone(), "invalid".into()));
                    outputs.push((node.name.clone(), String::new()));
                }
                _ => outputs.push((node.name.clone(), String::new())),
            }
            transforms.push(node);
        }
        let mut sinks: Vec<Sink> = (0..rng.range(1, 3))
            .map(|n| sink(rng, n, &outputs, harm, ordered))
            .collect();
        // Whatever nobody reads goes to the last sink, where there must be a reader or often is.
        for (node, output) in &outputs {
            let one = (node.clone(), output.clone());
            let read = transforms
                .iter()
                .any(|t: &Transform| t.inputs.contains(&one))
                || sinks.iter().any(|s| s.inputs.contains(&one));
            let must = node.starts_with('s') || ordered;
            if !read
                && (must || rng.chance(0.7))
                && let Some(last) = sinks.last_mut()
            {
                last.inputs.push(one);
            }
        }
        let letters = Faults {
            fail: harm,
            partial: harm / 2.0,
            slow: harm,
            ..Faults::default()
        };
        Self {
            seed,
            dead_letter: (ordered || rng.chance(0.93))
                .then(|| (stack(rng, false, ordered), letters)),
            max_events: rng.range(1, 60) as usize,
            max_bytes: [500, 1 << 20][rng.range(0, 1) as usize],
            deadline: if ordered {
                3_600_000
            } else {
                rng.range(3_000, 20_000)
            },
            grace: rng.range(1, 3_000),
            stop: rng.chance(0.35).then(|| rng.range(0, 1_500)),
            sources,
            transforms,
            sinks,
            ordered,
        }
    }

    /// Everything that must become of the event of this label.
    pub fn due(&self, source: &str, label: &str) -> BTreeSet<Due> {
        let mut due = BTreeSet::new();
        self.spread(source, "", label, &[source.into()], &mut due);
        due
    }

    fn spread(
        &self,
        node: &str,
        output: &str,
        label: &str,
        via: &[String],
        due: &mut BTreeSet<Due>,
    ) {
        let read =
            |inputs: &[(String, String)]| inputs.iter().any(|(n, o)| n == node && o == output);
        for sink in self.sinks.iter().filter(|sink| read(&sink.inputs)) {
            let never = sink.faults.never;
            let refused = never > 0 && choice(label, sink.salt, never) == 0;
            let (node, label, via) = (sink.name.clone(), label.into(), via.to_vec());
            due.insert(Due {
                node,
                refused,
                label,
                via,
            });
        }
        for next in self.transforms.iter().filter(|next| read(&next.inputs)) {
            let mut via = via.to_vec();
            via.push(next.name.clone());
            let (name, salt) = (next.name.as_str(), next.salt);
            match next.what {
                What::Pass | What::Dedup => self.spread(name, "", label, &via, due),
                What::Filter if choice(label, salt, 4) == 0 => {}
                What::Filter => self.spread(name, "", label, &via, due),
                What::Split => {
                    for part in parts(label, name, salt) {
                        self.spread(name, "", &part, &via, due);
                    }
                }
                What::Route => self.spread(name, route(label, salt), label, &via, due),
                What::Reject if choice(label, salt, 5) == 0 => {
                    if self.reads(name, "invalid") {
                        self.spread(name, "invalid", label, &via, due);
                    } else {
                        let (node, label) = (next.name.clone(), label.into());
                        due.insert(Due {
                            node,
                            refused: true,
                            label,
                            via,
                        });
                    }
                }
                What::Reject => self.spread(name, "", label, &via, due),
            }
        }
    }

    pub fn reads(&self, node: &str, output: &str) -> bool {
        let one = (node.to_owned(), output.to_owned());
        self.transforms.iter().any(|t| t.inputs.contains(&one))
            || self.sinks.iter().any(|s| s.inputs.contains(&one))
    }

    /// Whether what passes this node's buffer may be dropped by its policy.
    pub fn may_drop(&self, node: &str) -> bool {
        let buffer = self
            .sinks
            .iter()
            .find(|s| s.name == node)
            .map(|s| &s.buffer);
        let of_transform = || {
            self.transforms
                .iter()
                .find(|t| t.name == node)?
                .buffer
                .as_ref()
        };
        buffer
            .or_else(of_transform)
            .is_some_and(|b| b.when_full > 0)
    }
}

pub fn route(label: &str, salt: u64) -> &'static str {
    ["a", "b", "rest"][choice(label, salt, 3) as usize]
}

/// The labels of what a split makes of a label.
pub fn parts(label: &str, node: &str, salt: u64) -> Vec<String> {
    match 1 + choice(label, salt, 3) {
        1 => vec![label.to_owned()],
        n => (0..n)
            .map(|part| format!("{label}/{node}.{part}"))
            .collect(),
    }
}

fn source(rng: &mut Rng, n: u64, ordered: bool) -> Source {
    let deliveries: Vec<usize> = (0..rng.range(1, 12))
        .map(|_| rng.range(0, 12) as usize)
        .collect();
    let refuse = [0.0, 0.2][rng.range(0, 1) as usize];
    Source {
        name: format!("s{n}"),
        refused: deliveries
            .iter()
            .map(|_| {
                if rng.chance(refuse) {
                    rng.range(1, 3) as usize
                } else {
                    0
                }
            })
            .collect(),
        keys: rng.range(1, 5),
        checkpoint: rng.range(0, 3),
        transport: !ordered && rng.chance(0.3),
        disconnect: [0.0, 0.1][rng.range(0, 1) as usize],
        gap: [0, 0, 3, 50][rng.range(0, 3) as usize],
        deliveries,
    }
}

fn some_of(rng: &mut Rng, outputs: &[(String, String)], most: u64) -> Vec<(String, String)> {
    let mut inputs = Vec::new();
    for _ in 0..rng.range(1, most) {
        let one = outputs[rng.range(0, outputs.len() as u64 - 1) as usize].clone();
        if !inputs.contains(&one) {
            inputs.push(one);
        }
    }
    inputs
}

fn buffer(rng: &mut Rng, ordered: bool) -> Buffer {
    let max_events = [1, 5, 30, 1000][rng.range(0, 3) as usize];
    // By a draw of its own: what a seed meant before there were lanes, it means still.
    let mut own = Rng(rng.0 ^ 0x6c61_6e65_7300);
    let partitioned = max_events > 1 && own.chance(0.3);
    Buffer {
        max_events,
        max_bytes: [1, 300, 1 << 20][rng.range(0, 2) as usize],
        when_full: if ordered || rng.chance(0.8) {
            0
        } else {
            rng.range(1, 2)
        },
        workers: if ordered { 1 } else { rng.range(1, 3) as usize },
        // Those under way in one lane share no key, so order is kept with several of them too.
        in_flight: match (ordered, partitioned) {
            (true, false) => 1,
            (true, true) => own.range(1, 3) as usize,
            (false, _) => rng.range(1, 3) as usize,
        },
        batch_events: [1, 8, 40][rng.range(0, 2) as usize],
        partitions: match partitioned {
            true => own.range(1, 4) as usize,
            false => 0,
        },
        classes: own.chance(0.2),
    }
}

fn transform(
    rng: &mut Rng,
    n: u64,
    outputs: &[(String, String)],
    harm: f64,
    ordered: bool,
) -> Transform {
    use What::{Dedup, Filter, Pass, Reject, Route, Split};
    let faults = Faults {
        fail: harm / 4.0,
        hang: harm / 80.0,
        slow: harm,
        panic: harm / 8.0,
        poison: [0, 0, 0, 40][rng.range(0, 3) as usize],
        ..Faults::default()
    };
    Transform {
        name: format!("t{n}"),
        what: [Pass, Filter, Split, Route, Reject, Dedup][rng.range(0, 5) as usize],
        salt: rng.next(),
        inputs: some_of(rng, outputs, if ordered { 1 } else { 2 }),
        buffer: rng.chance(0.5).then(|| buffer(rng, ordered)),
        faults: if ordered { Faults::default() } else { faults },
    }
}

fn stack(rng: &mut Rng, keyed: bool, ordered: bool) -> Stack {
    Stack {
        timeout: rng.range(20, 200),
        rate: rng
            .chance(0.15)
            .then(|| (rng.range(300, 2000) as u32, rng.range(100, 1000))),
        concurrency: rng.range(1, 3) as usize,
        breaker: rng
            .chance(0.5)
            .then(|| (rng.range(10, 200), rng.range(1, 2) as u32)),
        // Where order is promised nothing may fail for longer than it is tried here.
        attempts: if ordered {
            1_000
        } else {
            rng.range(1, 4) as u32
        },
        per_key: keyed && rng.chance(0.2),
    }
}

fn sink(rng: &mut Rng, n: u64, outputs: &[(String, String)], harm: f64, ordered: bool) -> Sink {
    let faults = Faults {
        fail: harm,
        partial: if ordered { 0.0 } else { harm / 2.0 },
        hang: harm / 8.0,
        slow: harm,
        panic: harm / 8.0,
        reject: harm / 4.0,
        fatal: if !ordered && rng.chance(0.03) {
            0.05
        } else {
            0.0
        },
        poison: if ordered {
            0
        } else {
            [0, 0, 0, 40][rng.range(0, 3) as usize]
        },
        never: [0, 0, 0, 9][rng.range(0, 3) as usize],
    };
    Sink {
        name: format!("k{n}"),
        salt: rng.next(),
        inputs: some_of(rng, outputs, if ordered { 1 } else { 2 }),
        buffer: buffer(rng, ordered),
        stack: stack(rng, true, ordered),
        faults,
    }
}
