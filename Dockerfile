# One static binary and nothing else.
FROM rust:1-alpine AS build
# SQLite and zstd are built from C.
RUN apk add --no-cache build-base
WORKDIR /build
COPY . .
# On Alpine the target is musl, which links everything into the binary.
RUN cargo build --release --locked --bin trunkline && strip target/release/trunkline
# The folder for state and data: `scratch` has no command to make one.
RUN mkdir /data

FROM scratch
COPY --from=build /build/target/release/trunkline /trunkline
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
WORKDIR /data
# SIGTERM drains: what was accepted is delivered before the process ends.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/trunkline"]
CMD ["--help"]
