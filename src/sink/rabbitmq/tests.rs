use super::*;

fn outgoing(index: usize, key: &str, body: &str) -> Outgoing {
    Outgoing {
        origin: Origin::new(1, index),
        key: key.into(),
        body: body.as_bytes().to_vec(),
        properties: lapin::BasicProperties::default(),
    }
}

fn lost(answer: Result<(), Failure>, messages: &[Outgoing]) -> Vec<(Kind, &'static str, usize)> {
    let failure = match answer {
        Ok(()) => return Vec::new(),
        Err(failure) => failure,
    };
    let origins: Vec<_> = messages.iter().map(|it| it.origin).collect();
    let mut all = Vec::new();
    for loss in failure.into_losses() {
        let (kind, reason) = (loss.kind, loss.cause.reason);
        let whole = Failure::from_losses(vec![loss]).unwrap();
        let mut indices: Vec<_> = whole
            .lost_of(&origins)
            .iter()
            .map(|it| it.index())
            .collect();
        indices.sort_unstable();
        all.extend(indices.into_iter().map(|index| (kind, reason, index)));
    }
    all
}

#[test]
fn a_return_belongs_to_the_message_that_it_is() {
    let messages = [
        outgoing(0, "a", "1"),
        outgoing(1, "gone", "2"),
        outgoing(2, "gone", "3"),
        outgoing(3, "gone", "3"),
    ];
    // As it was told: with the confirmation of another message of the same frame.
    let outcome = Outcome {
        returned: HashMap::from([(("gone".to_owned(), b"3".to_vec()), 2)]),
        confirmed: vec![0, 1, 2, 3],
        ..Outcome::default()
    };
    let answer = outcome.answer(&messages, Ok(()));
    let unroutable = |index| (Kind::Rejected, "unroutable", index);
    assert_eq!(lost(answer, &messages), [unroutable(2), unroutable(3)]);
}

#[test]
fn a_dead_connection_names_what_was_not_confirmed_and_nothing_else() {
    let messages: Vec<_> = (0..5).map(|n| outgoing(n, "a", "x")).collect();
    let outcome = Outcome {
        nacked: vec![Origin::new(1, 1)],
        confirmed: vec![0, 2],
        ..Outcome::default()
    };
    let gone = Failure::disconnected("broker_away", "gone");
    let answer = outcome.answer(&messages, Err(gone));
    let expected = [
        (Kind::Transient, "nacked", 1),
        (Kind::Disconnected, "broker_away", 3),
        (Kind::Disconnected, "broker_away", 4),
    ];
    assert_eq!(lost(answer, &messages), expected);
    let all = Outcome {
        confirmed: (0..5).collect(),
        ..Outcome::default()
    };
    assert!(all.answer(&messages, Ok(())).is_ok());
}
