//! The laws of masking, checked on generated text by code that shares nothing with the detector.

use std::hint::black_box;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn masker(action: &Action) -> Masker {
    let detectable = Class::ALL.map(|class| (class, action.clone()));
    Masker::new(detectable).unwrap()
}

fn actions() -> [Action; 4] {
    let key = Key::new(b"a key of sixteen bytes or more").unwrap();
    [
        Action::Mask,
        Action::Drop,
        Action::Hash(key),
        Action::Replace("[hidden]".into()),
    ]
}

fn scrubbed(text: &str) -> String {
    masker(&Action::Mask)
        .scrub(text)
        .unwrap_or_else(|| text.to_owned())
}

#[test]
fn personal_data_in_sentences_is_masked() {
    for (text, expected) in [
        ("Call +14155551234 now", "Call +1***-***-1234 now"),
        (
            "Call (415) 555-1234, or 415-555-1234.",
            "Call ***-***-1234, or ***-***-1234.",
        ),
        (
            "Ruf 0170/1234567 oder +49 170 1234567 an!",
            "Ruf ***-***-4567 oder +49***-***-4567 an!",
        ),
        ("電話番号は09012345678です", "電話番号は***-***-5678です"),
        ("電話：０９０－１２３４－５６７８。", "電話：***-***-5678。"),
        ("اتصل على ٠٥٠١٢٣٤٥٦٧ الآن", "اتصل على ***-***-4567 الآن"),
        (
            "Llama al 612 34 56 78 o al 912 345 678",
            "Llama al ***-***-5678 o al ***-***-5678",
        ),
        (
            "*4155551234* and _(415) 555-1234_",
            "****-***-1234* and _***-***-1234_",
        ),
        ("mailto:jo@example.com?x", "mailto:j***@***.com?x"),
        (
            "card 4111 1111 1111 1111, cvv 123",
            "card ****-****-****-1111, cvv 123",
        ),
        (
            "from 203.0.113.195:443 and [2001:db8::1]",
            "from 203.0.***.***:443 and [2001:***]",
        ),
        (
            "see https://rec.example.com/1?tel=%2B14155551234.",
            "see https://***.",
        ),
        (
            "on 2026-01-31 10:30 call 415-555-1234",
            "on 2026-01-31 10:30 call ***-***-1234",
        ),
        (
            "+1 415 555 1234 415 555 9876",
            "+1***-***-1234 ***-***-9876",
        ),
        ("0170 1234567 0171 7654321", "***-***-4567 ***-***-4321"),
        (
            "+1 (415) 555-1234 ext. 77; fax same",
            "+1***-***-1234; fax same",
        ),
        ("(+49) 170 1234567", "+49***-***-4567"),
        ("(+49 170 1234567)", "(+49***-***-4567)"),
    ] {
        assert_eq!(scrubbed(text), expected);
    }
}

#[test]
fn identifiers_dates_and_half_masked_values_stay() {
    let masker = masker(&Action::Mask);
    for text in [
        "550e8400-e29b-41d4-a716-446655440000",
        "12345678-1234-4234-8234-123456789012",
        "2026-01-31T10:30:00.123456789+02:00",
        "2026-01-31 10:30:00 +0000",
        "31.01.2026, 1/31/2026, 01/02/2026 and 20260131-103000",
        "duration 345",
        "1700000000000",
        "1700000000007",
        "1700000000",
        "5f2b8c4155551234ab",
        "INV-2026-000123 and ORD-4155551234",
        "v1.2.3.4, 1.2.3, 10.0.19041.1234",
        "0.1234567890 12.4155551234 1e1000000000",
        "conv_4155551234",
        "+1***-***-1234 j***@***.com ****-****-****-1111 203.0.***.*** 2001:*** https://***",
        "+1415***1234 ***-***-1234 XXX-XXX-1234 4111 **** **** 1111",
        "100, 200, 300; 12 of 34; 1 2 3 4 5 6 7 8 9 10 11 12",
        "1,234,567.89 EUR; 978-3-16-148410-0; 52.5200066, 13.404954",
        "std::vec::Vec a::b @mention 10:00-18:30",
    ] {
        assert_eq!(masker.scrub(text), None, "{text}");
    }
}

#[test]
fn with_urls_left_alone_what_they_hold_is_still_masked() {
    let masker =
        Masker::new([Class::Phone, Class::Email].map(|class| (class, Action::Mask))).unwrap();
    for (text, expected) in [
        (
            "https://x/?tel=%2B14155551234&a",
            "https://x/?tel=+1***-***-1234&a",
        ),
        (
            "https://x/?tel=%204155551234",
            "https://x/?tel=%20***-***-1234",
        ),
        (
            "https://x/415-555-1234/a?m=jo%40x.org",
            "https://x/***-***-1234/a?m=j***@***.org",
        ),
        ("tel:+14155551234", "tel:+1***-***-1234"),
    ] {
        assert_eq!(masker.scrub(text).as_deref(), Some(expected));
    }
    // A card number is no telephone number, even when cards may stay.
    assert_eq!(masker.scrub("4111 1111 1111 1111"), None);
}

#[test]
fn each_action_does_what_it_says() {
    let [mask, drop, hash, replace] = actions().map(|action| masker(&action));
    let number = "+14155551234";
    assert_eq!(
        mask.value(Class::Phone, number),
        Outcome::Replaced("+1***-***-1234".into())
    );
    assert_eq!(drop.value(Class::Phone, number), Outcome::Dropped);
    assert_eq!(
        replace.value(Class::Phone, number),
        Outcome::Replaced("[hidden]".into())
    );
    let Outcome::Replaced(token) = hash.value(Class::Phone, number) else {
        panic!("no token")
    };
    assert_eq!(
        hash.value(Class::Phone, "+1 415-555-1234"),
        Outcome::Replaced(token.clone())
    );
    assert_eq!(hash.value(Class::Phone, &token), Outcome::Unchanged);
    assert_eq!(mask.value(Class::Phone, &token), Outcome::Unchanged);
    assert_eq!(
        hash.value(Class::Phone, "+1***-***-1234"),
        Outcome::Unchanged
    );
    assert_eq!(drop.scrub("a +14155551234 b").as_deref(), Some("a *** b"));
    assert_eq!(hash.scrub("a +14155551234"), Some(format!("a {token}")));
    let growing = Masker::new([(Class::Name, Action::Replace("ask jo@example.com".into()))]);
    assert_eq!(growing.unwrap_err().looks_like, Class::Email);
}

/// Text of one script, without anything in it that could be personal data.
fn filler() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "please call",
        "Bitte rufen Sie zurück unter",
        "llámame mañana al",
        "お客様の電話番号は",
        "です。",
        "الرجاء الاتصال على",
        "позвоните по номеру",
        "请拨打",
        "กรุณาโทร",
        "or",
        "order 17,",
        "",
    ])
    .prop_map(str::to_owned)
}

fn border() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        " ",
        ": ",
        ", ",
        "\n",
        "\"",
        "'",
        "(",
        ")",
        "; ",
        "=",
        "!",
        "、",
        " \u{200f}",
    ])
}

/// Digits as another script writes them.
fn in_script(text: &str, zero: char) -> String {
    let digit = |c: char| {
        c.to_digit(10)
            .and_then(|value| char::from_u32(zero as u32 + value))
    };
    text.chars().map(|c| digit(c).unwrap_or(c)).collect()
}

fn phone() -> impl Strategy<Value = (String, String)> {
    let shapes = vec![
        "+1##########",
        "+1 ### ### ####",
        "+1-###-###-####",
        "+1 (###) ###-####",
        "(###) ###-####",
        "###-###-####",
        "###.###.####",
        "+49 1## #######",
        "+49 (0)1## #######",
        "01##/#######",
        "01## ### ## ##",
        "0049 1## #######",
        "00 44 20 7### ####",
        "+44 20 7### ####",
        "6## ## ## ##",
        "9## ### ###",
        "+34 6## ### ###",
        "0#0-####-####",
        "+81 90-####-####",
        "+966 5# ### ####",
        "01 ## ## ## ##",
        "(11) 9####-####",
        "+55 11 9####-####",
        "+91 9#### #####",
        "138########",
        "+1 ### ### #### ext. ##",
        "+1 ### ###\u{2011}####",
        "+1\u{a0}###\u{a0}###\u{a0}####",
        "+1 ### ### #### x###",
        "%2B1##########",
        "tel:+1-###-###-####",
    ];
    let zero = prop::sample::select(vec!['0', '0', '0', '０', '٠', '۰', '०']);
    (
        prop::sample::select(shapes),
        prop::collection::vec(2u8..10, 16),
        zero,
    )
        .prop_map(|(shape, mut fill, zero)| {
            let mut next = || fill.pop().unwrap_or(7).to_string();
            let main = shape.replace("%2B", "+");
            let filled: String = (main.chars())
                .map(|c| if c == '#' { next() } else { c.to_string() })
                .collect();
            let main = filled.split([';', 'e', 'x']).next().unwrap_or_default();
            let main = if filled.starts_with("tel") {
                &filled[..]
            } else {
                main
            };
            let digits = main.replace("(0)", "");
            let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
            let escaped = if shape.starts_with('%') {
                filled.replace('+', "%2B")
            } else {
                filled
            };
            let escaped = if escaped.starts_with('%') {
                escaped
            } else {
                in_script(&escaped, zero)
            };
            (escaped, digits)
        })
}

fn card() -> impl Strategy<Value = (String, String)> {
    let prefixes = vec!["4", "51", "2221", "6011", "3528"];
    let digits = prop::collection::vec(0u8..10, 15);
    let separator = prop::sample::select(vec!["", " ", "-", "\u{a0}", "\u{2011}"]);
    (prop::sample::select(prefixes), digits, separator).prop_map(|(prefix, fill, separator)| {
        let mut digits: String = prefix.to_owned();
        digits.extend(fill.iter().take(15 - prefix.len()).map(u8::to_string));
        let sum: u32 = (digits.bytes().rev().enumerate())
            .map(|(place, digit)| {
                let digit = u32::from(digit - b'0') * if place % 2 == 0 { 2 } else { 1 };
                digit / 10 + digit % 10
            })
            .sum();
        digits.push_str(&((10 - sum % 10) % 10).to_string());
        let groups = [&digits[..4], &digits[4..8], &digits[8..12], &digits[12..]];
        (groups.join(separator), digits)
    })
}

fn email() -> impl Strategy<Value = (String, String)> {
    "[a-z][a-z0-9._+-]{4,12}[a-z0-9](@|%40)[a-z][a-z0-9-]{3,8}[a-z]\\.(com|co\\.uk|de|museum|jp)"
        .prop_map(|address| (address.clone(), address))
}

/// The ASCII digits of a text, separators gone: how the tests look for a number that survived.
fn bare_digits(text: &str) -> String {
    let zeros = ['0', '０', '٠', '۰', '०'];
    let value = |c: char| {
        let of = |zero: &char| {
            (c as u32)
                .checked_sub(*zero as u32)
                .filter(|value| *value < 10)
        };
        zeros.iter().find_map(of)
    };
    text.chars()
        .filter_map(value)
        .map(|value| value.to_string())
        .collect()
}

/// What personal data is made of, whole and in pieces, so that pieces meet.
fn fragments() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        phone().prop_map(|it| it.0),
        card().prop_map(|it| it.0),
        email().prop_map(|it| it.0),
        filler(),
        border().prop_map(str::to_owned),
        "[0-9]{1,12}",
        "[-+*./:@%() xe0-9a-f]{1,8}",
        prop::sample::select(vec![
            "203.0.113.195",
            "2001:db8::1",
            "https://x.io/a",
            "***",
            "***-",
            "tok_",
            "://",
            "::",
            "ext. 5",
            "2026-01-31",
            "10:30",
            "user:",
            "@x.com",
            "*",
            "+",
            "﹫",
            "۰",
            "\u{200e}",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 1..10).prop_map(|pieces| pieces.concat())
}

fn is_subsequence(part: &str, whole: &str) -> bool {
    let mut rest = whole.chars();
    part.chars().all(|c| rest.any(|other| other == c))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_value_survives_in_any_language(
        sentence in prop::collection::vec((filler(), border(), prop_oneof![
            phone(), card(), email(),
        ], border()), 1..4),
    ) {
        let text: String = (sentence.iter())
            .map(|(words, left, (value, _), right)| format!("{words}{left}{value}{right}"))
            .collect();
        let scrubbed = scrubbed(&text);
        for (_, _, (_, secret), _) in &sentence {
            if secret.bytes().all(|byte| byte.is_ascii_digit()) {
                prop_assert!(!bare_digits(&scrubbed).contains(secret), "{text:?} -> {scrubbed:?}");
            } else {
                let local = secret.split(['@', '%']).next().unwrap_or_default();
                prop_assert!(!scrubbed.contains(local), "{text:?} -> {scrubbed:?}");
            }
        }
    }

    #[test]
    fn scrubbing_twice_changes_nothing(text in fragments()) {
        for action in actions() {
            let masker = masker(&action);
            if let Some(once) = masker.scrub(&text) {
                prop_assert_eq!(masker.scrub(&once), None, "{:?} -> {:?}", text, once);
            }
        }
    }

    #[test]
    fn masking_a_value_twice_changes_nothing(text in prop_oneof![fragments(), any::<String>()]) {
        for action in actions() {
            for class in Class::ALL {
                let masker = masker(&action);
                if let Outcome::Replaced(once) = masker.value(class, &text) {
                    let twice = masker.value(class, &once);
                    prop_assert_eq!(twice, Outcome::Unchanged, "{:?} {:?} -> {:?}", class, text, once);
                }
            }
        }
    }

    #[test]
    fn a_mask_shows_nothing_that_was_not_shown(text in fragments()) {
        let text = text.replace("%2B", "+");
        let scrubbed = scrubbed(&text);
        prop_assert!(is_subsequence(&bare_digits(&scrubbed), &bare_digits(&text)),
            "{text:?} -> {scrubbed:?}");
    }

    #[test]
    fn findings_are_in_order_and_on_character_boundaries(
        text in prop_oneof![fragments(), any::<String>()],
    ) {
        let mut found = Vec::new();
        detect(&text, Classes::ALL_DETECTABLE, &mut found);
        let mut end = 0;
        for it in found {
            prop_assert!(it.start >= end && it.start < it.end);
            prop_assert!(text.get(it.start..it.end).is_some());
            end = it.end;
        }
    }

    #[test]
    fn identifiers_are_never_changed(high in any::<u64>(), low in any::<u64>(), ms in 1_600_000_000_000u64..1_999_999_999_999) {
        let hex = format!("{high:016x}{low:016x}");
        let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
        let seconds = ms / 1000;
        let masker = masker(&Action::Mask);
        for text in [uuid, ms.to_string(), seconds.to_string(), format!("id {seconds}, {ms}")] {
            prop_assert_eq!(masker.scrub(&text), None, "{}", text);
        }
    }
}

#[test]
fn time_is_linear_in_hostile_texts() {
    let masker = masker(&Action::Mask);
    for piece in [
        "9",
        "@",
        "a.a.a.",
        "+",
        "1 ",
        "(",
        "(1",
        "+1",
        "a@",
        "a%40",
        "%",
        "://",
        "a://",
        "1:",
        "::",
        "0-",
        "٠",
        "4111 ",
        "*",
        "***-1",
        "+14155551234 ",
        "x@y.zz",
        "\u{200e}",
        "1.1.1.1",
        "1\u{200e}",
        ".",
        "a",
        "あ",
    ] {
        // An eighth in a debug build, whose code takes ten times as long.
        let bytes = if cfg!(debug_assertions) {
            1 << 17
        } else {
            1 << 20
        };
        let text = piece.repeat(bytes / piece.len());
        let start = Instant::now();
        black_box(masker.scrub(&text));
        for class in Class::ALL {
            black_box(mask_as(class, &text));
        }
        // Quadratic time would be minutes; linear time is a second on a busy machine.
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{piece:?}: {:?}",
            start.elapsed()
        );
        if start.elapsed() > Duration::from_millis(100) {
            println!("{piece:?}: {:?}", start.elapsed());
        }
    }
}

/// Prints what one call costs; `cargo test --release --lib mask -- --nocapture` shows it.
#[test]
fn report_the_cost_of_a_call() {
    let masker = masker(&Action::Mask);
    let plain =
        "The customer asked about the invoice and wants a call back in the morning. ".repeat(3);
    let mixed = "Customer at +1 (415) 555-1234 or jo@example.com, order 17 of 2026-01-31, from 203.0.113.195";
    let cost = |name: &str, call: &dyn Fn()| {
        let start = Instant::now();
        (0..100_000).for_each(|_| call());
        println!("{name}: {:?}", start.elapsed() / 100_000);
    };
    cost("phone value", &|| {
        drop(black_box(
            masker.value(Class::Phone, black_box("+14155551234")),
        ))
    });
    let agent = "user:agent0001.smith@east.example.com";
    cost("email value", &|| {
        drop(black_box(masker.value(Class::Email, black_box(agent))))
    });
    let plain = &plain[..200];
    cost("scrub, 200 plain bytes", &|| {
        drop(black_box(masker.scrub(black_box(plain))))
    });
    cost("scrub, mixed text", &|| {
        drop(black_box(masker.scrub(black_box(mixed))))
    });
    let [_, _, hash, _] = actions();
    let hash = Masker::new([(Class::Phone, hash)]).unwrap();
    cost("phone token", &|| {
        drop(black_box(
            hash.value(Class::Phone, black_box("+14155551234")),
        ))
    });
}
