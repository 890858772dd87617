//! Where a pool of Azure Synapse is.

use std::path::PathBuf;
use std::time::Duration;

use crate::client::tds::{Address, Login};
use crate::setting::{Fields, Secret};

const PORT: u16 = 1433;
/// As the drivers of Microsoft's have it.
const CONNECT: Duration = Duration::from_secs(15);
/// A statement waits for its turn: a small pool runs four at a time.
const STATEMENT: Duration = Duration::from_secs(120);

/// Reads the fields `host`, `port` (default 1433), `database`, `user` and `password` or
/// `access_token`, `ca_file`, `connect_timeout` (default 15 s) and `statement_timeout` (default
/// 120 s).
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Address> {
    let host: Option<String> = fields.required("host");
    let port = fields.filled("port").unwrap_or(PORT);
    let database: Option<String> = fields.required("database");
    let login = read_login(fields);
    let ca_file: Option<PathBuf> = fields.filled("ca_file");
    let connect_timeout = fields.or("connect_timeout", CONNECT);
    let statement_timeout = fields.or("statement_timeout", STATEMENT);
    for (name, time) in [
        ("connect_timeout", connect_timeout),
        ("statement_timeout", statement_timeout),
    ] {
        if time < Duration::from_secs(1) {
            let message = format!("`{name}` is at least a second");
            fields.error("out-of-range", fields.span_of(name), message);
        }
    }
    Some(Address {
        host: host?,
        port,
        database: database?,
        login: login?,
        ca_file,
        connect_timeout,
        statement_timeout,
    })
}

fn read_login(fields: &mut Fields<'_>) -> Option<Login> {
    let token: Option<Secret> = fields.filled("access_token");
    if let Some(token) = token {
        for other in ["user", "password"] {
            if fields.node(other).is_some_and(|node| !node.is_unset()) {
                let message = format!("`access_token` and `{other}` are two ways to log in");
                fields.error("conflicting-fields", fields.span_of(other), message);
            }
        }
        return Some(Login::Token(token));
    }
    let user: Option<String> = fields.required("user");
    let password: Option<Secret> = fields.required("password");
    Some(Login::Password {
        user: user?,
        password: password?,
    })
}
