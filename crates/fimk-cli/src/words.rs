//! Values of an answer in words. Nothing in an answer is trusted.

/// Text as a terminal may see it: what would act there is shown as `\u{…}`.
pub use fimk_core::render::harmless as shown;

/// `1234567` → `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 object`, `2 objects`.
pub fn counted(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(number))
}

/// Bytes with a binary unit: `1.5 MiB`.
pub fn bytes(number: u64) -> String {
    let mut unit = 1;
    let mut name = "bytes";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if number / unit < 1024 {
            break;
        }
        unit *= 1024;
        name = next;
    }
    match number % unit * 10 / unit {
        0 => format!("{} {name}", number / unit),
        tenth => format!("{}.{tenth} {name}", number / unit),
    }
}

/// The two largest units of a time span: `3 d 4 h`.
pub fn span(seconds: u64) -> String {
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let from = units.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let words: Vec<String> = units[from..]
        .iter()
        .take(2)
        .filter(|(count, unit)| *count > 0 || *unit == "s" && from == 3)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    words.join(" ")
}

/// `2026-11-21T14:50:03.000000000Z` → `2026-11-21 14:50:03 UTC`; anything else as it is.
pub fn moment(text: &str) -> String {
    let parts = text
        .strip_suffix('Z')
        .and_then(|rest| rest.split_once('T'))
        .and_then(|(day, time)| Some((day, time.get(..8)?)));
    match parts {
        Some((day, time)) => format!("{day} {time} UTC"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_have_units() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(counted(1, "rule"), "1 rule");
        assert_eq!(counted(0, "rule"), "0 rules");
        for (number, text) in [
            (0, "0 bytes"),
            (1_023, "1023 bytes"),
            (1_024, "1 KiB"),
            (1_600_000, "1.5 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn times_are_short() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (7_500, "2 h 5 min"),
            (90_061, "1 d 1 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
        assert!(span(u64::MAX).ends_with('h'));
        assert_eq!(
            moment("2026-11-21T14:50:03.000000001Z"),
            "2026-11-21 14:50:03 UTC"
        );
        for odd in ["", "Z", "TZ", "yesterday", "2026-11-21Té:50:0Z"] {
            assert!(!moment(odd).ends_with("UTC") || odd.contains('é'), "{odd}");
        }
    }

    #[test]
    fn what_would_act_on_a_terminal_is_shown() {
        assert_eq!(
            shown("a\x1b[2Jb\u{202e}c\u{9b}\\x0a é"),
            "a\\u{1b}[2Jb\\u{202e}c\\u{9b}\\x0a é"
        );
    }
}
