//! What a pipeline file says about a sink `open_messaging`.

use super::message::Fields as Paths;
use crate::client::statuses::Statuses;
use crate::client::tenants::Tenants;
use crate::event::Path;
use crate::layer::{Kept, KeyedPolicy, VisitPaths};
use crate::setting::Fields;

/// The fields of the sink `open_messaging`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `fields`: where everything is found in the event.
    pub(super) fields: Paths,
    /// `use_existing_conversation`: a message that names no conversation joins the one that is open
    /// with its recipient; default false.
    pub existing: bool,
    /// `accepted`: tell also that a message was accepted, before it is sent; default true.
    pub accepted: bool,
    /// `statuses`: who keeps the status of each message.
    pub statuses: Statuses,
    /// `api`: conversations can be opened, read, written to and closed over the pipeline's interface;
    /// default false, since whoever may ask there can write to customers.
    pub api: bool,
    pub(super) tenants: Option<Tenants>,
}

impl Config {
    /// Reads the fields of the component; all mistakes go into the report.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let mut paths = Paths::default();
        fields.section("fields", "`fields`", |f| {
            for (name, path) in paths.all() {
                if let Some(said) = f.optional::<Path>(name) {
                    if said.is_multiple() {
                        let message = format!("`{name}` is one value, and `[]` means several");
                        f.error("bad-field-path", f.span_of(name), message);
                    }
                    *path = said;
                }
            }
            Some(())
        });
        let existing = fields.or("use_existing_conversation", false);
        let accepted = fields.or("accepted", true);
        let statuses = Statuses::check(fields);
        let api = fields.or("api", false);
        Some(Self {
            fields: paths,
            existing,
            accepted,
            statuses: statuses?,
            api,
            tenants: None,
        })
    }

    /// Hands it the tenants that it sends for.
    pub fn meet(&mut self, tenants: &Tenants) {
        self.tenants = Some(tenants.clone());
    }

    /// Shows its paths.
    pub fn paths(&mut self, visit: VisitPaths<'_>) {
        for (_, path) in self.fields.all() {
            visit(path);
        }
    }

    /// What becomes of what it answered.
    pub fn kept(&self) -> Kept {
        Kept::Lasting {
            idempotent: None,
            limit: Some(
                "what was sent is not sent again; what nobody knows of is sent again or set aside, \
                 as the tenant's policy says",
            ),
        }
    }

    /// By what its limits are kept apart, and what goes in turn.
    pub fn apart(&self) -> KeyedPolicy {
        let fields = &self.fields;
        let id = format!("{}.id", fields.recipient).parse();
        let mut order_by = vec![fields.conversation.clone()];
        order_by.extend(id.ok());
        order_by.push(fields.recipient.clone());
        KeyedPolicy {
            key: fields.organization.clone(),
            within: Some(fields.tenant.clone()),
            max_keys: KeyedPolicy::MAX_KEYS,
            order_by,
        }
    }
}
