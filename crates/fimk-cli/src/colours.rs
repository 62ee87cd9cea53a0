//! Colours, where a terminal is written to that wants them.

use std::{
    env,
    io::{self, IsTerminal as _},
};

/// Escapes of ECMA-48.
pub const RED: &str = "31";
pub const GREEN: &str = "32";
pub const YELLOW: &str = "33";
pub const CYAN: &str = "36";
pub const BOLD: &str = "1";
const BOLD_RED: &str = "1;31";

/// Where the severity stands in a row of a table, and where it ends, in characters.
const SEVERITY: (usize, usize) = (29, 37);

/// Whether what is printed is to have colours: on a terminal, unless `NO_COLOR` says no.
pub fn are_wanted() -> bool {
    io::stdout().is_terminal() && are_allowed()
}

/// Whether `NO_COLOR` leaves them (no-color.org).
pub fn are_allowed() -> bool {
    env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}

/// The text in a colour.
pub fn painted(text: &str, colour: &str) -> String {
    format!("\u{1b}[{colour}m{text}\u{1b}[0m")
}

/// A line of the forms `text` and `table`, with its severity in a colour if that is medium or more.
pub fn with_severity(line: &str, is_table: bool) -> String {
    let place = if is_table {
        column(line)
    } else {
        second_word(line)
    };
    let Some((before, word, after)) = place
        .and_then(|(from, to)| Some((line.get(..from)?, line.get(from..to)?, line.get(to..)?)))
    else {
        return line.to_owned();
    };
    let colour = match word.trim_end() {
        "critical" => BOLD_RED,
        "high" => RED,
        "medium" => YELLOW,
        _ => return line.to_owned(),
    };
    format!("{before}{}{after}", painted(word, colour))
}

fn column(line: &str) -> Option<(usize, usize)> {
    let byte = |character| Some(line.char_indices().nth(character)?.0);
    Some((byte(SEVERITY.0)?, byte(SEVERITY.1)?))
}

fn second_word(line: &str) -> Option<(usize, usize)> {
    let from = line.find(' ')? + 1;
    Some((from, from + line.get(from..)?.find(' ')?))
}

#[cfg(test)]
mod tests {
    use fimk_core::render::table_head;

    use super::*;

    #[test]
    fn the_severity_alone_is_coloured_whatever_else_is_in_the_line() {
        let head = table_head();
        let found = column(&head).and_then(|(from, to)| head.get(from..to));
        assert_eq!(found, Some("SEVERITY"));
        let row = "2026-11-18 11:06:42 1234567… critical modified            root       high             /high";
        let wanted = row.replacen("critical", "\u{1b}[1;31mcritical\u{1b}[0m", 1);
        assert_eq!(with_severity(row, true), wanted);
        let text = "2026-11-18T11:06:42.000000005Z medium 42 /etc/high modified";
        let wanted = text.replace("medium", "\u{1b}[33mmedium\u{1b}[0m");
        assert_eq!(with_severity(text, false), wanted);
        for plain in [
            "",
            "é",
            "a low b",
            "a",
            "2026-11-18 11:06:42 12       low      x",
        ] {
            assert_eq!(with_severity(plain, true), plain);
            assert_eq!(with_severity(plain, false), plain);
        }
    }
}
