//! Puts conversations into objects.

use super::conversation::{AGENTS, Conversation};
use super::pack::{MARK, broken_off, gzip, time, zstd};
use super::random::Random;
use super::truth::{Fact, Made, Recording};
use super::write::{document, envelope, record};

/// Makes the bucket.
pub fn make() -> Made {
    let (mut made, mut random) = (Made::default(), Random(4711));
    let mut conversations: Vec<_> = (0..60)
        .map(|number| Conversation::make(&mut random, number, &mut made))
        .collect();
    let records = conversations.split_off(30);
    events(&mut random, &conversations, &mut made);
    other_records(&mut random, &records, &mut made);
    analytics(&conversations[..8], &mut made);
    recordings(&mut random, &conversations[..5], &mut made);
    made
}

/// What Firehose writes: envelopes one behind the other, in whatever order they came.
fn events(random: &mut Random, conversations: &[Conversation], made: &mut Made) {
    // The first object is one that turned up late: it has the beginnings of some conversations.
    let mut objects = vec![Vec::new(); 3];
    for (number, conversation) in conversations.iter().enumerate() {
        for (index, moment) in conversation.moments.iter().enumerate() {
            let home = match (number % 5, index) {
                (0, 0) => 0,
                _ => 1 + usize::from(number >= 15),
            };
            let told = envelope(conversation, moment, home == 2);
            // Delivered at least once: a little later, and in another object.
            if random.once_in(12) {
                objects[home].push(told.clone());
            }
            if random.once_in(12) {
                objects[2].push(told.clone());
            }
            objects[home].push(told);
        }
    }
    let name = |hour: usize, random: &mut Random| {
        let id = random.uuid();
        format!("events/2026/03/02/{hour:02}/genesys-events-1-2026-03-02-{hour:02}-00-04-{id}")
    };
    for (home, mut told) in objects.into_iter().enumerate() {
        for index in 0..told.len() {
            if random.once_in(4) {
                let other = (index + 1 + random.below(5)).min(told.len() - 1);
                told.swap(index, other);
            }
        }
        told.iter().for_each(|(_, fact)| made.tell(fact));
        let texts: Vec<_> = told.iter().map(|(json, _)| json.as_str()).collect();
        let key = name(8 + home, random);
        if home < 2 {
            let text = texts.concat();
            made.object(key, text.clone().into_bytes(), text.into_bytes());
            continue;
        }
        // Two members, each as if it were a file.
        let (first, second) = texts.split_at(texts.len() / 2);
        let (first, second) = (
            MARK.to_owned() + &first.concat(),
            MARK.to_owned() + &second.concat(),
        );
        let bytes = [gzip(&first), gzip(&second)].concat();
        made.object(key + ".gz", bytes, (first + &second).into_bytes());
    }
}

/// Records of another system: lines in two frames of zstd, an array, and what is broken.
fn other_records(random: &mut Random, conversations: &[Conversation], made: &mut Made) {
    let mut objects: Vec<Vec<(String, Fact)>> = vec![Vec::new(); 3];
    for (number, conversation) in conversations.iter().enumerate() {
        for moment in &conversation.moments {
            let told = record(random, conversation, moment, made);
            objects[(number / 10).min(2)].push(told);
        }
    }
    let mut objects = objects.into_iter();
    let lines = |told: &[(String, Fact)]| -> String {
        told.iter().map(|(json, _)| format!("{json}\r\n")).collect()
    };
    let first = objects.next().unwrap_or_default();
    first.iter().for_each(|(_, fact)| made.tell(fact));
    let (head, tail) = first.split_at(20);
    let (head, tail) = (lines(head), lines(tail) + &refused(&conversations[0], made));
    let text = head.clone() + &tail;
    let bytes = [zstd(&head), zstd(&tail)].concat();
    made.object(
        "records/2026/03/02/09/part-00001.ndjson.zst",
        bytes,
        text.into_bytes(),
    );

    let second = objects.next().unwrap_or_default();
    second.iter().for_each(|(_, fact)| made.tell(fact));
    let texts: Vec<_> = second.iter().map(|(json, _)| json.as_str()).collect();
    let text = format!("[\n{}\n]\n", texts.join(",\n"));
    made.object(
        "records/2026/03/02/10/part-00002.json.gz",
        gzip(&text),
        text.into_bytes(),
    );

    // A member that is whole, and one that ends inside its third record.
    let third = objects.next().unwrap_or_default();
    let (whole, rest) = third.split_at(30);
    let broken = lines(rest);
    let cut = lines(&rest[..2]).len() + 40;
    whole
        .iter()
        .chain(&rest[..2])
        .for_each(|(_, fact)| made.tell(fact));
    let text = lines(whole) + &broken[..cut];
    let bytes = [gzip(&lines(whole)), broken_off(&broken, cut)].concat();
    made.object(
        "records/2026/03/02/11/part-00003.ndjson.gz",
        bytes,
        text.into_bytes(),
    );
    made.letter("exports", "truncated");
    made.letter("exports", "corrupt_object");
}

/// Lines of which nothing can be made, each for another reason.
fn refused(of: &Conversation, made: &mut Made) -> String {
    let caller = &of.caller;
    made.letter("exports", "not_json");
    made.letter("exports", "not_an_object");
    made.letter("ordered", "missing_key");
    made.letter("unique", "missing_key");
    made.letter("valid", "schema");
    let at = time(of.start(), true);
    [
        format!(r#"{{"event_id":"broken-1","interaction_id":"i","note":"{caller}""#),
        format!(r#"["{caller}"]"#),
        format!(r#"{{"event_id":"broken-2","timestamp":"{at}","caller":"{caller}"}}"#),
        format!(r#"{{"timestamp":"{at}","interaction_id":"i-3","caller":"{caller}"}}"#),
        format!(
            r#"{{"event_id":"broken-4","timestamp":"{at}","interaction_id":"i-4","duration_seconds":"about five","caller":"{caller}"}}"#
        ),
    ]
    .map(|line| line + "\r\n")
    .concat()
}

/// Conversations of which some lasted when they were exported, and the page of a later day on which
/// all are over.
fn analytics(conversations: &[Conversation], made: &mut Made) {
    let mut first = String::new();
    for (number, conversation) in conversations.iter().enumerate() {
        let (json, facts) = document(conversation, number % 2 == 0);
        facts.iter().for_each(|fact| made.tell(fact));
        first.push_str(&json);
    }
    made.object(
        "analytics/2026/03/02/details-1.json",
        first.clone().into_bytes(),
        first.into_bytes(),
    );
    let mut page = Vec::new();
    for conversation in conversations {
        let (json, facts) = document(conversation, true);
        facts.iter().for_each(|fact| made.tell(fact));
        page.push(json);
    }
    let text = format!(
        "{{\"conversations\":[{}],\"cursor\":\"next\",\"dataAvailabilityDate\":\"2026-03-03T00:00:00Z\"}}\n",
        page.join(",")
    );
    made.object(
        "analytics/2026/03/03/details-2.json",
        text.clone().into_bytes(),
        text.into_bytes(),
    );
}

/// Recordings with their metadata; the sound itself is not for a warehouse.
fn recordings(random: &mut Random, conversations: &[Conversation], made: &mut Made) {
    for (number, conversation) in conversations.iter().enumerate() {
        let (id, of) = (random.uuid(), &conversation.id);
        let hour = conversation.start() / 3_600_000 % 24;
        let folder =
            format!("recordings/org/year=2026/month=03/day=02/hour={hour:02}/conversation_id={of}");
        let agent = AGENTS[number];
        let email = made.is_personal(format!("{agent}@company.example.com"));
        let text = format!(
            "{MARK}{{\n  \"mediaType\": \"audio\",\n  \"mediaSubtype\": \"Trunk\",\n  \"provider\": \"Edge\",\n  \"userIds\": [\"{agent}\"],\n  \"unheardOf\": {{ \"mail\": \"{email}\", \"from\": \"{}\" }}\n}}\n",
            conversation.caller
        );
        made.object(
            format!("{folder}/{id}_metadata.json"),
            text.clone().into_bytes(),
            text.into_bytes(),
        );
        let sound: Vec<u8> = (0..48).map(|_| random.below(256) as u8).collect();
        made.object(format!("{folder}/{id}"), sound.clone(), sound);
        made.tell(&Fact {
            event_id: id.clone(),
            interaction_id: of.clone(),
            at: conversation.start() / 3_600_000 * 3_600_000,
            kind: "call".into(),
            direction: None,
            state: "recorded".into(),
            seconds: None,
            queue: None,
            agent: Some(format!("user:{agent}")),
        });
        made.recordings.insert(Recording {
            event_id: id,
            interaction_id: of.clone(),
        });
    }
}
