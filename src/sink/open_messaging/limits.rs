//! The limits of each organisation, as its tenant has them at the time.

use futures::future::BoxFuture;
use std::sync::Arc;

use crate::client::tenants::{Organization, Tenants};
use crate::layer::{KeyLimits, Limits, Pace};

/// Asks the tenants from moment to moment: what they say may change while messages wait.
pub(super) struct OfTenants(pub Tenants);

impl Limits for OfTenants {
    fn of(&self, key: &str) -> KeyLimits {
        // Ids have no slash in them; what has none or several is nobody's key.
        let Some((tenant, organization)) = key.split_once('/') else {
            return KeyLimits::default();
        };
        let turn = Turn {
            tenants: self.0.clone(),
            tenant: tenant.into(),
            organization: organization.into(),
        };
        let (tenants, tenant, organization) = (
            self.0.clone(),
            turn.tenant.clone(),
            turn.organization.clone(),
        );
        KeyLimits {
            pace: Some(Arc::new(turn)),
            concurrency: None,
            breaker: Some(Arc::new(move || {
                let known = tenants.known(&tenant, &organization);
                known.and_then(|organization| organization.breaker)
            })),
        }
    }
}

/// A place in an organisation's budget.
struct Turn {
    tenants: Tenants,
    tenant: Arc<str>,
    organization: Arc<str>,
}

impl Pace for Turn {
    fn take(&self, events: usize) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let found = self.tenants.organization(&self.tenant, &self.organization);
            // One that is not known is told so by the sink, and needs no budget for that.
            let Ok(organization): Result<Arc<Organization>, _> = found.await else {
                return;
            };
            for _ in 0..events {
                organization.client().turn().await;
            }
        })
    }
}
