//! The platform's own SDK for Python, pointed at the simulator: if that takes it for the platform,
//! so will other clients.

use std::path::PathBuf;
use std::process::{Command, Output};

use trunkline::simulator::{Config, Simulator};

/// Where `.ci/servers` puts it.
fn python() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| {
            let home = std::env::var_os("HOME")?;
            Some(PathBuf::from(home).join(".cache"))
        });
    let folder = cache
        .unwrap_or_default()
        .join("trunkline/python-sdk-269.0.0");
    folder.join("bin/python")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sdk_takes_the_simulator_for_the_platform() {
    let python = python();
    assert!(
        python.exists(),
        "{} is missing: run .ci/servers",
        python.display()
    );
    let config = Config {
        rate: 400.0,
        conversations: Some(60),
        ..Config::default()
    };
    let integration = config.integration.id.clone();
    let simulator = Simulator::start(config).await.unwrap();
    let url = simulator.url();
    let port = url.rsplit(':').next().unwrap().to_owned();
    let run = move || -> Output {
        let mut command = Command::new(python);
        command.args([
            "-B",
            "tests/python_sdk/conformance.py",
            "127.0.0.1",
            &port,
            &integration,
        ]);
        // The SDK reads settings below the home folder.
        command.env("HOME", std::env::temp_dir().join("trunkline-no-home"));
        command.output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && out.ends_with("done\n"),
        "{out}\n{err}"
    );
    assert!(
        out.lines().filter(|line| line.starts_with("ok ")).count() >= 25,
        "{out}"
    );
    simulator.stop().await;
}
