//! Any text through the mask: doing it twice is doing it once, and nothing that can be detected is
//! left over.

use trunkline::mask::{Action, Class, Classes, Key, Masker, Outcome, detect};

const STAND_IN: &str = "[hidden]";

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut found = Vec::new();
    detect(text, Classes::ALL_DETECTABLE, &mut found);
    let mut reached = 0;
    for one in &found {
        assert!(one.start >= reached && one.end > one.start, "{one:?}");
        assert!(text.is_char_boundary(one.start) && text.is_char_boundary(one.end));
        reached = one.end;
    }
    let key = Key::new(&[7; 32]).unwrap();
    for action in [
        Action::Mask,
        Action::Drop,
        Action::Replace(STAND_IN.to_owned()),
        Action::Hash(key),
    ] {
        let rules = Class::ALL.map(|class| (class, action.clone()));
        let masker = Masker::new(rules).unwrap();
        let once = masker.scrub(text);
        assert!(once.is_some() || found.is_empty() || !matches!(action, Action::Replace(_)));
        let once = once.unwrap_or_else(|| text.to_owned());
        assert_eq!(
            masker.scrub(&once),
            None,
            "{text:?} -> {once:?} by {action:?}"
        );
        if let Action::Replace(_) = action {
            found.clear();
            detect(&once, Classes::ALL_DETECTABLE, &mut found);
            assert!(found.is_empty(), "{text:?} -> {once:?} with {found:?}");
        }
        for class in Class::ALL {
            if let Outcome::Replaced(once) = masker.value(class, text) {
                let twice = masker.value(class, &once);
                assert_eq!(
                    twice,
                    Outcome::Unchanged,
                    "{text:?} -> {once:?} as {class:?}"
                );
            }
        }
    }
}
