use super::*;

#[test]
fn the_place_and_the_debug_form_show_no_password() {
    let settings = Settings::of_url("amqps://me:hush@broker.example:5671/tenants");
    assert_eq!(
        settings.place(),
        "broker.example:5671 (virtual host `tenants`)"
    );
    assert!(!format!("{settings:?}").contains("hush"));
    assert!(settings.is_encrypted() && !settings.is_local());
    assert!(Settings::of_url("amqp://localhost/%2f").is_local());
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_told_in_time() {
    // Nobody listens on the first port, and nobody is given it.
    let settings = Settings::of_url("amqp://guest:hush@127.0.0.1:1/%2f");
    let failure = settings.connect("x").await.unwrap_err();
    assert_eq!(failure.kind(), crate::failure::Kind::Disconnected);
    assert!(!failure.to_string().contains("hush"), "{failure}");
}

/// Takes connections and says nothing.
#[tokio::test]
async fn a_broker_that_does_not_answer_is_told_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let settings = Settings {
        connect_timeout: Duration::from_millis(200),
        ..Settings::of_url(&format!("amqp://127.0.0.1:{port}/%2f"))
    };
    let failure = settings.connect("x").await.unwrap_err();
    assert_eq!(failure.losses()[0].cause.reason, "broker_away");
    // And nothing is left of the connection: it is tried again for ever.
    let (mut socket, _) = silent.accept().await.unwrap();
    let mut greeting = Vec::new();
    let ended = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut greeting);
    let ended = tokio::time::timeout(Duration::from_secs(10), ended).await;
    assert!(ended.is_ok(), "the connection is kept");
    assert_eq!(greeting, b"AMQP\0\0\x09\x01");
}
