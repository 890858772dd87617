//! Where the lines of a scalar stand that has several, so that what is wrong within can be told there.

use crate::setting::{Run, Written};

/// A scalar as it stands in its file.
pub(super) struct Standing<'s> {
    /// The file from the first letter of the scalar on.
    pub file: &'s str,
    /// What stands on its first line before it: of a block scalar, spaces.
    pub before: &'s str,
    /// How long it is in the file, in bytes.
    pub length: usize,
    /// Its first line, from 1.
    pub line: u32,
    /// Whether it is a block (`|` or `>`): its lines have an indentation that is not theirs.
    pub block: bool,
}

/// The runs of the text that stand in the file as they are; `None` when one of its lines is another
/// there (an escape, a reference), since nothing behind it could be told.
pub(super) fn written(text: &str, standing: &Standing<'_>) -> Option<Written> {
    let source = standing.file.get(..standing.length)?;
    let indent = match standing.block {
        true => indentation(text, source, standing.before)?,
        false => 0,
    };
    let (mut runs, mut at) = (Vec::new(), 0);
    for (number, line) in (0..).zip(lines(source)) {
        let first = number == 0;
        let start = if first { standing.before } else { "" };
        let (skipped, content) = match standing.block {
            true => within(start, line, indent),
            false => quoted(line, first),
        };
        if content.is_empty() {
            continue;
        }
        // What follows a block (an empty line, a comment) may be counted in.
        if blank(text.get(at..)?) {
            break;
        }
        let (found, length) = find(text, at, content)?;
        runs.push(Run {
            at: found,
            line: standing.line + number,
            column: 1 + letters(start) + letters(skipped),
        });
        at = found + length;
    }
    let is_whole = blank(text.get(at..)?);
    Written::of(runs).filter(|_| is_whole)
}

fn blank(text: &str) -> bool {
    text.chars().all(|it| it == '\n' || it == ' ')
}

/// How far a block is set in: by what its first line with text has more than the text itself.
fn indentation(text: &str, source: &str, before: &str) -> Option<usize> {
    let spaces = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let mut starts = std::iter::once(before).chain(std::iter::repeat(""));
    let written = lines(source).find_map(|line| {
        let start = starts.next().unwrap_or_default();
        let solid = !line.trim().is_empty();
        solid.then(|| match spaces(line) {
            all if start.trim().is_empty() => start.len() + all,
            all => all,
        })
    })?;
    let own = text.lines().find(|line| !line.trim().is_empty())?;
    written.checked_sub(spaces(own))
}

/// A line of a block: what is its indentation, and what is text. `start` of it was cut off before.
fn within<'l>(start: &str, line: &'l str, indent: usize) -> (&'l str, &'l str) {
    let left = indent.saturating_sub(start.len());
    let spaces = line.bytes().take(left).take_while(|it| *it == b' ').count();
    line.split_at(spaces)
}

/// A line of a scalar that is plain or in quotes: spaces around it are not text.
fn quoted(line: &str, first: bool) -> (&str, &str) {
    let content = line.trim_matches([' ', '\t']);
    let skipped = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
    match content.strip_prefix(['"', '\'']) {
        Some(inner) if first => (&line[..skipped.len() + 1], inner),
        _ => (skipped, content),
    }
}

/// Where the content of the next line is, and how long: behind nothing but what a line break may
/// have become.
fn find(text: &str, from: usize, content: &str) -> Option<(usize, usize)> {
    // The last line of one in quotes has the closing one, too.
    let bare = content.strip_suffix(['"', '\'']);
    let rest = text.get(from..)?;
    for (skipped, letter) in rest.char_indices() {
        let (at, here) = (from + skipped, &rest[skipped..]);
        if here.starts_with(content) {
            return Some((at, content.len()));
        }
        if let Some(bare) = bare.filter(|bare| here == *bare) {
            return Some((at, bare.len()));
        }
        if letter != '\n' && letter != ' ' {
            return None;
        }
    }
    None
}

fn letters(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

/// Lines as in YAML: they end at `\n`, `\r\n` or a lone `\r`.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let all = rest?;
        let Some(end) = memchr::memchr2(b'\n', b'\r', all.as_bytes()) else {
            return rest.take();
        };
        let behind = &all[end..];
        rest = Some(behind.strip_prefix("\r\n").unwrap_or(&behind[1..]));
        Some(&all[..end])
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{Fixed, parse};
    use crate::diagnostic::{Span, render::line_of};

    /// Where each of the words of a scalar is told to stand, read from the file there.
    fn told(file: &str, words: &[&str]) -> Vec<Option<String>> {
        let loaded = parse("t.yaml", file, &Fixed::new());
        let tree = loaded.tree.expect("a tree");
        let node = tree.get("k").expect("a field");
        let text = node.as_text().expect("text");
        let read = |span: Span| {
            let line = line_of(file, span.line).expect("a line");
            let letters = line.chars().skip(span.column as usize - 1);
            let length = span.end_column - span.column;
            letters.take(length as usize).collect()
        };
        let place = |word: &&str| {
            let from = text.find(*word).expect("the word is there");
            node.place_of(from, from + word.len()).map(read)
        };
        words.iter().map(place).collect()
    }

    #[test]
    fn every_word_of_a_scalar_is_found_where_it_stands() {
        let files = [
            "k: |\n  öne two\n    three\n\n  four\n",
            "a: 1\nk: |-\n      öne two\n\n\n      three\n      four",
            "k: |2\n    öne two\n  three\n  four\n# a comment\nb: 2\n",
            "k: |\n\n\n  öne two\n  three\n  four\n\n\nb: 1\n",
            "k: >\n  öne\n  two\n  three\n\n    four\n  öne\n",
            "k: >-\n  öne two\n  three\n  four\n\n# end\n",
            "k: |\r\n  öne two\r\n    three\r\n\r\n  four\r\n",
            "k: öne two three four\n",
            "k: \"öne two three four\"\n",
            "k: 'öne two\n    three\n\n    four'\n",
            "k: \"öne two\n    three four\"\n",
            "k: öne two\n  three\n  four\nb: 1\n",
            "b: { c: 1 }\nk: !!str |+\n   öne two\n   three\n   four\n\n",
        ];
        for file in files {
            let words = ["öne", "two", "three", "four"];
            let expected = words.map(|word| Some(word.to_owned()));
            assert_eq!(told(file, &words), expected, "{file}");
        }
    }

    #[test]
    fn where_the_text_is_another_nothing_is_told() {
        for file in [
            "k: \"one\\ttwo\"\n",
            "k: |\n  one ${X:-x}\n  two\n",
            "k: 'it''s one two'\n",
            "k: \"one\n  \\ttwo\"\n",
        ] {
            assert_eq!(told(file, &["two"]), [None], "{file}");
        }
    }
}
