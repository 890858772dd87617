//! How long a snapshot takes; a debug build only runs it once.

use std::time::Instant;

use super::*;

#[test]
fn normalises_at_a_rate_to_look_at() {
    let rounds = if cfg!(debug_assertions) { 1 } else { 200 };
    for name in ["call-users.ndjson", "call-reread.ndjson", "details.ndjson"] {
        let (bench, lines) = (Bench::new(PLAIN), fixture(name));
        let bodies: Vec<_> = lines.iter().cycle().take(500).collect();
        let batch = bench.batch(&bodies);
        let (begin, mut made) = (Instant::now(), 0);
        for _ in 0..rounds {
            made += bench.applied(batch.clone()).batch.len();
        }
        let each = begin.elapsed().as_secs_f64() * 1e6 / (rounds * bodies.len()) as f64;
        assert!(made >= rounds * bodies.len());
        println!(
            "{name}: {each:.1} us for each of {} bytes",
            batch.bytes() / 500
        );
    }
}
