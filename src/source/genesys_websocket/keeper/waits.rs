//! What a keeper waits for, where it may not be there.

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::super::socket::Heard;
use super::{Current, Retiring};

/// Why a socket was closed. 1001 is what the platform sends to one that was idle.
pub(super) fn why(code: Option<u16>) -> &'static str {
    match code {
        Some(1000) => "closed",
        Some(1001) => "going_away",
        Some(_) => "closed_with_error",
        None => "broken_off",
    }
}

pub(super) async fn next(current: &mut Option<Current>) -> Heard {
    match current {
        Some(current) => current.socket.next().await,
        None => std::future::pending().await,
    }
}

pub(super) async fn old(retiring: &mut Option<Retiring>) -> Heard {
    match retiring {
        Some(old) => old.socket.next().await,
        None => std::future::pending().await,
    }
}

/// Awaits a future that is there and takes it out when it is done.
pub(super) async fn done<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(future) = slot else {
        return std::future::pending().await;
    };
    let value = future.await;
    *slot = None;
    value
}

pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
