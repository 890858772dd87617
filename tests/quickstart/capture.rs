//! Documents captured from Genesys Cloud go through the same pipeline file.

use std::path::Path;

use crate::place::{Place, ROOT, assert_adds_up};

#[test]
fn captured_documents_become_facts() {
    let folder = Path::new(ROOT).join("../shared/data/genesys");
    if !folder.is_dir() {
        println!("{} is not there: nothing was tried", folder.display());
        return;
    }
    let mut place = Place::new();
    place.set("INPUT", folder);
    place.run();
    assert_adds_up(&place.summary());
    let chat = "interaction_id='2f7bf00a-0fc2-4d6a-9b56-92238191433e'";
    let analytics = "1bc96a39-6725-40c4-9345-db72aa67b8c6";
    let row = |id: &str,
               interaction: &str,
               time: &str,
               state: &str,
               seconds: &str,
               queue: &str,
               agent: &str,
               counter: u8| {
        format!(
            "event_id='{id}' {interaction} event_timestamp='{time}' interaction_type='chat' direction='inbound' \
             state='{state}' duration_seconds={seconds} queue_name={queue} agent_id={agent} \
             source_system='GENESYS_CLOUD' event_counter={counter}"
        )
    };
    let session = |id: &str, time: &str, seconds: &str, agent: &str, counter: u8| {
        let (id, interaction) = (
            format!("{analytics}:{id}"),
            format!("interaction_id='{analytics}'"),
        );
        let queue = "'a623d83c-96d7-4baa-af1f-d46ad6700d8b'";
        row(
            &id,
            &interaction,
            time,
            "completed",
            seconds,
            queue,
            agent,
            counter,
        )
    };
    let user = "'user:50fcd33c-f432-4726-abc9-979f3ca01555'";
    let mut expected = vec![
        session(
            "4d3a7227-6fdc-4d60-97fe-99db88e00b51",
            "2021-04-01T12:27:53.386Z",
            "930",
            "NULL",
            1,
        ),
        session(
            "6acbee65-80be-4777-be03-8dacd07ee3f9",
            "2021-04-01T12:27:53.388Z",
            "11",
            "NULL",
            2,
        ),
        session(
            "b9ea3521-176e-4916-af7d-240732fc4680",
            "2021-04-01T12:27:53.519Z",
            "930",
            user,
            3,
        ),
        // The end comes first in the order of the files, and is held until the start is there.
        row(
            "58fb5dac-f077-4eec-a25f-c638dbdd4368",
            chat,
            "2022-04-06T09:31:44.949Z",
            "completed",
            "60",
            "NULL",
            "NULL",
            2,
        ),
        row(
            "adbcfa5b-0116-4baa-b66b-a3f5902e95bf",
            chat,
            "2022-04-06T09:30:44.949Z",
            "started",
            "NULL",
            "NULL",
            "NULL",
            1,
        ),
    ];
    expected.sort();
    assert_eq!(place.facts()["fact_interactions"], expected);
    // Documents that are no events: one letter each.
    let letters = place.letters();
    assert_eq!(letters.len(), 10);
    assert!(
        letters.iter().all(|(reason, ..)| reason == "missing_key"),
        "{letters:?}"
    );
}
