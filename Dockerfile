# One static binary and nothing else.
FROM rust:1-alpine AS build
# SQLite, zstd, mimalloc and aws-lc are built from C (without cmake: aws-lc has what it needs for musl),
# and aws-lc takes the kernel's headers, which musl does not bring.
RUN apk add --no-cache build-base linux-headers
WORKDIR /build
COPY . .
# On Alpine the target is musl, which links everything into the binary. That it did is checked here:
# `scratch` has no loader, and what needs one would end with "no such file or directory".
RUN cargo build --release --locked --bin trunkline && strip target/release/trunkline \
    && ! readelf -d target/release/trunkline | grep NEEDED
# The folder for state and data: `scratch` has no command to make one.
RUN mkdir /data

# Nothing has to be put beside it: the time zones and Mozilla's list of authorities are in the binary.
# Others are trusted with `SSL_CERT_FILE`.
FROM scratch
COPY --from=build /build/target/release/trunkline /trunkline
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
WORKDIR /data
# SIGTERM drains: what was accepted is delivered before the process ends.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/trunkline"]
CMD ["--help"]
