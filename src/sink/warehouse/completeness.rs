//! The completeness ledger in the warehouse: the table `load_completeness`, and how many facts there
//! are of each hour.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::config::Config;
use super::load::{Cell, Load};
use super::model::COMPLETENESS;
use super::time::HOUR;
use crate::failure::Failure;
use crate::layer::Books;
use crate::observe::{Hour, HourCounts, NodeKind, Observer};

/// Longest name of a run that is kept, in characters: with the hour behind it it has to fit a key.
const RUN_LENGTH: usize = 220;
/// Rows of one transaction.
const TOGETHER: usize = 1_000;

/// The ledger of a warehouse. Every call has a connection of its own.
pub(super) struct Ledger(pub Config);

impl Books for Ledger {
    fn keep<'a>(
        &'a self,
        run: &'a str,
        hours: &'a BTreeMap<Hour, HourCounts>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            if hours.is_empty() {
                return Ok(());
            }
            let warehouse = self.0.open(meter()).await?;
            let run: String = run.chars().take(RUN_LENGTH).collect();
            let now = jiff::Timestamp::now().as_millisecond();
            let rows = hours
                .iter()
                .filter_map(|(hour, it)| row(&run, *hour, it, now));
            let rows: Vec<_> = rows.collect();
            for rows in rows.chunks(TOGETHER) {
                let mut load = Load::default();
                load.add(&COMPLETENESS, rows.to_vec());
                warehouse.record(load).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn facts(
        &self,
        from: i64,
        to: i64,
    ) -> BoxFuture<'_, Result<Option<BTreeMap<i64, u64>>, Failure>> {
        async move {
            let warehouse = self.0.open(meter()).await?;
            warehouse.0.facts(from, to).await
        }
        .boxed()
    }
}

/// Not that of the sink, whose run is over.
fn meter() -> crate::observe::NodeMeter {
    Observer::new("completeness").node("warehouse", NodeKind::Sink, "warehouse")
}

/// A row of the table, unless its hour lies outside the years that it can hold.
fn row(run: &str, hour: Hour, counts: &HourCounts, now: i64) -> Option<Vec<Cell<'static>>> {
    let text = |text: String| Cell::Text(text.into());
    let (name, start) = match hour {
        Hour::At(hour) => {
            let start = hour.checked_mul(HOUR)?;
            let held = super::row::TIMES.contains(&start);
            (held.then(|| super::time::text(start))?, Cell::Time(start))
        }
        Hour::Unknown => ("unknown".to_owned(), Cell::Null),
        Hour::Other => ("other".to_owned(), Cell::Null),
    };
    let count = |figure: u64| Cell::Integer(i64::try_from(figure).unwrap_or(i64::MAX));
    Some(vec![
        text(format!("{run}#{name}")),
        text(run.to_owned()),
        start,
        count(counts.read),
        count(counts.loaded),
        count(counts.elsewhere),
        count(counts.dropped),
        count(counts.refused),
        count(counts.unexplained),
        count(counts.rows_written),
        count(counts.rows_unchanged),
        Cell::Time(now),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::config::default_paths;
    use super::super::{Target, Warehouse};
    use super::*;
    use crate::event::{Event, Provenance};
    use crate::stage::Sink;

    fn config(folder: &std::path::Path) -> Config {
        Config {
            target: Target::Sqlite {
                path: folder.join("w.db"),
            },
            connections: 1,
            schema: "cc_analytics".to_owned(),
            auto_create: true,
            source_system: "TEST".to_owned(),
            staging: false,
            freshness: false,
            start_timeout: std::time::Duration::ZERO,
            paths: default_paths(),
        }
    }

    fn event(id: &str, time: &str) -> Event {
        let json = format!(r#"{{"event_id":"{id}","interaction_id":"i","timestamp":"{time}"}}"#);
        Event::parse(
            json,
            &Default::default(),
            &std::sync::Arc::<Provenance>::default(),
        )
        .unwrap()
    }

    fn figures(loaded: u64) -> HourCounts {
        HourCounts {
            read: loaded + 1,
            loaded,
            refused: 1,
            ..HourCounts::default()
        }
    }

    /// 2026-01-01T00:00:00Z.
    const FIRST: i64 = 490_896;

    #[tokio::test]
    async fn the_ledger_is_kept_by_run_and_hour_and_the_view_shows_the_facts_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let warehouse: Warehouse = config.open(meter()).await.unwrap();
        let events = vec![
            event("a", "2026-01-01T00:00:00Z"),
            event("b", "2026-01-01T00:59:59.999Z"),
            event("c", "2026-01-01T01:00:00Z"),
        ];
        warehouse.write(events.into()).await.unwrap();
        drop(warehouse);
        let ledger = Ledger(config);
        let facts = ledger.facts(FIRST, FIRST + 2).await.unwrap().unwrap();
        assert_eq!(facts, BTreeMap::from([(FIRST, 2), (FIRST + 1, 1)]));
        let one = ledger.facts(FIRST + 1, FIRST + 2).await.unwrap().unwrap();
        assert_eq!(one, BTreeMap::from([(FIRST + 1, 1)]));

        let mut hours =
            BTreeMap::from([(Hour::At(FIRST), figures(1)), (Hour::Unknown, figures(0))]);
        ledger.keep("run", &hours).await.unwrap();
        // A run that goes on replaces its rows; another one has its own.
        hours.insert(Hour::At(FIRST), figures(2));
        hours.insert(Hour::At(i64::MAX / 2), figures(9));
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        ledger.keep("run", &hours).await.unwrap();
        ledger.keep("other", &hours).await.unwrap();
        let connection = rusqlite::Connection::open(folder.path().join("w.db")).unwrap();
        let query = "SELECT run_id || ' ' || coalesce(hour_start, '-') || ' ' || records_loaded \
                     || ' ' || coalesce(fact_rows, '-') FROM completeness_by_hour ORDER BY 1";
        let mut statement = connection.prepare(query).unwrap();
        let rows = statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap();
        let rows: Vec<String> = rows.map(Result::unwrap).collect();
        let hour = "2026-01-01T00:00:00.000Z";
        assert_eq!(
            rows,
            [
                "other - 0 -".to_owned(),
                format!("other {hour} 2 2"),
                "run - 0 -".to_owned(),
                format!("run {hour} 2 2"),
            ]
        );
    }
}
