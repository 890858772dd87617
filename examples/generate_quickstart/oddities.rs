//! Records that are no good, and documents of another shape.

use super::conversations::Maker;

/// Why a record is refused: the node, and its word for it.
pub type Reason = (&'static str, &'static str);

/// Lines that are no records.
pub fn not_json(maker: &mut Maker) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..6 {
        let (phone, email) = (maker.phone(), maker.email());
        lines.push(format!("{{\"event_id\":\"cut off\",\"caller_number_masked\":\"{phone}\",\"contact\":\"{email}\","));
        let (phone, card) = (maker.phone(), maker.card());
        lines.push(format!(
            "2026-03-02 07:00:01 WARN exporter: retry for {phone}, card {card}"
        ));
    }
    lines
}

/// Whole records that some node refuses.
pub fn refused(maker: &mut Maker) -> Vec<(String, Reason)> {
    let mut records = Vec::new();
    let mut add = |json: String, node: &'static str, reason: &'static str| {
        records.push((json, (node, reason)))
    };
    for number in 0..5 {
        let (phone, email) = (maker.phone(), maker.email());
        let id = maker.random.uuid();
        let conversation = maker.random.uuid();
        let tail = format!(
            "\"state\":\"started\",\"caller_number_masked\":\"{phone}\",\"agent_id\":\"user:{email}\"}}"
        );
        let time = format!("\"timestamp\":\"2026-03-02T08:00:0{number}Z\"");
        add(
            format!("{{{time},\"interaction_id\":\"{conversation}\",{tail}"),
            "unique",
            "missing_key",
        );
        add(
            format!("{{\"event_id\":\"{id}-a\",{time},{tail}"),
            "ordered",
            "missing_key",
        );
        add(
            format!(
                "{{\"event_id\":\"{id}-b\",\"timestamp\":\"last tuesday\",\"interaction_id\":\"{conversation}\",{tail}"
            ),
            "ordered",
            "bad_timestamp",
        );
        add(
            format!(
                "{{\"event_id\":\"{id}-c\",{time},\"interaction_id\":\"{conversation}\",\"duration_seconds\":\"about {number} min\",{tail}"
            ),
            "valid",
            "schema",
        );
    }
    records
}

/// Longer than the pipeline takes.
pub fn oversized(maker: &mut Maker) -> String {
    let (phone, email) = (maker.phone(), maker.email());
    let padding = "lorem ipsum ".repeat(8000);
    format!(
        "{{\"event_id\":\"huge\",\"caller_number_masked\":\"{phone}\",\"note\":\"{email} {padding}\"}}"
    )
}

/// Events as EventBridge delivers them: each with what it means as a record (state and hour), or
/// nothing for one that is about no conversation.
pub fn envelopes(maker: &mut Maker) -> Vec<(String, Option<&'static str>)> {
    let mut made = Vec::new();
    for hour in 9..12 {
        let conversation = maker.random.uuid();
        for (topic, _) in [
            ("customer.start", "started"),
            ("acd.start", "queued"),
            ("user.start", "connected"),
            ("customer.end", "completed"),
        ] {
            let minute = made.len() * 2;
            let ani = maker.phone();
            made.push((
                envelope(
                    maker,
                    &format!("conversation.{conversation}.{topic}"),
                    &conversation,
                    (hour, minute),
                    &ani,
                ),
                Some("voice"),
            ));
        }
    }
    let ani = maker.phone();
    made.push((envelope(maker, "audit.login", "none", (13, 0), &ani), None));
    made
}

fn envelope(
    maker: &mut Maker,
    topic: &str,
    conversation: &str,
    (hour, minute): (usize, usize),
    ani: &str,
) -> String {
    let (id, session) = (maker.random.uuid(), maker.random.uuid());
    let at = super::conversations::time(1_772_409_600_000 + (hour * 60 + minute) as u64 * 60_000);
    format!(
        r#"{{
  "version": "0",
  "id": "{id}",
  "detail-type": "v2.detail.events.{topic}",
  "source": "aws.partner/genesys.com/cloud/example/bus",
  "account": "000000000000",
  "time": "{at}",
  "region": "eu-west-1",
  "resources": [],
  "detail": {{
    "topicName": "v2.detail.events.{topic}",
    "version": "2",
    "eventBody": {{
      "eventTime": "{at}",
      "conversationId": "{conversation}",
      "sessionId": "{session}",
      "mediaType": "VOICE",
      "direction": "INBOUND",
      "ani": "tel:{ani}",
      "interactingDurationMs": 61000,
      "queueId": "queue-vip"
    }},
    "timestamp": "{at}"
  }}
}}"#
    )
}

/// The participants' sessions of [`analytics`].
pub const SESSIONS: usize = 3;

/// An analytics conversation document: a customer, a queue and an agent.
pub fn analytics(maker: &mut Maker) -> String {
    let conversation = maker.random.uuid();
    let mut participants = Vec::new();
    for (number, purpose) in ["customer", "acd", "agent"].into_iter().enumerate() {
        let (phone, email, session) = (maker.phone(), maker.email(), maker.random.uuid());
        let user = if purpose == "agent" {
            "\"userId\": \"agent-7\","
        } else {
            ""
        };
        participants.push(format!(
            r#"    {{
      "participantName": "{email}", {user}
      "purpose": "{purpose}",
      "sessions": [{{
        "sessionId": "{session}",
        "mediaType": "voice",
        "direction": "inbound",
        "ani": "tel:{phone}",
        "segments": [
          {{ "segmentStart": "2026-03-02T14:00:0{number}.000Z", "segmentEnd": "2026-03-02T14:00:3{number}.000Z", "queueId": "queue-vip" }},
          {{ "segmentStart": "2026-03-02T14:00:3{number}.000Z", "segmentEnd": "2026-03-02T14:05:00.000Z" }}
        ]
      }}]
    }}"#
        ));
    }
    format!(
        "{{\n  \"conversationId\": \"{conversation}\",\n  \"conversationStart\": \"2026-03-02T14:00:00.000Z\",\n  \"conversationEnd\": \"2026-03-02T14:05:00.000Z\",\n  \"originatingDirection\": \"inbound\",\n  \"participants\": [\n{}\n  ]\n}}\n",
        participants.join(",\n")
    )
}
