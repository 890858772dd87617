//! E-mail addresses: found around an at sign, and cut down to one letter and the top-level domain.

use compact_str::CompactString;
use memchr::memchr2_iter;

use super::{Class, Found, token};

/// Domain names have at most 253 characters; these are bytes of text.
const MAX_DOMAIN: usize = 512;

/// Finds addresses. Each at sign looks back no further than the one before it, so the time is linear.
pub(super) fn scan(text: &str, wide: bool, found: &mut Vec<Found>) {
    let mut floor = 0;
    let mut consider = |at: usize, len: usize| {
        if at < floor {
            return;
        }
        let start = local_start(text, floor, at);
        let end = domain_end(text, at + len);
        floor = at + len;
        if let (Some(start), Some(end)) = (start, end)
            && !token::is_token(&text[start..at])
        {
            found.push(Found {
                start,
                end,
                class: Class::Email,
            });
            floor = end;
        }
    };
    if wide {
        for (at, c) in text.char_indices() {
            if let Some(len) = at_sign(&text[at..]).filter(|_| matches!(c, '@' | '%' | '＠' | '﹫'))
            {
                consider(at, len);
            }
        }
        return;
    }
    for at in memchr2_iter(b'@', b'%', text.as_bytes()) {
        if let Some(len) = at_sign(&text[at..]) {
            consider(at, len);
        }
    }
}

/// The length of the at sign that the text begins with: plain, escaped in a URL, or full width.
fn at_sign(text: &str) -> Option<usize> {
    ["@", "%40", "＠", "﹫"]
        .into_iter()
        .find(|sign| text.starts_with(sign))
        .map(str::len)
}

/// Letters of scripts that put spaces between words. Others (Han, Kana, Thai) run on, so there a plain
/// address begins where the ASCII begins.
fn is_spaced_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() && c < '\u{600}' && c.is_alphanumeric()
}

/// Where the local part begins that ends at the at sign.
fn local_start(text: &str, floor: usize, at: usize) -> Option<usize> {
    let before = &text[floor..at];
    let last = before.chars().next_back()?;
    let runs_on = !is_spaced_letter(last) && last.is_alphanumeric();
    let is_local = |c: char| {
        is_spaced_letter(c)
            || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'' | '~')
            || runs_on && c.is_alphanumeric()
    };
    let local = before.trim_end_matches(is_local);
    let local = before[local.len()..].trim_start_matches(|c: char| !c.is_alphanumeric());
    (!local.is_empty()).then(|| at - local.len())
}

/// Where the domain ends that begins here: labels and dots, the last label a top-level domain.
fn domain_end(text: &str, start: usize) -> Option<usize> {
    let mut best = None;
    let (mut label, mut runs_on, mut dots) = (start, false, 0);
    for (offset, c) in text[start..]
        .char_indices()
        .chain([(text.len() - start, ' ')])
    {
        let at = start + offset;
        if at == label {
            runs_on = !c.is_ascii() && !is_spaced_letter(c);
        }
        if is_spaced_letter(c) || c == '-' || runs_on && c.is_alphanumeric() {
            continue;
        }
        if dots > 0 && is_top_level(&text[label..at]) {
            best = Some(at);
        }
        if !matches!(c, '.' | '．' | '。') || at == label || offset > MAX_DOMAIN {
            break;
        }
        dots += 1;
        label = at + c.len_utf8();
    }
    best
}

/// Two letters or more, or a punycode label.
fn is_top_level(label: &str) -> bool {
    let letters = label.chars().all(char::is_alphabetic) && label.chars().nth(1).is_some();
    letters || label.len() > 4 && label.as_bytes()[..4].eq_ignore_ascii_case(b"xn--")
}

/// The `user:` of `user:jo@example.com`, colon included, and the rest.
pub(super) fn split_prefix(value: &str) -> (&str, &str) {
    let word = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-');
    let len = value.bytes().take(24).take_while(word).count();
    match value.as_bytes().get(len) {
        Some(b':') if len > 0 => value.split_at(len + 1),
        _ => ("", value),
    }
}

/// Keeps a prefix like `user:`, the first letter and the top-level domain.
pub(super) fn mask(value: &str) -> Option<CompactString> {
    let (prefix, address) = split_prefix(value);
    let plain = memchr::memrchr(b'@', address.as_bytes()).map(|at| (at, 1));
    let sign = plain.or_else(|| {
        let signs = ["%40", "＠", "﹫"];
        signs
            .into_iter()
            .find_map(|sign| address.rfind(sign).map(|at| (at, sign.len())))
    });
    let (local, domain) = match sign {
        Some((at, len)) => (&address[..at], Some(&address[at + len..])),
        None => (address, None),
    };
    if local.ends_with('*') || domain.is_none() && super::is_starred(local) {
        return None;
    }
    let first = local.chars().find(|c| c.is_alphanumeric());
    let mut out = CompactString::from(prefix);
    match (first, domain) {
        (None, None) => return None,
        (first, _) => out.extend(first),
    }
    out.push_str("***");
    if let Some(domain) = domain {
        out.push_str("@***");
        let top = domain
            .rsplit('.')
            .next()
            .filter(|top| top.len() < domain.len());
        if let Some(top) = top.filter(|top| top.len() < 25 && is_top_level(top)) {
            out.push('.');
            out.push_str(top);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        scan(text, !text.is_ascii(), &mut found);
        found
            .iter()
            .map(|found| &text[found.start..found.end])
            .collect()
    }

    #[test]
    fn addresses_end_where_the_language_goes_on() {
        assert_eq!(
            found("Write to <jo.o'neil+x@mail.example.co.uk>."),
            ["jo.o'neil+x@mail.example.co.uk"]
        );
        assert_eq!(found("メールはtaro@example.jpです"), ["taro@example.jp"]);
        assert_eq!(found("an jürgen@müller.de, bitte"), ["jürgen@müller.de"]);
        assert_eq!(found("user:admin@company.com"), ["admin@company.com"]);
        assert_eq!(found("?mail=jo%40example.com&x"), ["jo%40example.com"]);
        assert_eq!(found("taro＠example.jp"), ["taro＠example.jp"]);
        assert_eq!(
            found("@mention a@b x@1.2 j***@***.com 'a@@b.com"),
            [] as [&str; 0]
        );
    }

    #[test]
    fn one_letter_and_the_top_level_domain_stay() {
        for (address, masked) in [
            ("john@example.com", "j***@***.com"),
            ("user:admin@company.com", "user:a***@***.com"),
            ("jo%40example.com", "j***@***.com"),
            ("jo@localhost", "j***@***"),
            ("j.smith", "j***"),
        ] {
            assert_eq!(mask(address).as_deref(), Some(masked));
            assert_eq!(mask(masked), None);
        }
    }
}
