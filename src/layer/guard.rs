//! A panic in a component is a failure of its batch, and not of the process.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use crate::failure::Failure;

/// Runs a component's code; a panic in it becomes a failure of kind `Transient` with the reason
/// `panic`. The engine redelivers the events one by one and so finds the one that does it.
///
/// # Errors
/// What the component answers, or the panic.
pub async fn guard<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // The component's own state may be half changed. It is shared by clones that go on working,
    // which is what a `Mutex` poisoned by the panic would tell them; plain values are its author's
    // responsibility, as in any thread that outlives a panic.
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(answer) => answer,
        Err(panic) => Err(Failure::transient("panic", describe(panic.as_ref()))),
    }
}

/// Panic messages may quote data (an index, a `Debug` of a value): only static ones are shown.
fn describe(panic: &(dyn Any + Send)) -> String {
    match panic.downcast_ref::<&'static str>() {
        Some(message) => format!("the component panicked: {message}"),
        None => "the component panicked".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_transient_failure_that_quotes_no_data() {
        let failure =
            guard::<()>(async { panic!("value {}", std::hint::black_box("+14155551234")) })
                .await
                .unwrap_err();
        assert_eq!(failure.losses()[0].cause.reason, "panic");
        assert!(!failure.to_string().contains("1415"));
        assert_eq!(guard(async { Ok(3) }).await.unwrap(), 3);
    }
}
