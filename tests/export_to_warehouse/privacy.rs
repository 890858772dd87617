//! Personal data of the bucket is nowhere in what a run leaves behind or says.

use std::fs;
use std::path::Path;

use memchr::memmem;

use crate::input::make;
use crate::place::{Place, shipped};

fn files(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, into),
            false => into.push((path.display().to_string(), fs::read(&path).unwrap())),
        }
    }
}

#[test]
fn nothing_of_the_bucket_is_left_unmasked() {
    let personal = make().personal;
    assert!(personal.len() > 50);
    let found = |bytes: &[u8]| {
        let mut texts = personal.iter();
        texts.find(|text| memmem::find(bytes, text.as_bytes()).is_some())
    };
    let mut bucket = Vec::new();
    files(&shipped().join("events"), &mut bucket);
    assert!(bucket.iter().any(|(_, bytes)| found(bytes).is_some()));

    let mut place = Place::new();
    place.options = vec!["--log-level", "trace"];
    let said = place.run();
    let mut left = vec![("what it said".to_owned(), said.into_bytes())];
    files(place.folder.path(), &mut left);
    // At least warehouse, dead letters, state and summary.
    assert!(left.len() >= 5);
    for (name, bytes) in left {
        assert_eq!(found(&bytes), None, "in {name}");
    }
}
