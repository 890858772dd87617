//! Where an InfluxDB is, as a pipeline file says it.

use reqwest::Url;

use crate::setting::{Fields, Secret};

/// One bucket of one server.
#[derive(Clone, Debug)]
pub struct Server {
    /// `url`: such as `https://eu-central-1-1.aws.cloud2.influxdata.com`; a path before `/api/v2`
    /// is kept.
    pub url: Url,
    /// `org`: name of the organization; left out of requests where it is empty (the default), which
    /// InfluxDB 2 does not take and others do.
    pub org: String,
    /// `bucket`: in InfluxDB 3 the database, in InfluxDB 1.8 `database/retention-policy`.
    pub bucket: String,
    /// `token`: none where the server asks for none.
    pub token: Option<Secret>,
}

impl Server {
    /// Reads `url` and `bucket` (required), `org` and `token`.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let url = read_url(fields);
        let org = fields.or("org", String::new());
        let bucket = fields.required::<String>("bucket");
        if bucket.as_ref().is_some_and(String::is_empty) {
            let span = fields.span_of("bucket");
            fields.error("empty-value", span, "`bucket` is empty");
        }
        let token = fields.filled("token");
        Some(Self {
            url: url?,
            org,
            bucket: bucket?,
            token,
        })
    }

    /// The address of a call.
    pub(super) fn at(&self, call: &str, names_bucket: bool) -> Url {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/api/v2/{call}"));
        if !self.org.is_empty() {
            url.query_pairs_mut().append_pair("org", &self.org);
        }
        if names_bucket {
            url.query_pairs_mut().append_pair("bucket", &self.bucket);
        }
        url
    }
}

fn read_url(fields: &mut Fields<'_>) -> Option<Url> {
    let text = fields.required::<String>("url")?;
    let span = fields.span_of("url");
    if text.is_empty() {
        fields
            .error("empty-value", span, "`url` is empty")
            .hint("without a server, say `path` for a file of line protocol");
        return None;
    }
    let url = Url::parse(&text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else {
        fields
            .error("bad-url", span, "this is not the URL of an InfluxDB")
            .hint("write it as `http://127.0.0.1:8086` or `https://influx.example.com`");
        return None;
    };
    let is_bare = url.query().is_none() && url.fragment().is_none();
    if !url.username().is_empty() || url.password().is_some() || !is_bare {
        fields
            .error(
                "bad-url",
                span,
                "the URL holds more than a server and a path",
            )
            .hint(
                "put the token into `token`, the organization into `org`, the bucket into `bucket`",
            );
        return None;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Report, Span};
    use crate::setting::{Key, Node, Value};

    fn check(entries: &[(&str, &str)]) -> (Option<Server>, Vec<&'static str>) {
        let span = Span::default();
        let entry = |(name, value): &(&str, &str)| {
            let name = (*name).to_owned();
            let value = Value::Text((*value).to_owned());
            (Key { name, span }, Node::new(value, span))
        };
        let node = Node::new(Value::Map(entries.iter().map(entry).collect()), span);
        let mut report = Report::new("f");
        let mut fields = Fields::new(&node, "sink `s`", &mut report).unwrap();
        let server = Server::check(&mut fields);
        fields.finish();
        (server, report.iter().map(|item| item.code).collect())
    }

    #[test]
    fn calls_go_below_the_path_and_name_what_is_there() {
        let (server, found) = check(&[
            ("url", "http://h:1/influx/"),
            ("bucket", "a b&c"),
            ("org", "ö"),
            ("token", "hush"),
        ]);
        let server = server.unwrap();
        assert!(found.is_empty(), "{found:?}");
        let write = server.at("write", true);
        assert_eq!(
            write.as_str(),
            "http://h:1/influx/api/v2/write?org=%C3%B6&bucket=a+b%26c"
        );
        assert!(!format!("{server:?}").contains("hush"));
        let (server, _) = check(&[("url", "http://h"), ("bucket", "b")]);
        let query = server.unwrap().at("query", false);
        assert_eq!(query.as_str(), "http://h/api/v2/query");
    }

    #[test]
    fn a_url_is_a_server_and_nothing_else() {
        for (url, code) in [
            ("", "empty-value"),
            ("127.0.0.1:8086", "bad-url"),
            ("file:///x", "bad-url"),
            ("http://user:word@h", "bad-url"),
            ("http://h/?token=hush", "bad-url"),
        ] {
            let (server, found) = check(&[("url", url), ("bucket", "")]);
            assert!(server.is_none(), "{url}");
            assert_eq!(found, [code, "empty-value"], "{url}");
        }
    }
}
