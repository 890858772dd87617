//! `api:` of a pipeline: where it is served over HTTP, and who may ask.

use std::net::SocketAddr;

use super::common::Address;
use crate::diagnostic::Report;
use crate::observe::TapPolicy;
use crate::setting::{Fields, Node, Secret, Setting};

/// Origins that a pipeline may name: each request of a browser is compared with them.
const MOST_ORIGINS: usize = 64;

/// The HTTP interface of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `address`: where to listen.
    pub address: SocketAddr,
    /// `token`: what a request must bring as its bearer token; default none, and everybody may ask.
    pub token: Option<Secret>,
    /// `cors`: the origins whose pages may read answers, or `*`; default none.
    pub cors: Vec<String>,
    /// `protect_metrics`: `/metrics` and `/health` need the token too; default false.
    pub protect_metrics: bool,
    /// `tap`: what `trunkline tap` may show of events: `masked` (the default), `unmasked`, or `off`.
    pub tap: TapPolicy,
}

const TAPS: [(&str, TapPolicy); 3] = [
    ("masked", TapPolicy::Masked),
    ("unmasked", TapPolicy::Unmasked),
    ("off", TapPolicy::Off),
];

/// `api: { address, token, cors, protect_metrics, tap }`. `None` when it is absent, or wrong (which is
/// reported).
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Interface> {
    fields.section("api", "api", |f| {
        let address = f.required::<Address>("address");
        // A variable that is not set, and may not be, asks for none.
        f.takes("token", Secret::shape);
        f.takes("cors", || String::shape().list());
        let token = f.node("token").filter(|node| !node.is_unset());
        let token = token.map(|node| token_of(node, f.report()));
        let cors = f.each("cors", origin);
        if cors.len() > MOST_ORIGINS {
            let message = format!(
                "there are {} origins, of at most {MOST_ORIGINS}",
                cors.len()
            );
            f.error("out-of-range", f.span_of("cors"), message);
        }
        let protect_metrics = f.or("protect_metrics", false);
        if protect_metrics && token.is_none() {
            let span = f.span_of("protect_metrics");
            let message = "`protect_metrics` protects nothing without a `token`";
            f.error("missing-field", span, message);
        }
        let tap = f.choice("tap", &TAPS).unwrap_or_default();
        let token = match token {
            // One that is wrong must not stand for none.
            Some(token) => Some(token?),
            None => None,
        };
        Some(Interface {
            address: address?.0,
            token,
            cors,
            protect_metrics,
            tap,
        })
    })
}

/// A message about a token written into the file has no place: the line would be shown with it.
fn token_of(node: &Node, report: &mut Report) -> Option<Secret> {
    let token = Secret::read(node, report)?;
    let line = node.span.line;
    // What a header cannot carry would lock everybody out.
    if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        let place = node.from_variable.then_some(node.span);
        let message = format!("the `token` at line {line} has letters that no header can carry");
        report
            .error("out-of-range", place, message)
            .hint("use letters, digits and signs of ASCII, without spaces");
        return None;
    }
    if !node.from_variable {
        let message = format!("`token` at line {line} is written into the file, for all to read");
        let hint = "take it from a variable or a file: `\"${NAME}\"`, `\"${file:PATH}\"`";
        report.warning("plain-secret", None, message).hint(hint);
    }
    Some(token)
}

/// An origin as browsers send it: scheme, host, and the port where it is not the scheme's own.
fn origin(node: &Node, report: &mut Report) -> Option<String> {
    let text = String::read(node, report)?;
    if text == "*" {
        return Some(text);
    }
    let url = url::Url::parse(&text).ok();
    let web = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let whole = web.map(|url| url.origin().ascii_serialization());
    if whole.as_deref() == Some(&*text) {
        return Some(text);
    }
    let message = format!("{} is not the origin of a web page", node.shown());
    // The near one of a hidden value would tell it.
    let hint = match whole.filter(|_| !node.from_variable) {
        Some(whole) => format!("write `{whole}`"),
        None => "write it as `https://wall.example`, without a path, or `*` for all".to_owned(),
    };
    report.error("bad-url", node.span, message).hint(hint);
    None
}

#[cfg(test)]
mod tests {
    use crate::config::{self, Fixed};
    use crate::graph::check::{Checked, check};
    use crate::observe::TapPolicy;

    fn checked(api: &str, variables: &Fixed) -> Checked {
        let text = format!(
            "version: 1\nname: p\napi: {api}\nsources:\n  in: {{ type: stdin }}\n\
             sinks:\n  out: {{ type: blackhole, inputs: [in] }}\n\
             dead_letter: {{ type: blackhole }}\n"
        );
        check(&config::parse("p.yaml", &text, variables))
    }

    fn told(api: &str) -> Vec<(&'static str, String)> {
        let checked = checked(
            api,
            &Fixed::new()
                .with("TOKEN", "open sesame")
                .with("GOOD", "s3same"),
        );
        let items = checked.report.iter();
        items
            .map(|item| {
                (
                    item.code,
                    item.message.clone() + item.hint.as_deref().unwrap_or(""),
                )
            })
            .collect()
    }

    #[test]
    fn all_of_it_is_read_and_the_token_is_seen_by_nobody() {
        let api = "{ address: \"127.0.0.1:9100\", token: \"${GOOD}\", protect_metrics: true, \
                   cors: [\"https://wall.example\", \"http://127.0.0.1:3000\"], tap: off }";
        let checked = checked(api, &Fixed::new().with("GOOD", "s3same"));
        let interface = checked.pipeline.unwrap().api.unwrap();
        assert_eq!(interface.cors.len(), 2);
        assert!(interface.protect_metrics);
        assert_eq!(interface.tap, TapPolicy::Off);
        assert_eq!(interface.token.as_ref().unwrap().expose(), "s3same");
        assert!(!format!("{interface:?}").contains("s3same"));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_token() {
        let cases = [
            (
                "{ address: \"127.0.0.1:1\", cors: [\"https://wall.example/\"] }",
                "bad-url",
            ),
            (
                "{ address: \"127.0.0.1:1\", cors: [\"wall.example\"] }",
                "bad-url",
            ),
            (
                "{ address: \"127.0.0.1:1\", protect_metrics: true }",
                "missing-field",
            ),
            (
                "{ address: \"127.0.0.1:1\", token: \"${TOKEN}\" }",
                "out-of-range",
            ),
            (
                "{ address: \"127.0.0.1:1\", token: s3same }",
                "plain-secret",
            ),
            ("{ address: \"127.0.0.1:1\", token: \"\" }", "empty-value"),
            ("{ token: \"${GOOD}\" }", "missing-field"),
        ];
        for (api, code) in cases {
            let told = told(api);
            assert!(told.len() == 1 && told[0].0 == code, "{api}: {told:?}");
            assert!(
                !told[0].1.contains("s3same") && !told[0].1.contains("sesame"),
                "{told:?}"
            );
        }
        let slash = told("{ address: \"127.0.0.1:1\", cors: [\"https://wall.example/\"] }");
        assert!(
            slash[0].1.ends_with("write `https://wall.example`"),
            "{slash:?}"
        );
    }
}
