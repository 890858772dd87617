//! A rehearsal as text for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::cli::table::{Table, tame};
use crate::graph::rehearsal::{DeadLetter, Left, Outcome, Personal, is_allowed};
use crate::layer::rehearsal::Leaving;
use crate::observe::thousands;

/// Widest ledger.
const WIDTH: usize = 100;
/// Longest line of a statement, in characters, where not all is asked for: it says the same of each
/// column, and what differs is bound to it.
const STATEMENT: usize = 160;

/// The styles of a report; plain ones where there are no colours.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Styles {
    pub head: Style,
    pub quiet: Style,
    pub good: Style,
    pub bad: Style,
}

impl Styles {
    pub fn new(colour: bool) -> Self {
        let style = |style: Style| if colour { style } else { Style::new() };
        Self {
            head: style(AnsiColor::Green.on_default().bold()),
            quiet: style(Style::new().dimmed()),
            good: style(AnsiColor::Green.on_default()),
            bad: style(AnsiColor::Red.on_default()),
        }
    }
}

/// Everything: sinks, dead letters, personal data, notes and the ledger.
pub(super) fn text(outcome: &Outcome, allowed: &[String], most: usize, colour: bool) -> String {
    let styles = Styles::new(colour);
    let mut out = head(outcome, styles);
    for left in &outcome.sinks {
        sink(left, most, styles, &mut out);
    }
    letters(outcome, most, styles, &mut out);
    personal(&outcome.personal_data, allowed, colour, &mut out);
    if !outcome.notes.is_empty() {
        title("otherwise than in a run", styles, &mut out);
        for note in &outcome.notes {
            line(&mut out, &format!("  {}", tame(note)));
        }
    }
    title("ledger", styles, &mut out);
    out.push_str(&outcome.ledger.render(WIDTH, colour));
    summary(outcome, allowed, styles, &mut out);
    out
}

/// The last line: what somebody looks for who scrolls no further.
fn summary(outcome: &Outcome, allowed: &[String], styles: Styles, out: &mut String) {
    let left: u64 = outcome.sinks.iter().map(|left| left.count).sum();
    let sinks = outcome.sinks.iter().filter(|left| left.count > 0).count();
    let places = outcome.personal_data.iter();
    let places = places.filter(|it| !is_allowed(it, allowed)).count();
    let many = |count: u64, one: &str| match count {
        1 => format!("1 {one}"),
        0 => format!("no {one}s"),
        count => format!("{} {one}s", thousands(count)),
    };
    let style = match places {
        0 => styles.good,
        _ => styles.bad,
    };
    let text = format!(
        "{} in, {} out by {}, {}, {style}{} with personal data{style:#}",
        many(outcome.events, "event"),
        many(left, "thing"),
        many(sinks as u64, "sink"),
        many(outcome.dead_letter_count, "dead letter"),
        many(places as u64, "place"),
    );
    title(&text, Styles::new(false), out);
}

fn head(outcome: &Outcome, Styles { quiet, .. }: Styles) -> String {
    let cut = match outcome.is_cut {
        true => " (there are more: see --limit)",
        false => "",
    };
    format!(
        "dry run of {}: {} events read{cut}; {quiet}nothing was sent{quiet:#}\n",
        outcome.ledger.pipeline, outcome.events
    )
}

// Writing into a string cannot fail.
pub(in crate::cli) fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{text}");
}

pub(super) fn title(text: &str, Styles { head, .. }: Styles, out: &mut String) {
    let _ = writeln!(out, "\n{head}{text}{head:#}");
}

fn sink(left: &Left, most: usize, styles: Styles, out: &mut String) {
    let things = match left.count {
        1 => "1 thing would leave".to_owned(),
        count => format!("{count} things would leave"),
    };
    let name = format!("{} ({}): {things}", left.node, left.component);
    title(&name, styles, out);
    let mut before = None;
    for thing in left.things.iter().take(most) {
        let again = before == Some(&thing.head) && thing.kind == "sql";
        leaving(thing, again, most, styles, out);
        before = Some(&thing.head);
    }
    let shown = left.things.len().min(most) as u64;
    if left.count > shown {
        let Styles { quiet, .. } = styles;
        let hint = match left.things.len() as u64 == left.count {
            true => "--show all",
            false => "--show all shows those that are kept",
        };
        let more = format!(
            "  {quiet}… and {} more ({hint}){quiet:#}",
            left.count - shown
        );
        line(out, &more);
    }
}

/// `again`: the statement is the one above.
fn leaving(
    thing: &Leaving,
    again: bool,
    most: usize,
    Styles { quiet, .. }: Styles,
    out: &mut String,
) {
    let lines: Vec<String> = thing.lines.iter().map(u64::to_string).collect();
    let of = match lines.is_empty() {
        true => String::new(),
        false => format!(", input line {}", lines.join(", ")),
    };
    line(out, &format!("  {quiet}{}{of}{quiet:#}", thing.kind));
    match again {
        true => line(out, &format!("    {quiet}the same statement with{quiet:#}")),
        false => {
            let longest = match thing.kind == "sql" && most < usize::MAX {
                true => STATEMENT,
                false => usize::MAX,
            };
            for head in thing.head.lines() {
                line(out, &format!("    {}", cut(&tame(head), longest)));
            }
        }
    }
    let columns = columns(thing);
    for (place, (name, value)) in thing.details.iter().enumerate() {
        let column = columns
            .get(place)
            .map(|it| format!(" {quiet}{}{quiet:#}", tame(it)));
        let column = column.unwrap_or_default();
        let text = format!("      {}{column}: {}", tame(name), tame(&value.to_string()));
        line(out, &text);
    }
    if let Some(body) = &thing.body {
        for body in body.lines() {
            line(out, &format!("    {}", tame(body)));
        }
    }
}

/// The columns that are bound, where one place is bound for each.
fn columns(thing: &Leaving) -> Vec<&str> {
    let fields = thing.rows.first().map_or(&[][..], |row| &row.fields);
    if thing.kind != "sql" || fields.len() != thing.details.len() {
        return Vec::new();
    }
    let names = fields.iter().map(|(name, _)| name.as_str());
    names
        .map(|name| name.rsplit('.').next().unwrap_or(name))
        .collect()
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{} … (--show all)", &text[..end]),
        None => text.to_owned(),
    }
}

fn letters(outcome: &Outcome, most: usize, styles: Styles, out: &mut String) {
    if outcome.dead_letter_count == 0 {
        title("dead letters: none", styles, out);
        return;
    }
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for letter in &outcome.dead_letters {
        let reason = format!("{} {}", letter.node, letter.reason);
        *reasons.entry(reason).or_default() += 1;
    }
    title(
        &format!("dead letters: {}", outcome.dead_letter_count),
        styles,
        out,
    );
    for (reason, count) in reasons {
        line(out, &format!("  {count} of {}", tame(&reason)));
    }
    for letter in outcome.dead_letters.iter().take(most) {
        one_letter(letter, styles, out);
    }
}

fn one_letter(letter: &DeadLetter, Styles { quiet, .. }: Styles, out: &mut String) {
    let place = &letter.letter["source"]["line"];
    let detail = letter.letter["detail"].as_str().unwrap_or_default();
    let (node, reason) = (tame(&letter.node), tame(&letter.reason));
    let head = format!("  {quiet}{node} {reason}, line {place}{quiet:#}");
    line(out, &head);
    line(out, &format!("    {}", tame(detail)));
    line(out, &format!("    {}", tame(&letter.letter.to_string())));
}

fn personal(all: &[Personal], allowed: &[String], colour: bool, out: &mut String) {
    let styles = Styles::new(colour);
    if all.is_empty() {
        title("personal data that leaves: none was found", styles, out);
        return;
    }
    title("personal data that leaves", styles, out);
    let mut table = Table::new(["PLACE", "LOOKS LIKE", "VALUES", "SUCH AS", ""], colour);
    for personal in all {
        let is_allowed = is_allowed(personal, allowed);
        let cells = [
            personal.name(),
            personal.class.to_owned(),
            personal.count.to_string(),
            personal.example.clone(),
            if is_allowed { "allowed" } else { "" }.to_owned(),
        ];
        let style = if is_allowed { styles.good } else { styles.bad };
        table.push_styled(cells, style);
    }
    for row in table.render().lines() {
        line(out, &format!("  {row}"));
    }
}
