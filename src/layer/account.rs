//! One call's account: what came in is accounted for, also where the call ends early.

use crate::observe::NodeMeter;

/// What one call brought into a node, and what became of it.
///
/// Two things hold for each call, and the ledger adds up wherever they do: what the node counts in
/// equals what it counts out, and it gives back exactly the events that its caller counts as not
/// delivered. So a call that is dropped (a deadline, the end of the grace period) gives back all
/// that came in, and what had already been settled of it has, for the ledger, been a copy.
#[must_use = "an account that is dropped gives everything back"]
pub(crate) struct Account {
    meter: NodeMeter,
    received: u64,
    /// Events, those made here included, of which nothing was counted yet.
    open: u64,
    closed: bool,
}

impl Account {
    /// Counts a batch in.
    pub fn open(meter: &NodeMeter, events: u64, bytes: u64) -> Self {
        meter.received(events, bytes);
        Self::sent(meter, events)
    }

    /// For events that were counted in already.
    pub fn sent(meter: &NodeMeter, events: u64) -> Self {
        Self {
            meter: meter.clone(),
            received: events,
            open: events,
            closed: false,
        }
    }

    /// The node made `n` more of them.
    pub fn created(&mut self, n: u64) {
        self.meter.created(n);
        self.open += n;
    }

    /// A rule ended the way of `n`.
    pub fn dropped(&mut self, reason: &str, n: u64) {
        self.meter.dropped(reason, n);
        self.settled(n);
    }

    /// One was dead-lettered.
    pub fn dead_lettered(&mut self, reason: &'static str) {
        self.meter.dead_lettered(reason, 1);
        self.settled(1);
    }

    /// `n` were delivered.
    pub fn delivered(&mut self, n: u64, bytes: u64) {
        self.meter.delivered(n, bytes);
        self.settled(n);
    }

    /// `n` were counted elsewhere in this node: by its output.
    pub fn settled(&mut self, n: u64) {
        self.open = self.open.saturating_sub(n);
    }

    /// The call was answered, and of what came in, `back` were not delivered.
    pub fn close(mut self, back: u64) {
        self.balance(back);
    }

    fn balance(&mut self, back: u64) {
        self.closed = true;
        self.meter.given_back(back);
        // Parts that fail go back as the one event they were; what goes back although it was
        // settled has been two.
        self.meter.rejoined(self.open.saturating_sub(back));
        self.meter.created(back.saturating_sub(self.open));
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if !self.closed {
            self.balance(self.received);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Counts, NodeKind, Observer, RunState};

    fn counted(call: impl FnOnce(Account)) -> Counts {
        let observer = Observer::new("p");
        let meter = observer.node("n", NodeKind::Transform, "x");
        call(Account::open(&meter, 10, 100));
        observer.set_state(RunState::Stopped);
        let counts = observer.ledger().nodes.remove(0).counts;
        assert_eq!(counts.held, 0, "{}", counts.equation());
        counts
    }

    #[test]
    fn a_call_that_is_dropped_gives_everything_back() {
        assert_eq!(counted(drop).given_back, 10);
        let counts = counted(|mut account| {
            account.dropped("filtered", 3);
            account.delivered(2, 20);
        });
        assert_eq!((counts.given_back, counts.created), (10, 5));
    }

    #[test]
    fn parts_go_back_as_the_event_they_were() {
        let counts = counted(|mut account| {
            account.created(5);
            account.settled(0);
            account.delivered(12, 120);
            // Three parts of two events failed.
            account.close(2);
        });
        assert_eq!((counts.given_back, counts.created), (2, 4));
    }

    #[test]
    fn nothing_goes_back_of_what_was_settled() {
        let counts = counted(|mut account| {
            account.dropped("filtered", 3);
            account.dead_lettered("schema");
            account.delivered(6, 60);
            account.close(0);
        });
        assert_eq!((counts.given_back, counts.created), (0, 0));
        assert_eq!(counts.dead_lettered["schema"], 1);
    }
}
