//! A column of a load as one array in PostgreSQL's binary format, written straight from the cells.

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type};

use super::super::load::{Cell, Part};
use super::super::model::{Kind, Need, TABLES};

/// Milliseconds and days from 1970 to 2000, where PostgreSQL's time begins.
const EPOCH_MS: i64 = 946_684_800_000;
const EPOCH_DAYS: i32 = 10_957;

/// The type of the array's elements.
pub(super) fn element(kind: Kind) -> Type {
    match kind {
        Kind::Text(_) => Type::TEXT,
        Kind::Integer => Type::INT4,
        Kind::Long => Type::INT8,
        Kind::Timestamp => Type::TIMESTAMP,
        Kind::Date => Type::DATE,
    }
}

/// The kinds of a merge's columns.
pub(in super::super) fn kinds(table: &str) -> Vec<Kind> {
    let table = TABLES.iter().find(|known| known.name == table);
    let columns = table.map_or(&[][..], |table| table.columns).iter();
    columns
        .filter(|column| column.need != Need::Created)
        .map(|column| column.kind)
        .collect()
}

/// The cells of one column.
pub(super) struct Array<'a> {
    pub part: &'a Part<'a>,
    pub place: usize,
    pub kind: Kind,
}

// Bound by position and never printed: values may be personal data.
impl std::fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} cells", self.part.rows.len())
    }
}

type Problem = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Array<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Problem> {
        // One dimension, with nulls, of this many elements from 1 on.
        out.put_i32(1);
        out.put_i32(1);
        out.put_u32(element(self.kind).oid());
        out.put_i32(i32::try_from(self.part.rows.len())?);
        out.put_i32(1);
        for row in &self.part.rows {
            put(&row[self.place], self.kind, out)?;
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(ty.kind(), tokio_postgres::types::Kind::Array(_))
    }

    tokio_postgres::types::to_sql_checked!();
}

fn put(cell: &Cell<'_>, kind: Kind, out: &mut BytesMut) -> Result<(), Problem> {
    match (cell, kind) {
        (Cell::Null, _) => out.put_i32(-1),
        (Cell::Text(text), _) => {
            out.put_i32(i32::try_from(text.len())?);
            out.put_slice(text.as_bytes());
        }
        (Cell::Integer(number), Kind::Integer) => {
            out.put_i32(4);
            out.put_i32(i32::try_from(*number)?);
        }
        (Cell::Integer(number), _) => {
            out.put_i32(8);
            out.put_i64(*number);
        }
        (Cell::Time(ms), _) => {
            out.put_i32(8);
            out.put_i64((ms - EPOCH_MS) * 1000);
        }
        (Cell::Date(days), _) => {
            out.put_i32(4);
            out.put_i32(days - EPOCH_DAYS);
        }
    }
    Ok(())
}
