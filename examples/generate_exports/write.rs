//! One conversation in the words of each kind of export, with the facts that are meant.

use super::conversation::{Conversation, Moment};
use super::pack::time;
use super::random::Random;
use super::truth::{Fact, Made};

/// What EventBridge tells of a moment. `filled`: with the conversation's id in `detail-type`, where
/// others have a literal `{id}`.
pub fn envelope(of: &Conversation, moment: &Moment, filled: bool) -> (String, Fact) {
    let word = match moment.state {
        "started" => "customer.start",
        "queued" => "acd.start",
        "connected" => "user.start",
        "disconnected" => "user.end",
        _ => "customer.end",
    };
    let agent = matches!(moment.state, "connected" | "disconnected").then_some(of.agent);
    let ended = moment.state == "completed";
    let (id, caller, at) = (&of.id, &of.caller, time(moment.at, true));
    let topic = format!("v2.detail.events.conversation.{id}.{word}");
    let kind = match filled {
        true => topic.clone(),
        false => format!("v2.detail.events.conversation.{{id}}.{word}"),
    };
    let mut body = format!(
        r#""eventTime":{},"conversationId":"{id}","participantId":"p","sessionId":"s","mediaType":"{}","provider":"Edge","direction":"{}","ani":"tel:{caller}","queueId":"{}""#,
        moment.at,
        of.media.to_uppercase(),
        of.direction.to_uppercase(),
        of.queue
    );
    if let Some(agent) = agent {
        body.push_str(&format!(r#","userId":"{agent}""#));
    }
    if ended {
        body.push_str(&format!(
            r#","interactingDurationMs":{}"#,
            of.seconds * 1000
        ));
    }
    let json = format!(
        r#"{{"version":"0","id":"{}","detail-type":"{kind}","source":"aws.partner/genesys.com/cloud/org/bus","account":"123456789012","time":"{at}","region":"us-east-1","resources":[],"detail":{{"topicName":"{topic}","version":"2","eventBody":{{{body},"conversationExternalContactIds":[]}},"metadata":{{"CorrelationId":"c"}},"timestamp":"{at}"}}}}"#,
        moment.id
    );
    let mut fact = fact(of, moment);
    fact.agent = agent.map(|agent| format!("user:{agent}"));
    fact.seconds = ended.then_some(of.seconds);
    (json, fact)
}

/// What a record of the other system tells of a moment.
pub fn record(
    random: &mut Random,
    of: &Conversation,
    moment: &Moment,
    made: &mut Made,
) -> (String, Fact) {
    let email = made.is_personal(format!("{}@company.example.com", of.agent));
    let ended = moment.state == "completed";
    let at = match random.below(3) {
        0 => moment.at.to_string(),
        _ => format!("\"{}\"", time(moment.at, true)),
    };
    let seconds = match (ended, random.below(2)) {
        (false, _) => String::new(),
        (true, 0) => format!(r#","duration_seconds":"{}""#, of.seconds),
        (true, _) => format!(r#","duration_seconds":{}"#, of.seconds),
    };
    let caller = match random.below(3) {
        0 => &of.caller,
        _ => "+1***-***-0199",
    };
    let json = format!(
        r#"{{"event_id":"{}","timestamp":{at},"interaction_id":"{}","type":"{}","direction":"{}","state":"{}"{seconds},"queue_name":"{}","agent_id":"user:{email}","caller_number_masked":"{caller}","customer_name":"{}","metadata":{{"source_ip":"{}","campaign_id":"c-7"}}}}"#,
        moment.id,
        of.id,
        of.kind(),
        of.direction,
        moment.state,
        of.queue,
        of.caller_name,
        of.address
    );
    let mut fact = fact(of, moment);
    fact.agent = Some(format!("user:{}***@***.com", &of.agent[..1]));
    fact.seconds = ended.then_some(of.seconds);
    (json, fact)
}

/// What the analytics interface tells of a conversation, while it lasts or when it is `over`, with
/// days and hours of one digit. A fact for each of its sessions: the customer's and the agent's.
pub fn document(of: &Conversation, over: bool) -> (String, Vec<Fact>) {
    let (mut sessions, mut facts) = (Vec::new(), Vec::new());
    let last = if over { of.end() } else { of.moments[2].at };
    for (purpose, begun) in [("customer", of.start()), ("agent", of.moments[1].at)] {
        let agent = (purpose == "agent").then_some(of.agent);
        let user = agent
            .map(|agent| format!(r#""userId":"{agent}","#))
            .unwrap_or_default();
        let session = format!("{}-{purpose}", &of.id[..8]);
        sessions.push(format!(
            r#"{{"participantId":"{purpose}",{user}"participantName":"{}","purpose":"{purpose}","attributes":{{"note":"reach me at {}"}},"sessions":[{{"sessionId":"{session}","mediaType":"{}","direction":"{}","ani":"tel:{}","provider":"Edge","metrics":[{{"name":"tTalk","value":1000,"emitDate":"{}"}}],"segments":[{{"segmentStart":"{}","segmentEnd":"{}","segmentType":"interact","queueId":"{}"}}]}}]}}"#,
            of.caller_name,
            of.caller,
            of.media,
            of.direction,
            of.caller,
            time(last, false),
            time(begun, false),
            time(last, false),
            of.queue
        ));
        facts.push(Fact {
            event_id: format!("{}:{session}", of.id),
            // What is told later tells of later times, and so it stays.
            at: last,
            state: if over { "completed" } else { "active" }.to_owned(),
            // To the nearest second.
            seconds: Some((last - begun + 500) / 1000),
            agent: agent.map(|agent| format!("user:{agent}")),
            ..fact(of, &of.moments[0])
        });
    }
    let end = match over {
        true => format!(r#""conversationEnd":"{}","#, time(last, false)),
        false => String::new(),
    };
    let json = format!(
        "{{\"conversationId\":\"{}\",\"conversationStart\":\"{}\",{end}\n \"originatingDirection\":\"{}\",\"divisionIds\":[\"d\"],\n \"participants\":[{}]}}",
        of.id,
        time(of.start(), false),
        of.direction,
        sessions.join(",\n  ")
    );
    (json, facts)
}

fn fact(of: &Conversation, moment: &Moment) -> Fact {
    Fact {
        event_id: moment.id.clone(),
        interaction_id: of.id.clone(),
        at: moment.at,
        kind: of.kind(),
        direction: Some(of.direction.to_owned()),
        state: moment.state.to_owned(),
        seconds: None,
        queue: Some(of.queue.to_owned()),
        agent: None,
    }
}
