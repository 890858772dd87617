//! How deep a program nests, read from its text.
//!
//! VRL's compiler and interpreter call themselves for what is nested, on a stack that ends. So a text
//! that could exhaust it is refused before it is read as a program. What stands in quotes or comments
//! does not count; that it is told apart roughly is enough, since the limits are far from what people write.

/// Brackets of any kind inside each other.
const BRACKETS: usize = 32;
/// Operators of one expression: each may be a level of its own (`a + b + c`, `!!x`, `else if`).
const OPERATORS: usize = 192;

/// What is too much of it, in words.
pub(super) fn excess(text: &str) -> Option<String> {
    let mut depth = 0_usize;
    let mut operators = [0_usize; BRACKETS + 1];
    let mut letters = text.char_indices().peekable();
    // Whether the line so far ends with an operator, so that the expression goes on in the next.
    let mut goes_on = false;
    while let Some((at, letter)) = letters.next() {
        match letter {
            '#' => while letters.next_if(|(_, it)| *it != '\n').is_some() {},
            '"' | '\'' => {
                let mut escaped = false;
                for (_, inner) in letters.by_ref() {
                    if inner == letter && !escaped {
                        break;
                    }
                    escaped = inner == '\\' && !escaped;
                }
                goes_on = false;
            }
            '(' | '[' | '{' => {
                depth += 1;
                if depth > BRACKETS {
                    return Some(format!("brackets nest deeper than {BRACKETS} levels"));
                }
                operators[depth] = 0;
                goes_on = true;
            }
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                goes_on = false;
            }
            ';' | ',' => operators[depth] = 0,
            '\n' => {
                let next = text[at..].trim_start();
                let continued = goes_on || next.starts_with(is_operator) || is_else(next);
                if !continued {
                    operators[depth] = 0;
                }
            }
            _ if letter.is_whitespace() => {}
            _ if is_operator(letter) || is_else(&text[at..]) => {
                // Most operators of two letters are one: `==`, `&&`. A `!` is one each time.
                let twice = |it: char| it == '=' || (it == letter && matches!(it, '&' | '|' | '?'));
                letters.next_if(|(_, it)| twice(*it));
                operators[depth] += 1;
                if operators[depth] > OPERATORS {
                    return Some(format!("an expression has more than {OPERATORS} operators"));
                }
                goes_on = true;
            }
            _ => goes_on = false,
        }
    }
    None
}

fn is_operator(letter: char) -> bool {
    matches!(
        letter,
        '+' | '-' | '*' | '/' | '%' | '&' | '|' | '?' | '=' | '!' | '<' | '>'
    )
}

fn is_else(text: &str) -> bool {
    text.starts_with("else")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_taken_and_what_nests_without_end_is_not() {
        let statements = ".a = .b + 1 ?? 2 # ((((\n".repeat(1000);
        let arguments = format!("f([{}])", "1 + 2, ".repeat(1000));
        let branches =
            "if .a == 1 { .b = 2 } else if .a == 2 { .b = 3 } else { .b = 4 }\n".repeat(200);
        let quoted = format!(".a = \"{}\\\"{}\"", "(".repeat(500), "!".repeat(500));
        for text in [&statements, &arguments, &branches, &quoted] {
            assert_eq!(excess(text), None);
        }
        let brackets = "[".repeat(40);
        let sum = format!(".a = 1{}", " + 1".repeat(300));
        let lines = format!(".a = 1{}", "\n  + 1".repeat(300));
        let trailing = format!(".a = 1{}", " +\n 1".repeat(300));
        let not = format!(".a = {}true", "!".repeat(300));
        let chain = format!("if .a {{ 1 }}{}", " else if .a { 1 }".repeat(300));
        let apart = format!("if .a {{ 1 }}{}", "\nelse if .a { 1 }".repeat(300));
        for text in [brackets, sum, lines, trailing, not, chain, apart] {
            assert!(excess(&text).is_some(), "{}", &text[..30]);
        }
    }
}
