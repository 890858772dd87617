//! Resilience and counting: the layers that the engine puts around components, so that an author
//! of a component can neither forget them nor write them anew. `layer::stack` is the one page on
//! which those around a sink are put together.

mod account;
mod books;
mod breaker;
mod dead_letter;
mod deliver;
mod gate;
mod guard;
mod keyed;
mod letter;
mod node;
mod ordered;
mod output;
mod probe;
mod rate_limit;
pub mod rehearsal;
mod retry;
mod stack;
#[cfg(test)]
pub(crate) mod testing;
mod timeout;
mod transform;

pub(crate) use account::Account;
pub use books::{Books, Survey};
pub use breaker::{Breaker, BreakerPolicy};
pub use dead_letter::DeadLetter;
pub use deliver::Deliver;
pub use gate::Gate;
pub use guard::guard;
pub use keyed::{KeyLimits, Keyed, KeyedPolicy, Limits, OwnBreaker, Pace};
pub use letter::{Facts, LetterBox, Original, Redact};
pub use node::{
    Kept, Lane, MAIN, Queued, Replays, Resting, Script, Simulated, SinkContext, SinkPart,
    SourceContext, SourcePart, TransformContext, TransformPart, VisitPaths,
};
pub use ordered::Ordered;
pub use output::{Consumers, Output, Outputs};
pub use probe::{Finding, Grade, Probing};
pub use rate_limit::{Paced, RateLimit, RatePolicy};
pub use retry::{Backoff, Retry, RetryPolicy};
pub use stack::{StackPolicy, stack};
pub use timeout::Timeout;
pub use transform::{Transformed, split_node};
pub(crate) use transform::{Turn, Turns};
