//! Keyed tokens: the same value gives the same token, and only the key's holder can make one.

use std::fmt;

use compact_str::CompactString;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{Class, email, phone};

/// Short keys can be found by trying: there are only some ten thousand million telephone numbers, so a
/// guessed key undoes every token.
const MIN_KEY: usize = 16;
const PREFIX: &str = "tok_";
const HEX_DIGITS: usize = 32;

/// The key of [`super::Action::Hash`]. Never shown.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// A key of at least 16 bytes; `None` when it is shorter.
    pub fn new(secret: &[u8]) -> Option<Key> {
        if secret.len() < MIN_KEY {
            return None;
        }
        Hmac::new_from_slice(secret).ok().map(Key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// The token for a value of the class, `user:` and the like kept before it.
pub(super) fn of_value(key: &Key, class: Class, value: &str) -> CompactString {
    match class {
        Class::Phone => of_text(key, "", &phone::canonical(value)),
        Class::Card => of_text(key, "", &phone::digits_only(value)),
        Class::Email => {
            let (prefix, address) = email::split_prefix(value);
            of_text(key, prefix, &address.replace("%40", "@").to_lowercase())
        }
        _ => of_text(key, "", value.trim()),
    }
}

fn of_text(key: &Key, prefix: &str, text: &str) -> CompactString {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digest = key
        .0
        .clone()
        .chain_update(text.as_bytes())
        .finalize()
        .into_bytes();
    let mut token = CompactString::with_capacity(prefix.len() + PREFIX.len() + HEX_DIGITS);
    token.push_str(prefix);
    token.push_str(PREFIX);
    for byte in &digest[..HEX_DIGITS / 2] {
        token.push(char::from(HEX[usize::from(byte >> 4)]));
        token.push(char::from(HEX[usize::from(byte & 15)]));
    }
    token
}

/// Is the text a token already, a prefix like `user:` allowed?
pub(super) fn is_token(text: &str) -> bool {
    let Some(start) = text.len().checked_sub(PREFIX.len() + HEX_DIGITS) else {
        return false;
    };
    // The bytes, not the text: the position may be inside a character.
    let (prefix, token) = text.as_bytes().split_at(start);
    let Some(hex) = token.strip_prefix(PREFIX.as_bytes()) else {
        return false;
    };
    hex.iter()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && (prefix.is_empty() || prefix.ends_with(b":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_give_equal_tokens_and_the_key_stays_hidden() {
        let key = Key::new(b"0123456789abcdef").unwrap();
        let other = Key::new(b"0123456789abcdeF").unwrap();
        let token = of_value(&key, Class::Phone, "+1 (415) 555-1234");
        assert_eq!(token, of_value(&key, Class::Phone, "+14155551234"));
        assert_ne!(token, of_value(&other, Class::Phone, "+14155551234"));
        assert!(is_token(&token));
        assert!(is_token(&of_value(
            &key,
            Class::Email,
            "user:Jo@example.com"
        )));
        assert!(Key::new(b"short").is_none());
        assert_eq!(format!("{key:?}"), "Key(hidden)");
    }

    #[test]
    fn tokens_are_the_published_hmac() {
        // RFC 4231, test case 1.
        let key = Key::new(&[0x0b; 20]).unwrap();
        let token = of_value(&key, Class::Name, "Hi There");
        assert_eq!(token, "tok_b0344c61d8db38535ca8afceaf0bf12b");
    }
}
