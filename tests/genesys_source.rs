//! The source `genesys_websocket`, through the public trait: against the simulator, and against a
//! small platform of the test's own for what the simulator does not do.

#[path = "genesys_source/bench.rs"]
mod bench;
#[path = "genesys_source/frames.rs"]
mod frames;
#[path = "genesys_source/life.rs"]
mod life;
#[path = "genesys_source/looks.rs"]
mod looks;
#[path = "genesys_source/platform.rs"]
mod platform;
#[path = "genesys_source/restart.rs"]
mod restart;
#[path = "genesys_source/sharing.rs"]
mod sharing;
