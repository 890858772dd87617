//! What the files of `trunkline new` are made of: the settings of each component that matter, with
//! `{name}` for the pipeline's name.

pub(super) const HEAD: &str = r#"# yaml-language-server: $schema={schema}
# Check it with `trunkline validate`, look at it with `trunkline graph`, run it with `trunkline run`.
# All settings: `trunkline schema --format markdown`. The line above is for editors that speak to a
# YAML language server: they complete what you type, and say what it means.
version: 1
name: {name}

# What is remembered between runs. Without it a restart begins anew.
state: { type: embedded, path: "${STATE:-data/{name}/state}" }

# What is refused, each with its reason, and masked.
dead_letter: { type: file, path: "${DEAD_LETTERS:-data/{name}/dead-letters.ndjson}" }
"#;

pub(super) const SIMULATOR: &str = r#"
# A simulated Genesys Cloud, where no account is named.
simulator:
  rate: 10
"#;

pub(super) const API: &str = r#"
# Figures, health and a page of what flows, while it runs; `trunkline top` and `tap` ask here.
api: { address: "${API:-127.0.0.1:9100}" }
"#;

/// The settings of a source.
pub(super) fn source(kind: &str) -> &'static str {
    match kind {
        "file" => {
            r#"    # A file, a folder, or a pattern such as `exports/**/*.json.gz`.
    path: "${INPUT:-{sample}}"
    # `follow` waits for more.
    read: once
"#
        }
        "genesys_webhook" => {
            r#"    # The platform posts to port 443 alone: put a proxy in front, or set `tls`.
    listen: "${WEBHOOK:-127.0.0.1:8443}"
    # What the integration signs its posts with.
    secret: "${WEBHOOK_SECRET:-change-me-before-use}"
"#
        }
        "genesys_websocket" => {
            r#"    # Such as mypurecloud.ie. Without a region the simulator is read.
    region: "${GENESYS_REGION:-}"
    auth: { client_id: "${GENESYS_CLIENT_ID:-}", client_secret: "${GENESYS_CLIENT_SECRET:-}" }
    topics:
      - v2.routing.queues.{queue}.conversations
"#
        }
        "rabbitmq" => {
            r#"    url: "${AMQP_URL:-amqp://127.0.0.1}"
    queue: "${QUEUE:-{name}}"
    # Messages that are not answered.
    prefetch: 1000
"#
        }
        "s3_export" => {
            r#"    # s3://bucket/folder, gs://bucket/folder, az://container/folder, or a folder.
    url: "${EXPORT_URL:-{sample}}"
    # `follow` waits for new objects.
    read: "${READ:-once}"
"#
        }
        // `stdin` has none that matter.
        _ => "",
    }
}

/// The settings of a transform.
pub(super) fn transform(kind: &str) -> &'static str {
    match kind {
        "causal_reorder" => {
            r#"    # Each conversation in its order: by the time of its events, and the rank of their states.
    key: .data.interactionId
    time: .timestamp
    lifecycle:
      path: .data.state
      participant: .data.participantId
      order:
        - [scheduled, offering, contacting, dialing, alerting]
        - [connected, held, parked]
        - [disconnected, acw, wrapup]
      # A conversation may have begun before we listened.
      opener: optional
    max_wait: 2s
"#
        }
        "dedup" => {
            r#"    # What an event and its repeats have in common: one field, or a list of which all must agree.
    key: {key}
    window: 2h
    # Events without one go on.
    missing_key: pass
"#
        }
        "delivery_receipt" => {
            r#"    # Who knows the messages that were sent: the keeper that the sink `open_messaging` has.
    statuses: { redis: "${REDIS_URL:-redis://127.0.0.1:6379}" }
"#
        }
        "filter" => {
            r#"    # Events for which this holds go on.
    where: { path: .type, exists: true }
"#
        }
        "map" => {
            r#"    # `none` would make new records, of `fields` alone.
    keep: all
    fields:
      pipeline: { value: {name} }
"#
        }
        "pii_mask" => {
            r#"    # Everything that can be detected, wherever it stands, and what the fields' names say.
    rules:
      - phone
      - email
      - card
      - { fields: [customer_name, agent_name, participantName], class: name }
"#
        }
        "remap" => {
            r#"    # A program in VRL, the language of Vector: what can fail has to be handled.
    source: |
      .type = downcase(string(.type) ?? "unknown")
"#
        }
        "route" => {
            r#"    # The first that holds; the rest goes to the output `else`.
    routes:
      calls: { path: .type, equals: call }
"#
        }
        "schema_validate" => {
            r#"    # What does not fit goes to the dead letters, with what was expected.
    fields:
      timestamp: { type: timestamp, optional: true }
"#
        }
        // `genesys_normalize` has none that matter.
        _ => "",
    }
}

/// The settings of a sink.
pub(super) fn sink(kind: &str) -> &'static str {
    match kind {
        "activity" => {
            r#"    timezone: "${TIMEZONE:-UTC}"
    # Add `api: { address: "127.0.0.1:9100" }` to the pipeline to look at it.
"#
        }
        "file" => {
            r#"    path: "${OUTPUT:-data/{name}/events.ndjson}"
"#
        }
        "influxdb" => {
            r#"    # Without a server the points go to a file.
    url: "${INFLUX_URL:-}"
    org: "${INFLUX_ORG:-}"
    bucket: "${INFLUX_BUCKET:-contact_center}"
    token: "${INFLUX_TOKEN:-}"
    path: "${POINTS:-data/{name}/points.lp}"
"#
        }
        "open_messaging" => {
            r#"    # Tenants and their organisations stand in `tenants` of the pipeline; without it messages
    # go to the simulator.
    use_existing_conversation: false
"#
        }
        "rabbitmq" => {
            r#"    url: "${AMQP_URL:-amqp://127.0.0.1}"
    exchange: "${EXCHANGE:-{name}}"
    routing_key: "${ROUTING_KEY:-events}"
"#
        }
        "warehouse" => {
            r#"    # Or `postgresql`, `redshift`, `snowflake`, `bigquery`, `synapse`: each says otherwise where it is.
    dialect: sqlite
    path: "${WAREHOUSE:-data/{name}/warehouse.db}"
    schema: cc_analytics
"#
        }
        // `blackhole` and `stdout` have none that matter.
        _ => "",
    }
}
