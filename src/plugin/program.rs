//! From a file to a program: made a component where it is a core module, looked through, compiled.

use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use wasmtime::StoreContextMut;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, WasmStr};
use wit_component::ComponentEncoder;

use super::Refusal;
use super::engine::Machine;
use super::guest::Host;
use super::wire::{HOST, Level, TRANSFORM, VERSION};

/// Largest file of a plugin, in bytes.
pub const FILE_BYTES: u64 = 32 << 20;

/// A plugin that was compiled and asks for nothing that it cannot have.
pub struct Program {
    pub(super) machine: Machine,
    pub(super) pre: InstancePre<Host>,
    pub(super) configure: ComponentExportIndex,
    pub(super) apply: ComponentExportIndex,
    /// SHA-256 of the file's content.
    pub digest: [u8; 32],
    /// How long it took to compile.
    pub took: Duration,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Program(compiled in {:?})", self.took)
    }
}

/// What is in the file.
///
/// # Errors
/// When it is no regular file, cannot be read, or is larger than [`FILE_BYTES`].
pub fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    let explained = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Refusal::File("no such file".into()),
        kind => Refusal::File(kind.to_string()),
    };
    // Opening a pipe would wait for its writer for ever, so the kind is asked for first.
    if !std::fs::metadata(path).map_err(explained)?.is_file() {
        return Err(Refusal::File("it is not a regular file".into()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(explained)?;
    let read = file.take(FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(explained)?;
    match bytes.len() as u64 > FILE_BYTES {
        true => Err(Refusal::File("it is larger than 32 MiB".into())),
        false => Ok(bytes),
    }
}

pub(super) fn compile(
    bytes: &[u8],
    digest: [u8; 32],
    machine: &Machine,
) -> Result<Program, Refusal> {
    let from = Instant::now();
    let component = as_component(bytes, &machine.engine)?;
    let component = Component::from_binary(&machine.engine, &component)
        .map_err(|error| unfit("it is no valid component", &error))?;
    let linker = link(&component, machine)?;
    let export = transform_of(&component, machine)?;
    let pre = linker
        .instantiate_pre(&component)
        .map_err(|error| unfit("its imports do not fit `host`", &error))?;
    let interface = component.get_export_index(None, &export);
    let function = |name: &str| {
        let missing = || Refusal::Unfit(format!("its `{export}` has no `{name}`"));
        let index = component.get_export_index(Some(&interface?), name);
        Some(index.ok_or_else(missing))
    };
    let (Some(configure), Some(apply)) = (function("configure"), function("apply")) else {
        return Err(Refusal::Unfit(format!("its `{export}` is no interface")));
    };
    Ok(Program {
        machine: machine.clone(),
        pre,
        configure: configure?,
        apply: apply?,
        digest,
        took: from.elapsed(),
    })
}

fn unfit(what: &str, error: &wasmtime::Error) -> Refusal {
    // A few words of several lines: of the cause, that is, and not of every frame.
    let why = format!("{error:#}").replace('\n', " ");
    Refusal::Unfit(format!("{what}: {}", &why[..super::ears::floor(&why, 250)]))
}

/// The file as a component. A core module that was built against the interface describes it in a
/// section of its own, and is wrapped; that is what `cargo build` leaves.
fn as_component<'b>(bytes: &'b [u8], engine: &wasmtime::Engine) -> Result<Cow<'b, [u8]>, Refusal> {
    let refused = |why: &str| Refusal::Unfit(why.to_owned());
    if !bytes.starts_with(b"\0asm") || bytes.len() < 8 {
        return Err(refused("it is no WASM: it does not begin with `\\0asm`"));
    }
    // Version and layer: 16 bits each.
    match bytes[6..8] {
        [1, 0] => return Ok(bytes.into()),
        [0, 0] => {}
        _ => return Err(refused("it is WASM of a kind that is not known here")),
    }
    let why = match wrap(bytes, engine) {
        Ok(component) => return Ok(component.into()),
        Err(why) => why.replace('\n', " "),
    };
    let why = &why[..super::ears::floor(&why, 250)];
    Err(refused(&format!(
        "it is a core module that cannot be made a component: {why}"
    )))
}

fn wrap(bytes: &[u8], engine: &wasmtime::Engine) -> Result<Vec<u8>, String> {
    // The encoder takes it for granted that what it is given is whole.
    wasmtime::Module::validate(engine, bytes).map_err(|error| format!("{error:#}"))?;
    // It reads a section whose content nobody has checked, and has been seen to panic at less.
    let wrapped = std::panic::catch_unwind(|| {
        let encoder = ComponentEncoder::default().validate(true);
        encoder.module(bytes)?.encode()
    });
    match wrapped {
        Ok(wrapped) => wrapped.map_err(|error| format!("{error:#}")),
        Err(_) => Err("its description of itself is broken".to_owned()),
    }
}

/// The two functions of the host, under the name by which the component imports them. Anything else
/// that it imports is refused here.
fn link(component: &Component, machine: &Machine) -> Result<Linker<Host>, Refusal> {
    let mut linker = Linker::new(&machine.engine);
    for (name, _) in component.component_type().imports(&machine.engine) {
        let Some(version) = name.strip_prefix(HOST) else {
            return Err(Refusal::Unfit(format!(
                "it imports `{name}`; a plugin may import `{HOST}{}` and nothing else",
                spoken()
            )));
        };
        fits(name, version)?;
        let failed = |error| unfit("its imports do not fit", &error);
        let mut host = linker.instance(name).map_err(failed)?;
        host.func_wrap("log", log).map_err(failed)?;
        host.func_wrap("count", count).map_err(failed)?;
    }
    Ok(linker)
}

fn log(
    store: StoreContextMut<'_, Host>,
    (level, message): (Level, WasmStr),
) -> wasmtime::Result<()> {
    let text = message.to_str(&store)?;
    store.data().ears.log(level, &text);
    Ok(())
}

fn count(store: StoreContextMut<'_, Host>, (name, n): (WasmStr, u64)) -> wasmtime::Result<()> {
    let text = name.to_str(&store)?;
    store.data().ears.count(&text, n);
    Ok(())
}

/// The full name of the interface that it exports.
fn transform_of(component: &Component, machine: &Machine) -> Result<String, Refusal> {
    for (name, _) in component.component_type().exports(&machine.engine) {
        if let Some(version) = name.strip_prefix(TRANSFORM) {
            fits(name, version)?;
            return Ok(name.to_owned());
        }
    }
    Err(Refusal::Unfit(format!(
        "it does not export `{TRANSFORM}{}`",
        spoken()
    )))
}

fn spoken() -> String {
    format!("{}.{}.0", VERSION.0, VERSION.1)
}

/// Whether the version of an interface is one that is spoken here.
fn fits(name: &str, version: &str) -> Result<(), Refusal> {
    let mut numbers = version.split('.').map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if major == VERSION.0 && minor <= VERSION.1 => Ok(()),
        _ => Err(Refusal::Unfit(format!(
            "it speaks `{name}`, and this program version {}.{} of it",
            VERSION.0, VERSION.1
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_same_major_and_no_later_minor_fit() {
        for (version, fit) in [
            ("1.0.0", true),
            ("1.0.7", true),
            ("1.1.0", false),
            ("2.0.0", false),
            ("0.9.0", false),
            ("", false),
            ("x", false),
        ] {
            assert_eq!(fits("x", version).is_ok(), fit, "{version}");
        }
    }
}
