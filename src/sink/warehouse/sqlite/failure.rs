//! What SQLite's errors mean for the run. No message of SQLite's holds a value of a row, since all
//! values are bound; its messages about rows are left out all the same.

use std::path::Path;

use rusqlite::ffi::{self, ErrorCode};

use crate::failure::Failure;

/// The failure of a whole batch.
pub(super) fn failure(error: &rusqlite::Error, file: &Path) -> Failure {
    let name = file.display();
    let Some(code) = error.sqlite_error_code() else {
        return Failure::fatal("warehouse_error", format!("`{name}`: {error}"));
    };
    match code {
        ErrorCode::DiskFull => {
            Failure::fatal("disk_full", format!("`{name}`: no space left on the disk"))
        }
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::SchemaChanged
        | ErrorCode::OperationInterrupted => Failure::transient(
            "warehouse_busy",
            format!("`{name}` is locked by another program"),
        ),
        ErrorCode::SystemIoFailure
        | ErrorCode::ReadOnly
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::NoLargeFileSupport => Failure::fatal(
            "warehouse_io",
            format!("`{name}` cannot be read or written: {}", told(error)),
        ),
        ErrorCode::DatabaseCorrupt => Failure::fatal(
            "warehouse_corrupt",
            format!("`{name}` is damaged: put a copy in its place, or move it away and load again"),
        ),
        ErrorCode::NotADatabase => Failure::fatal(
            "warehouse_corrupt",
            format!("`{name}` is no SQLite database"),
        ),
        _ => Failure::fatal("warehouse_error", format!("`{name}`: {}", told(error))),
    }
}

/// The failure to make the file's folder.
pub(super) fn folder(error: &std::io::Error, folder: &Path) -> Failure {
    let reason = match error.kind() {
        std::io::ErrorKind::StorageFull => "disk_full",
        _ => "warehouse_io",
    };
    let message = format!("the folder `{}` cannot be made: {error}", folder.display());
    Failure::fatal(reason, message)
}

/// The kind of constraint, if it is a constraint on a row that was broken.
pub(super) fn constraint(error: &rusqlite::Error) -> Option<&'static str> {
    let error = error.sqlite_error()?;
    match error.code {
        ErrorCode::TooBig => return Some("the size limit"),
        ErrorCode::TypeMismatch => return Some("a column's type"),
        ErrorCode::ConstraintViolation => {}
        _ => return None,
    }
    Some(match error.extended_code {
        ffi::SQLITE_CONSTRAINT_CHECK => "a CHECK constraint",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "a NOT NULL constraint",
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "a unique key",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "a foreign key",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "a trigger",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "a column's type",
        _ => "a constraint",
    })
}

/// SQLite's own words: those about files and statements, never those about rows.
pub(super) fn told(error: &rusqlite::Error) -> String {
    if constraint(error).is_some() {
        return "a constraint refuses the rows".to_owned();
    }
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    fn of(code: i32) -> Failure {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        failure(&error, Path::new("out/w.db"))
    }

    #[test]
    fn each_class_is_told_apart() {
        for (code, kind, reason) in [
            (ffi::SQLITE_FULL, Kind::Fatal, "disk_full"),
            (ffi::SQLITE_IOERR, Kind::Fatal, "warehouse_io"),
            (ffi::SQLITE_READONLY, Kind::Fatal, "warehouse_io"),
            (ffi::SQLITE_BUSY, Kind::Transient, "warehouse_busy"),
            (ffi::SQLITE_BUSY_SNAPSHOT, Kind::Transient, "warehouse_busy"),
            (ffi::SQLITE_LOCKED, Kind::Transient, "warehouse_busy"),
            (ffi::SQLITE_CORRUPT, Kind::Fatal, "warehouse_corrupt"),
            (ffi::SQLITE_NOTADB, Kind::Fatal, "warehouse_corrupt"),
        ] {
            let found = of(code);
            assert_eq!(found.kind(), kind, "{reason}");
            assert_eq!(found.losses()[0].cause.reason, reason);
            assert!(found.to_string().contains("out/w.db"));
        }
    }
}
