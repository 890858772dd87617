//! Personal data of the input is nowhere in what a run leaves behind or says.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use crate::input::make;
use crate::place::Place;

/// Texts to look for, by their first bytes, so that each place is looked at once.
struct Needles(HashMap<[u8; 8], Vec<String>>);

impl Needles {
    fn new(texts: HashSet<String>) -> Needles {
        let mut needles: HashMap<_, Vec<String>> = HashMap::new();
        for text in texts {
            let start = text.as_bytes()[..8].try_into().unwrap();
            needles.entry(start).or_default().push(text);
        }
        Needles(needles)
    }

    fn found_in<'n>(&'n self, bytes: &[u8]) -> Option<&'n str> {
        let mut at = 0..bytes.len();
        at.find_map(|at| {
            let start: &[u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
            let mut texts = self.0.get(start)?.iter();
            texts
                .find(|text| bytes[at..].starts_with(text.as_bytes()))
                .map(String::as_str)
        })
    }
}

fn needles() -> Needles {
    let personal = make().personal;
    let numbers = personal.phones.iter().chain(&personal.cards);
    let digits = numbers
        .clone()
        .map(|number| number.chars().filter(char::is_ascii_digit).collect());
    let texts = numbers
        .chain(&personal.emails)
        .chain(&personal.others)
        .cloned();
    Needles::new(digits.chain(texts).collect())
}

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
fn nothing_of_the_input_is_left_unmasked() {
    let needles = needles();
    let shipped =
        fs::read(Path::new(crate::place::ROOT).join("examples/quickstart/1-march-2.json"));
    assert!(
        needles.found_in(&shipped.unwrap()).is_some(),
        "the search finds what is there"
    );

    let mut place = Place::new();
    place.options = vec!["--log-level", "trace"];
    let ended = place.run();
    let mut left = vec![
        ("stderr".to_owned(), ended.stderr.into_bytes()),
        ("stdout".to_owned(), ended.stdout.into_bytes()),
    ];
    files(place.folder.path(), &mut left);
    // At least warehouse, dead letters, state and summary.
    assert!(
        left.len() >= 6,
        "{:?}",
        left.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    for (name, bytes) in left {
        assert_eq!(needles.found_in(&bytes), None, "in {name}");
    }
}
