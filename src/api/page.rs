//! The page that shows the pipelines live: one document that asks nobody else for anything.
//!
//! It is made of three files here, for tools that know HTML, CSS or JavaScript, and served as one. It
//! holds no figures, so who may not ask gets it too: it asks for the token, and keeps it for its tab.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The document, and what a browser may do with it. Clones share it.
#[derive(Clone)]
pub(super) struct Page(Arc<(Bytes, HeaderValue)>);

impl Page {
    pub fn new() -> Self {
        let html = HTML.replacen("/*STYLE*/", STYLE, 1);
        let html = html.replacen("/*SCRIPT*/", SCRIPT, 1);
        // Base64 and ASCII: nothing that a header cannot carry.
        let policy = HeaderValue::try_from(policy()).unwrap_or(HeaderValue::from_static("sandbox"));
        Self(Arc::new((html.into(), policy)))
    }

    pub fn answer(&self) -> Response {
        let (html, policy) = &*self.0;
        let headers = [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/html; charset=utf-8"),
            ),
            (header::CONTENT_SECURITY_POLICY, policy.clone()),
            (
                header::REFERRER_POLICY,
                HeaderValue::from_static("no-referrer"),
            ),
            (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        ];
        (headers, html.clone()).into_response()
    }
}

/// This script and this style, by their hashes, and requests to where the page came from: nothing
/// else runs or is fetched, whatever a name in a pipeline file says (CSP Level 3).
fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands between the tags in the document as it is served.
    fn inner<'a>(html: &'a str, name: &str) -> &'a str {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        assert_eq!(html.matches(&open).count(), 1);
        html.split_once(&open)
            .unwrap()
            .1
            .split_once(&close)
            .unwrap()
            .0
    }

    #[test]
    fn what_the_policy_allows_is_what_the_document_holds() {
        let page = Page::new();
        let html = std::str::from_utf8(&page.0.0).unwrap();
        let policy = page.0.1.to_str().unwrap();
        for (name, directive) in [("script", "script-src"), ("style", "style-src")] {
            let hash = STANDARD.encode(Sha256::digest(inner(html, name)));
            assert!(
                policy.contains(&format!("{directive} 'sha256-{hash}';")),
                "{policy}"
            );
        }
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"));
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere_and_nothing_is_put_in_as_markup() {
        let page = Page::new();
        let html = std::str::from_utf8(&page.0.0).unwrap();
        // The one address is the name of the SVG elements.
        let svg = "http://www.w3.org/2000/svg";
        assert_eq!(html.matches("http://").count(), html.matches(svg).count());
        for never in [
            "https://",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "javascript:",
            " onclick",
            " onload",
            " style=",
            "src=",
            "@import",
            "url(",
            "localStorage",
        ] {
            assert!(!html.contains(never), "{never}");
        }
    }
}
