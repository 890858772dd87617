//! An organisation: its client, and what it may do.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Platform;
use super::description::{About, Place, Policy};
use crate::client::genesys::{Client, Credentials, Endpoints, Shares};
use crate::failure::Failure;
use crate::layer::BreakerPolicy;
use crate::setting::Secret;

/// An organisation of a tenant. All that speak for it share one client.
pub struct Organization {
    /// The tenant's id.
    pub tenant: Arc<str>,
    /// Its own.
    pub id: Arc<str>,
    /// What a message that is uncertain is worth.
    pub policy: Policy,
    /// Its breaker, where it is another than the sink's.
    pub breaker: Option<BreakerPolicy>,
    /// What is switched on or off for the tenant.
    pub flags: Arc<BTreeMap<String, bool>>,
    /// What the platform signs its calls with.
    pub webhook_secret: Option<Secret>,
    integrations: Vec<String>,
    /// Nobody told of it: it may use whichever integration.
    made_up: bool,
    identity: Identity,
    client: Client,
}

/// What a client is made of: where it is another, the client is.
#[derive(Clone, PartialEq, Eq)]
struct Identity {
    place: Place,
    credentials: Credentials,
}

/// What clients are made with.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub http: &'a reqwest::Client,
    pub simulated: Option<&'a Platform>,
    pub shares: Option<&'a Shares>,
    /// Nobody told of the organisation.
    pub made_up: bool,
}

impl Organization {
    /// As it is told now. `before` gives it the client where it still is the same.
    ///
    /// # Errors
    /// Transient (`tenants_away`), where it is simulated and no platform runs, or its place cannot be
    /// used.
    pub(super) fn make(
        (tenant, id): (&Arc<str>, &str),
        about: &About,
        flags: &Arc<BTreeMap<String, bool>>,
        before: Option<&Arc<Organization>>,
        world: World<'_>,
    ) -> Result<Arc<Self>, Failure> {
        let wrong = |why: &str| super::away(format!("the organisation {id}: {why}"), None);
        let credentials = match (&about.place, &about.credentials, world.simulated) {
            (Place::Simulator, _, Some(platform)) => platform.credentials.clone(),
            (Place::Simulator, _, None) => return Err(wrong("no simulated platform runs")),
            (_, Some(credentials), _) => credentials.clone(),
            (_, None, _) => return Err(wrong("it has no credentials")),
        };
        let identity = Identity {
            place: about.place.clone(),
            credentials,
        };
        let kept = before.filter(|before| before.identity == identity);
        let client = match kept {
            Some(before) => before.client.clone(),
            None => {
                let endpoints = match (&about.place, world.simulated) {
                    (Place::Region(region), _) => Endpoints::region(region),
                    (Place::At(url), _) => Endpoints::at(url),
                    (Place::Simulator, platform) => {
                        Endpoints::at(platform.map_or("", |platform| &platform.url))
                    }
                };
                let endpoints = endpoints.map_err(|bad| wrong(&bad.to_string()))?;
                let shared = world.shares.map(|shares| shares.of(tenant, id));
                Client::sending(
                    world.http.clone(),
                    endpoints,
                    identity.credentials.clone(),
                    shared,
                )
            }
        };
        client.set_rate(about.rate);
        Ok(Arc::new(Self {
            tenant: tenant.clone(),
            id: id.into(),
            policy: about.policy,
            breaker: about.breaker,
            flags: flags.clone(),
            webhook_secret: about.webhook_secret.clone(),
            integrations: about.integrations.clone(),
            made_up: world.made_up,
            identity,
            client,
        }))
    }

    /// Its client. Whoever speaks for the organisation uses this one: it holds the token and the budget.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Those that may be used; none where any may.
    pub fn integrations(&self) -> &[String] {
        &self.integrations
    }

    /// Whether this integration may be used.
    pub fn allows(&self, integration: &str) -> bool {
        let is_any = self.integrations.is_empty() || self.made_up;
        is_any || self.integrations.iter().any(|it| it == integration)
    }

    /// The integration of a message that names none: the only one that may be used.
    pub fn integration(&self) -> Option<&str> {
        match &self.integrations[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether something is switched on for the tenant; `None` where nothing is said of it.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.flags.get(name).copied()
    }
}

impl fmt::Debug for Organization {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Organization({}/{})", self.tenant, self.id)
    }
}
