# What is done often, by its short name. `make test` needs Rust, a C compiler, and servers that the
# tests start for themselves: redis-server, victoria-metrics, influxd, Python with the SDK of
# Genesys Cloud and with moto, s3s-fs, and Azurite on node (`.ci/servers` installs what is missing).

# Seconds for each fuzz target, and more flags of libFuzzer (such as a seed, for the same inputs
# again), and of cargo.
SECONDS ?= 60
FUZZ_FLAGS ?=
FUZZ_BUILD ?=
# What waits most of the time, for servers or for the clock, in two rows beside all other tests.
CLOUDS := backfill bucket conversations export_to_warehouse live s3_export warehouse_bigquery \
	warehouse_snowflake
BROKERS := live_process outbound_disturbed rabbitmq rabbitmq_disturbed rabbitmq_parking \
	rabbitmq_refusals rabbitmq_tls
# Each program of tests may take so many seconds, several times what any of them needs: one that waits
# for ever fails, and its output names what was running.
TEST_SECONDS ?= 900
RUNNER := CARGO_TARGET_$(shell rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')_RUNNER
OTHERS := $(filter-out $(CLOUDS) $(BROKERS),$(basename $(notdir $(wildcard tests/*.rs))))
FUZZ_TARGETS := yaml record concatenated mask journal frame

.DEFAULT_GOAL := test
.PHONY: test servers check plugins bench fuzz

## All tests, and the examples in the documentation.
test: servers
	cargo test --locked --lib --bins --tests --examples --no-run
	@logs=$$(mktemp -d); status=0; \
	export $(RUNNER)="timeout --kill-after=10 $(TEST_SECONDS)"; \
	row="cargo test --locked --no-fail-fast"; \
	$$row $(CLOUDS:%=--test %) > $$logs/clouds 2>&1 & clouds=$$!; \
	$$row $(BROKERS:%=--test %) > $$logs/brokers 2>&1 & brokers=$$!; \
	$$row --lib --bins --examples $(OTHERS:%=--test %) || status=1; \
	wait $$clouds || status=1; wait $$brokers || status=1; \
	cat $$logs/clouds $$logs/brokers; rm -r $$logs; exit $$status
	cargo test --locked --doc

## What the tests start for themselves, installed where it is missing.
servers:
	@.ci/servers

## Format, lints and documentation, all without a warning.
check:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --no-default-features --lib --bins -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

## The plugins of plugins/, as plugins/*.wasm.
plugins:
	cd plugins && cargo build --locked --release --target wasm32-unknown-unknown
	@for made in template loyalty_tier language; do \
		cp plugins/target/wasm32-unknown-unknown/release/$$made.wasm plugins/ || exit 1; \
	done

## The engine against the floor and against itself; see benches/.
bench:
	cargo bench --locked

## Each fuzz target for SECONDS; what it finds lies in fuzz/artifacts and belongs, once it is
## mended, into fuzz/regressions. The libraries are those that were built for the tests.
fuzz:
	cd fuzz && RUSTC_WRAPPER=$(CURDIR)/fuzz/instrumented cargo build --locked --target-dir ../target $(FUZZ_BUILD)
	@for target in $(FUZZ_TARGETS); do \
		echo "== $$target for $(SECONDS) s"; \
		mkdir -p fuzz/corpus/$$target fuzz/artifacts/$$target; \
		(cd fuzz && ../target/debug/$$target \
			corpus/$$target seeds/$$target regressions/$$target \
			-artifact_prefix=artifacts/$$target/ \
			-max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 -max_len=16384 \
			-verbosity=0 -print_final_stats=1 $(FUZZ_FLAGS)) || exit 1; \
	done
