//! Who sends: tenants, their organisations, and what each of them may do.
//!
//! They are in the pipeline's file, in a file of their own, or told by a service over HTTP. Whoever
//! sends, receives or answers for a tenant asks the same [`Tenants`], so that an organisation has one
//! token and one budget of calls in a process. An [`Organization`] lives on as long as its place and
//! credentials stay the same, whatever else is told of it.
//!
//! What a service told is used until its time to live is over, asked for again before that, and used
//! beyond it while the service is away. A tenant that the service does not know is not asked for again
//! for a while. The ids of tenants come from messages: they are bounded and never become a path.

mod about;

pub use about::ABOUT;

mod config;
mod description;
mod keep;
mod organization;
mod service;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

pub use config::{Config, Content, Service, Told};
pub use description::{About, Description, Place, Policy};
pub use organization::Organization;

use keep::Keep;

use super::genesys::{Shares, sending_http};
use crate::failure::{Cause, Failure, Kind};

/// Longest id of a tenant or an organisation, in bytes.
pub const ID_BYTES: usize = 128;
/// The tenant and the organisation of a pipeline that names none and has a simulator.
pub const DEMO: &str = "demo";

/// All tenants of a pipeline. Clones are the same.
#[derive(Clone)]
pub struct Tenants(Arc<Handle>);

struct Handle {
    own: RwLock<Arc<Inner>>,
    /// Whose tenants these are since a reload.
    leader: OnceLock<Tenants>,
}

struct Inner {
    config: Config,
    told: Keep,
    simulated: Arc<OnceLock<Platform>>,
    shares: Option<Shares>,
    http: Mutex<Option<reqwest::Client>>,
    /// Nobody is asked: who is not in the file is made up.
    at_home: AtomicBool,
}

/// The simulated platform of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// All its hosts in one.
    pub url: String,
    /// Credentials that it takes.
    pub credentials: super::genesys::Credentials,
    /// The Open Messaging integration that it has.
    pub integration: String,
}

/// A tenant.
#[derive(Debug)]
pub struct Tenant {
    /// Its id.
    pub id: Arc<str>,
    /// Its organisations by their ids.
    pub organizations: BTreeMap<String, Arc<Organization>>,
    /// What is switched on or off for it.
    pub flags: Arc<BTreeMap<String, bool>>,
}

/// Why there is no such tenant or organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Nobody knows the tenant.
    UnknownTenant,
    /// The tenant has no such organisation.
    UnknownOrganization,
    /// The service is away, and has not told of this tenant before.
    Away(Failure),
}

impl From<Lookup> for Failure {
    /// Who is not known is rejected (`unknown_tenant`, `unknown_organization`), and one that could not
    /// be asked for is waited for (`tenants_away`).
    fn from(lookup: Lookup) -> Self {
        match lookup {
            Lookup::UnknownTenant => {
                Failure::rejected("unknown_tenant", "there is no tenant of this id")
            }
            Lookup::UnknownOrganization => Failure::rejected(
                "unknown_organization",
                "the tenant has no organisation of this id",
            ),
            Lookup::Away(failure) => failure,
        }
    }
}

/// That what is known of tenants may be out of date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// For how long it could not be asked for.
    pub since: Duration,
    /// The last reason.
    pub why: String,
}

impl Tenants {
    /// As a pipeline file says it. Connects to nothing yet.
    pub fn new(config: Config) -> Self {
        let shares = config.shared_budget.clone().map(Shares::new);
        let most = match &config.told {
            Told::Service(service) => service.max_tenants,
            Told::List(_) | Told::Demo => usize::MAX,
        };
        let inner = Inner {
            config,
            told: Keep::new(most),
            simulated: Arc::default(),
            shares,
            http: Mutex::default(),
            at_home: AtomicBool::new(false),
        };
        Self(Arc::new(Handle {
            own: RwLock::new(Arc::new(inner)),
            leader: OnceLock::new(),
        }))
    }

    /// The one tenant [`DEMO`], whose one organisation is the simulated platform.
    pub fn demo() -> Self {
        Self::new(Config::demo())
    }

    /// What was said.
    pub fn config(&self) -> Config {
        self.inner().config.clone()
    }

    /// Where the simulated platform of this run is. What was said first holds.
    pub fn simulate(&self, platform: Platform) {
        let _ = self.inner().simulated.set(platform);
    }

    /// From now on no service is asked: where one would be, every tenant and organisation is made up,
    /// at an address that nobody has. Whether that is so.
    pub fn stay_home(&self) -> bool {
        let inner = self.inner();
        inner.at_home.store(true, Ordering::Relaxed);
        matches!(inner.config.told, Told::Service(_))
    }

    /// From now on this one and `running` are the same, with what this one says: those who hold
    /// `running` see it too. Organisations that have the same place and credentials in both keep their
    /// tokens and budgets.
    pub fn succeed(&self, running: &Tenants) {
        if Arc::ptr_eq(&self.0, &running.0) {
            return;
        }
        let (new, old) = (self.inner(), running.inner());
        if new.config != old.config {
            new.told.inherit(&old.told);
            if let Some(platform) = old.simulated.get() {
                let _ = new.simulated.set(platform.clone());
            }
            running.replace(new);
        }
        let _ = self.0.leader.set(running.clone());
    }

    fn replace(&self, inner: Arc<Inner>) {
        match self.0.leader.get() {
            Some(leader) => leader.replace(inner),
            None => *self.0.own.write().unwrap_or_else(PoisonError::into_inner) = inner,
        }
    }

    fn inner(&self) -> Arc<Inner> {
        match self.0.leader.get() {
            Some(leader) => leader.inner(),
            None => {
                let own = self.0.own.read();
                own.unwrap_or_else(PoisonError::into_inner).clone()
            }
        }
    }

    /// A tenant.
    ///
    /// # Errors
    /// Never [`Lookup::UnknownOrganization`].
    pub async fn tenant(&self, id: &str) -> Result<Arc<Tenant>, Lookup> {
        if !is_id(id) {
            return Err(Lookup::UnknownTenant);
        }
        let inner = self.inner();
        match &inner.config.told {
            Told::List(list) => {
                let description = list.get(id).ok_or(Lookup::UnknownTenant)?;
                inner.listed(id, description)
            }
            Told::Demo if id != DEMO => Err(Lookup::UnknownTenant),
            Told::Demo => {
                let platform = inner.simulated.get();
                let integration = platform.map(|platform| platform.integration.clone());
                inner.listed(id, &Description::demo(integration))
            }
            Told::Service(_) if inner.at_home.load(Ordering::Relaxed) => {
                inner.meet(id, &Description::default())
            }
            Told::Service(service) => service::tenant(&inner, service, id).await,
        }
    }

    /// An organisation of a tenant.
    ///
    /// # Errors
    /// When there is none, or nobody can be asked.
    pub async fn organization(&self, tenant: &str, id: &str) -> Result<Arc<Organization>, Lookup> {
        let inner = self.inner();
        let is_told = matches!(inner.config.told, Told::Service(_));
        let tenant = match is_told && inner.at_home.load(Ordering::Relaxed) {
            true if !is_id(tenant) => return Err(Lookup::UnknownTenant),
            true => inner.meet(tenant, &Description::made_up(id))?,
            false => self.tenant(tenant).await?,
        };
        let found = tenant.organizations.get(id);
        found.cloned().ok_or(Lookup::UnknownOrganization)
    }

    /// Whether a flag is switched on for a tenant; for one that nobody knows none is.
    ///
    /// # Errors
    /// Transient (`tenants_away`): nobody can be asked.
    pub async fn has_flag(&self, tenant: &str, flag: &str) -> Result<bool, Failure> {
        match self.tenant(tenant).await {
            Ok(tenant) => Ok(tenant.flags.get(flag).copied().unwrap_or(false)),
            Err(Lookup::Away(failure)) => Err(failure),
            Err(Lookup::UnknownTenant | Lookup::UnknownOrganization) => Ok(false),
        }
    }

    /// The organisation, if it is known without asking anybody.
    pub fn known(&self, tenant: &str, id: &str) -> Option<Arc<Organization>> {
        let tenant = self.inner().told.known(tenant)?;
        tenant.organizations.get(id).cloned()
    }

    /// Tenants and organisations that are known now.
    pub fn counts(&self) -> (usize, usize) {
        self.inner().told.counts()
    }

    /// Whether what is known may be out of date; `None` when all is well.
    pub fn stale(&self) -> Option<Stale> {
        self.inner().told.stale()
    }

    /// Why the budgets that workers share are not shared now; `None` when all is well.
    pub fn unshared(&self) -> Option<String> {
        self.inner().shares.as_ref().and_then(Shares::away)
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tenants, organizations) = self.counts();
        write!(out, "Tenants({tenants} with {organizations} organisations)")
    }
}

impl Inner {
    /// A tenant whose description is here.
    fn listed(&self, id: &str, description: &Description) -> Result<Arc<Tenant>, Lookup> {
        match self.told.known(id) {
            Some(tenant) if self.told.is_current(id) => Ok(tenant),
            _ => self.meet(id, description),
        }
    }

    /// Makes a tenant of a description, with those of its organisations that are there already.
    fn meet(&self, id: &str, description: &Description) -> Result<Arc<Tenant>, Lookup> {
        let http = self.http().map_err(Lookup::Away)?;
        let old = self.told.known(id);
        let (id, flags): (Arc<str>, _) = (id.into(), Arc::new(description.flags.clone()));
        let mut organizations = BTreeMap::new();
        for (name, about) in &description.organizations {
            let before = old.as_ref().and_then(|old| old.organizations.get(name));
            let world = organization::World {
                http: &http,
                simulated: self.simulated.get(),
                shares: self.shares.as_ref(),
                made_up: self.at_home.load(Ordering::Relaxed)
                    && matches!(self.config.told, Told::Service(_)),
            };
            let made = Organization::make((&id, name), about, &flags, before, world);
            organizations.insert(name.clone(), made.map_err(Lookup::Away)?);
        }
        let tenant = Arc::new(Tenant {
            id: id.clone(),
            organizations,
            flags,
        });
        self.told.keep(&id, tenant.clone());
        Ok(tenant)
    }

    /// The connections that all organisations share.
    fn http(&self) -> Result<reqwest::Client, Failure> {
        let mut http = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(http) = &*http {
            return Ok(http.clone());
        }
        let made = sending_http()?;
        *http = Some(made.clone());
        Ok(made)
    }
}

/// Whether this can be the id of a tenant or an organisation: 1 to [`ID_BYTES`] bytes without control
/// characters and slashes, and no step of a path.
pub fn is_id(id: &str) -> bool {
    let plain = |c: char| !c.is_control() && c != '/' && c != '\\';
    (1..=ID_BYTES).contains(&id.len()) && id.chars().all(plain) && id != "." && id != ".."
}

/// A lookup that may go well later.
fn away(message: String, retry_after: Option<Duration>) -> Failure {
    let mut cause = Cause::new("tenants_away", message);
    cause.retry_after = retry_after;
    Failure::new(Kind::Transient, cause)
}
