//! The status of each message: what is known of it, who keeps that, and how it is told.
//!
//! Whoever sends writes it down ([`Book`]), and whoever hears of it later finds it by the message's own
//! key (`tenant/organization/id`) or by the platform's id. A status never goes back ([`Record::receive`]).

mod about;

pub use about::ABOUT;

mod book;
mod config;
mod record;

pub use book::Book;
pub use config::Statuses;
pub use record::{Ids, Progress, Recent, Record, State, now};
