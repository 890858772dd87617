//! From a text to a program.

use std::thread;

use vrl::compiler::state::ExternalEnv;
use vrl::compiler::{CompileConfig, Program, compile_with_external};
use vrl::diagnostic::DiagnosticList;
use vrl::path::OwnedTargetPath;
use vrl::value::Kind;
use vrl::value::kind::Collection;

use super::tell::tell;
use super::{CODE, Purpose, SOURCE_BYTES, Source, functions, metadata, nesting};
use crate::diagnostic::Report;

/// What the compiler may use of its stack: it calls itself for what is nested.
const STACK: usize = 16 << 20;

/// The program of a text; everything that is wrong with it goes into the report.
pub(super) fn compile(
    source: Source<'_>,
    purpose: Purpose,
    report: &mut Report,
) -> Option<Program> {
    let text = source.text();
    if text.len() > SOURCE_BYTES {
        let message = "the program is longer than 64 KiB";
        report.error("too-large", source.span(), message);
        return None;
    }
    if let Some(excess) = nesting::excess(text) {
        report.error("too-complex", source.span(), excess);
        return None;
    }
    let Some(compiled) = aside(|| read(text, purpose)) else {
        let message = "VRL's compiler gave up on this program";
        report.error(CODE, source.span(), message);
        return None;
    };
    let (program, warnings) = match compiled {
        Ok(compiled) => compiled,
        Err(errors) => {
            tell(errors, source, purpose, report);
            return None;
        }
    };
    tell(warnings, source, purpose, report);
    let before = report.errors();
    metadata::check(&program.info().target_queries, source.span(), report);
    if purpose == Purpose::Ask {
        check_answer(&program, source, report);
    }
    (report.errors() == before).then_some(program)
}

/// Compiles on a thread with enough of a stack; `None` when it panics.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("vrl".to_owned())
            .stack_size(STACK);
        thread.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

fn read(text: &str, purpose: Purpose) -> Result<(Program, DiagnosticList), DiagnosticList> {
    let mut config = CompileConfig::default();
    match purpose {
        Purpose::Change => config.set_read_only_path(OwnedTargetPath::metadata_root(), true),
        Purpose::Ask => config.set_read_only(),
    }
    let body = Kind::object(Collection::any());
    let external = ExternalEnv::new_with_kind(body, metadata::kind());
    let compiled = compile_with_external(text, &functions::offered(purpose), &external, config)?;
    Ok((compiled.program, compiled.warnings))
}

/// A condition answers in any case, and with a boolean.
fn check_answer(program: &Program, source: Source<'_>, report: &mut Report) {
    let info = program.info();
    let answer = program.final_type_info().result;
    if !answer.kind().is_boolean() {
        let message = format!("the condition is not a boolean: it is {}", answer.kind());
        let hint = "compare with something, or coerce it: `bool(.x) ?? false`";
        report.error(CODE, source.span(), message).hint(hint);
    }
    if info.abortable {
        let message = "a condition cannot `abort`: it holds or it does not";
        report.error(CODE, source.span(), message);
    }
    if info.fallible || answer.is_fallible() {
        let message = "the condition can fail when it runs";
        let hint = "say what holds then: `?? false` in place of `!`";
        report.error(CODE, source.span(), message).hint(hint);
    }
}
