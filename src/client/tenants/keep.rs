//! What was told of tenants, and how old it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{Stale, Tenant};
use crate::failure::Failure;

/// The tenants that are remembered.
pub(super) struct Keep {
    most: usize,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    entries: HashMap<String, Arc<Entry>>,
    clock: u64,
    /// Since when the service has not answered, and the last reason.
    failing: Option<(Instant, String)>,
}

/// One tenant that somebody asked for.
#[derive(Default)]
pub(super) struct Entry {
    state: Mutex<State>,
    /// Held by whoever asks the service.
    pub asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
pub(super) struct State {
    /// As it was told last.
    pub tenant: Option<Arc<Tenant>>,
    /// When it was told, also that it is not known.
    pub at: Option<Instant>,
    /// Whether it was asked for again in the background, and there is no answer yet.
    pub renewing: bool,
    /// The last try to ask, where it came to nothing.
    pub failed: Option<(Instant, Failure)>,
    /// It is of the list before a reload.
    inherited: bool,
    used: u64,
}

impl Entry {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keep {
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            all: Mutex::default(),
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a tenant, which is made where there is none. The one that was used least recently
    /// makes room.
    pub fn entry(&self, id: &str) -> Arc<Entry> {
        let mut all = self.all();
        all.clock += 1;
        let now = all.clock;
        if let Some(entry) = all.entries.get(id) {
            entry.state().used = now;
            return entry.clone();
        }
        if all.entries.len() >= self.most {
            let oldest = all
                .entries
                .iter()
                .min_by_key(|(_, entry)| entry.state().used);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                all.entries.remove(&oldest);
            }
        }
        let entry = Arc::new(Entry::default());
        entry.state().used = now;
        all.entries.insert(id.to_owned(), entry.clone());
        entry
    }

    /// As it was told last.
    pub fn known(&self, id: &str) -> Option<Arc<Tenant>> {
        let entry = self.all().entries.get(id).cloned()?;
        entry.state().tenant.clone()
    }

    /// Whether it was made of what is said now.
    pub fn is_current(&self, id: &str) -> bool {
        let entry = self.all().entries.get(id).cloned();
        entry.is_some_and(|entry| !entry.state().inherited)
    }

    pub fn keep(&self, id: &str, tenant: Arc<Tenant>) {
        let entry = self.entry(id);
        let mut state = entry.state();
        state.tenant = Some(tenant);
        state.at = Some(Instant::now());
        state.inherited = false;
    }

    /// Takes over what another has kept, as far as it is needed for tokens and budgets: each tenant is
    /// made anew when somebody asks for it.
    pub fn inherit(&self, old: &Keep) {
        let old = old.all();
        for (id, entry) in &old.entries {
            let Some(tenant) = entry.state().tenant.clone() else {
                continue;
            };
            let heir = self.entry(id);
            let mut state = heir.state();
            state.tenant = Some(tenant);
            state.inherited = true;
        }
    }

    pub fn counts(&self) -> (usize, usize) {
        let all = self.all();
        let tenants = all.entries.values();
        let known: Vec<_> = tenants.filter_map(|it| it.state().tenant.clone()).collect();
        let organizations = known.iter().map(|tenant| tenant.organizations.len());
        (known.len(), organizations.sum())
    }

    /// The service has answered.
    pub fn well(&self) {
        self.all().failing = None;
    }

    /// It has not.
    pub fn failing(&self, why: String) {
        let mut all = self.all();
        let since = all.failing.take().map_or_else(Instant::now, |(at, _)| at);
        all.failing = Some((since, why));
    }

    pub fn stale(&self) -> Option<Stale> {
        let all = self.all();
        let (at, why) = all.failing.as_ref()?;
        Some(Stale {
            since: at.elapsed(),
            why: why.clone(),
        })
    }
}
