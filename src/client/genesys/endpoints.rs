//! Where the hosts of the platform are.

use std::fmt;

use url::Url;

/// The hosts of a region, or one host that stands for all of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoints {
    login: String,
    api: String,
    /// Whether sockets without TLS are taken: only where the API itself is called without.
    plain: bool,
}

/// Why a text names no host of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEndpoint(&'static str);

impl fmt::Display for BadEndpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

impl std::error::Error for BadEndpoint {}

impl Endpoints {
    /// Of a region by its domain, such as `mypurecloud.ie` or `euw2.pure.cloud`. Every domain is
    /// taken: the list of regions grows. Hosts are `login.{region}` and `api.{region}`.
    ///
    /// # Errors
    /// When the text is no domain.
    pub fn region(domain: &str) -> Result<Self, BadEndpoint> {
        if !is_region(domain) {
            return Err(BadEndpoint("not the domain of a region"));
        }
        Ok(Self {
            login: format!("https://login.{domain}"),
            api: format!("https://api.{domain}"),
            plain: false,
        })
    }

    /// All hosts in one: a gateway, or a simulator. Paths (`/oauth/token`, `/api/v2/…`) are put
    /// behind `url`.
    ///
    /// # Errors
    /// When it is no `http` or `https` URL, or has a query, a fragment or credentials in it.
    pub fn at(url: &str) -> Result<Self, BadEndpoint> {
        let parsed = Url::parse(url).map_err(|_| BadEndpoint("not a URL"))?;
        if !["http", "https"].contains(&parsed.scheme()) || !parsed.has_host() {
            return Err(BadEndpoint("not a URL of `http` or `https`"));
        }
        let bare = parsed.username().is_empty() && parsed.password().is_none();
        if !bare || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(BadEndpoint("a URL with a query, a fragment or credentials"));
        }
        let base = parsed.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            plain: parsed.scheme() == "http",
            login: base.clone(),
            api: base,
        })
    }

    /// Where tokens are asked for.
    pub(super) fn token(&self) -> String {
        format!("{}/oauth/token", self.login)
    }

    /// A resource; `path` begins with a slash and stands behind `/api/v2`.
    pub(super) fn api(&self, path: &str) -> String {
        format!("{}/api/v2{path}", self.api)
    }

    /// Whether a socket may be opened at this URI: `wss`, and `ws` only where the API is `http`.
    pub fn allows(&self, socket: &Url) -> bool {
        match socket.scheme() {
            "wss" => socket.has_host(),
            "ws" => self.plain && socket.has_host(),
            _ => false,
        }
    }

    /// The API's own host as the address of a WebSocket, for what is served there beside REST.
    pub fn socket(&self, path: &str) -> String {
        // `http` becomes `ws` and `https` becomes `wss`.
        format!("ws{}{path}", &self.api["http".len()..])
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Endpoints({})", self.api)
    }
}

/// Whether this can be the domain of a region: labels of letters, digits and hyphens, at least two.
pub fn is_region(domain: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    domain.len() <= 200 && domain.contains('.') && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_two_hosts_and_a_gateway_one() {
        let region = Endpoints::region("euw2.pure.cloud").unwrap();
        assert_eq!(region.token(), "https://login.euw2.pure.cloud/oauth/token");
        assert_eq!(
            region.api("/users"),
            "https://api.euw2.pure.cloud/api/v2/users"
        );
        let gateway = Endpoints::at("http://127.0.0.1:4/genesys/").unwrap();
        assert_eq!(gateway.token(), "http://127.0.0.1:4/genesys/oauth/token");
        assert_eq!(
            gateway.socket("/api/v2/events"),
            "ws://127.0.0.1:4/genesys/api/v2/events"
        );
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            "",
            "mypurecloud",
            "a b.com",
            "evil.com/x",
            "a..b",
            "user@x.com",
        ] {
            assert!(Endpoints::region(bad).is_err(), "{bad}");
        }
        for bad in [
            "ftp://x",
            "http://",
            "https://u:p@x",
            "https://x?a=b",
            "x.com",
        ] {
            assert!(Endpoints::at(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_socket_without_tls_is_for_those_who_call_without() {
        let plain = Url::parse("ws://127.0.0.1:1/channels/x").unwrap();
        let sealed = Url::parse("wss://streaming.mypurecloud.com/channels/x").unwrap();
        let region = Endpoints::region("mypurecloud.com").unwrap();
        assert!(region.allows(&sealed) && !region.allows(&plain));
        let local = Endpoints::at("http://127.0.0.1:1").unwrap();
        assert!(local.allows(&plain));
    }
}
