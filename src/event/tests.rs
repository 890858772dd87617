use proptest::prelude::*;

use super::*;

fn event_with(json: &str, paths: &mut [Path]) -> Event {
    let mut set = PathSet::default();
    paths.iter_mut().for_each(|path| set.intern(path));
    Event::parse(json.into(), &Arc::new(set), &Arc::default()).unwrap()
}

fn paths<const N: usize>(texts: [&str; N]) -> [Path; N] {
    texts.map(|text| text.parse().unwrap())
}

#[test]
fn an_event_is_small() {
    // Little more than a cache line and a half: a batch of a thousand stays in the second-level cache.
    assert!(size_of::<Event>() <= 104, "{}", size_of::<Event>());
}

#[test]
fn reads_by_interned_and_by_walked_path() {
    let mut p = paths([".a", ".b.c", ".b.missing", ".list[1].x", ".list[].x", "."]);
    let json = r#" { "a" : "x\u00e9\n" , "b" : {"c":-1.50e3} , "list":[{"y":1},{"x":true}] } "#;
    let event = event_with(json, &mut p);
    assert_eq!(event.text(&p[0]).unwrap(), "xé\n");
    assert_eq!(event.get(&p[1]).unwrap().as_number(), Some("-1.50e3"));
    assert_eq!(event.get(&p[1]).unwrap().as_i64(), Some(-1500));
    assert!(event.get(&p[2]).is_none());
    assert_eq!(event.get(&p[3]).unwrap().as_bool(), Some(true));
    assert_eq!(event.get(&p[4]).unwrap().as_bool(), Some(true));
    assert_eq!(event.get(&p[5]).unwrap().kind(), Kind::Object);
    assert_eq!(event.to_json(), json.trim());
}

#[test]
fn changes_cost_only_what_they_change() {
    let mut p = paths([".a", ".b.c", ".b.d", ".b", ".new", ".deep.er.x", ".b.e"]);
    let mut event = event_with(
        r#"{"a": 1, "b": {"c": "x", "d": [1,2]}, "z": null}"#,
        &mut p,
    );
    assert!(event.set(&p[0], "2"));
    assert!(event.set(&p[1], json_str("q\"uote")));
    assert!(event.remove(&p[2]));
    assert!(event.set(&p[4], "true"));
    assert!(event.set(&p[6], "7"));
    assert_eq!(event.text(&p[1]).unwrap(), "q\"uote");
    assert_eq!(event.get(&p[4]).unwrap().as_bool(), Some(true));
    assert_eq!(event.get(&p[6]).unwrap().as_i64(), Some(7));
    let expected = r#"{"a": 2, "b": {"c": "q\"uote","e":7}, "z": null,"new":true}"#;
    assert_eq!(event.to_json(), expected);
    assert!(event.set(&p[5], "\"made\""));
    assert_eq!(event.text(&p[5]).unwrap(), "made");
    assert!(event.remove(&p[3]));
    assert!(event.get(&p[1]).is_none() && event.get(&p[6]).is_none());
    assert_eq!(
        event.to_json(),
        r#"{"a": 2, "z": null,"new":true,"deep":{"er":{"x":"made"}}}"#
    );
    assert!(
        !event.set(&".a.x".parse().unwrap(), "1"),
        "a number takes no member"
    );
}

#[test]
fn removes_every_combination_of_members_and_elements() {
    for mask in 0..16u32 {
        let names = ["a", "b", "c", "d"];
        let mut event = event_with(r#"{ "a":1 , "b":[0] ,"c":{"x":1}, "d":4 }"#, &mut []);
        let mut list = event_with("[ 1 , [0] ,{\"x\":1}, 4 ]", &mut []);
        for (bit, name) in names
            .iter()
            .enumerate()
            .filter(|(bit, _)| mask >> bit & 1 == 1)
        {
            event.remove(&Path::of([*name]));
            let handle = list.body().elements().next().map(|_| ());
            assert!(handle.is_some());
            let position = bit as u32 - (mask & ((1 << bit) - 1)).count_ones();
            list.remove(&format!("[{position}]").parse().unwrap());
        }
        let kept: Vec<_> = (0..4).filter(|bit| mask >> bit & 1 == 0).collect();
        let object: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
        assert_eq!(
            object.as_object().unwrap().len(),
            kept.len(),
            "{}",
            event.to_json()
        );
        let array: serde_json::Value = serde_json::from_str(&list.to_json()).unwrap();
        assert_eq!(
            array.as_array().unwrap().len(),
            kept.len(),
            "{}",
            list.to_json()
        );
    }
}

#[test]
fn refuses_a_member_that_is_read_and_comes_twice() {
    let mut p = paths([".a.b"]);
    let mut set = PathSet::default();
    set.intern(&mut p[0]);
    let set = Arc::new(set);
    let parse = |json: &str| Event::parse(json.into(), &set, &Arc::default());
    for json in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":{"b":1,"\u0062":2}}"#,
        r#"{"a":{},"\u0061":{}}"#,
    ] {
        assert_eq!(parse(json).unwrap_err().reason, "duplicate_key", "{json}");
    }
    assert!(parse(r#"{"x":1,"x":2,"a":{"c":1,"c":2}}"#).is_ok());
}

#[test]
fn refuses_deep_nesting_without_deep_recursion() {
    let json = "[".repeat(1_000_000);
    let bad = Event::parse(json, &Arc::default(), &Arc::default()).unwrap_err();
    assert_eq!((bad.reason, bad.at), ("too_deep", MAX_DEPTH));
    let fits = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert!(Event::parse(fits, &Arc::default(), &Arc::default()).is_ok());
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map("[a-d\"é]{0,2}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn rebuilt(value: Value<'_>) -> serde_json::Value {
    match value.kind() {
        Kind::Object => value
            .members()
            .map(|(key, value)| (key.into_owned(), rebuilt(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Kind::Array => value.elements().map(rebuilt).collect::<Vec<_>>().into(),
        Kind::Text => value.as_str().unwrap().into(),
        Kind::Null => serde_json::Value::Null,
        Kind::Bool => value.as_bool().unwrap().into(),
        Kind::Number => serde_json::from_str(value.as_number().unwrap()).unwrap(),
    }
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_every_document(value in json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let event = event_with(&text.unwrap(), &mut []);
        prop_assert_eq!(rebuilt(event.body()), value);
    }

    #[test]
    fn agrees_with_serde_json_on_what_is_json(text in "[\\[\\]{}\",:0-9eE+.\\-\\\\utrfalsn \n\u{e9}]{0,24}") {
        let ours = Event::parse(text.clone(), &Arc::default(), &Arc::default());
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        // serde_json refuses numbers beyond a double's range; the grammar does not.
        let out_of_range = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
        prop_assert!(ours.is_ok() == theirs.is_ok() || out_of_range, "{:?} {:?} {:?}", text, ours, theirs);
    }

    /// Any series of changes reads and prints as the same changes to a plain tree.
    #[test]
    fn changes_agree_with_a_plain_tree(
        start in json(),
        steps in prop::collection::vec((any::<bool>(), "(\\.[a-d]){1,3}", json()), 0..8),
    ) {
        let mut model = serde_json::json!({ "a": start, "b": { "c": 1 } });
        let mut p: Vec<Path> = steps.iter().map(|(_, path, _)| path.parse().unwrap()).collect();
        let mut event = event_with(&model.to_string(), &mut p);
        for ((remove, _, value), path) in steps.iter().zip(&p) {
            let keys: Vec<&str> = path.segments().iter().map(|s| match s {
                Segment::Key(key) => key.as_str(),
                _ => unreachable!(),
            }).collect();
            if *remove {
                let parent = format!("/{}", keys[..keys.len() - 1].join("/"));
                let parent = if keys.len() == 1 { Some(&mut model) } else { model.pointer_mut(&parent) };
                let gone = parent.and_then(|p| p.as_object_mut()).and_then(|p| p.remove(keys[keys.len() - 1]));
                prop_assert_eq!(event.remove(path), gone.is_some());
            } else {
                let mut at = &mut model;
                let mut good = true;
                for key in &keys {
                    if !at.is_object() { good = false; break; }
                    at = at.as_object_mut().unwrap().entry(*key).or_insert(serde_json::json!({}));
                }
                if good { *at = value.clone(); }
                prop_assert_eq!(event.set(path, value.to_string()), good);
            }
            prop_assert_eq!(event.get(path).map(rebuilt), model.pointer(&format!("/{}", keys.join("/"))).cloned());
            prop_assert_eq!(rebuilt(event.body()), model.clone());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&event.to_json()).unwrap(), model.clone());
        }
    }
}
