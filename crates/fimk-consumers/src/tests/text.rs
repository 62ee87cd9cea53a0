//! Any text
use super::{Keyed, SHA512, assert_hidden, compared, state};
use crate::{Comparison, Consumer, State, compare, diff, read, understood};

fn diff_of(before: impl AsRef<[u8]>, after: impl AsRef<[u8]>) -> String {
    compared(Consumer::Text, before, after)
        .diff
        .unwrap_or_default()
}

#[test]
fn a_difference_is_unified_with_three_lines_of_context() {
    let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    assert_eq!(
        diff_of(before, before.replace('5', "five")),
        "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"
    );
}

#[test]
fn a_new_file_is_all_additions_and_a_lost_one_all_removals() {
    let text = state(Consumer::Text, "a\nb\n");
    assert_eq!(
        compare(None, Some(&text)).diff.as_deref(),
        Some("@@ -0,0 +1,2 @@\n+a\n+b\n")
    );
    assert_eq!(
        compare(Some(&text), None).diff.as_deref(),
        Some("@@ -1,2 +0,0 @@\n-a\n-b\n")
    );
}

#[test]
fn an_includedir_in_sudoers_is_no_comment_that_is_skipped() {
    let before = "root ALL=(ALL:ALL) ALL\n";
    let after = format!("{before}#includedir /tmp/evil\n");
    assert!(diff_of(before, after).contains("\n+#includedir /tmp/evil\n"));
}

#[test]
fn a_line_behind_a_very_long_one_is_shown() {
    let before = "root ALL=(ALL:ALL) ALL\n";
    let after = format!(
        "{before}# {}\nevil ALL=(ALL) NOPASSWD: ALL\n",
        "x".repeat(70_000)
    );
    let comparison = compared(Consumer::Text, before, after);
    let diff = comparison.diff.expect("there is a difference");
    assert!(diff.contains("\n+evil ALL=(ALL) NOPASSWD: ALL\n"), "{diff}");
    assert!(diff.contains("… (70002 bytes)"), "{diff}");
    assert_eq!(comparison.truncated, ["fimk.diff"]);
}

#[test]
fn duplicates_and_order_are_differences() {
    assert_eq!(
        diff_of("a\nb\n", "a\na\nb\n"),
        "@@ -1,2 +1,3 @@\n a\n+a\n b\n"
    );
    assert!(!diff_of("a\nb\n", "b\na\n").is_empty());
}

#[test]
fn an_identical_rewrite_is_no_difference() {
    let content = format!("a\npassword={SHA512}\n");
    assert_eq!(
        compared(Consumer::Text, &content, &content),
        Comparison::default()
    );
}

#[test]
fn a_missing_newline_and_carriage_returns_are_visible() {
    assert_eq!(
        diff_of("a\n", "a"),
        "@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n"
    );
    assert_eq!(diff_of("a\n", "a\r\n"), "@@ -1 +1 @@\n-a\n+a\\x0d\n");
}

#[test]
fn control_characters_and_other_bytes_are_escaped_and_tabs_kept() {
    let diff = diff_of(
        "",
        b"a\tb\x1b[2Jc \xff caf\xc3\xa9\xe2\x80\xae padding padding\n",
    );
    assert_eq!(
        diff,
        "@@ -0,0 +1 @@\n+a\tb\\x1b[2Jc \\xff café\\xe2\\x80\\xae padding padding\n"
    );
}

#[test]
fn a_byte_is_told_from_its_escape() {
    assert!(!diff_of(b"some text \xff here\n", b"some text \\xff here\n").is_empty());
}

#[test]
fn secrets_are_numbered_by_appearance() {
    let diff = diff_of("password = one1\n", "password = two2\ntoken = one1\n");
    assert_eq!(
        diff,
        "@@ -1 +1,2 @@\n-password = [redacted 1]\n+password = [redacted 2]\n+token = [redacted 1]\n"
    );
}

#[test]
fn a_private_key_is_redacted_line_by_line_and_nothing_after_it() {
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\nAAAAEbm9uZQAAAAAA\n\
        -----END OPENSSH PRIVATE KEY-----\nplain words\n";
    assert_eq!(
        diff_of("", key),
        "@@ -0,0 +1,5 @@\n+-----BEGIN OPENSSH PRIVATE KEY-----\n+[redacted 1]\n+[redacted 2]\n\
         +-----END OPENSSH PRIVATE KEY-----\n+plain words\n"
    );
}

#[test]
fn a_private_key_that_never_ends_hides_no_line_that_is_none_of_its_own() {
    let diff = diff_of(
        "",
        "# -----BEGIN PRIVATE KEY-----\nevil ALL=(ALL) NOPASSWD: ALL\n",
    );
    assert!(diff.contains("+evil ALL=(ALL) NOPASSWD: ALL"), "{diff}");
}

#[test]
fn a_copy_of_shadow_under_another_name_is_redacted() {
    let copy = "root:abJnggxhB/yWI:19000:0:99999:7:::\neve:odd secret:19000:0:99999:7:::\ntoken:x:5:5::/:/bin/sh\n";
    let diff = diff_of("", copy);
    assert!(
        diff.contains("+root:[redacted 1]:19000:") && diff.contains("+eve:[redacted 2]:19000:"),
        "{diff}"
    );
    assert!(diff.contains("+token:x:5:5::/:/bin/sh"), "{diff}");
}

#[test]
fn what_is_printed_is_bounded_and_what_was_cut_is_said() {
    let many = |mark: char| {
        let lines: Vec<String> = (0..30_000).map(|n| format!("{mark}{n}\n")).collect();
        lines.concat()
    };
    for (before, after) in [
        (many('a'), many('b')),
        (String::new(), "x".repeat(900) + "\n"),
        (String::new(), many('c')),
    ] {
        let comparison = compared(Consumer::Text, &before, &after);
        let diff = comparison.diff.expect("there is a difference");
        assert!(diff.len() <= diff::MAX_BYTES + 200, "{}", diff.len());
        assert!(diff.lines().count() <= diff::MAX_LINES + 2);
        assert_eq!(comparison.truncated.is_empty(), after.len() < 1_000);
    }
    assert!(diff_of(many('a'), many('b')).contains("more lines removed"));
}

#[test]
fn what_lies_beyond_the_kept_lines_still_counts() {
    let filler = "a\n".repeat(20_000);
    let comparison = compared(
        Consumer::Text,
        format!("{filler}b\n"),
        format!("{filler}c\n"),
    );
    assert_eq!(comparison.truncated, ["fimk.diff"]);
    assert!(
        comparison
            .diff
            .is_some_and(|diff| diff.starts_with("… more differs"))
    );
    let reading = read(
        Consumer::Text,
        format!("{filler}{SHA512}\n").as_bytes(),
        &Keyed,
    );
    assert!(reading.secrets);
    assert_hidden(SHA512, &format!("{reading:?}"));
}

#[test]
fn binary_is_what_has_a_nul_or_too_many_strange_bytes() {
    for content in [&b"text\0"[..], b"\xff\xfea\xff\xfe", b"\x80\x81\x82"] {
        assert_eq!(state(Consumer::Text, content), State::Binary);
    }
    assert_ne!(
        state(Consumer::Text, b"caf\xe9, latin one\n"),
        State::Binary
    );
    assert_ne!(state(Consumer::Text, b""), State::Binary);
}

#[test]
fn what_was_recorded_as_text_is_understood_by_another_consumer_unless_a_secret_was_cut_out() {
    let rule = "root ALL=ALL\n# no newline: é";
    for content in [rule, "root ALL=ALL\n", ""] {
        let text = state(Consumer::Text, content);
        let now = understood(Consumer::Sudoers, &text, &Keyed);
        assert_eq!(now, Some(state(Consumer::Sudoers, content)));
    }
    let secret = state(Consumer::Text, format!("x {SHA512}\n"));
    assert_eq!(understood(Consumer::Sudoers, &secret, &Keyed), None);
    let sudoers = state(Consumer::Sudoers, rule);
    assert_eq!(understood(Consumer::Sudoers, &sudoers, &Keyed), None);
}

#[test]
fn of_a_long_text_it_is_said_that_it_is_not_compared_and_not_that_its_lines_went() {
    let long = |last: u8| {
        let beginning = "line\n".repeat(crate::MAX_BYTES / 5);
        let reading =
            crate::read_beginning(Consumer::Text, beginning.as_bytes(), &[last; 32], &Keyed);
        assert!(!reading.secrets);
        reading.state
    };
    let short = state(Consumer::Text, "line\n");
    for (before, after) in [
        (Some(&short), long(1)),
        (Some(&long(1)), short.clone()),
        (Some(&long(1)), long(2)),
        (None, long(1)),
    ] {
        let comparison = compare(before, Some(&after));
        let diff = comparison.diff.unwrap_or_default();
        assert!(diff.starts_with("… longer than 1 MiB"), "{diff}");
        assert_eq!(comparison.truncated, ["fimk.diff"]);
    }
    assert_eq!(compare(Some(&long(1)), Some(&long(1))).diff, None);
    let binary = crate::read_beginning(Consumer::Text, &[0; 9], &[1; 32], &Keyed);
    assert_eq!(binary.state, State::Binary);
}

#[test]
fn the_beginning_of_a_long_file_says_what_all_of_it_says_there() {
    let by_line = |it: &Consumer| it.understands() && *it != Consumer::TrustedKeys;
    for consumer in Consumer::ALL.into_iter().filter(by_line) {
        // Lines that end with the limit, and one that lies across it.
        for line in ["a = b", "a ALL=ALL", "x:x:0:0::/:/bin/sh"] {
            let line = format!("{line} # {}\n", "x".repeat(90));
            let mut content = line.repeat(2 * crate::MAX_BYTES / line.len()).into_bytes();
            let mut part = |last: u8| {
                *content.last_mut().expect("it is long") = last;
                let digest = [last; 32];
                crate::read_beginning(consumer, &content[..crate::MAX_BYTES], &digest, &Keyed).state
            };
            let (part, other) = (part(1), part(2));
            let whole = state(consumer, &content);
            let apart = |one: &State, other: &State| compare(Some(one), Some(other));
            assert_ne!(part, other, "{consumer:?}");
            let only_rest = apart(&part, &other);
            assert_eq!(apart(&part, &whole), only_rest, "{consumer:?} {line}");
            let said = only_rest.changes.len() + usize::from(only_rest.diff.is_some());
            assert_eq!(said, 1, "{consumer:?} {line} {only_rest:?}");
        }
    }
}
