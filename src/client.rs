//! Who speaks to other systems: protocols and their wire types. Nothing here knows batches or
//! events; components do.
//!
//! One HTTP stack (reqwest), one TLS stack (rustls with aws-lc). What fails here has a reason and a
//! kind ([`crate::failure::Failure`]); a message never holds a credential, nor a URL's query.

pub mod amqp;
pub mod aws;
pub mod bigquery;
pub mod bucket;
pub mod genesys;
pub mod http;
pub mod influx;
pub mod listener;
pub mod postgres;
pub mod redis;
pub mod snowflake;
pub mod sqs;
pub mod statuses;
pub mod tds;
pub mod tenants;
