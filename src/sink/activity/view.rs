//! What is answered over HTTP.
//!
//! | path below `/api/v1/` | answer |
//! |---|---|
//! | `state` | how many interactions are active, and the heatmap of today in the sink's zone |
//! | `interactions/{id}` | what is known of one: its participants, their states and times |
//! | `heatmap?date=&tz=&format=` | a day, today by default, of any zone: `json`, `svg` or `png` |
//!
//! Memory is looked at under the lock for as long as copying takes; folding, writing and drawing
//! happen after it. Days that are no longer kept come from the history, if there is one. The answer of `state` is kept until something changes.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;
use tokio::sync::Semaphore;

use super::Shared;
use super::config::{Config, zone};
use super::days::{Grid, Span};
use super::facts::Hashes;
use super::history::{History, Past};
use super::picture::{Picture, Scene};
use crate::clock::format_timestamp;
use crate::failure::Failure;
use crate::observe::{Query, View, ViewAnswer};

/// Pictures that are drawn at the same time: each takes 6 MB and a thread.
const DRAWINGS: usize = 2;

/// The view of one sink.
pub(super) struct ActivityView {
    pub shared: Shared,
    hashes: Hashes,
    zone: TimeZone,
    history: Option<Past>,
    kept: Mutex<Option<State>>,
    drawings: Semaphore,
}

/// The answer of `state` as it was last.
struct State {
    version: u64,
    date: Date,
    body: Vec<u8>,
}

/// A day that was asked for.
struct Asked {
    date: Date,
    today: Date,
    zone: TimeZone,
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Svg,
    Png,
}

impl View for ActivityView {
    fn answer(
        self: Arc<Self>,
        path: &str,
        query: &Query,
    ) -> Option<BoxFuture<'static, ViewAnswer>> {
        if path == "state" {
            return Some(async move { self.state() }.boxed());
        }
        if path == "heatmap" {
            let asked = self.asked(query);
            let answer = async move {
                match asked {
                    Ok(asked) => self.heatmap(asked).await,
                    Err(answer) => answer,
                }
            };
            return Some(answer.boxed());
        }
        let id = path
            .strip_prefix("interactions/")
            .filter(|id| !id.is_empty())?;
        let hash = self.hashes.conversation(id);
        Some(async move { self.interaction(hash) }.boxed())
    }
}

impl ActivityView {
    /// # Errors
    /// As [`History::open`].
    pub fn new(shared: Shared, hashes: Hashes, config: &Config) -> Result<Self, Failure> {
        let history = config.history.as_ref().map(History::open).transpose()?;
        Ok(Self {
            shared,
            hashes,
            zone: config.timezone.clone(),
            history,
            kept: Mutex::default(),
            drawings: Semaphore::new(DRAWINGS),
        })
    }

    fn today(&self, zone: &TimeZone) -> Date {
        zone.to_datetime((self.shared.now)()).date()
    }

    fn state(&self) -> ViewAnswer {
        let date = self.today(&self.zone);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.shared.lock().version();
        let known = kept
            .as_ref()
            .filter(|it| it.version == version && it.date == date);
        let body = match known {
            Some(known) => known.body.clone(),
            None => {
                let state = self.state_of(date);
                let body = state.body.clone();
                *kept = Some(state);
                body
            }
        };
        ViewAnswer::new("application/json", body)
    }

    fn state_of(&self, date: Date) -> State {
        let span = Span::of(date, &self.zone);
        let (version, active, updated, counts) = {
            let board = self.shared.lock();
            let counts = span.as_ref().map(|span| board.days().read(span));
            (board.version(), board.active(), board.updated(), counts)
        };
        let grid = match (span, counts) {
            (Some(span), Some(counts)) => span.fold(&counts),
            _ => Grid::default(),
        };
        let updated = format_timestamp(updated.cast_signed().saturating_mul(1000));
        let rows: Vec<&[u32]> = grid.0.iter().map(|row| &row[..]).collect();
        // Written by hand, so that the members stand in the order in which they are documented.
        let data = serde_json::to_string(&rows).unwrap_or_default();
        let body = format!(
            r#"{{"activeInteractions":{active},"heatmap":{{"data":{data}}},"lastUpdated":"{updated}"}}"#
        );
        State {
            version,
            date,
            body: body.into_bytes(),
        }
    }

    fn interaction(&self, hash: u128) -> ViewAnswer {
        // A copy is made under the lock, and no more.
        let Some(known) = self.shared.lock().conversation(hash).cloned() else {
            let detail = "no interaction of this id is remembered";
            return ViewAnswer::problem(404, detail, None);
        };
        let participants: Vec<_> = known
            .standings()
            .map(|it| {
                json!({
                    "participantId": it.participant,
                    "state": it.state,
                    "time": format_timestamp(it.time),
                    "open": it.open,
                })
            })
            .collect();
        ViewAnswer::json(&json!({
            "interactionId": known.id.as_str(),
            "active": known.is_open(),
            "events": known.events(),
            "firstEvent": format_timestamp(known.first),
            "lastEvent": format_timestamp(known.last),
            "lastUpdated": format_timestamp(known.heard.cast_signed().saturating_mul(1000)),
            "participants": participants,
        }))
    }

    /// Reads the query of a heatmap; the answer where it makes no sense.
    fn asked(&self, query: &Query) -> Result<Asked, ViewAnswer> {
        let wrong = |name: &str, detail: &str| Err(ViewAnswer::problem(400, detail, Some(name)));
        let (mut date, mut asked_zone, mut format) = (None, None, Format::Json);
        for (name, value) in query {
            match name.as_str() {
                "date" => match day(value) {
                    Some(day) => date = Some(day),
                    None => return wrong(name, "`date` is no day such as 2026-11-20"),
                },
                "tz" => match zone(value) {
                    Some(zone) => asked_zone = Some(zone),
                    None => return wrong(name, "`tz` is no time zone such as Europe/Berlin"),
                },
                "format" => match value.as_str() {
                    "json" => format = Format::Json,
                    "svg" => format = Format::Svg,
                    "png" => format = Format::Png,
                    _ => return wrong(name, "`format` is `json`, `svg` or `png`"),
                },
                // What browsers and displays add so that nothing in between keeps the answer.
                other if other.starts_with('_') => {}
                other => return wrong(other, "the parameters are `date`, `tz` and `format`"),
            }
        }
        let zone = asked_zone.unwrap_or_else(|| self.zone.clone());
        let today = self.today(&zone);
        Ok(Asked {
            date: date.unwrap_or(today),
            today,
            zone,
            format,
        })
    }

    async fn heatmap(&self, asked: Asked) -> ViewAnswer {
        let Some(span) = Span::of(asked.date, &asked.zone) else {
            let detail = "`date` lies outside the calendar";
            return ViewAnswer::problem(400, detail, Some("date"));
        };
        let (counts, active) = {
            let board = self.shared.lock();
            (board.days().read(&span), board.active())
        };
        let (grid, source) = if counts.complete {
            (span.fold(&counts), "memory")
        } else {
            match self.past(&asked).await {
                Ok(grid) => (grid, "history"),
                Err(answer) => return answer,
            }
        };
        if asked.format == Format::Json {
            return asked.json(&grid, source);
        }
        let Ok(_place) = self.drawings.acquire().await else {
            return ViewAnswer::problem(503, "nothing is drawn any more", None);
        };
        // It takes some milliseconds, for which nobody else should wait.
        let drawn = tokio::task::spawn_blocking(move || asked.draw(&grid, active));
        let failed = |_| ViewAnswer::problem(500, "the picture could not be drawn", None);
        drawn.await.unwrap_or_else(failed)
    }

    /// A day that is no longer kept here.
    async fn past(&self, asked: &Asked) -> Result<Grid, ViewAnswer> {
        let Some(history) = &self.history else {
            let detail = "that day is no longer kept: see `retention` and `history` of the sink";
            return Err(ViewAnswer::problem(404, detail, Some("date")));
        };
        history
            .day(asked.date, &asked.zone)
            .await
            .map_err(|failure| {
                tracing::warn!(%failure, "the history of activity does not answer");
                ViewAnswer::problem(503, "the history does not answer: see the log", None)
            })
    }
}

/// A day written as `YYYY-MM-DD`, from 1970 on.
fn day(text: &str) -> Option<Date> {
    let form = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    let well = text.len() == 10 && text.bytes().enumerate().all(form);
    let date: Date = well.then(|| text.parse().ok()).flatten()?;
    (date.year() >= 1970).then_some(date)
}

impl Asked {
    fn zone_name(&self) -> String {
        let name = self.zone.iana_name().unwrap_or("UTC");
        name.to_owned()
    }

    fn json(&self, grid: &Grid, source: &str) -> ViewAnswer {
        let busiest = grid
            .busiest()
            .map(|(hour, minute, count)| json!({ "hour": hour, "minute": minute, "count": count }));
        let rows: Vec<&[u32]> = grid.0.iter().map(|row| &row[..]).collect();
        ViewAnswer::json(&json!({
            "date": self.date.to_string(),
            "timezone": self.zone_name(),
            "source": source,
            "total": grid.total(),
            "busiest": busiest,
            "data": rows,
        }))
    }

    fn draw(&self, grid: &Grid, active: usize) -> ViewAnswer {
        let picture = Picture::of(&Scene {
            grid,
            day: self.date.strftime("%A, %-d %B %Y").to_string(),
            zone: self.zone_name(),
            // Of another day nobody knows it.
            active: (self.date == self.today).then_some(active),
        });
        match self.format {
            Format::Svg => ViewAnswer::new("image/svg+xml", picture.to_svg().into_bytes()),
            _ => match picture.to_png() {
                Ok(png) => ViewAnswer::new("image/png", png),
                Err(_) => ViewAnswer::problem(500, "the picture could not be written", None),
            },
        }
    }
}
