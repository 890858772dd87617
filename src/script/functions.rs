//! What a program may call.

use vrl::compiler::{Context, Function, FunctionExpression, Resolved, TypeDef, TypeState};
use vrl::path::OwnedTargetPath;
use vrl::prelude::{ArgumentList, Category, Compiled, Example, FunctionCompileContext, kind};
use vrl::value::Value;

use super::{Purpose, metadata};

const OUTSIDE: &str =
    "it reaches outside of the event: what a program makes is made of the event alone";
const FILES: &str = "it reads files that the pipeline does not know of";
const LEAKS: &str =
    "it would write what is in events, personal data too, into the log of the process";
const GROWS: &str = "a small value can be made to grow without bound by it";
const DEEP: &str = "a value that nests deep enough would end the process in it";

/// What VRL has elsewhere and is not offered here, and why.
const WITHHELD: &[(&[&str], &str)] = &[
    (
        &[
            "dns_lookup",
            "find_enrichment_table_records",
            "find_vector_metrics",
            "get_enrichment_table_record",
            "get_env_var",
            "get_hostname",
            "get_secret",
            "get_timezone_name",
            "get_vector_metric",
            "aggregate_vector_metrics",
            "http_request",
            "remove_secret",
            "reverse_dns",
            "set_secret",
            "set_semantic_meaning",
        ],
        OUTSIDE,
    ),
    (
        &[
            "encode_proto",
            "parse_etld",
            "parse_groks",
            "parse_proto",
            "validate_json_schema",
        ],
        FILES,
    ),
    (&["log"], LEAKS),
    (
        &[
            "decode_gzip",
            "decode_lz4",
            "decode_snappy",
            "decode_zlib",
            "decode_zstd",
        ],
        GROWS,
    ),
    (&["parse_ruby_hash", "parse_xml", "unflatten"], DEEP),
];

/// Why a function is not offered; none where it is, or is not known at all.
pub(super) fn withheld(name: &str, purpose: Purpose) -> Option<&'static str> {
    if name == NOW && purpose == Purpose::Ask {
        return Some("a condition has no clock: compare times in a `remap`");
    }
    let found = WITHHELD.iter().find(|(names, _)| names.contains(&name));
    found.map(|(_, why)| *why)
}

/// All that are.
pub(super) fn offered(purpose: Purpose) -> Vec<Box<dyn Function>> {
    let mut all = vrl::stdlib::all();
    all.retain(|it| it.identifier() != NOW && withheld(it.identifier(), purpose).is_none());
    if purpose == Purpose::Change {
        all.push(Box::new(Now));
    }
    all
}

const NOW: &str = "now";

/// The time of the run's clock.
#[derive(Clone, Copy, Debug)]
struct Now;

impl Function for Now {
    fn identifier(&self) -> &'static str {
        NOW
    }

    fn usage(&self) -> &'static str {
        "Returns the time of the run's clock, the same for all of an event."
    }

    fn category(&self) -> &'static str {
        Category::Timestamp.as_ref()
    }

    fn return_kind(&self) -> u16 {
        kind::TIMESTAMP
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(&self, _: &TypeState, _: &mut FunctionCompileContext, _: ArgumentList) -> Compiled {
        let path = metadata::clock();
        Ok(NowCall { path }.as_expr())
    }
}

/// A call of it. The clock is told by the target, under a name that no program can have.
#[derive(Clone, Debug)]
struct NowCall {
    path: OwnedTargetPath,
}

impl FunctionExpression for NowCall {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let told = context.target().target_get(&self.path);
        Ok(told.ok().flatten().cloned().unwrap_or(Value::Null))
    }

    fn type_def(&self, _: &TypeState) -> TypeDef {
        TypeDef::timestamp().impure()
    }
}
