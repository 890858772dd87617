# What is done often, by its short name. `make test` needs Rust, a C compiler, and servers that the
# tests start for themselves: redis-server, victoria-metrics, influxd, Python with the SDK of
# Genesys Cloud and with moto, s3s-fs, and Azurite on node (`.ci/servers` installs what is missing).

# Seconds for each fuzz target, and more flags of libFuzzer (such as a seed, for the same inputs
# again).
SECONDS ?= 60
FUZZ_FLAGS ?=
FUZZ_TARGETS := yaml record concatenated mask journal frame
CARGO_FUZZ := 0.13.2

.DEFAULT_GOAL := test
.PHONY: test servers check bench fuzz fuzz-tool

## All tests, and the examples in the documentation.
test: servers
	cargo test --locked --lib --bins --tests --examples
	cargo test --locked --doc

## What the tests start for themselves, installed where it is missing.
servers:
	@.ci/servers

## Format, lints and documentation, all without a warning.
check:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

## The engine against the floor and against itself; see benches/.
bench:
	cargo bench --locked

## Each fuzz target for SECONDS; what it finds lies in fuzz/artifacts and belongs, once it is
## mended, into fuzz/regressions. Stable Rust is told to take the flags that libFuzzer needs.
fuzz: fuzz-tool
	cd fuzz && RUSTC_BOOTSTRAP=1 cargo fuzz build -s none
	@for target in $(FUZZ_TARGETS); do \
		echo "== $$target for $(SECONDS) s"; \
		mkdir -p fuzz/corpus/$$target; \
		(cd fuzz && RUSTC_BOOTSTRAP=1 cargo fuzz run -s none $$target \
			corpus/$$target seeds/$$target regressions/$$target -- \
			-max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 -max_len=16384 \
			-verbosity=0 -print_final_stats=1 $(FUZZ_FLAGS)) || exit 1; \
	done

fuzz-tool:
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz@$(CARGO_FUZZ)
