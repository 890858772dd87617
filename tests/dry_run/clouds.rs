//! What is shown against what the warehouses are told that tests have stand-ins for.

use serde_json::Value;

use super::exact::{report, things};
use super::front::Front;
use super::place::Place;
use super::servers::records;
use super::stub::{Answer, Door, Stub};
use super::{bigquery, snowflake};

/// A statement, and what is bound to it in order: text, or nothing.
type Said = (String, Vec<Option<String>>);

fn pipeline(place: &Place, dialect: &str, target: &str) -> (String, String) {
    let input = place.write("in.ndjson", &records());
    let letters = place.at("letters.ndjson");
    let yaml = format!(
        "version: 1\nname: exact\ndead_letter: {{ type: file, path: {} }}\n\
         sources: {{ in: {{ type: file, path: '{input}' }} }}\n\
         sinks:\n  rows: {{ type: warehouse, inputs: [in], dialect: {dialect}, schema: cc, \
         auto_create: true,\n    freshness: false, {target} }}\n",
        letters.display()
    );
    (place.write("exact.yaml", &yaml), input)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// What a dry run shows. The places of what is bound are numbers after `before`.
fn shown(report: &Value, before: &str) -> Vec<Said> {
    assert_eq!(report["dead_letter_count"], 0);
    let said = things(report, 0).iter().map(|thing| {
        let details = thing["details"].as_object();
        let mut bound: Vec<(usize, Option<String>)> = details
            .into_iter()
            .flatten()
            .map(|(name, value)| {
                let place = name.strip_prefix(before).unwrap().parse().unwrap();
                (place, text(value))
            })
            .collect();
        bound.sort_unstable();
        let bound = bound.into_iter().map(|(_, value)| value).collect();
        (thing["head"].as_str().unwrap().to_owned(), bound)
    });
    said.collect()
}

#[test]
fn a_synapse_pool_is_told_what_is_shown_word_for_word_and_in_this_order() {
    let stub = Stub::start(Door::Open, |said| match said.sql.starts_with("SELECT") {
        true => Answer::Rows(Vec::new()),
        false => Answer::Done,
    });
    let place = Place::new();
    let target = format!(
        "host: localhost, port: {}, database: calls, user: loader, password: '${{NO:-hush}}', \
         ca_file: {}",
        stub.port,
        stub.authority().display()
    );
    let (pipeline, input) = pipeline(&place, "synapse", &target);
    let shown = shown(&report(&place, &[&pipeline, "--input", &input]), "@P");
    assert!(stub.said().is_empty(), "a dry run asked");
    place.run(&pipeline);
    // Before it come the tables that are not there, and around the merges their transaction.
    let begins = |sql: &str| sql.starts_with("TRUNCATE TABLE");
    let said = stub.said().into_iter().map(|said| (said.sql, said.values));
    let said = said.skip_while(|(sql, _)| !begins(sql));
    let said = said.filter(|(sql, _)| !sql.ends_with("TRANSACTION;"));
    let said: Vec<Said> = said.collect();
    let values: usize = said.iter().map(|(_, values)| values.len()).sum();
    assert!(values > 120, "{said:?}");
    assert_eq!(shown, said);
}

/// Bodies of requests that are JSON, in the order in which they came.
fn bodies(front: &Front) -> Vec<Value> {
    let seen = front.seen().into_iter();
    seen.filter_map(|seen| serde_json::from_str(&seen.body).ok())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snowflake_is_told_what_is_shown_word_for_word_and_in_this_order() {
    let (server, place) = (snowflake::Server::start().await, Place::new());
    let target = format!(
        "account: org-account, user: loader, password: '${{NO:-right}}', database: DB, url: '{}'",
        server.front.url
    );
    let (pipeline, input) = pipeline(&place, "snowflake", &target);
    let shown = shown(&report(&place, &[&pipeline, "--input", &input]), "");
    assert!(server.front.seen().is_empty(), "a dry run asked");
    place.run(&pipeline);
    let said = bodies(&server.front).into_iter().filter_map(|body| {
        let sql = body["sqlText"].as_str()?.to_owned();
        let bound = text(&body["bindings"]["1"]["value"]);
        // Before the first batch each merge is tried with nothing.
        let is_trial = bound.as_deref() == Some("[]");
        (sql.starts_with("MERGE INTO") && !is_trial).then_some((sql, vec![bound]))
    });
    let said: Vec<Said> = said.collect();
    assert!(said.len() > 3, "{said:?}");
    assert_eq!(shown, said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bigquery_is_given_the_jobs_that_are_shown() {
    let (server, place) = (bigquery::Server::start().await, Place::new());
    let target = format!("project: p, url: '{}'", server.front.url);
    let (pipeline, input) = pipeline(&place, "bigquery", &target);
    let shown = shown(&report(&place, &[&pipeline, "--input", &input]), "@rows");
    assert!(server.front.seen().is_empty(), "a dry run asked");
    place.run(&pipeline);
    let said = bodies(&server.front).into_iter().filter_map(|body| {
        let job = body.pointer("/configuration/query")?;
        let sql = job["query"].as_str()?.to_owned();
        let bound = job["queryParameters"].as_array()?.iter();
        let bound = bound.map(|it| text(&it["parameterValue"]["value"]));
        let is_load = sql.contains("BEGIN TRANSACTION");
        is_load.then(|| (sql, bound.collect()))
    });
    let said: Vec<Said> = said.collect();
    assert!(!said.is_empty());
    assert_eq!(shown, said);
}
