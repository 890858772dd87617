//! What came of tests: as text for people, as JSON, and as JUnit's XML.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Case, Suite};
use crate::cli::dry_run::render::{Styles, line};
use crate::cli::table::tame;
use crate::diagnostic::Span;
use crate::graph::trial::{Line, Problem, Sign, Trial};

/// A test and its place.
pub(super) fn listed(file: &str, trial: &Trial) -> String {
    format!("{}: {}\n", place(file, trial.span), tame(&trial.name))
}

fn place(file: &str, span: Span) -> String {
    format!("{file}:{}:{}", span.line, span.column)
}

pub(super) fn text(suites: &[Suite], colour: bool) -> String {
    let styles = Styles::new(colour);
    let (good, bad, head) = (styles.good, styles.bad, styles.head);
    let mut out = String::new();
    for suite in suites.iter().filter(|suite| !suite.cases.is_empty()) {
        line(&mut out, &format!("{head}{}{head:#}", tame(&suite.file)));
        for case in &suite.cases {
            let name = tame(&case.trial.name);
            match case.passed() {
                true => line(&mut out, &format!("  {good}ok{good:#}    {name}")),
                false => line(&mut out, &format!("  {bad}FAILED{bad:#} {name}")),
            }
            for problem in &case.verdict.problems {
                tell(&suite.file, problem, styles, &mut out);
            }
        }
    }
    let (passed, failed) = counts(suites.iter().flat_map(|suite| &suite.cases));
    if failed > 0 {
        let quiet = styles.quiet;
        let legend = "\n- expected, + found, # a remark";
        line(&mut out, &format!("{quiet}{legend}{quiet:#}"));
    }
    let broken = suites.iter().filter(|suite| suite.is_broken).count();
    let style = if failed + broken == 0 { good } else { bad };
    let broken = match broken {
        0 => String::new(),
        1 => ", 1 file with mistakes".to_owned(),
        broken => format!(", {broken} files with mistakes"),
    };
    let summary = format!("\n{style}{passed} passed, {failed} failed{broken}{style:#}");
    line(&mut out, &summary);
    out
}

fn tell(file: &str, problem: &Problem, styles: Styles, out: &mut String) {
    let quiet = styles.quiet;
    let at = place(file, problem.span);
    line(out, &format!("    {}", tame(&problem.message)));
    line(out, &format!("    {quiet}at {at}{quiet:#}"));
    for Line(sign, text) in &problem.lines {
        let (mark, style) = match sign {
            Sign::Same => (' ', styles.quiet),
            Sign::Expected => ('-', styles.bad),
            Sign::Found => ('+', styles.good),
            Sign::Note => ('#', styles.quiet),
        };
        line(out, &format!("      {style}{mark} {}{style:#}", tame(text)));
    }
}

fn counts<'a>(cases: impl Iterator<Item = &'a Case>) -> (usize, usize) {
    cases.fold((0, 0), |(passed, failed), case| match case.passed() {
        true => (passed + 1, failed),
        false => (passed, failed + 1),
    })
}

pub(super) fn json(suites: &[Suite]) -> String {
    let mut tests = Vec::new();
    for suite in suites {
        tests.extend(suite.cases.iter().map(|case| of_case(&suite.file, case)));
    }
    let (passed, failed) = counts(suites.iter().flat_map(|suite| &suite.cases));
    let broken = suites.iter().filter(|suite| suite.is_broken);
    let broken: Vec<&str> = broken.map(|suite| suite.file.as_str()).collect();
    let document = json!({
        "passed": passed,
        "failed": failed,
        "files_with_mistakes": broken,
        "tests": tests,
    });
    // Text, numbers and maps with names: nothing that JSON could not hold.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn of_case(file: &str, case: &Case) -> Value {
    let problem = |problem: &Problem| {
        let lines = problem.lines.iter();
        json!({
            "line": problem.span.line,
            "column": problem.span.column,
            "message": problem.message,
            "difference": lines.map(|Line(sign, text)| json!({ "sign": sign, "text": text })).collect::<Vec<_>>(),
        })
    };
    json!({
        "file": file,
        "name": case.trial.name,
        "line": case.trial.span.line,
        "column": case.trial.span.column,
        "passed": case.passed(),
        "seconds": case.took.as_secs_f64(),
        "problems": case.verdict.problems.iter().map(problem).collect::<Vec<_>>(),
        "notes": case.verdict.notes,
    })
}

/// As most CI servers read it: a suite for each file, a case for each test.
pub(super) fn junit(suites: &[Suite]) -> String {
    let broken = suites.iter().filter(|suite| suite.is_broken).count();
    let (passed, failed) = counts(suites.iter().flat_map(|suite| &suite.cases));
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"trunkline\" tests=\"{}\" \
         failures=\"{failed}\" errors=\"{broken}\">\n",
        passed + failed + broken
    );
    for suite in suites {
        let (passed, failed) = counts(suite.cases.iter());
        let seconds: f64 = suite.cases.iter().map(|it| it.took.as_secs_f64()).sum();
        let errors = usize::from(suite.is_broken);
        let file = xml(&suite.file);
        // Writing into a string cannot fail.
        let _ = writeln!(
            out,
            "  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{failed}\" errors=\"{errors}\" time=\"{seconds:.3}\">",
            passed + failed + errors
        );
        if suite.is_broken {
            let _ = writeln!(
                out,
                "    <testcase name=\"validate\" classname=\"{file}\" time=\"0.000\"><error \
                 type=\"mistakes\" message=\"the file has mistakes\"/></testcase>"
            );
        }
        for case in &suite.cases {
            of_junit(&suite.file, case, &mut out);
        }
        out.push_str("  </testsuite>\n");
    }
    out + "</testsuites>\n"
}

fn of_junit(file: &str, case: &Case, out: &mut String) {
    let head = format!(
        "    <testcase name=\"{}\" classname=\"{}\" time=\"{:.3}\"",
        xml(&case.trial.name),
        xml(file),
        case.took.as_secs_f64()
    );
    if case.passed() {
        line(out, &format!("{head}/>"));
        return;
    }
    line(out, &format!("{head}>"));
    for problem in &case.verdict.problems {
        let mut told = String::new();
        tell(file, problem, Styles::new(false), &mut told);
        let message = xml(&problem.message);
        line(
            out,
            &format!(
                "      <failure type=\"expectation\" message=\"{message}\">{}</failure>",
                xml(&told)
            ),
        );
    }
    line(out, "    </testcase>");
}

/// Text in XML: what XML has no way to say is left out.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
