//! `enabled:` of a component: a feature that is switched on and off by a variable, for some events, or by
//! a flag of their tenant.

use crate::client::tenants::{ID_BYTES, Tenants};
use crate::condition::Condition;
use crate::event::Path;
use crate::setting::{Fields, Node, Setting, Shape, Value};

/// Whether a component does what it is there for.
#[derive(Clone, Debug, Default)]
pub enum Enabled {
    /// It does.
    #[default]
    Always,
    /// A source is not read, a transform hands on what it is given, and a sink drops it, counted as
    /// `disabled`. Nothing is opened.
    Never,
    /// It does so for events for which this holds, and for others it is as [`Enabled::Never`]. Events
    /// of which some go through a transform and others by may change places.
    When(Condition),
    /// The same for events of tenants that have this flag.
    Flag(Flag),
}

/// A flag of the tenant that an event is of.
#[derive(Clone, Debug)]
pub struct Flag {
    /// `flag`: its name.
    pub name: String,
    /// `tenant`: where the id of the tenant is; default `.tenantId`.
    pub tenant: Path,
    /// Who knows.
    pub tenants: Tenants,
}

impl Flag {
    fn read(f: &mut Fields<'_>) -> Option<Self> {
        let name = f.optional::<String>("flag");
        if name
            .as_ref()
            .is_some_and(|name| !(1..=ID_BYTES).contains(&name.len()))
        {
            let message = format!("the name of a flag has 1 to {ID_BYTES} bytes");
            f.error("out-of-range", f.span_of("flag"), message);
        }
        let tenant = f.or("tenant", Path::of(["tenantId"]));
        if tenant.is_multiple() {
            let message = "`tenant` is one value, and `[]` means several";
            f.error("bad-field-path", f.span_of("tenant"), message);
        }
        Some(Self {
            name: name?,
            tenant,
            tenants: Tenants::demo(),
        })
    }
}

impl Enabled {
    /// `enabled: true`, `false`, `{ set: "${NAME:-}" }` or `{ unset: "${NAME:-}" }` (whether a variable
    /// is there), or where a component is given events `{ when: CONDITION }` or
    /// `{ flag: NAME, tenant: PATH }`.
    pub(super) fn read(fields: &mut Fields<'_>, is_given_events: bool) -> Self {
        fields.takes("enabled", bool::shape);
        let Some(node) = fields.node("enabled") else {
            return Self::Always;
        };
        match node.value {
            Value::Map(_) => {
                let read = |f: &mut Fields<'_>| Some(Self::of(f, is_given_events));
                fields
                    .section("enabled", "enabled", read)
                    .unwrap_or_default()
            }
            _ => Self::from_bool(bool::read(node, fields.report()).unwrap_or(true)),
        }
    }

    fn from_bool(enabled: bool) -> Self {
        match enabled {
            true => Self::Always,
            false => Self::Never,
        }
    }

    fn of(f: &mut Fields<'_>, is_given_events: bool) -> Self {
        let is_set = |node: &Node| !node.is_unset() && node.as_text() != Some("");
        f.takes("set", || Shape::Any);
        f.takes("unset", || Shape::Any);
        f.takes("when", Condition::shape);
        let set = f.node("set").map(is_set);
        let unset = f.node("unset").map(|node| !is_set(node));
        let when = f.node("when").map(|_| f.optional::<Condition>("when"));
        let flag = f.has("flag").then(|| Flag::read(f));
        for (asks, name) in [(when.is_some(), "when"), (flag.is_some(), "flag")] {
            if asks && !is_given_events {
                let message = "a source cannot ask events that it has not read";
                f.error("conflicting-fields", f.span_of(name), message)
                    .hint("filter behind it");
            }
        }
        match (set, unset, when, flag) {
            (Some(enabled), None, None, None) | (None, Some(enabled), None, None) => {
                Self::from_bool(enabled)
            }
            // What is wrong with these is reported.
            (None, None, Some(when), None) => when.map_or(Self::Always, Self::When),
            (None, None, None, Some(flag)) => flag.map_or(Self::Always, Self::Flag),
            _ => {
                let message =
                    "`enabled` is `true`, `false`, or one of `set`, `unset`, `when` and `flag`";
                f.error("conflicting-fields", f.span(), message);
                Self::Always
            }
        }
    }

    pub(super) fn is_never(&self) -> bool {
        matches!(self, Self::Never)
    }

    /// Hands it the tenants whose flags it asks for. Says whether it does.
    pub(super) fn meet(&mut self, tenants: Option<&Tenants>) -> bool {
        let Self::Flag(flag) = self else { return false };
        if let Some(tenants) = tenants {
            flag.tenants = tenants.clone();
        }
        true
    }

    /// Shows its paths, so that they can be interned.
    pub(super) fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        match self {
            Self::When(condition) => condition.paths(visit),
            Self::Flag(flag) => visit(&mut flag.tenant),
            Self::Always | Self::Never => {}
        }
    }
}
