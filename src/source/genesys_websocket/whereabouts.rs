//! Where the platform of a run is, and as whom it is spoken to.

use super::config::{Config, Host};
use super::memory;
use crate::client::genesys::{Credentials, Endpoints};
use crate::failure::Failure;
use crate::layer::{Simulated, SourceContext};
use crate::seal::Keyring;
use crate::setting::Secret;

/// Hosts, credentials, and the address of the socket of events.
pub(super) fn whereabouts(
    config: &Config,
    simulator: Option<&Simulated>,
) -> Result<(Endpoints, Credentials, String), Failure> {
    const EVENTS: &str = "/api/v2/events";
    let wrong = |error| Failure::fatal("genesys_endpoint", format!("{error}"));
    let given = || {
        let none = || Failure::fatal("genesys_auth", "there are no credentials");
        config.auth.clone().ok_or_else(none)
    };
    match &config.host {
        Host::At(url) => {
            let endpoints = Endpoints::at(url).map_err(wrong)?;
            let events = endpoints.socket(EVENTS);
            Ok((endpoints, given()?, events))
        }
        Host::Region(region, environment) => {
            let endpoints = Endpoints::region(region).map_err(wrong)?;
            let events = match environment {
                Some(name) => format!("wss://{name}.mypurecloud.com{EVENTS}"),
                None => endpoints.socket(EVENTS),
            };
            Ok((endpoints, given()?, events))
        }
        Host::Simulator => {
            let none = "neither a region nor an endpoint is named, and the run has no simulator";
            let simulated = simulator.ok_or_else(|| Failure::fatal("genesys_simulator", none))?;
            let endpoints = Endpoints::at(&simulated.url).map_err(wrong)?;
            let credentials = Credentials {
                client_id: simulated.client_id.clone(),
                client_secret: Secret::new(&simulated.client_secret),
            };
            let events = endpoints.socket(EVENTS);
            Ok((endpoints, credentials, events))
        }
    }
}

/// What seals the channels beside the checkpoint, where they are kept at all.
pub(super) fn sealer(
    config: &Config,
    context: &SourceContext,
    auth: &Credentials,
) -> Option<Keyring> {
    // The shared form is the one that can be away.
    let ours = context.store.is_durable() && context.store.away().is_none();
    (config.reuse_channels && ours)
        .then(|| memory::sealer(auth))
        .flatten()
}
