//! Azure Synapse, dedicated SQL pool: T-SQL with the rules of a distributed warehouse.
//!
//! No such server was there when this was written: its statements were held against Microsoft's
//! documentation and reviewed, never run. The rules that shape them, and the pages that state them:
//!
//! - a primary key is `NONCLUSTERED NOT ENFORCED` ("Table constraints"), so nothing but the `MERGE`
//!   keeps a key single, and one writer at a time may write;
//! - `MERGE … WHEN NOT MATCHED BY TARGET` wants a target that is distributed by hash, ends with `;`,
//!   and takes no `VALUES` list as its source ("MERGE", remarks on Azure Synapse Analytics);
//! - a default is a constant ("CREATE TABLE (Azure Synapse Analytics)"), so the statement writes
//!   `created_at` itself;
//! - builds older than 10.0.15563.0 misplace rows when a target of `MERGE` has secondary indexes
//!   ("MERGE"), so there are none: facts are a columnstore ordered by time;
//! - no DDL and no savepoint within a transaction ("Use transactions in a SQL pool");
//! - `CREATE SCHEMA` and `CREATE VIEW` stand alone in their batch, hence `EXEC`.
//!
//! Two texts that differ in trailing spaces alone are equal to `=`, whatever the collation. Keys are
//! compared with their lengths too, and the order of the guard is that of the UTF-8 bytes.

use super::super::model::{Column, Guard, Kind, Merge, Need, SOURCE_SYSTEM, Sorted, TABLES, Table};
use super::super::schema::{Found, holds};
use super::{Words, comment};

/// The words of a dedicated SQL pool.
pub(in super::super) struct Synapse;

/// Binary and by code point: the same order and the same equality as everywhere else.
pub(in super::super) const COLLATION: &str = "Latin1_General_100_BIN2_UTF8";

/// The most bytes of a `VARCHAR` that is not `MAX`, which no columnstore takes.
pub(in super::super) const LONGEST: usize = 8000;

impl Words for Synapse {
    fn quote(&self, name: &str) -> String {
        format!("[{}]", name.replace(']', "]]"))
    }

    fn table(&self, schema: &str, table: &str) -> String {
        format!("{}.{}", self.quote(schema), self.quote(table))
    }

    fn kind(&self, kind: Kind) -> String {
        match kind {
            // Counts bytes: a character of UTF-8 has up to four.
            Kind::Text(most) => {
                format!("VARCHAR({}) COLLATE {COLLATION}", bytes(most))
            }
            Kind::Integer => "INT".to_owned(),
            Kind::Long => "BIGINT".to_owned(),
            Kind::Timestamp => "DATETIME2(3)".to_owned(),
            Kind::Date => "DATE".to_owned(),
        }
    }

    fn need(&self, column: &Column) -> String {
        match column.need {
            Need::Key => "NOT NULL PRIMARY KEY NONCLUSTERED NOT ENFORCED".to_owned(),
            Need::Required => "NOT NULL".to_owned(),
            Need::Optional | Need::Created => "NULL".to_owned(),
            Need::Zero => "NOT NULL DEFAULT 0".to_owned(),
            Need::Source => format!("NULL DEFAULT '{SOURCE_SYSTEM}'"),
        }
    }

    fn index(&self, _: &str, _: &str, _: &str, _: &[Sorted]) -> Option<String> {
        None
    }

    fn opening(&self, schema: &str) -> String {
        format!(
            "-- {} for Azure Synapse, dedicated SQL pool. Times are UTC.\n\
             -- Keys are not enforced there, and secondary indexes are left out: the facts are a\n\
             -- columnstore ordered by time.\n\
             IF NOT EXISTS (SELECT 1 FROM sys.schemas WHERE name = {}) EXEC({});\n",
            comment(schema),
            literal(schema),
            literal(&format!("CREATE SCHEMA {}", self.quote(schema))),
        )
    }

    fn create(&self, schema: &str, table: &Table) -> String {
        let name = self.table(schema, table.name);
        format!(
            "IF OBJECT_ID({}, 'U') IS NULL\nCREATE TABLE {name} (\n{}\n)\n\
             WITH (DISTRIBUTION = HASH({}), {});\n",
            literal(&name),
            self.definitions(table),
            self.quote(table.columns[0].name),
            self.shape(table),
        )
    }

    fn view(&self, schema: &str, name: &str, query: &str) -> String {
        let name = self.table(schema, name);
        let create = format!("CREATE VIEW {name} AS\n{query}");
        format!(
            "IF OBJECT_ID({0}, 'V') IS NOT NULL DROP VIEW {name};\nEXEC({1});\n",
            literal(&name),
            literal(&create)
        )
    }

    fn hour(&self, expression: &str) -> String {
        // Counts the full hours that were passed, also of times before the first.
        let first = "CAST('2000-01-01T00:00:00' AS DATETIME2(3))";
        format!("DATEADD(HOUR, DATEDIFF(HOUR, {first}, {expression}), {first})")
    }

    fn columns(&self, schema: &str) -> String {
        format!(
            "SELECT CAST(t.name AS NVARCHAR(128)), CAST(c.name AS NVARCHAR(128)), \
             CAST(y.name AS NVARCHAR(128)), CAST(c.max_length AS NVARCHAR(20)), \
             CAST(c.is_nullable AS NVARCHAR(2)), \
             CASE WHEN c.default_object_id = 0 THEN N'0' ELSE N'1' END\n\
             FROM sys.objects AS t\n\
             JOIN sys.schemas AS s ON s.schema_id = t.schema_id\n\
             JOIN sys.columns AS c ON c.object_id = t.object_id\n\
             JOIN sys.types AS y ON y.user_type_id = c.user_type_id\n\
             WHERE t.type IN ('U', 'V') AND s.name = {}",
            literal(schema)
        )
    }

    /// Lengths count bytes here.
    fn fits(&self, found: &Found, kind: Kind) -> bool {
        match kind {
            Kind::Text(most) => holds(found, Kind::Text(bytes(most))),
            kind => holds(found, kind),
        }
    }

    fn add_column(&self, schema: &str, table: &str, column: &Column) -> String {
        let need = match column.need {
            Need::Zero | Need::Source => self.need(column),
            Need::Key | Need::Required | Need::Optional | Need::Created => "NULL".to_owned(),
        };
        let (name, kind) = (self.quote(column.name), self.kind(column.kind));
        format!(
            "ALTER TABLE {} ADD {name} {kind} {need};",
            self.table(schema, table)
        )
    }

    fn widen(&self, schema: &str, table: &str, column: &Column) -> String {
        let (name, kind) = (self.quote(column.name), self.kind(column.kind));
        let need = match column.need {
            Need::Key | Need::Required | Need::Zero => "NOT NULL",
            Need::Optional | Need::Source | Need::Created => "NULL",
        };
        format!(
            "ALTER TABLE {} ALTER COLUMN {name} {kind} {need};",
            self.table(schema, table)
        )
    }

    /// T-SQL wants the type again, and only the model's columns have one that is known: a table
    /// that somebody else gave a column of their own is put aside.
    fn loosen(&self, schema: &str, table: &str, column: &str) -> String {
        let known = TABLES.iter().filter(|known| known.name == table);
        let mut columns = known.flat_map(|known| known.columns);
        match columns.find(|known| known.name == column) {
            Some(column) => self.widen(schema, table, column),
            None => self.rename(schema, table, &format!("{table}_before")),
        }
    }

    fn rename(&self, schema: &str, table: &str, to: &str) -> String {
        format!(
            "RENAME OBJECT {} TO {};",
            self.table(schema, table),
            self.quote(to)
        )
    }

    fn role(&self, schema: &str, role: &str) -> String {
        format!(
            "IF NOT EXISTS (SELECT 1 FROM sys.database_principals WHERE name = {})\n\
             CREATE ROLE {};\n\
             GRANT SELECT ON SCHEMA::{} TO {};\n\
             -- Then, for each user of a reporting tool: EXEC sp_addrolemember {}, N'user';\n",
            literal(role),
            self.quote(role),
            self.quote(schema),
            self.quote(role),
            comment(&literal(role)),
        )
    }

    /// `rows` is a query that names its columns as the table does.
    fn merge(&self, schema: &str, merge: &Merge, rows: &str) -> String {
        let key = self.quote(merge.columns[0]);
        let mut columns: Vec<String> = merge.columns.iter().map(|name| self.quote(name)).collect();
        let mut values: Vec<String> = columns.iter().map(|name| format!("s.{name}")).collect();
        let updated = match merge.guard.is_empty() {
            true => String::new(),
            false => format!(
                "WHEN MATCHED AND ({})\nTHEN UPDATE SET {}\n",
                self.greater(merge, merge.guard),
                columns[1..]
                    .iter()
                    .map(|name| format!("{name} = s.{name}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        for column in created(merge.table) {
            columns.push(self.quote(column.name));
            values.push("CAST(SYSUTCDATETIME() AS DATETIME2(3))".to_owned());
        }
        format!(
            "MERGE INTO {} AS t\nUSING (\n{rows}\n) AS s\nON t.{key} = s.{key}{}\n{updated}\
             WHEN NOT MATCHED BY TARGET\nTHEN INSERT ({})\nVALUES ({});",
            self.table(schema, merge.table),
            match kind(merge.table, merge.columns[0]) {
                Kind::Text(_) => format!(" AND DATALENGTH(t.{key}) = DATALENGTH(s.{key})"),
                _ => String::new(),
            },
            columns.join(", "),
            values.join(", "),
        )
    }
}

impl Synapse {
    /// How a table lies on the disks: facts and what comes with them by column; small tables, of
    /// which a columnstore would make sixty fragments, as a heap.
    fn shape(&self, table: &Table) -> String {
        let newest = table.indexes.iter().flat_map(|(_, columns)| *columns);
        match newest.copied().find(|(_, descending)| *descending) {
            Some((column, _)) => {
                format!("CLUSTERED COLUMNSTORE INDEX ORDER ({})", self.quote(column))
            }
            None if !table.indexes.is_empty() => "CLUSTERED COLUMNSTORE INDEX".to_owned(),
            None => "HEAP".to_owned(),
        }
    }

    /// Whether `s` comes after `t` in the order of the guard. T-SQL has no row values: what it
    /// compares first decides, and what is equal leaves it to the rest.
    fn greater(&self, merge: &Merge, guard: &[Guard]) -> String {
        let Some((first, rest)) = guard.split_first() else {
            return "1 = 0".to_owned();
        };
        let (new, old) = (self.place("s", merge, first), self.place("t", merge, first));
        match rest {
            [] => format!("{new} > {old}"),
            _ => format!(
                "{new} > {old}\n  OR ({new} = {old} AND ({}))",
                self.greater(merge, rest)
            ),
        }
    }

    /// A value of the guard, such that what is empty stands before everything else.
    pub fn place(&self, row: &str, merge: &Merge, part: &Guard) -> String {
        let (Guard::Text(name) | Guard::Number(name) | Guard::Time(name)) = part;
        let value = format!("{row}.{}", self.quote(name));
        match kind(merge.table, name) {
            Kind::Text(_) => format!("COALESCE(CAST({value} AS VARBINARY({LONGEST})), 0x)"),
            Kind::Timestamp => {
                format!("COALESCE({value}, CAST('0001-01-01T00:00:00' AS DATETIME2(3)))")
            }
            Kind::Date => format!("COALESCE({value}, CAST('0001-01-01' AS DATE))"),
            // Below every whole number of 32 bits, and no counter is negative.
            Kind::Integer | Kind::Long => format!("COALESCE({value}, -4294967296)"),
        }
    }
}

/// The most bytes that text of so many characters has.
fn bytes(most: usize) -> usize {
    (4 * most).min(LONGEST)
}

/// The kind of a table's column.
pub(in super::super) fn kind(table: &str, column: &str) -> Kind {
    TABLES
        .iter()
        .filter(|known| known.name == table)
        .flat_map(|known| known.columns)
        .find(|known| known.name == column)
        .map_or(Kind::Text(0), |known| known.kind)
}

/// The columns that hold the moment of the first writing.
fn created(table: &str) -> impl Iterator<Item = &'static Column> {
    TABLES
        .iter()
        .filter(move |known| known.name == table)
        .flat_map(|known| known.columns)
        .filter(|column| column.need == Need::Created)
}

/// Text as a literal, of Unicode whatever the database's own collation is.
pub(in super::super) fn literal(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}
