//! The forms for programs: JSON, and the commands of a GitHub workflow.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Report};

/// An array of objects: `code`, `severity`, `message`, `file`, `line`, `column`, `end` (`line`,
/// `column`) and `hint`; what is not known is `null`. Ends with a line break.
pub fn json(report: &Report) -> String {
    let all: Vec<Value> = report.iter().map(|found| object(&found)).collect();
    format!("{:#}\n", Value::Array(all))
}

fn object(found: &Diagnostic) -> Value {
    json!({
        "code": found.code,
        "severity": found.severity.as_str(),
        "message": found.message,
        "file": &*found.file,
        "line": found.span.map(|span| span.line),
        "column": found.span.map(|span| span.column),
        "end": found.span.map(|span| json!({ "line": span.end_line, "column": span.end_column })),
        "hint": found.hint,
    })
}

/// One workflow command a line, which GitHub shows at the place in the changed file.
pub fn github(report: &Report) -> String {
    let mut out = String::new();
    for found in report.iter() {
        let _ = write!(out, "::{} file={}", found.severity, property(&found.file));
        if let Some(span) = found.span {
            let _ = write!(out, ",line={},col={}", span.line, span.column);
            // GitHub takes an end column only within one line.
            if span.line == span.end_line {
                let _ = write!(out, ",endColumn={}", span.end_column);
            } else {
                let _ = write!(out, ",endLine={}", span.end_line);
            }
        }
        let hint = found
            .hint
            .iter()
            .map(|hint| format!("\nhint: {hint}"))
            .collect::<String>();
        let message = data(&format!("{}{hint}", found.message));
        let _ = writeln!(out, ",title={}::{message}", property(found.code));
    }
    out
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Span;

    fn report() -> Report {
        let mut report = Report::new("a,b:c.yaml");
        let mut span = Span::on_line(9, 36, 7);
        report
            .error("unknown-input", span, "50% of\nit")
            .hint("or not");
        span.end_line = 11;
        report.warning("unused-component", span, "spread");
        report.error("unreadable-file", None, "gone");
        report
    }

    #[test]
    fn json_has_every_field_and_null_for_what_is_unknown() {
        let all: Value = serde_json::from_str(&json(&report())).unwrap();
        assert_eq!(all.as_array().unwrap().len(), 3);
        assert_eq!(all[0]["line"], Value::Null);
        assert_eq!(all[0]["end"], Value::Null);
        assert_eq!(
            all[1],
            json!({
                "code": "unknown-input", "severity": "error", "message": "50% of\nit",
                "file": "a,b:c.yaml", "line": 9, "column": 36,
                "end": { "line": 9, "column": 43 }, "hint": "or not",
            })
        );
        assert_eq!(all[2]["severity"], "warning");
        assert_eq!(json(&Report::new("x")), "[]\n");
    }

    #[test]
    fn github_commands_are_escaped() {
        assert_eq!(
            github(&report()),
            "::error file=a%2Cb%3Ac.yaml,title=unreadable-file::gone\n\
             ::error file=a%2Cb%3Ac.yaml,line=9,col=36,endColumn=43,title=unknown-input::50%25 of%0Ait%0Ahint: or not\n\
             ::warning file=a%2Cb%3Ac.yaml,line=9,col=36,endLine=11,title=unused-component::spread\n"
        );
    }
}
