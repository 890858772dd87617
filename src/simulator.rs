//! The platforms that pipelines speak to, on loopback: everything runs with no account and no network.

mod genesys;

pub use genesys::{
    Client, Config, Control, Counts, Fate, Faults, Heard, How, Integration, Limits, SendFault,
    SendFaults, Shown, Simulator, Told,
};
