//! What the settings mean that no component reads itself.

use crate::setting::About;

/// Of the file itself.
pub(super) const PIPELINE: &[About] = &[
    (
        "",
        "A pipeline: what it reads, what it does with it, and where it goes.",
    ),
    ("version", "The version of the format: 1."),
    ("name", "The pipeline's name: in metrics, logs and on disk."),
    (
        "state",
        "Where the state is kept; default in memory, gone with the process.",
    ),
    (
        "state.type",
        "`memory`, `embedded` (default where there is a `path`) or `redis`.",
    ),
    ("state.path", "The folder of the state."),
    (
        "state.url",
        "The URL of the Redis; from a variable if it holds a password.",
    ),
    ("state.prefix", "What the names of all keys begin with."),
    (
        "state.lease",
        "How long what a worker has under way stays its own when nothing is heard of it.",
    ),
    (
        "encryption",
        "What rests on disk is encrypted; default: it is not.",
    ),
    (
        "encryption.key",
        "32 bytes in base64, or 64 hexadecimal digits; from a variable or a file.",
    ),
    (
        "encryption.old_keys",
        "Keys that older data was encrypted with: one, or a list.",
    ),
    (
        "api",
        "The HTTP interface: metrics, health, state of the run; default none.",
    ),
    ("api.address", "Where it listens."),
    (
        "api.token",
        "What a request must bring as its bearer token; default none, and everybody may ask.",
    ),
    (
        "api.cors",
        "Origins whose pages may read answers, or `*`; default none.",
    ),
    (
        "api.protect_metrics",
        "`/metrics` and `/health` need the token, too.",
    ),
    (
        "api.tap",
        "What `trunkline tap` may show of events: masked, also unmasked, or nothing (`off`).",
    ),
    (
        "alerts",
        "Alerts are posted as JSON to a webhook; default: they are in logs and metrics alone.",
    ),
    ("alerts.webhook", "The address."),
    ("alerts.token", "Sent as the bearer token; default none."),
    ("alerts.timeout", "Of one post."),
    (
        "metrics",
        "Metrics are sent to others; default: they are at `/metrics` of `api` alone.",
    ),
    (
        "metrics.otlp",
        "To OpenTelemetry, by OTLP over HTTP with JSON, all since the beginning of the run.",
    ),
    (
        "metrics.otlp.endpoint",
        "The address of a collector, such as `http://127.0.0.1:4318`; `/v1/metrics` is added where it says no path.",
    ),
    (
        "metrics.otlp.interval",
        "Between two; from 1s to 1h, default 15s.",
    ),
    ("metrics.otlp.timeout", "Of one; default 10s."),
    (
        "metrics.otlp.headers",
        "Headers that are added, such as `authorization`; at most 16, default none.",
    ),
    (
        "metrics.otlp.service",
        "The attribute `service.name`; default `trunkline`.",
    ),
    (
        "metrics.otlp.instance",
        "The attribute `service.instance.id`, which tells workers apart; default one of its own for each run.",
    ),
    (
        "simulator",
        "Runs a simulated Genesys Cloud in the process; sources and sinks without an account use it.",
    ),
    (
        "simulator.address",
        "Where it listens; default loopback, a free port.",
    ),
    (
        "simulator.start",
        "Where simulated time begins: `now` (default), `today`, or a time (RFC 3339).",
    ),
    ("simulator.seed", "What everything random comes from."),
    (
        "simulator.rate",
        "Steps of conversations in a second, 0.01 to 50000.",
    ),
    (
        "simulator.speed",
        "Simulated seconds in a real one, 0.1 to 10000.",
    ),
    (
        "simulator.queues",
        "Queues of the organisation, 1 to 10000.",
    ),
    ("simulator.users", "Agents, 1 to 100000."),
    (
        "simulator.conversations",
        "Conversations open at once, 1 to 100000; default so many that one lasts five minutes.",
    ),
    ("simulator.limits", "Bounds of the platform."),
    ("simulator.limits.channels", "Channels of one client."),
    ("simulator.limits.topics", "Topics of one channel."),
    ("simulator.limits.token", "Life of a token."),
    ("simulator.limits.channel", "Life of a channel."),
    (
        "simulator.limits.requests",
        "Requests of one token in a minute.",
    ),
    (
        "simulator.limits.heartbeat",
        "Between two heartbeats of a socket.",
    ),
    (
        "simulator.faults",
        "What goes wrong by itself; default nothing.",
    ),
    ("simulator.faults.duplicate", "Frames that come twice."),
    ("simulator.faults.reorder", "Frames that change places."),
    ("simulator.faults.delay", "Frames that come late."),
    ("simulator.faults.drop", "Frames that do not come."),
    (
        "simulator.faults.stale_snapshot",
        "Snapshots that show an older state.",
    ),
    ("simulator.faults.unknown_enum", "Values that are new."),
    ("simulator.faults.unknown_field", "Fields that are new."),
    (
        "simulator.faults.missing_optional",
        "Optional fields that are missing.",
    ),
    (
        "simulator.faults.closing_unannounced",
        "Closes of sockets that nothing announces.",
    ),
    (
        "simulator.faults.socket_life",
        "Sockets are closed after so long; default never.",
    ),
    ("simulator.faults.sends", "What goes wrong with messages."),
    (
        "simulator.faults.sends.throttled",
        "Sends that are answered with 429.",
    ),
    (
        "simulator.faults.sends.unauthorized",
        "Sends that are answered with 401.",
    ),
    ("simulator.faults.sends.failed", "Sends that fail."),
    ("simulator.faults.sends.lost", "Sends whose answer is lost."),
    (
        "simulator.faults.sends.gateway",
        "Sends that a gateway answers with an error.",
    ),
    (
        "simulator.faults.sends.delay",
        "How long an answer takes; default no time.",
    ),
    (
        "simulator.oracle",
        "A file with one JSON line for each frame told; default none.",
    ),
    (
        "simulator.webhook",
        "Where messages of agents are posted; default nowhere.",
    ),
    ("simulator.webhook.url", "The address."),
    ("simulator.webhook.secret", "What signs them."),
    (
        "simulator.webhook.receipts",
        "Whether the webhook is told what became of messages; default false.",
    ),
    ("delivery", "Bounds on what is under way in each source."),
    (
        "delivery.max_events",
        "Events that are not answered; default 50000.",
    ),
    (
        "delivery.max_bytes",
        "Bytes that are not answered; default `256MiB`.",
    ),
    (
        "delivery.deadline",
        "An answer that takes longer is a failure, and the events go again; default `5m`.",
    ),
    (
        "delivery.backoff",
        "The first wait before events are delivered again.",
    ),
    (
        "delivery.max_backoff",
        "The longest wait before events are delivered again.",
    ),
    ("grace", "How long a stop waits for what is under way."),
    ("sources", "Where events come from, by their names."),
    ("transforms", "What is done with events, by their names."),
    ("sinks", "Where events go, by their names."),
    (
        "tests",
        "Tests of the pipeline, which `trunkline test` runs: what it is given, what happens, and what comes of it.",
    ),
    (
        "tests.name",
        "What the test is about; each name is one's own.",
    ),
    (
        "tests.at",
        "The time of day at which it begins (RFC 3339); default 2026-01-01T00:00:00Z.",
    ),
    (
        "tests.variables",
        "Variables that the file has for this test before those of the environment, by name; `null`: not set.",
    ),
    (
        "tests.input",
        "What sources are given before the first step, by their names: a list of events, or a file.",
    ),
    (
        "tests.input.file",
        "A file, a folder or a pattern, relative to the file of the pipeline.",
    ),
    (
        "tests.steps",
        "What happens, one after the other; default: the input ends, and that is all.",
    ),
    (
        "tests.steps.send",
        "What sources are given, by their names: a list of events, or a file.",
    ),
    (
        "tests.steps.send.file",
        "A file, a folder or a pattern, relative to the file of the pipeline.",
    ),
    ("tests.steps.advance", "So much time passes."),
    (
        "tests.steps.sink",
        "How sinks behave from now on, by their names: `up`, `down`, slow, or refusing some events.",
    ),
    ("tests.steps.sink.slow", "Each write takes so long."),
    (
        "tests.steps.sink.rejects",
        "Events for which this holds are refused for good.",
    ),
    (
        "tests.steps.restart",
        "`true`: the pipeline is stopped and started again, with the state that it keeps.",
    ),
    (
        "tests.steps.end",
        "`true`: the input ends; what is under way at the end of the test is awaited.",
    ),
    (
        "tests.expect",
        "What has come of it at the end, by the names of components, or `name.output`. What is not said is not looked at.",
    ),
    (
        "tests.expect.sql",
        "Statements with their parameters, as text: a list of all of them, or as for events.",
    ),
    (
        "tests.expect.rows",
        "Rows by their columns; `row` is the table with the key: a list of all of them, or as for events.",
    ),
    (
        "tests.expect.lines",
        "Lines and points, as text: a list of all of them, or as for events.",
    ),
    (
        "tests.expect.requests",
        "HTTP requests with headers and body, as text: a list of all of them, or as for events.",
    ),
    (
        "tests.expect.messages",
        "Messages with properties and body, as text: a list of all of them, or as for events.",
    ),
    (
        "tests.expect.remembers",
        "Of a `dedup` or `causal_reorder`: keys that the state has of it, which another start would find.",
    ),
    ("tests.expect.metrics", "Its figures in the ledger."),
    ("tests.expect.metrics.received", "Events that it was given."),
    (
        "tests.expect.metrics.created",
        "Events that it made: copies, and what it made of others.",
    ),
    (
        "tests.expect.metrics.delivered",
        "Events that were delivered behind it, or by it.",
    ),
    (
        "tests.expect.metrics.given_back",
        "Events that failed and were given back to be delivered again.",
    ),
    (
        "tests.expect.metrics.retries",
        "Writes that were tried again.",
    ),
    (
        "tests.expect.metrics.held",
        "Events that it holds at the end.",
    ),
    (
        "tests.expect.metrics.dropped",
        "Events that were dropped, by reason; all of them.",
    ),
    (
        "tests.expect.metrics.dead_lettered",
        "Events that were dead-lettered, by reason; all of them.",
    ),
    (
        "tests.expect.metrics.labels",
        "Events that it handed on with a mark, by mark; all of them.",
    ),
    (
        "tests.expect.metrics.alerts",
        "Alerts that were raised meanwhile, by name.",
    ),
    (
        "tests.expect.dead_letters",
        "All dead letters, in any order, each by what is said of it; or `none`.",
    ),
    ("tests.expect.dead_letters.reason", "Why it was refused."),
    (
        "tests.expect.dead_letters.node",
        "The component that refused it.",
    ),
    ("tests.expect.dead_letters.detail", "The reason in words."),
    (
        "tests.expect.dead_letters.event",
        "The event, masked, by some of its fields.",
    ),
];

/// Of each list of things that a test looks at.
pub(super) const TESTED: &[About] = &[
    ("exactly", "Just these, in this order."),
    ("contains", "These, among others."),
    ("count", "So many."),
    ("none", "`true`: none."),
];

/// Of all components.
pub(super) const COMMON: &[About] = &[
    ("type", "What it is: the other fields depend on it."),
    (
        "dead_letter",
        "A sink for what is refused, masked and with its reason; default, of a component, that of the pipeline.",
    ),
    (
        "enabled",
        "`true` (default), `false`, or by a variable or a condition.",
    ),
    (
        "enabled.set",
        "Enabled where this is not empty, such as `\"${NAME:-}\"`.",
    ),
    (
        "enabled.unset",
        "Enabled where this is empty, such as `\"${NAME:-}\"`.",
    ),
    ("enabled.when", "Enabled for events for which this holds."),
    (
        "enabled.flag",
        "Enabled for events of tenants that have this flag.",
    ),
    (
        "enabled.tenant",
        "Where the id of an event's tenant is; default `.tenantId`.",
    ),
];

/// Of all sources.
pub(super) const SOURCE: &[About] = &[
    (
        "reconnect",
        "Waits before a source that failed is opened again.",
    ),
    ("reconnect.backoff", "The first wait."),
    ("reconnect.max_backoff", "The longest wait."),
];

/// Of all transforms and sinks: what they read, and the buffer in front of them.
pub(super) const TRANSFORM: &[About] = &[
    (
        "inputs",
        "What it reads: the name of a source or transform, `name.output` for one of several outputs, or a list of them.",
    ),
    ("buffer", "The queue in front of it."),
    (
        "buffer.type",
        "`memory` (default), or `disk`: what is in it is answered once it is on disk.",
    ),
    (
        "buffer.when_full",
        "`block` (default), `drop_newest`, `drop_oldest`, or `spill`: on disk while memory is full.",
    ),
    (
        "buffer.path",
        "The folder of a buffer on disk; default `buffers/<node>` below the embedded state.",
    ),
    (
        "buffer.max_size",
        "Most on disk, at least `1MiB`; default `1GiB`.",
    ),
    (
        "buffer.sync_wait",
        "How long a write may wait for others to share its fsync; default `0s`, at most `1s`.",
    ),
    (
        "buffer.compression",
        "Of what is on disk: `lz4` (default) or `none`.",
    ),
    (
        "buffer.partition_by",
        "Lanes by the values of this field: in parallel across them, in order within one; default none.",
    ),
    (
        "buffer.partitions",
        "How many lanes; default the number of cores, at most 64.",
    ),
    (
        "buffer.max_events",
        "Most events that wait in memory; default 10000.",
    ),
    (
        "buffer.max_bytes",
        "Most bytes that wait in memory; default `64MiB`.",
    ),
    (
        "buffer.workers",
        "Tasks that take batches out; default 1, which keeps their order.",
    ),
    (
        "buffer.in_flight",
        "Batches that a worker has under way, begun in order; default 1, of a sink its `concurrency`.",
    ),
    (
        "buffer.batch_events",
        "Waiting batches are put together up to this; default 2000.",
    ),
    (
        "buffer.priority",
        "Conditions, from the highest class of events to the lowest; default none.",
    ),
    (
        "buffer.starvation_guard",
        "Batches that may overtake a waiting lower class; default 8.",
    ),
    (
        "buffer.drop_alert",
        "The share of dropped events that raises the alert `drops`; default 5%.",
    ),
];

/// Of all sinks: what stands around them.
pub(super) const SINK: &[About] = &[
    ("timeout", "Bound on one write; default `30s`."),
    ("rate_limit", "Events in a time; default no limit."),
    ("rate_limit.events", "How many."),
    ("rate_limit.burst", "How many at once; default all of them."),
    ("rate_limit.per", "In how long; default `1s`."),
    (
        "concurrency",
        "Writes at the same time; default 1, which keeps the order of batches.",
    ),
    (
        "breaker",
        "Stops writing for a while when too much fails; `false` switches it off.",
    ),
    (
        "breaker.failures",
        "The share of failed writes that opens it; default 50%.",
    ),
    (
        "breaker.window",
        "Over how long writes are counted; default `1m`.",
    ),
    (
        "breaker.min_calls",
        "Fewest writes on which it judges; default 5.",
    ),
    (
        "breaker.open_for",
        "How long it stays open before it tries again; default `30s`.",
    ),
    (
        "breaker.probes",
        "Writes that it tries then; all must go well; default 1.",
    ),
    (
        "retry",
        "Tries again what fails for a passing reason; `false` switches it off.",
    ),
    ("retry.attempts", "Tries in all; default 6."),
    ("retry.backoff", "The first wait."),
    ("retry.max_backoff", "The longest wait."),
    (
        "per_key",
        "Rate, concurrency, breaker and retries for each value of a key on its own; default none.",
    ),
    ("per_key.key", "The field whose values are kept apart."),
    ("per_key.max_keys", "Keys that are kept apart at once."),
    (
        "per_key.order_by",
        "Events with the same values of these fields go one after the other.",
    ),
];
