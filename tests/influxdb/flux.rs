//! Questions to an InfluxDB 2, which only the stub can be here.

use std::time::Duration;

use trunkline::client::influx::{Client, Series, Server};
use trunkline::failure::Kind;
use trunkline::setting::Secret;

use crate::stub::{Reply, Stub, reply};

fn client(stub: &Stub) -> Client {
    let server = Server {
        url: stub.url.parse().unwrap(),
        org: "o".to_owned(),
        bucket: "b".to_owned(),
        token: Some(Secret::new("hush")),
    };
    Client::new(&server, Duration::from_secs(5)).unwrap()
}

#[tokio::test]
async fn counters_are_read_back() {
    let csv = "#datatype,string,long,string,long\r\n#group,false,false,false,false\r\n\
        #default,_result,,,\r\n,result,table,interactionId,_value\r\n\
        ,,0,i-1,7\r\n,,0,\"i,2\",18\r\n,,0,i-1,3\r\n\r\n";
    let stub = Stub::start(move |_, _| reply(200, csv)).await;
    let counters = client(&stub)
        .max_counters(&Series::default(), 0)
        .await
        .unwrap();
    let expected = [("i-1".to_owned(), 7), ("i,2".to_owned(), 18)];
    assert_eq!(counters, expected.into());
    let asked = &stub.asked()[0];
    assert_eq!(
        (asked.call.as_str(), asked.query["org"].as_str()),
        ("query", "o")
    );
    assert_eq!(asked.headers["authorization"], "Token hush");
    let json: serde_json::Value = serde_json::from_str(&asked.text).unwrap();
    assert!(json["query"].as_str().unwrap().contains("max()"));
    assert_eq!(json["dialect"]["annotations"][0], "datatype");
    // A bucket without points.
    let stub = Stub::start(|_, _| reply(200, "\r\n")).await;
    let counters = client(&stub)
        .max_counters(&Series::default(), 0)
        .await
        .unwrap();
    assert!(counters.is_empty());
}

#[tokio::test]
async fn a_day_is_counted_by_the_clock_on_the_wall() {
    let csv = "#datatype,string,long,dateTime:RFC3339,long\r\n#group,false,false,false,false\r\n\
        #default,_result,,,\r\n,result,table,_time,_value\r\n\
        ,,0,2026-10-24T22:00:00Z,1\r\n,,0,2026-10-25T00:30:00Z,10\r\n\
        ,,0,2026-10-25T01:30:00Z,100\r\n,,0,2026-10-25T22:59:00Z,1000\r\n\r\n";
    let stub = Stub::start(move |_, _| reply(200, csv)).await;
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    let day = jiff::civil::date(2026, 10, 25);
    let (client, series) = (client(&stub), Series::default());
    let heatmap = client.activity_by_minute(&series, day, &zone).await;
    let heatmap = heatmap.unwrap();
    // The clocks go back: half past two comes twice, and the day has 25 hours.
    assert_eq!(
        (heatmap[0][0], heatmap[2][30], heatmap[23][59]),
        (1, 110, 1000)
    );
    assert_eq!(heatmap.iter().flatten().sum::<u64>(), 1111);
    let asked = stub.asked()[0].text.clone();
    assert!(
        asked.contains("start: 2026-10-24T22:00:00.000Z, stop: 2026-10-25T23:00:00.000Z"),
        "{asked}"
    );
}

#[tokio::test]
async fn what_is_no_answer_is_a_failure_with_the_reason() {
    let table = "#datatype,string,string\r\n,error,reference\r\n,failed: hush,897\r\n";
    for (answer, kind, reason) in [
        (reply(200, table), Kind::Fatal, "influx_query"),
        (reply(200, "<html>"), Kind::Fatal, "influx_query"),
        (reply(200, ",_value\r\n,1\r\n"), Kind::Fatal, "influx_query"),
        (
            Reply {
                cut: true,
                ..reply(200, ",interactionId,_value\r\n")
            },
            Kind::Transient,
            "influx_connection",
        ),
        (
            Reply {
                after: Duration::from_secs(9),
                ..reply(200, "")
            },
            Kind::Transient,
            "influx_timeout",
        ),
        (reply(400, "hush"), Kind::Fatal, "influx_query"),
        (reply(401, "hush"), Kind::Transient, "influx_unauthorized"),
        (reply(404, ""), Kind::Transient, "influx_not_found"),
        (reply(302, ""), Kind::Transient, "influx_redirect"),
        (reply(503, ""), Kind::Transient, "influx_unavailable"),
    ] {
        let answer = std::sync::Mutex::new(Some(answer));
        let stub = Stub::start(move |_, _| answer.lock().unwrap().take().unwrap()).await;
        let failure = client(&stub)
            .max_counters(&Series::default(), 0)
            .await
            .unwrap_err();
        let cause = &failure.losses()[0].cause;
        assert_eq!((failure.kind(), cause.reason), (kind, reason), "{failure}");
        let said = failure.to_string();
        assert!(
            !said.contains("hush") && !said.contains("127.0.0.1"),
            "{said}"
        );
    }
    let rows = format!(",interactionId,_value\r\n{}", ",i,1\r\n".repeat(12 << 20));
    let stub = Stub::start(move |_, _| reply(200, rows.clone())).await;
    let failure = client(&stub).query_flux("x").await.unwrap_err();
    assert!(failure.to_string().contains("64 MiB"), "{failure}");
}
