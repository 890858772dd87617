//! The signature of a post: `X-Hub-Signature-256: sha256=` and the base64 of the HMAC-SHA-256 of the
//! body as it came, with the integration's secret as the key.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::setting::Secret;

/// Name of the header.
pub(super) const HEADER: &str = "x-hub-signature-256";
const SCHEME: &str = "sha256=";

/// What posts are signed with.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// Of integrations that `each` does not name.
    pub shared: Option<Secret>,
    /// By the integration's id.
    pub each: HashMap<String, Secret>,
}

/// As much of a post as tells who signed it.
#[derive(Deserialize)]
struct Post<'a> {
    #[serde(borrow)]
    channel: Channel<'a>,
}

#[derive(Deserialize)]
struct Channel<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

impl Secrets {
    /// Whether the platform signed this body so. Takes as long for a wrong signature as for a right one.
    pub fn admit(&self, body: &[u8], header: Option<&[u8]>) -> bool {
        let Some(signature) = header.and_then(decoded) else {
            return false;
        };
        // Where each integration has the same, the body need not be looked into before it is trusted.
        let own = match self.each.is_empty() {
            true => None,
            false => serde_json::from_slice::<Post<'_>>(body)
                .ok()
                .and_then(|post| self.each.get(&*post.channel.id)),
        };
        let Some(secret) = own.or(self.shared.as_ref()) else {
            return false;
        };
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
            .is_ok_and(|mac| mac.chain_update(body).verify_slice(&signature).is_ok())
    }
}

fn decoded(header: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(header).ok()?;
    STANDARD.decode(text.trim().strip_prefix(SCHEME)?).ok()
}

/// The header that the platform sends with this body.
#[cfg(test)]
pub(super) fn sign(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let mac = mac.chain_update(body).finalize().into_bytes();
    format!("{SCHEME}{}", STANDARD.encode(mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a-secret-of-sixteen";
    const BODY: &[u8] = br#"{"id":"1","channel":{"id":"shop"},"type":"Text"}"#;

    fn shared() -> Secrets {
        Secrets {
            shared: Some(Secret::new(SECRET)),
            each: HashMap::new(),
        }
    }

    #[test]
    fn what_another_program_signs_is_admitted() {
        // printf '%s' "$BODY" | openssl dgst -sha256 -hmac a-secret-of-sixteen -binary | base64
        let header = b"sha256=Qk2A".as_slice();
        assert!(!shared().admit(BODY, Some(header)));
        let header = KNOWN.as_bytes();
        assert!(shared().admit(BODY, Some(header)));
    }

    const KNOWN: &str = "sha256=EKxpSXFAZqqxae29H/n9oOMD8ebxM+Qxxq/fPR4WmlY=";

    #[test]
    fn nothing_else_is() {
        let right = sign(SECRET, BODY);
        let admits = |body: &[u8], header: &str| shared().admit(body, Some(header.as_bytes()));
        assert!(admits(BODY, &right));
        assert!(!admits(
            br#"{"id":"2","channel":{"id":"shop"},"type":"Text"}"#,
            &right
        ));
        assert!(!admits(BODY, &sign("another-secret-of-16", BODY)));
        let bare = right.trim_start_matches(SCHEME);
        // In hexadecimal, as other platforms have it; without its scheme; cut short; of another.
        let bytes = STANDARD.decode(bare).unwrap();
        let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        for wrong in [
            "",
            bare,
            &format!("sha256={hexadecimal}"),
            &format!("sha1={bare}"),
            &format!("sha256={}", STANDARD.encode(&bytes[..16])),
            "sha256=",
        ] {
            assert!(!admits(BODY, wrong), "{wrong}");
        }
        assert!(!shared().admit(BODY, None));
        assert!(!shared().admit(BODY, Some(b"sha256=\xff")));
        assert!(!Secrets::default().admit(BODY, Some(right.as_bytes())));
    }

    #[test]
    fn an_integration_has_its_own_and_others_cannot_use_it() {
        let own = HashMap::from([("shop".to_owned(), Secret::new("the-secret-of-the-shop"))]);
        let both = Secrets {
            each: own.clone(),
            ..shared()
        };
        let with = |secret: &str| sign(secret, BODY).into_bytes();
        assert!(both.admit(BODY, Some(&with("the-secret-of-the-shop"))));
        assert!(!both.admit(BODY, Some(&with(SECRET))));
        let other = br#"{"channel":{"id":"other"}}"#;
        assert!(both.admit(other, Some(sign(SECRET, other).as_bytes())));
        let alone = Secrets {
            shared: None,
            each: own,
        };
        assert!(!alone.admit(other, Some(sign(SECRET, other).as_bytes())));
        assert!(!alone.admit(
            b"no json",
            Some(sign("the-secret-of-the-shop", b"no json").as_bytes())
        ));
    }
}
