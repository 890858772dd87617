//! `simulator:` of a pipeline: the platform on loopback, for runs without an account.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::common::Address;
use crate::failure::Failure;
use crate::layer::Simulated;
use crate::setting::{Fields, Share};
use crate::simulator::{Client, Config, Faults, Simulator};

/// Frames a second, where the file does not say.
const RATE: f64 = 50.0;
/// Most frames a second, and the fastest clock.
const MOST_RATE: f64 = 50_000.0;
const MOST_SPEED: f64 = 10_000.0;
/// What a source is given that asks for no account of its own.
const CLIENT: (&str, &str) = ("trunkline", "simulated");

/// `simulator:`; `None` when it is absent.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Config> {
    fields.section("simulator", "simulator", |f| {
        let address = f.optional::<Address>("address").map(|address| address.0);
        let rate = within(f, "rate", RATE, MOST_RATE);
        let speed = within(f, "speed", 1.0, MOST_SPEED);
        let default = Config::default();
        Some(Config {
            address: address.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))),
            clients: vec![Client::new(CLIENT.0, CLIENT.1)],
            seed: f.or("seed", default.seed),
            rate,
            speed,
            queues: f.or("queues", default.queues),
            users: f.or("users", default.users),
            oracle: f.optional::<PathBuf>("oracle"),
            faults: faults(f),
            ..default
        })
    })
}
