//! IP addresses: the network's part stays, the host's goes.

use std::net::Ipv6Addr;

use compact_str::{CompactString, format_compact};
use memchr::memchr_iter;

use super::digits::{Between, Window, is_word_at};
use super::{Class, Classes, Found, detect};

/// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
const MAX_V6: usize = 45;

/// Do four groups from this one on make an IPv4 address?
pub(super) fn is_v4_at(window: &Window, text: &str, from: usize) -> bool {
    let Some(four) = window.groups().get(from..from + 4) else {
        return false;
    };
    let octet = |index: usize| window.groups()[index].count <= 3 && window.number(index) <= 255;
    let dotted = four[1..].iter().all(|group| group.before == Between::DOT);
    // `1.2.3.4.5` is an object identifier, `1.2.3.4a` a version.
    let goes_on = match &text.as_bytes()[four[3].end..] {
        [b'.', next, ..] => next.is_ascii_digit(),
        _ => is_word_at(text, four[3].end),
    };
    dotted && !goes_on && (from..from + 4).all(octet)
}

/// The length of a masked IPv4 address, `203.0.***.***`, that the text begins with.
pub(super) fn hidden_v4_len(text: &str) -> Option<usize> {
    let digits = |bytes: &[u8]| {
        bytes
            .iter()
            .take(4)
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let bytes = text.as_bytes();
    let first = digits(bytes);
    let second = digits(bytes.get(first + 1..)?);
    let stars = first + 1 + second;
    let is_hidden = bytes.get(first) == Some(&b'.') && bytes[stars..].starts_with(b".***.***");
    (is_hidden && (1..=3).contains(&first) && (1..=3).contains(&second)).then_some(stars + 8)
}

/// Finds IPv6 addresses. Every run of hexadecimal digits and colons is looked at once.
pub(super) fn scan_v6(text: &str, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let is_part = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let mut floor = 0;
    for colon in memchr_iter(b':', bytes) {
        if colon < floor {
            continue;
        }
        let start = colon - bytes[floor..colon].iter().rev().take_while(is_part).count();
        let end = colon + bytes[colon..].iter().take_while(is_part).count();
        floor = end;
        if let Some((start, end)) = v6_in(text, start, end) {
            found.push(Found {
                start,
                end,
                class: Class::Ipv6,
            });
        }
    }
}

/// The address in a run, without the label before it (`node:2001:db8::1`) and the full stop after it.
fn v6_in(text: &str, start: usize, end: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let is_word = |at: usize| {
        bytes
            .get(at)
            .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
    };
    let kept = text[start..end].trim_end_matches('.');
    let kept = kept
        .strip_suffix(':')
        .filter(|kept| !kept.ends_with(':'))
        .unwrap_or(kept);
    let last = start + kept.len();
    // Stars: somebody has masked the rest already.
    if last == end && (is_word(end) || bytes.get(end) == Some(&b'*')) {
        return None;
    }
    let labelled = start > 0 && is_word(start - 1);
    let whole = (!labelled && !is_single_colon(kept)).then_some(start);
    let after_label = kept.find(':').map(|colon| start + colon + 1);
    [whole, after_label]
        .into_iter()
        .flatten()
        .find(|first| is_v6(&text[*first..last]))
        .map(|first| (first, last))
}

fn is_single_colon(run: &str) -> bool {
    run.starts_with(':') && !run.starts_with("::")
}

/// An address that is not just two words with colons between them (`a::b`).
fn is_v6(text: &str) -> bool {
    let groups = || text.split(':').filter(|group| !group.is_empty());
    text.len() <= MAX_V6
        && text.parse::<Ipv6Addr>().is_ok()
        && (text.bytes().any(|byte| byte.is_ascii_digit()) || groups().count() > 2)
}

/// Keeps half of an IPv4 address, and the first group of an IPv6 address.
pub(super) fn mask(value: &str) -> Option<CompactString> {
    let Some(mut masked) = pass(value) else {
        let bare = value.bytes().any(|byte| byte.is_ascii_digit()) && !super::is_starred(value);
        return bare.then_some(CompactString::const_new("***"));
    };
    // As in free text: one address may have hidden a part of another.
    for _ in 1..super::MAX_PASSES {
        match pass(&masked) {
            Some(again) => masked = again,
            None => break,
        }
    }
    Some(masked)
}

fn pass(value: &str) -> Option<CompactString> {
    let mut found = Vec::new();
    detect(
        value,
        Classes::NONE.with(Class::Ipv4).with(Class::Ipv6),
        &mut found,
    );
    let last = found.last()?.end;
    let (mut out, mut copied) = (CompactString::default(), 0);
    for Found { start, end, class } in found {
        out.push_str(&value[copied..start]);
        out.push_str(&mask_one(class, &value[start..end]));
        copied = end;
    }
    out.push_str(&value[last..]);
    Some(out)
}

fn mask_one(class: Class, address: &str) -> CompactString {
    if class == Class::Ipv6 {
        let first = address.split(':').next().unwrap_or_default();
        return format_compact!("{first}:***");
    }
    let half = address
        .match_indices('.')
        .nth(1)
        .map_or(address, |(dot, _)| &address[..dot]);
    format_compact!("{half}.***.***")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_stays_and_the_host_goes() {
        for (address, masked) in [
            ("203.0.113.195", "203.0.***.***"),
            ("203.0.113.195:8080", "203.0.***.***:8080"),
            ("2001:db8::1", "2001:***"),
            ("[2001:db8::1]:443", "[2001:***]:443"),
            ("::ffff:203.0.113.195", ":***"),
            ("fe80::1%eth0", "fe80:***%eth0"),
            ("192.168.one", "***"),
        ] {
            assert_eq!(mask(address).as_deref(), Some(masked));
            assert_eq!(mask(masked), None, "{masked}");
        }
        assert_eq!(mask("unknown"), None);
    }

    #[test]
    fn labels_times_and_paths_are_no_addresses() {
        let found = |text: &'static str| {
            let mut found = Vec::new();
            scan_v6(text, &mut found);
            found.first().map(|found| &text[found.start..found.end])
        };
        assert_eq!(found("node:2001:db8::1."), Some("2001:db8::1"));
        assert_eq!(found("ip:2001:db8::1, ok"), Some("2001:db8::1"));
        for other in [
            "10:30:00",
            "00:1a:2b:3c:4d:5e",
            "std::dead::beef",
            "a::b",
            "::",
            "x: y",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
