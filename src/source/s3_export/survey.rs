//! What would be read, without reading it: one request for a thousand objects.

use futures::StreamExt;

use super::key_time::date_in;
use super::selection::{Choice, Selection};
use super::{Config, now};
use crate::client::bucket::{Bucket, Object};
use crate::clock::format_timestamp;
use crate::failure::Failure;
use crate::layer::Survey;

impl Config {
    /// All objects that are asked for, by the day in the key, else by that of the last change. What an
    /// earlier run has read is among them.
    ///
    /// # Errors
    /// When the bucket cannot be listed.
    pub async fn survey(&self) -> Result<Survey, Failure> {
        let selection = Selection::new(self)?;
        let bucket = Bucket::open(&self.location).await?;
        let mut survey = Survey::default();
        let span = selection.span(bucket.prefix());
        let mut pages = bucket.list(bucket.prefix(), span.after.as_deref());
        while let Some(page) = pages.next().await {
            let now = now();
            let page = page?;
            let over = page.last().is_some_and(|last| span.ends_before(&last.key));
            for object in page {
                if selection.choose(&object, now) != Choice::Leave {
                    survey.add(day(&selection, &object), object.size);
                }
            }
            if over {
                break;
            }
        }
        Ok(survey)
    }
}

fn day(selection: &Selection, object: &Object) -> String {
    let dated = date_in(&selection.forms, &object.key).map(|(_, dated)| dated.start);
    let text = format_timestamp(dated.unwrap_or(object.modified_micros));
    text.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::config;
    use crate::client::bucket::{Location, Store};
    use crate::clock::parse_timestamp;

    #[tokio::test]
    async fn objects_of_the_range_are_counted_by_day() {
        let folder = tempfile::tempdir().unwrap();
        for (key, bytes) in [
            ("2026/01/01/00/a", 3),
            ("2026/01/01/23/b", 4),
            ("2026/01/02/00/c", 5),
            ("2026/01/03/00/late", 6),
        ] {
            let path = folder.path().join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![b' '; bytes]).unwrap();
        }
        let mut config = config("");
        config.location = Location {
            store: Store::Folder(folder.path().to_owned()),
            prefix: String::new(),
        };
        config.to = parse_timestamp("2026-01-03T00:00:00Z");
        let survey = config.survey().await.unwrap();
        let days: Vec<_> = survey
            .days
            .iter()
            .map(|(day, it)| (day.as_str(), *it))
            .collect();
        assert_eq!(days, [("2026-01-01", (2, 7)), ("2026-01-02", (1, 5))]);
        assert_eq!(survey.total(), (3, 12));
    }
}
