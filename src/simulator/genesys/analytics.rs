//! Analytics by REST: the query that answers at once, and the job that lags behind and is paged.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::channels::micros;
use super::conversation::Conversation;
use super::oracle::{text, timestamp};
use super::platform::{Platform, Shared};
use super::random::Uuid;
use super::reply::Reply;
use super::route::{Caller, Request, need};
use super::{record, write};

const VIEW: &str = "analytics:conversationDetail:view";
/// Jobs remembered; the oldest are forgotten.
const MAX_JOBS: usize = 100;
const SECOND: i64 = 1_000_000;
/// How long a job is queued, and then pending.
const QUEUED: i64 = 2 * SECOND;
const PENDING: i64 = 5 * SECOND;
const DAY: i64 = 86_400 * SECOND;

#[derive(Default)]
pub(super) struct Jobs(VecDeque<Job>);

struct Job {
    id: Uuid,
    submitted: i64,
    from: i64,
    until: i64,
}

/// `start/end` of ISO 8601.
fn interval(body: &Value) -> Result<(i64, i64), Reply> {
    let text = body
        .get("interval")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let wrong = || {
        Reply::error(
            400,
            "invalid.date",
            "interval is two ISO-8601 dates separated by a slash",
        )
    };
    let (from, until) = text.split_once('/').ok_or_else(wrong)?;
    let read = |it: &str| {
        it.parse::<Timestamp>()
            .map(Timestamp::as_microsecond)
            .map_err(|_| wrong())
    };
    let (from, until) = (read(from)?, read(until)?);
    if from >= until {
        return Err(wrong());
    }
    Ok((from, until))
}

/// Those that fit, by start and id.
fn found(platform: &Platform, fits: impl Fn(&Conversation) -> bool) -> Vec<&Conversation> {
    // Who has not arrived yet is no record.
    let there = |it: &&Conversation| !it.participants.is_empty() && fits(it);
    let mut all: Vec<_> = platform.timeline.all().filter(there).collect();
    all.sort_unstable_by_key(|it| (it.start, it.id));
    all
}

fn records(platform: &Platform, page: &[&Conversation], attributes: bool, now: i64) -> String {
    let mut out = String::new();
    write::list(&mut out, page, |out, it| {
        record::conversation(out, it, platform.org, attributes, now)
    });
    out
}

/// `POST /api/v2/analytics/conversations/details/query`: conversations begun in the interval.
pub(super) fn query(shared: &Shared, caller: &Caller, request: &Request) -> Result<Reply, Reply> {
    let body = request.json()?;
    let (from, until) = interval(&body)?;
    let now = shared.clock.now();
    let platform = shared.platform();
    need(&platform, caller, VIEW)?;
    let paging =
        |name: &str, default: u64| body["paging"][name].as_u64().unwrap_or(default).max(1) as usize;
    let (size, number) = (paging("pageSize", 25).min(100), paging("pageNumber", 1));
    let all = found(&platform, |it| (from..until).contains(&it.start));
    let page: Vec<_> = all
        .iter()
        .skip(size.saturating_mul(number - 1))
        .take(size)
        .copied()
        .collect();
    let records = records(&platform, &page, false, now);
    Ok(Reply::raw(format!(
        r#"{{"conversations":{records},"totalHits":{}}}"#,
        all.len()
    )))
}

/// `POST …/details/jobs`.
pub(super) fn submit(shared: &Shared, caller: &Caller, request: &Request) -> Result<Reply, Reply> {
    let body = request.json()?;
    let (from, until) = interval(&body)?;
    let submitted = shared.clock.now();
    let mut platform = shared.platform();
    need(&platform, caller, VIEW)?;
    let id = platform.random.uuid();
    let Jobs(jobs) = &mut platform.jobs;
    if jobs.len() == MAX_JOBS {
        jobs.pop_front();
    }
    jobs.push_back(Job {
        id,
        submitted,
        from,
        until,
    });
    Ok(Reply::json(&json!({"jobId": text(id)})).status(202))
}

fn available(platform: &Platform, now: i64) -> i64 {
    now - micros(platform.config.limits.analytics_lag)
}

/// `GET …/details/jobs/availability`.
pub(super) fn availability(shared: &Shared, caller: &Caller) -> Result<Reply, Reply> {
    let platform = shared.platform();
    need(&platform, caller, VIEW)?;
    let date = timestamp(available(&platform, shared.clock.now()));
    Ok(Reply::json(
        &json!({"dataAvailabilityDate": format!("{date:.3}")}),
    ))
}

fn job<'p>(platform: &'p Platform, id: &str) -> Result<&'p Job, Reply> {
    let id = Uuid::parse(id);
    let Jobs(jobs) = &platform.jobs;
    jobs.iter()
        .find(|it| Some(it.id) == id)
        .ok_or_else(|| Reply::not_found("job"))
}

fn state(job: &Job, now: i64) -> &'static str {
    match now - job.submitted {
        age if age < QUEUED => "QUEUED",
        age if age < PENDING => "PENDING",
        age if age > DAY => "EXPIRED",
        _ => "FULFILLED",
    }
}

/// `GET …/details/jobs/{id}`.
pub(super) fn status(shared: &Shared, caller: &Caller, id: &str) -> Result<Reply, Reply> {
    let now = shared.clock.now();
    let platform = shared.platform();
    need(&platform, caller, VIEW)?;
    let job = job(&platform, id)?;
    let state = state(job, now);
    let date = |at: i64| format!("{:.3}", timestamp(at));
    let mut body = json!({"state": state, "submissionDate": date(job.submitted)});
    if state == "FULFILLED" {
        body["completionDate"] = json!(date(job.submitted + PENDING));
        body["expirationDate"] = json!(date(job.submitted + DAY));
    }
    Ok(Reply::json(&body))
}

/// `GET …/details/jobs/{id}/results`: pages by a cursor; the last one has none.
pub(super) fn results(
    shared: &Shared,
    caller: &Caller,
    request: &Request,
    id: &str,
) -> Result<Reply, Reply> {
    let now = shared.clock.now();
    let platform = shared.platform();
    need(&platform, caller, VIEW)?;
    let job = job(&platform, id)?;
    if state(job, now) != "FULFILLED" {
        return Err(Reply::bad("The job has no results yet, or no longer"));
    }
    let after = match request.query("cursor") {
        None => (i64::MIN, Uuid(0)),
        Some(cursor) => place(cursor)
            .ok_or_else(|| Reply::error(400, "invalid.value", "The cursor is not valid"))?,
    };
    let complete = available(&platform, job.submitted);
    // Jobs match what overlaps the interval in any way.
    let overlaps = |it: &Conversation| {
        it.start < job.until && it.end.is_none_or(|end| end >= job.from) && it.start <= complete
    };
    let left = found(&platform, |it| overlaps(it) && (it.start, it.id) > after);
    let size = request.number("pageSize", 1_000, 10_000);
    let page = &left[..left.len().min(size)];
    let records = records(&platform, page, true, now);
    let cursor = match page.last() {
        Some(last) if page.len() < left.len() => {
            format!(r#""cursor":"{}-{}","#, last.start, text(last.id))
        }
        _ => String::new(),
    };
    let date = timestamp(complete);
    Ok(Reply::raw(format!(
        r#"{{"conversations":{records},{cursor}"dataAvailabilityDate":"{date:.3}"}}"#
    )))
}

fn place(cursor: &str) -> Option<(i64, Uuid)> {
    let (start, id) = cursor.split_once('-')?;
    Some((start.parse().ok()?, Uuid::parse(id)?))
}
