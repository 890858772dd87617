//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// What each field means.
pub const ABOUT: &[About] = &[
    (
        "tenants",
        "Who sends messages, and through which organisations.",
    ),
    (
        "tenants.shared_budget",
        "A Redis through which workers share each organisation's budget; default that of `state`.",
    ),
    (
        "tenants.service",
        "A service that tells: `GET {url}/tenants/{id}`.",
    ),
    ("tenants.service.url", "In front of `/tenants/{id}`."),
    (
        "tenants.service.token",
        "Sent as the bearer token; default none.",
    ),
    ("tenants.service.ttl", "How long an answer is good."),
    ("tenants.service.timeout", "Of one request."),
    (
        "tenants.service.negative_ttl",
        "How long nobody asks again for a tenant that is not known.",
    ),
    (
        "tenants.service.max_tenants",
        "Tenants that are remembered.",
    ),
    ("tenants.list", "Tenants, by their ids."),
    (
        "tenants.file",
        "A file of YAML or JSON with the same as `list`; read again at a reload.",
    ),
    (
        "tenants.list.organizations",
        "The tenant's organisations, by their ids.",
    ),
    (
        "tenants.list.organizations.region",
        "The domain of the region, such as `mypurecloud.ie`.",
    ),
    (
        "tenants.list.organizations.endpoint",
        "One URL for all hosts.",
    ),
    (
        "tenants.list.organizations.simulator",
        "It is the simulated platform; default false.",
    ),
    (
        "tenants.list.organizations.auth",
        "The OAuth client (client credentials).",
    ),
    (
        "tenants.list.organizations.auth.client_id",
        "The id of the OAuth client.",
    ),
    (
        "tenants.list.organizations.auth.client_secret",
        "Its secret; from a variable or a file.",
    ),
    (
        "tenants.list.organizations.integrations",
        "Ids of integrations that may be used; default any.",
    ),
    (
        "tenants.list.organizations.rate_limit",
        "Requests of the organisation; default 300 in a minute.",
    ),
    ("tenants.list.organizations.rate_limit.events", "How many."),
    ("tenants.list.organizations.rate_limit.per", "In how long."),
    (
        "tenants.list.organizations.breaker",
        "The breaker, where it is another than the sink's.",
    ),
    (
        "tenants.list.organizations.breaker.failures",
        "The share of failed requests that opens it.",
    ),
    (
        "tenants.list.organizations.breaker.window",
        "Over how long requests are counted.",
    ),
    (
        "tenants.list.organizations.breaker.min_calls",
        "Fewest requests on which it judges.",
    ),
    (
        "tenants.list.organizations.breaker.open_for",
        "How long it stays open before it tries again.",
    ),
    (
        "tenants.list.organizations.breaker.probes",
        "Requests that it tries then; all must go well.",
    ),
    (
        "tenants.list.organizations.policy",
        "A message of which nobody knows whether it was sent: `at_least_once` (default) or `at_most_once`.",
    ),
    (
        "tenants.list.organizations.webhook_secret",
        "What the platform signs its calls with; default none.",
    ),
    (
        "tenants.list.flags",
        "What is switched on or off for the tenant.",
    ),
];
