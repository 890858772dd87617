//! A query of several statements, of which those that write are one transaction.
//!
//! It is one job. A transaction over several jobs would need a session, and one whose client died would
//! stay open and in everybody's way until BigQuery ends it, a day later; what a job leaves open is taken
//! back when it ends, whoever still lives.

use super::super::dialect::{ROWS, Words, merge};
use super::super::json;
use super::super::load::{Load, Part};
use super::{WORDS, turn};

pub(super) const BEGIN: &str = "BEGIN TRANSACTION";
pub(super) const COMMIT: &str = "COMMIT TRANSACTION";

/// What one job says, with its parameters.
#[derive(Default)]
pub(super) struct Script {
    before: Vec<String>,
    within: Vec<String>,
    after: Vec<String>,
    bound: Vec<(String, String)>,
}

impl Script {
    /// A statement before the transaction.
    pub fn before(&mut self, statement: &str) {
        self.before.push(statement.to_owned());
    }

    /// A statement of the transaction.
    pub fn say(&mut self, statement: &str) {
        self.within.push(statement.to_owned());
    }

    /// A statement after the transaction; its rows are the answer.
    pub fn after(&mut self, statement: &str) {
        self.after.push(statement.to_owned());
    }

    /// A parameter.
    pub fn bind(&mut self, name: &str, text: String) {
        self.bound.push((name.to_owned(), text));
    }

    /// The merge of these rows, which are a JSON list.
    pub fn merge(&mut self, schema: &str, part: &Part<'_>, rows: String) {
        let parameter = format!("{ROWS}{}", self.bound.len());
        let source = WORDS.source(&merge::columns(part.merge), &parameter);
        self.within.push(WORDS.merge(schema, part.merge, &source));
        self.bound.push((parameter, rows));
    }

    /// The merges of all rows of a load, which has few.
    pub fn parts(&mut self, schema: &str, load: &Load<'_>) {
        for part in &load.parts {
            for rows in json::texts(part, "Z") {
                self.merge(schema, part, rows);
            }
        }
    }

    /// The whole query.
    pub fn text(&self) -> String {
        let one = |text: &str| format!("{text};\n");
        let statements = |of: &[String]| of.iter().map(|text| one(text)).collect::<String>();
        [
            statements(&self.before),
            one(BEGIN),
            statements(&self.within),
            one(COMMIT),
            statements(&self.after),
        ]
        .concat()
    }

    /// Its parameters.
    pub fn bound(&self) -> Vec<(&str, &str)> {
        let bound = self.bound.iter();
        bound.map(|(name, text)| (&**name, &**text)).collect()
    }
}

/// A load as few jobs as the size of a request allows: one, but for batches of several megabytes. Of
/// several, those come first whose rows are referred to.
pub(super) fn scripts(schema: &str, load: &Load<'_>) -> Vec<Script> {
    let mut parts: Vec<&Part<'_>> = load.parts.iter().collect();
    parts.sort_by_key(|part| turn(part.merge));
    let (mut scripts, mut size): (Vec<Script>, usize) = (Vec::new(), 0);
    for part in parts {
        for rows in json::texts(part, "Z") {
            if scripts.is_empty() || size + rows.len() > json::MOST {
                scripts.push(Script::default());
                size = 0;
            }
            size += rows.len();
            if let Some(script) = scripts.last_mut() {
                script.merge(schema, part, rows);
            }
        }
    }
    scripts
}

#[cfg(test)]
mod tests {
    use super::super::super::load::Cell;
    use super::super::super::model::{AGENTS, FACTS, FRESHNESS};
    use super::*;

    fn part(merge: &'static super::super::Merge, rows: usize, length: usize) -> Part<'static> {
        let long = "é".repeat(length / 2);
        let row = |n: usize| {
            let mut row = vec![Cell::Null; merge.columns.len()];
            row[0] = Cell::Text(format!("{n}{long}").into());
            row
        };
        let rows = (0..rows).map(row).collect();
        Part { merge, rows }
    }

    #[test]
    fn a_load_is_one_transaction() {
        let parts = vec![
            part(&FACTS, 3, 2),
            part(&AGENTS, 2, 2),
            part(&FRESHNESS, 1, 2),
        ];
        let scripts = scripts("cc", &Load { parts, told: false });
        let [script] = scripts.as_slice() else {
            panic!("{}", scripts.len());
        };
        let text = script.text();
        assert!(
            text.starts_with("BEGIN TRANSACTION;\nMERGE INTO `cc`.`dim_agents`"),
            "{text}"
        );
        assert!(text.ends_with(";\nCOMMIT TRANSACTION;\n"), "{text}");
        assert_eq!(text.matches("MERGE INTO").count(), 3);
        for (place, (name, rows)) in script.bound().iter().enumerate() {
            assert_eq!(*name, format!("rows{place}"));
            assert_eq!(text.matches(&format!("(@{name})")).count(), 1);
            assert!(rows.starts_with("[["));
        }
    }

    #[test]
    fn what_is_too_much_for_one_request_is_several_in_order() {
        let parts = vec![part(&FACTS, 90, 100_000), part(&AGENTS, 20, 100_000)];
        let scripts = scripts("cc", &Load { parts, told: false });
        let sizes: Vec<usize> = scripts
            .iter()
            .map(|script| script.bound().iter().map(|(_, rows)| rows.len()).sum())
            .collect();
        assert!(
            sizes.len() >= 3 && sizes.iter().all(|size| *size <= json::MOST + 2),
            "{sizes:?}"
        );
        assert!(scripts[0].text().contains("dim_agents"));
        assert!(
            scripts[1..]
                .iter()
                .all(|script| !script.text().contains("dim_agents"))
        );
        assert!(
            scripts
                .iter()
                .all(|script| script.text().starts_with(BEGIN))
        );
    }
}
