//! Who may ask: a bearer token, and the origins whose pages may read what is answered (CORS).

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::routes::Problem;
use crate::observe::TapPolicy;

/// For how many seconds a browser may remember what a preflight answered.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// What a page may read besides what it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static("location, retry-after");

/// Who may ask. Holds no secret: of the token only its hash.
#[derive(Clone, Default)]
pub struct Access {
    token: Option<[u8; 32]>,
    /// `/metrics` and `/health` need the token too.
    everything: bool,
    origins: Vec<String>,
    any_origin: bool,
    taps: TapPolicy,
}

impl Access {
    /// Everybody, and no page of another origin.
    #[must_use]
    pub fn open() -> Self {
        Self::default()
    }

    /// Only who brings this token as `Authorization: Bearer …` (RFC 6750). `/metrics` and `/health`
    /// stay open unless `everything` is said.
    #[must_use]
    pub fn with_token(mut self, token: &str, everything: bool) -> Self {
        self.token = Some(Sha256::digest(token).into());
        self.everything = everything;
        self
    }

    /// Pages of these origins may read the answers; `*`: those of any.
    #[must_use]
    pub fn allow_origins(mut self, origins: &[String]) -> Self {
        self.any_origin = origins.iter().any(|origin| origin == "*");
        self.origins = origins.to_vec();
        self
    }

    /// What `…/tap` may show of events, where the pipeline allows it too; default: masked ones. Without a
    /// token it shows nothing at an address that others than this machine reach.
    #[must_use]
    pub fn with_taps(mut self, taps: TapPolicy) -> Self {
        self.taps = taps;
        self
    }

    pub(super) fn taps(&self) -> TapPolicy {
        self.taps
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether the request may be answered.
    fn admits(&self, path: &str, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        // The page asks for the token; all that it shows, it asks for with it.
        if path == "/" {
            return true;
        }
        let is_open = path == "/metrics" || path.starts_with("/health/");
        if is_open && !self.everything {
            return true;
        }
        let brought = headers.get(header::AUTHORIZATION).and_then(bearer);
        // Hashes are compared, all bytes of them: the time it takes tells nothing of the token.
        let differs = |hash: [u8; 32]| hash.iter().zip(token).fold(0, |or, (a, b)| or | (a ^ b));
        brought.is_some_and(|brought| differs(Sha256::digest(brought).into()) == 0)
    }

    /// What a page of the request's origin is told, where it may read the answer.
    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        if self.any_origin {
            return Some(HeaderValue::from_static("*"));
        }
        let known = |known: &String| known.as_bytes() == origin.as_bytes();
        self.origins.iter().any(known).then(|| origin.clone())
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Access")
            .field("token", &self.token.is_some())
            .field("everything", &self.everything)
            .field("origins", &self.origins)
            .finish()
    }
}

/// The token of an `Authorization` header. The scheme's name has no case (RFC 9110, 11.1).
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Stands in front of every path.
pub(super) async fn check(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let allowed = access.allowed(headers);
    let asked = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut answer = if request.method() == Method::OPTIONS && asked && allowed.is_some() {
        // A browser sends no token with it, so it needs none.
        preflight(access.token.is_some())
    } else if access.admits(request.uri().path(), headers) {
        next.run(request).await
    } else {
        unauthorized()
    };
    let headers = answer.headers_mut();
    if !access.origins.is_empty() && !access.any_origin {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    answer
}

/// What a page may do: read, and bring its token; and where there is one, what it is the key to. Without a
/// token a page that somebody happens to look at could write to customers.
fn preflight(guarded: bool) -> Response {
    let (methods, names) = match guarded {
        true => (
            "GET, HEAD, POST, DELETE",
            "authorization, content-type, idempotency-key",
        ),
        false => ("GET, HEAD", "authorization"),
    };
    let headers = [
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(methods),
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(names),
        ),
        (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn unauthorized() -> Response {
    let detail = "this needs the header `Authorization: Bearer` with the token of the interface";
    let mut answer = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    let scheme = HeaderValue::from_static("Bearer");
    answer
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, scheme);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn only_the_whole_token_is_admitted() {
        let access = Access::open().with_token("s3same", false);
        let admits =
            |path: &str, value: &str| access.admits(path, &headers(header::AUTHORIZATION, value));
        assert!(admits("/api/v1/state", "Bearer s3same") && admits("/x", "bEARER  s3same "));
        for wrong in [
            "s3same",
            "Bearer s3sam",
            "Bearer s3samee",
            "Bearer ",
            "Basic s3same",
            "é",
        ] {
            assert!(!admits("/api/v1/state", wrong), "{wrong}");
        }
        let none = HeaderMap::new();
        assert!(access.admits("/metrics", &none) && access.admits("/health/live", &none));
        assert!(!access.admits("/metricsx", &none) && !access.admits("/api/v1/pipelines", &none));
        let all = Access::open().with_token("s3same", true);
        assert!(!all.admits("/metrics", &none) && all.admits("/", &none));
        assert!(!format!("{access:?}").contains("s3same"));
    }

    #[test]
    fn origins_are_compared_whole() {
        let access = Access::open().allow_origins(&["https://wall.example".to_owned()]);
        let allowed = |origin| access.allowed(&headers(header::ORIGIN, origin));
        assert_eq!(
            allowed("https://wall.example").unwrap(),
            "https://wall.example"
        );
        for other in ["https://wall.example.evil", "http://wall.example", "null"] {
            assert_eq!(allowed(other), None, "{other}");
        }
        let any = Access::open().allow_origins(&["*".to_owned()]);
        assert_eq!(any.allowed(&headers(header::ORIGIN, "null")).unwrap(), "*");
        assert_eq!(any.allowed(&HeaderMap::new()), None);
    }
}
