//! Builds the plugins that the tests run, once for all of them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

const TARGET: &str = "wasm32-unknown-unknown";

/// The module of a crate of the workspace `plugins`, such as `unruly`; `unruly_wasi` is the same with
/// an import that no plugin gets.
pub fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let folder = PathBuf::from("plugins/target").join(TARGET).join("release");
        cargo(&["--package", "unruly", "--features", "wasi"]);
        let (made, kept) = (folder.join("unruly.wasm"), folder.join("unruly_wasi.wasm"));
        std::fs::copy(made, kept).unwrap();
        cargo(&["--workspace"]);
        folder
    });
    folder.join(format!("{name}.wasm"))
}

fn cargo(which: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command.args([
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--target",
        TARGET,
    ]);
    command
        .args(["--manifest-path", "plugins/Cargo.toml"])
        .args(which);
    // What is meant for the engine's own build is not meant for this one.
    command
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR");
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the plugins cannot be built; if the target is missing: `rustup target add {TARGET}` \
         (`.ci/servers` does it)\n{told}"
    );
}
