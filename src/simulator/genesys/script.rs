//! What happens in a conversation, step by step. Each step is decided by the conversation's own
//! numbers, so neither the rate nor who listens changes the story.

use super::conversation::{CODES, Conversation, Phase, WrapUp};
use super::words::{Direction, Ending, Media, Purpose, State};

/// Most agents that are tried before the customer is gone.
const MAX_TRIES: u32 = 6;

/// What a step was, for detail events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Happened {
    CustomerStart,
    CustomerEnd,
    FlowStart,
    FlowEnd,
    AcdStart,
    AcdEnd,
    UserStart,
    UserEnd,
    Acw,
    WrapUp,
    Attributes,
}

/// A step: what happened, and to which participant (by its place); in the order in which it did.
pub(super) type Step = Vec<(Happened, usize)>;

/// Takes the next step. Answers what happened, and the seconds until the next step in a
/// conversation of usual length.
pub(super) fn advance(it: &mut Conversation, users: u32, now: i64) -> (Step, f64) {
    for participant in &mut it.participants {
        participant.fresh = false;
    }
    it.steps += 1;
    let mut step = Step::new();
    let pause = match it.phase {
        Phase::Arriving => arrive(it, now, &mut step),
        Phase::Greeted => greet(it, now, &mut step),
        Phase::InFlow => leave_flow(it, now, &mut step),
        Phase::Waiting => alert(it, users, now, &mut step),
        Phase::Alerting => answer(it, now, &mut step),
        Phase::Talking => talk(it, now, &mut step),
        Phase::Holding | Phase::Parked => resume(it, now),
        Phase::WrappingUp => wrap_up(it, now, &mut step),
        Phase::Reopening => reopen(it, now, &mut step),
        Phase::Ended => 0.0,
    };
    (step, pause)
}

fn place(it: &Conversation, purpose: Purpose) -> usize {
    it.participants
        .iter()
        .rposition(|one| one.purpose == purpose)
        .unwrap_or(0)
}

fn arrive(it: &mut Conversation, now: i64, step: &mut Step) -> f64 {
    let state = match (it.media, it.direction) {
        (Media::Callback, _) => State::Scheduled,
        (Media::Call, Direction::Inbound) => State::Offering,
        (Media::Call, Direction::Outbound) => State::Dialing,
        (Media::Message | Media::Email, _) => State::Connected,
    };
    it.join(Purpose::Customer, state, now);
    step.push((Happened::CustomerStart, place(it, Purpose::Customer)));
    it.phase = Phase::Greeted;
    it.random.between(0.5, 3.0)
}

fn greet(it: &mut Conversation, now: i64, step: &mut Step) -> f64 {
    if it.media != Media::Callback
        && let Some(customer) = it.present(Purpose::Customer)
    {
        customer.go(State::Connected, now);
    }
    it.join(Purpose::Ivr, State::Connected, now);
    step.push((Happened::FlowStart, place(it, Purpose::Ivr)));
    it.phase = Phase::InFlow;
    it.random.between(5.0, 40.0)
}

fn leave_flow(it: &mut Conversation, now: i64, step: &mut Step) -> f64 {
    if it.attributes.is_empty() && it.random.share(0.3) {
        let level = it.random.below(5);
        it.attributes =
            format!(r#"{{"context.tier":"{level}","context.email":"ada{level}@example.org"}}"#);
        if let Some(customer) = it.present(Purpose::Customer) {
            customer.fresh = true;
        }
        step.push((Happened::Attributes, place(it, Purpose::Customer)));
        return it.random.between(2.0, 10.0);
    }
    let abandons = it.random.share(0.07);
    if let Some(ivr) = it.present(Purpose::Ivr) {
        let ending = if abandons {
            Ending::Peer
        } else {
            Ending::Transfer
        };
        ivr.leave(ending, now);
    }
    step.push((Happened::FlowEnd, place(it, Purpose::Ivr)));
    if abandons {
        return abandon(it, now, step);
    }
    queue_up(it, now, step)
}

fn queue_up(it: &mut Conversation, now: i64, step: &mut Step) -> f64 {
    it.join(Purpose::Acd, State::Connected, now);
    step.push((Happened::AcdStart, place(it, Purpose::Acd)));
    it.phase = Phase::Waiting;
    it.random.between(2.0, 45.0)
}

/// The customer hangs up before anybody answered.
fn abandon(it: &mut Conversation, now: i64, step: &mut Step) -> f64 {
    for purpose in [Purpose::Agent, Purpose::Acd, Purpose::Customer] {
        let at = place(it, purpose);
        let ending = if purpose == Purpose::Customer {
            Ending::Endpoint
        } else {
            Ending::Peer
        };
        let Some(one) = it.present(purpose) else {
            continue;
        };
        one.leave(ending, now);
        step.push(match purpose {
            Purpose::Agent => (Happened::UserEnd, at),
            Purpose::Acd => (Happened::AcdEnd, at),
            _ => (Happened::CustomerEnd, at),
        });
    }
    end(it, now);
    0.0
}

fn end(it: &mut Conversation, now: i64) {
    it.close(Ending::System, now);
    it.phase = Phase::Ended;
    it.end = Some(now);
}

fn alert(it: &mut Conversation, users: u32, now: i64, step: &mut Step) -> f64 {
    // Who missed or rejected is often asked again: a new participant with the same user.
    let last = it.participants.iter().rev().find_map(|one| one.user);
    let user = match last {
        Some(user) if it.random.share(0.5) => user,
        _ => it.random.below(u64::from(users)) as u32,
    };
    let state = match it.direction {
        Direction::Inbound => State::Alerting,
        Direction::Outbound if it.media == Media::Call => State::Contacting,
        Direction::Outbound => State::Alerting,
    };
    let agent = it.join(Purpose::Agent, state, now);
    agent.user = Some(user);
    step.push((Happened::UserStart, place(it, Purpose::Agent)));
    it.phase = Phase::Alerting;
    it.tries += 1;
    it.random.between(2.0, 20.0)
}

fn answer(it: &mut Conversation, now: i64, step: &mut Step) -> f64 {
    let luck = it.random.unit();
    let at = place(it, Purpose::Agent);
    if luck < 0.08 || it.tries >= MAX_TRIES {
        return abandon(it, now, step);
    }
    if luck < 0.30 {
        // `system`: nobody answered in time; `client`: rejected; do not disturb.
        let ending = match luck {
            luck if luck < 0.16 => Ending::System,
            luck if luck < 0.20 => Ending::NoAnswer,
            luck if luck < 0.28 => Ending::Client,
            _ => Ending::DoNotDisturb,
        };
        if let Some(agent) = it.present(Purpose::Agent) {
            agent.leave(ending, now);
        }
        step.push((Happened::UserEnd, at));
        it.phase = Phase::Waiting;
        return it.random.between(1.0, 8.0);
    }
    for purpose in [Purpose::Agent, Purpose::Customer] {
        if let Some(one) = it.present(purpose) {
            one.go(State::Connected, now);
        }
    }
    if let Some(acd) = it.present(Purpose::Acd) {
        acd.leave(Ending::Transfer, now);
    }
    step.push((Happened::AcdEnd, place(it, Purpose::Acd)));
    it.phase = Phase::Talking;
    it.random.between(20.0, 120.0)
}

fn talk(it: &mut Conversation, now: i64, step: &mut Step) -> f64 {
    let luck = it.random.unit();
    let at = place(it, Purpose::Agent);
    match it.media {
        Media::Call if luck < 0.25 => {
            if let Some(agent) = it.present(Purpose::Agent) {
                agent.held = Some(now);
                agent.fresh = true;
            }
            it.phase = Phase::Holding;
            it.random.between(5.0, 60.0)
        }
        Media::Message | Media::Email if luck < 0.2 => {
            if let Some(agent) = it.present(Purpose::Agent) {
                agent.go(State::Parked, now);
            }
            it.phase = Phase::Parked;
            it.random.between(30.0, 200.0)
        }
        // Each mail that is sent ends the agent's session and begins another.
        Media::Email if luck < 0.5 => {
            let user = it.participants[at].user;
            if let Some(agent) = it.present(Purpose::Agent) {
                agent.leave(Ending::Transfer, now);
            }
            step.push((Happened::UserEnd, at));
            let next = it.join(Purpose::Agent, State::Connected, now);
            next.user = user;
            step.push((Happened::UserStart, place(it, Purpose::Agent)));
            it.random.between(20.0, 120.0)
        }
        _ if luck > 0.93 && it.tries < MAX_TRIES => {
            if let Some(agent) = it.present(Purpose::Agent) {
                agent.leave(Ending::Transfer, now);
            }
            step.push((Happened::UserEnd, at));
            queue_up(it, now, step)
        }
        _ => hang_up(it, now, luck, step),
    }
}

fn resume(it: &mut Conversation, now: i64) -> f64 {
    if let Some(agent) = it.present(Purpose::Agent) {
        agent.held = None;
        agent.go(State::Connected, now);
    }
    it.phase = Phase::Talking;
    it.random.between(10.0, 60.0)
}

fn hang_up(it: &mut Conversation, now: i64, luck: f64, step: &mut Step) -> f64 {
    let (customer, agent) = match luck {
        luck if luck < 0.7 => (Ending::Endpoint, Ending::Peer),
        luck if luck < 0.9 => (Ending::Peer, Ending::Client),
        luck if luck < 0.92 => (Ending::Error, Ending::Error),
        _ if it.media == Media::Message => (Ending::Spam, Ending::Spam),
        _ => (Ending::Timeout, Ending::Timeout),
    };
    let at = place(it, Purpose::Agent);
    if let Some(one) = it.present(Purpose::Agent) {
        one.leave(agent, now);
        if agent == Ending::Error {
            one.state = State::Terminated;
        }
        one.wrap_up = WrapUp::Pending { since: now };
        step.push((Happened::UserEnd, at));
    }
    let at = place(it, Purpose::Customer);
    if let Some(one) = it.present(Purpose::Customer) {
        one.leave(customer, now);
        step.push((Happened::CustomerEnd, at));
    }
    it.phase = Phase::WrappingUp;
    it.random.between(5.0, 60.0)
}

fn wrap_up(it: &mut Conversation, now: i64, step: &mut Step) -> f64 {
    let at = place(it, Purpose::Agent);
    let code = it.random.below(CODES.len() as u64) as u8;
    if let Some(agent) = it.participants.get_mut(at) {
        let since = match agent.wrap_up {
            WrapUp::Pending { since } => since,
            _ => now,
        };
        agent.wrap_up = WrapUp::Complete {
            since,
            until: now,
            code,
        };
        agent.fresh = true;
    }
    step.extend([(Happened::Acw, at), (Happened::WrapUp, at)]);
    // An asynchronous conversation goes on when the customer writes again, once here.
    if it.media == Media::Message && !it.reopened && it.random.share(0.25) {
        it.phase = Phase::Reopening;
        return it.random.between(30.0, 300.0);
    }
    end(it, now);
    0.0
}

fn reopen(it: &mut Conversation, now: i64, step: &mut Step) -> f64 {
    it.reopened = true;
    it.tries = 0;
    it.join(Purpose::Customer, State::Connected, now);
    step.push((Happened::CustomerStart, place(it, Purpose::Customer)));
    queue_up(it, now, step)
}

/// Into a queue, from outside: whoever spoke for the organisation leaves.
pub(super) fn put_into(it: &mut Conversation, queue: u32, now: i64, mut step: Step) -> Step {
    leave_to_another(it, now, &mut step);
    it.queue = queue;
    queue_up(it, now, &mut step);
    step
}

/// To this agent, from outside.
pub(super) fn hand_to(it: &mut Conversation, user: u32, now: i64) -> Step {
    for participant in &mut it.participants {
        participant.fresh = false;
    }
    let mut step = Step::new();
    leave_to_another(it, now, &mut step);
    it.join(Purpose::Agent, State::Alerting, now).user = Some(user);
    step.push((Happened::UserStart, place(it, Purpose::Agent)));
    it.phase = Phase::Alerting;
    step
}

fn leave_to_another(it: &mut Conversation, now: i64, step: &mut Step) {
    for (purpose, happened) in [
        (Purpose::Agent, Happened::UserEnd),
        (Purpose::Acd, Happened::AcdEnd),
        (Purpose::Ivr, Happened::FlowEnd),
    ] {
        let at = place(it, purpose);
        if let Some(one) = it.present(purpose) {
            one.leave(Ending::Transfer, now);
            step.push((happened, at));
        }
    }
}

/// Ends it from outside: by REST, or because a customer is gone.
pub(super) fn disconnect(it: &mut Conversation, now: i64) -> Step {
    let mut step = Step::new();
    for participant in &mut it.participants {
        participant.fresh = false;
    }
    for (at, participant) in it.participants.iter_mut().enumerate() {
        if participant.state.is_over() {
            continue;
        }
        participant.leave(Ending::Client, now);
        step.push(match participant.purpose {
            Purpose::Customer => (Happened::CustomerEnd, at),
            Purpose::Agent => (Happened::UserEnd, at),
            Purpose::Acd => (Happened::AcdEnd, at),
            Purpose::Ivr => (Happened::FlowEnd, at),
        });
    }
    it.steps += 1;
    end(it, now);
    step
}
