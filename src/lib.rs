//! Trunkline: a stream processor for contact-center data, driven by YAML pipelines.
//!
//! This page is the architecture of the code. What it says is true; `tests/architecture.rs` holds
//! the table of levels against every `use` in `src`.
//!
//! # Levels
//!
//! Five levels; a module imports from the levels below its own:
//!
//! ```text
//! 5 outside      cli  api
//! 4 pipeline     config  graph
//! 3 components   source  transform  sink  simulator
//! 2 mechanisms   client  codec  condition  edge  journal  layer  letters  mask  observe  plugin  script  seal  state
//! 1 words        clock  diagnostic  event  failure  setting  stage
//! ```
//!
//! `graph` imports `config`, never the reverse. `api` sees the counters, nodes, views and taps of [`observe`]
//! and nothing else. Only [`config`] reads the environment. There are no process globals but the log.
//!
//! # Four ideas that carry everything
//!
//! **Answering is acknowledging.** Everything downstream of a source is one [`stage::Stage`], a
//! `tower::Service<Batch, Response = (), Error = Failure>`. `Ok(())` says that every event of the
//! batch was delivered, or was dropped or dead-lettered because a rule said so; `Err` names those
//! that were not. No token of acknowledgement travels with the data. A fan-out joins answers, a
//! reply that is lost reads as a failure, and shutting down is "stop pulling, wait for the answers".
//!
//! **State is committed with the answer.** [`transform::dedup`] and [`transform::causal_reorder`]
//! change what they remember when the answer is `Ok`. On disk ([`state`]) it changes when the whole
//! delivery is settled, in *one transaction* with the source's checkpoint: after a crash, an event
//! that comes again meets the state that it met the first time. Workers that share a Redis claim
//! keys before they deliver; while it is away everything holds, and nobody guesses.
//!
//! **Resilience is one page.** `layer::stack` puts time-out, rate limit, concurrency limit,
//! breaker, retry and dead letters around every sink, in one order, each line with its reason.
//!
//! **The compiler sees everything first.** [`config`] turns a file into a tree that knows its
//! places; [`graph::check`] turns the tree into a pipeline and reports every mistake in one go;
//! [`graph::run`] folds it into services, from the sinks back to the sources. Checking does no I/O
//! but for files that the settings name.
//!
//! # An event
//!
//! An event's body ([`event`]) is the JSON text as it came, beside a *tape*: an index of one
//! 8-byte word a scalar and two a container, in one allocation for a whole batch. The compiler
//! interns all paths that any component names, and the pass that checks the grammar resolves them
//! all: a look-up is one array read, however many stages ask. Changes lie over the text as a short
//! list; reads consult it, and the serialiser copies what lies between two changes byte for byte.
//! A member that a pipeline reads and that comes twice is refused: two readers would see two things.
//!
//! # The way of a batch
//!
//! A pump (`graph::pump`) pulls its source, gives each event its [`event::Origin`], and calls the
//! graph; deliveries are begun in order and their futures are polled once before the next is begun,
//! so every queue on the way is entered in order. Transforms run in the pump's own task; an
//! [`edge`] (the only queue there is, bounded by events and bytes) stands in front of every sink
//! and wherever `buffer:` asks for one, with a worker of its own. Sources decode on all cores, in
//! order. What fails is delivered again by the pump from memory, or by the transport behind the
//! source. Deliveries with a checkpoint are settled in order, so a cursor never passes a hole.
//!
//! # Objects
//!
//! [`source::s3_export`] remembers which objects it has handed over, by hashes, one row each inside its
//! look-back window; what is older is remembered as a whole, so that the state does not grow for ever.
//! Ranges are fetched side by side and framed in the order in which their objects were found, so
//! places are settled in that order too. Its memory outlives a connection: what was handed over is
//! the engine's to deliver, and is not read again by the next.
//!
//! # A source that cannot go back
//!
//! A source does not reconnect by itself: it fails, and its pump opens it again. One does
//! ([`source::genesys_websocket`]): it hears several channels, one of which must not cost the others,
//! from a platform that says nothing twice, so a successor has to be heard before a channel is let
//! go. It measures when it heard nothing, and reads again what may have changed meanwhile.
//!
//! # Lanes
//!
//! An edge with `partition_by` has lanes by a hash of the key, each with a task of its own: in
//! parallel across keys, one batch at a time within a key. The transforms behind it, up to the next
//! edge, are built once for each lane ([`layer::Lane`], `graph::sections`), so what they remember
//! follows the partition and nobody shares a lock. Within a lane, classes of `priority` overtake
//! each other. An event's order is kept within its lane and class, and nowhere else.
//!
//! # Disk buffers
//!
//! A disk buffer cuts the graph in two. Above it a [`journal::Entrance`] answers `Ok` once an fsync
//! covers the batch (group commit: what comes while one is under way shares the next). Below it a
//! pump of its own reads the [`journal::Outlet`] as it would read a source, so deliveries, retries,
//! checkpoints and state are the same machinery; the reader's place is committed in one
//! transaction with the state of the stages below. What was just synced is handed over from memory
//! and not read again. With `spill` batches go past the disk as long as everything that went to
//! disk has entered the memory edge before them (`graph::assembly::spill`).
//!
//! # The running graph, and another in its place
//!
//! Every node has a [`layer::Gate`] as its entrance and hands its output to whoever reads it at the
//! time ([`layer::Consumers`]). `graph::assembly` builds what is missing, closes and drains the
//! gates of what is to go, in the order of the flow and with a deadline, and puts the new in place;
//! a run begins by loading a pipeline into an assembly of nothing. What says the same in both files
//! (`graph::print`) is not touched, and until the last step everything can go on as it was.
//!
//! Who holds events back ([`transform::causal_reorder`]) is told of the end of the input when the
//! pumps above it have none left *and* the edges on the way have handed on all that was in them
//! (`graph::assembly::tide`). A stop goes with the flow too: sources first, and what is read from a
//! disk buffer once nobody writes to it any more.
//!
//! # Sources that cannot be asked again
//!
//! Whoever reads one ([`layer::SourcePart::wants_durable`]) has a disk buffer in front of it unless its
//! file says otherwise. What it could not hear is a gap ([`observe::Gap`]): measured, filled by reading
//! again, and in the ledger. What comes of that (repeats, overlaps, re-reads, stale snapshots) is sorted
//! out by identity: [`transform::genesys_normalize`] gives the same fact the same id, whoever tells it.
//!
//! # Messages to customers
//!
//! What is sent to a customer cannot be taken back. [`sink::open_messaging`] keeps the status of each
//! message and never sends one again that was sent; of what nobody knows, the tenant's policy decides.
//! Who sends is asked of one [`client::tenants::Tenants`], which a pipeline hands to its components when
//! it is checked: each organisation has one client, with one token and one budget. A reload with other
//! tenants is seen by components that go on, and what did not change keeps its token and its budget.
//!
//! [`client`] speaks to other systems and knows no batches. [`simulator`] is such a system: it shares no
//! types with what is tested against it, so that a mistake in one is not a mistake in both.
//!
//! # Views
//!
//! A sink may keep what it is given in sight instead of sending it away ([`sink::activity`]). It
//! publishes a [`observe::View`], which the interface serves without knowing what it is about; its
//! state is committed with the answer, as that of every stage.
//!
//! # What rests on disk
//!
//! Journals, the values of the state store and the originals of dead letters are sealed by [`seal`]
//! when the pipeline has a key; what lies there before the mask is personal data, and `validate`
//! warns where it would lie in plain text. Dead letters themselves ([`letters`]) are masked.
//!
//! # Taps
//!
//! Every gate and every output has a [`observe::Tap`]: one relaxed atomic load while nobody looks. Who looks
//! is given a sample through a bounded channel that nobody waits for, and masks it in a task of its own.
//! Taps are kept by name with the run's observer, so a look outlives what a reload exchanges.
//!
//! # Watching
//!
//! [`observe::Status`] is one reading of a run: its ledger, and its nodes in the order of the flow, which the
//! assembly tells the observer when it has put a pipeline in place. `trunkline top` and the page of [`api`] draw
//! from two such readings what happened in between; neither knows more than `/api/v1/pipelines` tells. The
//! catalogue of metrics is one walk, written for Prometheus when somebody asks and for OpenTelemetry where a
//! pipeline sends it.
//!
//! # Counting
//!
//! Every node counts what it received, delivered, dropped, dead-lettered and gave back ([`observe`]);
//! at a quiet point the figures of every node and of the whole add up, and a run whose ledger does
//! not add up fails. Copies made by a fan-out are counted as created, and as rejoined when they
//! fail together. What a disk buffer found at its start counts as resumed, and what it keeps at the
//! end as stored: the equation holds over restarts.
//!
//! # Backfills
//!
//! A backfill ([`graph::backfill`]) is a run of the same pipeline with other settings: one source, once,
//! over a range, with a state of its own. It keeps a second ledger ([`observe::Hours`]): each record by
//! its origin, with one fate, in the hour of its own time. What a settled delivery adds to it is
//! committed with the cursor, so the figures hold over every stop and crash.
//!
//! # Rehearsals
//!
//! A rehearsal ([`graph::rehearsal`], `trunkline dry-run`) is the real graph with other ends. Sources are
//! fed from files that are read before the first event goes on its way; a sink is asked to
//! [rehearse](layer::SinkPart::rehearse) instead of to build: it makes what it sends by the same functions,
//! refuses what it refuses, and leaves the rest in a [`layer::rehearsal::Recorder`]. It runs on one thread
//! whose clock is paused, and everything is dated by the run's own [`clock::Wall`], so that two rehearsals
//! say the same. What asks another system stays at home and says so.
//!
//! A test of a pipeline ([`graph::trial`], `tests:` in its file, `trunkline test`) is a rehearsal that is
//! told what to do. Its sources are given events step by step, its clock is moved by waiting on it, and
//! [`layer::rehearsal::Front`] stands in front of a sink's last step, so that all that is around the sink
//! acts as in a run. Taps are wrapped around what nodes are given as their outputs. A pipeline knows
//! nothing of its tests.
//!
//! # Programs
//!
//! [`script`] compiles VRL ([`transform::remap`], and conditions) when a file is checked. Nodes know where each
//! line of their text stands ([`setting::Written`]), so what the compiler says is told at its place in
//! the YAML. A program runs on an event as it lies there: members are made into values when they are
//! first asked for, by paths that were interned like all others, and what is different afterwards is
//! laid over the text. `now()` is the run's [`clock::Wall`]. A build without the feature `remap` has a
//! `Script` of which there is no value, so nobody else has to know.
//! # Plugins
//!
//! [`transform::plugin`] gives batches to a WASM component ([`plugin`]; `plugins/wit/transform.wit` is the whole
//! contract). A guest runs on the pool for blocking work, so it has no worker of the runtime, and its batches
//! keep their turns. Whatever it does ends with its instance: a call that fails is made again event by event,
//! and the event that does it goes to the dead letters. One [`plugin::Engine`] for the process has the
//! compiled code and the clock that ends calls; who checks a file again hands it over
//! ([`graph::check::check_with`]) and nothing is compiled twice. A changed file takes over between two
//! batches, and a reload of the pipeline has nothing to do with it.
//!
//! # Adding a component
//!
//! One file below `source`, `transform` or `sink`, with a `Config` (`check`: pure, reports all
//! mistakes) and what it opens, and a few lines in the catalogue of its parent module. The traits
//! are on one page: [`stage`]. What it is given when it is built: [`layer::TransformContext`] and
//! its siblings. Beside it lies a table, `ABOUT`, of what its fields mean: the schema of pipeline
//! files ([`graph::schema`]) is drawn by giving made-up settings to `check` and recording what it
//! asks for, so a field that is read is in the schema, and one without words fails a test.
//!
//! A program that embeds the engine adds components without touching it: [`graph::Components`] has types of
//! its own beside the catalogues, [`graph::check::check_with`] reads files that name them, and
//! [`cli::main_with`] is the whole command line with them (`examples/custom_sink.rs`, `examples/embed.rs`).
//!
//! # Who imports whom
//!
//! Besides the levels above, and inside its own level only along these arrows (`=>`: nothing but that):
//!
//! ```text
//! cli -> api                  # the command line starts the server
//! simulator => client clock   # the platform itself: it shares no more than the wire with the rest
//! api => client observe       # which shows what a handle shows, to those who call
//! graph -> config
//! client -> layer state      # what a probe finds, and where statuses of messages are kept
//! layer -> observe seal state
//! condition -> script        # a condition can be a program
//! edge -> condition layer observe  # its workers catch panics as the layers do
//! letters -> layer observe seal    # it reads what a layer has written
//! plugin -> mask observe      # what it says is counted, and cleaned of personal data
//! journal -> observe seal     # what rests on disk is counted, and can be encrypted
//! state -> seal
//! setting -> diagnostic event
//! stage -> event failure
//! failure -> event
//! clock -> event
//! ```
//!
//! Components (level 3) never import each other, nor does a file of one import another's.
//! `tests/architecture.rs` reads these tables and holds every `use` against them.

pub mod api;
pub mod cli;
pub mod client;
pub mod clock;
pub mod codec;
pub mod condition;
pub mod config;
pub mod diagnostic;
pub mod edge;
pub mod event;
pub mod failure;
pub mod graph;
pub mod journal;
pub mod layer;
pub mod letters;
pub mod mask;
pub mod observe;
pub mod plugin;
pub mod script;
pub mod seal;
pub mod setting;
pub mod simulator;
pub mod sink;
pub mod source;
pub mod stage;
pub mod state;
pub mod transform;
