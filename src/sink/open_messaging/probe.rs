//! What a look at the platform shows before anything is sent.

use std::time::Instant;

use futures::StreamExt;

use super::{Config, plain_code};
use crate::client::genesys::SendError;
use crate::client::tenants::{Lookup, Organization, Place, Tenants, Told};
use crate::layer::{Finding, Grade};

/// Organisations that are looked at, and at once; and integrations of each.
const MOST: usize = 100;
const AT_ONCE: usize = 8;
const MOST_INTEGRATIONS: usize = 10;
/// A tenant that a service is asked for: that it knows none of this name is an answer as well.
const NOBODY: &str = "trunkline-probe";

impl Config {
    /// Looks, without sending anything, whether the platform takes the credentials of each organisation
    /// of the file and has its integrations, and how long that takes; of a tenant service, whether it
    /// answers as it should.
    pub async fn probe(&self) -> Vec<Finding> {
        let Some(tenants) = &self.tenants else {
            return vec![Finding::new(Grade::Error, "there are no tenants")];
        };
        match tenants.config().told {
            Told::Demo => vec![simulated("the platform")],
            Told::Service(_) => vec![service(tenants).await],
            Told::List(list) => {
                let all = list.iter().flat_map(|(tenant, told)| {
                    let of = told.organizations.iter();
                    of.map(move |(id, about)| (tenant.clone(), id.clone(), about.place.clone()))
                });
                let all: Vec<_> = all.collect();
                let beyond = all.len().saturating_sub(MOST);
                let looks = all
                    .into_iter()
                    .take(MOST)
                    .map(|(tenant, id, place)| async move {
                        match place {
                            Place::Simulator => vec![simulated(&format!("`{tenant}/{id}`"))],
                            Place::Region(_) | Place::At(_) => {
                                organization(tenants, &tenant, &id).await
                            }
                        }
                    });
                let looks = futures::stream::iter(looks).buffered(AT_ONCE);
                let mut found = looks.collect::<Vec<_>>().await.concat();
                if beyond > 0 {
                    let message = format!("{beyond} more organisations were not looked at");
                    found.push(Finding::new(Grade::Unknown, message));
                }
                found
            }
        }
    }
}

fn simulated(who: &str) -> Finding {
    let message = format!("{who} is simulated: it starts with the run");
    Finding::new(Grade::Good, message)
}

/// Whether a service answers, and with a tenant or that it knows none.
async fn service(tenants: &Tenants) -> Finding {
    let from = Instant::now();
    let answer = tenants.tenant(NOBODY).await;
    let took = from.elapsed().as_millis();
    match answer {
        Ok(_) => {
            let message =
                format!("the tenant service answers with a tenant as it should, in {took} ms");
            Finding::new(Grade::Good, message)
        }
        Err(Lookup::Away(failure)) => Finding::new(Grade::Error, failure.to_string()),
        Err(Lookup::UnknownTenant | Lookup::UnknownOrganization) => {
            let message = format!(
                "the tenant service answers in {took} ms; it knows no tenant `{NOBODY}`, which nobody \
                 is, so how it tells of one was not seen"
            );
            Finding::new(Grade::Good, message)
        }
    }
}

async fn organization(tenants: &Tenants, tenant: &str, id: &str) -> Vec<Finding> {
    let who = format!("`{tenant}/{id}`");
    let error = |why: String| vec![Finding::new(Grade::Error, format!("{who}: {why}"))];
    let organization = match tenants.organization(tenant, id).await {
        Ok(organization) => organization,
        Err(lookup) => {
            let failure: crate::failure::Failure = lookup.into();
            return error(failure.to_string());
        }
    };
    let from = Instant::now();
    if let Err(failure) = organization.client().token().await {
        return error(failure.to_string());
    }
    let took = from.elapsed().as_millis();
    let message = format!("{who}: the platform takes the credentials, in {took} ms");
    let mut found = vec![Finding::new(Grade::Good, message)];
    for integration in organization.integrations().iter().take(MOST_INTEGRATIONS) {
        found.push(look_at(&organization, &who, integration).await);
    }
    found
}

/// Whether an integration is there. Sending needs no right to look at it.
async fn look_at(organization: &Organization, who: &str, id: &str) -> Finding {
    let from = Instant::now();
    let answer = organization.client().open_integration(id).await;
    let took = from.elapsed().as_millis();
    let (grade, told) = match answer {
        Ok(status) => {
            let status = status.as_deref().and_then(plain_code);
            match status.filter(|status| !status.eq_ignore_ascii_case("active")) {
                Some(status) => (Grade::Warning, format!("is `{status}`")),
                None => (Grade::Good, format!("is there, in {took} ms")),
            }
        }
        Err(SendError::Refused(refusal)) => match refusal.status {
            404 | 410 => (Grade::Error, "is not there".to_owned()),
            403 => {
                let told = "cannot be looked at: the credentials have no `messaging:integration:view`, \
                            which sending does not need";
                (Grade::Unknown, told.to_owned())
            }
            status => (
                Grade::Error,
                format!("cannot be read: the platform says {status}"),
            ),
        },
        Err(SendError::Unsent(failure) | SendError::Uncertain(failure)) => {
            (Grade::Error, format!("cannot be read: {failure}"))
        }
    };
    Finding::new(grade, format!("{who}: the integration `{id}` {told}"))
}
