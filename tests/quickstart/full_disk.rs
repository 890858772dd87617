//! A disk that is full stops the run, and a later run goes on.

use std::fs;
use std::process::Command;

use crate::place::{Ended, Place, assert_same};

fn assert_completes(place: &Place) {
    let undisturbed = Place::new();
    undisturbed.run();
    place.run();
    assert_same(&place.facts(), &undisturbed.facts());
    assert_eq!(place.letters(), undisturbed.letters());
}

#[test]
fn dead_letters_on_a_full_disk_stop_the_run() {
    let mut place = Place::new();
    let good = place.path("DEAD_LETTERS").to_owned();
    place.set("DEAD_LETTERS", "/dev/full".into());
    let ended = Ended::of(place.command().output().unwrap());
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("no room for more in `/dev/full`"),
        "{}",
        ended.stderr
    );
    place.set("DEAD_LETTERS", good);
    assert_completes(&place);
}

/// Files may not grow past so many blocks of 512 bytes, which a write meets as it meets a full disk.
fn limited(place: &Place, blocks: u32) -> Ended {
    let binary = env!("CARGO_BIN_EXE_trunkline");
    let line = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" run --summary \"$1\" \"$2\"");
    let mut command = Command::new("bash");
    command
        .args(["-c", &line, binary])
        .arg(place.summary_file())
        .arg(&place.pipeline);
    place.surround(&mut command);
    Ended::of(command.output().unwrap())
}

#[test]
fn files_that_cannot_grow_stop_the_run() {
    let place = Place::with(&[("batch_events: 500", "batch_events: 200")]);
    for blocks in [1, 1000, 1500] {
        let ended = limited(&place, blocks);
        println!("{blocks}: {:?} {}", ended.code, ended.stderr);
        assert_eq!(ended.code, Some(1), "{blocks}: {}", ended.stderr);
    }
    let undisturbed = Place::with(&[("batch_events: 500", "batch_events: 200")]);
    undisturbed.run();
    place.run();
    assert_same(&place.facts(), &undisturbed.facts());
    assert_eq!(place.letters(), undisturbed.letters());
}

/// On a file system of so many KiB, which lives as long as the command: what is left on it is then
/// copied to where it belongs. `None` where this user may not mount.
fn on_small_disk(place: &Place, kibibytes: u32) -> Option<Ended> {
    let can_mount = |script: &str| {
        let tried = Command::new("unshare")
            .args(["-rm", "bash", "-c", script])
            .output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    if !can_mount("mount -t tmpfs tmpfs /mnt") {
        return None;
    }
    let (small, out) = (
        place.folder.path().join("small"),
        place.folder.path().join("out"),
    );
    fs::create_dir_all(&small).unwrap();
    fs::create_dir_all(&out).unwrap();
    let script = format!(
        "mount -t tmpfs -o size={kibibytes}k tmpfs \"$3\" && \"$0\" run --summary \"$1\" \"$2\"; \
         code=$?; cp -a \"$3/.\" \"$4/\"; exit $code"
    );
    let mut command = Command::new("unshare");
    command.args([
        "-rm",
        "bash",
        "-c",
        &script,
        env!("CARGO_BIN_EXE_trunkline"),
    ]);
    command
        .arg(place.summary_file())
        .arg(&place.pipeline)
        .arg(&small)
        .arg(&out);
    place.surround(&mut command);
    command.env("WAREHOUSE", small.join("warehouse.db"));
    Some(Ended::of(command.output().unwrap()))
}

#[test]
fn a_warehouse_on_a_full_disk_stops_the_run() {
    let place = Place::new();
    let Some(ended) = on_small_disk(&place, 900) else {
        println!("no file system can be mounted here: nothing was tried");
        return;
    };
    println!("{}", ended.stderr);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("full"), "{}", ended.stderr);
    assert_completes(&place);
}
