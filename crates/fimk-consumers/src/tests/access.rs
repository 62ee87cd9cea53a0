//! access.conf(5)
use proptest::prelude::*;

use super::{Keyed, compared, state, words};
use crate::{Comparison, Consumer, compare, read};

const ACCESS: Consumer = Consumer::Access;
const BASE: &str = "# who may log in\n+:root:crond LOCAL\n+:john @admins:127.0.0.0/24\n-:ALL EXCEPT (wheel) sync:ALL\n";

fn changes(before: &str, after: &str) -> Vec<String> {
    words(&compared(ACCESS, before, after).changes)
}

#[test]
fn an_origin_that_becomes_all_is_named_with_both_values() {
    let after = BASE.replace("127.0.0.0/24", "ALL");
    assert_eq!(changes(BASE, &after), ["rule 2|origins|127.0.0.0/24|ALL"]);
}

#[test]
fn rules_that_were_swapped_are_said_to_have_moved() {
    let after = "# who may log in\n+:root:crond LOCAL\n-:ALL EXCEPT (wheel) sync:ALL\n+:john @admins:127.0.0.0/24\n";
    let said = changes(BASE, after);
    let (one, other) = (
        "+:john @admins:127.0.0.0/24",
        "-:ALL EXCEPT (wheel) sync:ALL",
    );
    let expected = [
        format!("rule 3|order|rule 2: {one}|rule 3: {one}"),
        format!("rule 2|order|rule 3: {other}|rule 2: {other}"),
    ];
    assert!(said.len() == 1 && expected.contains(&said[0]), "{said:?}");
}

#[test]
fn a_rule_that_comes_first_is_added_and_moves_no_other() {
    let after = BASE.replacen("+:root", "+:mallory:ALL\n+:root", 1);
    assert_eq!(changes(BASE, &after), ["rule 1||-|+:mallory:ALL"]);
    assert_eq!(changes(&after, BASE), ["rule 1||+:mallory:ALL|-"]);
}

#[test]
fn a_permission_that_is_reversed_is_named() {
    let after = BASE.replace("-:ALL", "+:ALL");
    assert_eq!(
        changes(BASE, &after),
        ["rule 3|permission|- (deny)|+ (grant)"]
    );
}

#[test]
fn another_exception_is_named_with_its_list() {
    let after = BASE.replace("(wheel) sync", "(wheel) sync mallory");
    assert_eq!(
        changes(BASE, &after),
        ["rule 3|users|ALL EXCEPT (wheel) sync|ALL EXCEPT (wheel) sync mallory"]
    );
    // What stands behind EXCEPT is no item of the list before it.
    let plain = BASE.replace("EXCEPT ", "");
    assert_eq!(
        changes(BASE, &plain),
        ["rule 3|users|ALL EXCEPT (wheel) sync|ALL (wheel) sync"]
    );
}

#[test]
fn every_form_of_user_and_origin_is_shown_as_it_is_written() {
    let base = format!("{BASE}+:x:y\n");
    for (users, origins) in [
        (
            "alice@host (group) @net @@net",
            "tty1 :0 .example.org 192.168.201. host",
        ),
        ("ALL EXCEPT alice EXCEPT bob", "ALL EXCEPT LOCAL"),
        ("john", "2001:db8:0:101::/64"),
        ("john", "::ffff:127.0.0.0/127"),
        ("john", "192.168.201.0/255.255.255.0"),
        ("x", "NONE"),
        // The one matches everybody, the other nobody: rules all the same.
        ("ALL EXCEPT", "ALL"),
        ("EXCEPT root", "ALL"),
    ] {
        let after = format!("{BASE}+:{users}:{origins}\n+:x:y\n");
        assert_eq!(
            changes(&base, &after),
            [format!("rule 4||-|+:{users}:{origins}")]
        );
    }
}

#[test]
fn what_pam_access_reads_alike_is_no_change_of_a_rule() {
    let layout =
        ["file|layout|-|only comments, blanks or the places of lines that are no rules differ"];
    for after in [
        BASE.replace("+:john @admins:", "+ : john,,\t@admins : "),
        BASE.replace("EXCEPT", "except").replace("LOCAL", "local"),
        BASE.replace("+:john", "+::john"),
        format!("{BASE}# -:ALL:ALL\n\n"),
    ] {
        assert_eq!(changes(BASE, &after), layout, "{after}");
    }
}

#[test]
fn malformed_lines_are_named_by_number_and_length_and_never_quoted() {
    for (line, fault) in [
        ("  # planted", "a comment behind blanks"),
        ("planted:words:here", "neither + nor - at its start"),
        (" +:root:ALL", "neither + nor - at its start"),
        ("+", "wrong number of fields"),
        ("+:root", "wrong number of fields"),
        ("+:root:", "wrong number of fields"),
        ("+: ,:ALL", "a list is empty"),
        ("+:root: ", "wrong number of fields"),
        ("+:a\0b:ALL", "has NUL bytes"),
        (&format!("+:{}:ALL", "x".repeat(8_190)), "too long"),
    ] {
        let said = changes(BASE, &format!("{BASE}{line}\n"));
        let expected = format!("line 5||-|malformed, {} bytes ({fault})", line.len());
        assert_eq!(said, [expected]);
        assert!(
            read(ACCESS, line.as_bytes(), &Keyed).secrets,
            "it may be anything"
        );
    }
}

#[test]
fn an_indented_comment_that_becomes_a_rule_is_both() {
    let before = format!("{BASE}  #+:mallory:ALL\n");
    let after = format!("{BASE}+:mallory:ALL\n");
    assert_eq!(
        changes(&before, &after),
        [
            "rule 4||-|+:mallory:ALL",
            "line 5||malformed, 16 bytes (a comment behind blanks)|-"
        ]
    );
}

#[test]
fn a_last_line_without_newline_is_said_because_pam_access_may_skip_it() {
    let said = changes(BASE, BASE.trim_end());
    assert_eq!(
        said,
        ["file|last line|-|has no newline: pam_access may not read it"]
    );
}

#[test]
fn a_secret_in_a_list_is_redacted() {
    let said = changes(BASE, &format!("{BASE}+:x:https://u:hunter2hunter2@host\n"));
    assert_eq!(said, ["rule 4||-|+:x:https://u:[redacted 1]@host"]);
}

#[test]
fn a_new_file_lists_its_rules() {
    let after = state(ACCESS, BASE);
    assert_eq!(compare(None, Some(&after)).changes.len(), 3);
    assert_eq!(
        words(&compare(Some(&after), None).changes),
        ["file|content|3 rules|-"]
    );
}

#[test]
fn many_rules_in_another_order_are_compared_in_time() {
    let rule = |n: usize| format!("+:u{}:ALL\n", n % 9_000);
    let before: String = (0..18_000).map(rule).collect();
    let after: String = (0..18_000).rev().map(rule).collect();
    let comparison = compared(ACCESS, before, after);
    assert_eq!(comparison.truncated, ["fimk.changes"]);
}

fn any_rule() -> impl Strategy<Value = String> {
    let list = |items: Vec<&'static str>| {
        proptest::collection::vec(proptest::sample::select(items), 1..4)
            .prop_map(|items| items.join(" "))
    };
    let users = list(vec!["root", "(wheel)", "@net", "ALL", "a@b", "EXCEPT"]);
    let origins = list(vec!["LOCAL", "10.0.0.0/8", ".x.org", "::1", "tty1"]);
    (prop_oneof!["\\+", "-", "#", " #"], users, origins)
        .prop_map(|(sign, users, origins)| format!("{sign}:{users}:{origins}"))
}

proptest! {
    #[test]
    fn any_byte_of_a_file_may_be_another(
        lines in proptest::collection::vec(any_rule(), 1..6),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let before = lines.join("\n").into_bytes();
        let mut after = before.clone();
        let at = at.index(after.len());
        after[at] = byte;
        let comparison = compared(ACCESS, &before, &after);
        prop_assert_eq!(comparison == Comparison::default(), before == after);
    }

    /// Applied in any order, the differences account for every rule that is not where it was.
    #[test]
    fn another_sequence_of_rules_is_never_taken_for_the_same(
        before in proptest::collection::vec(any_rule(), 0..8),
        after in proptest::collection::vec(any_rule(), 0..8),
    ) {
        let rules = |lines: &[String]| match state(ACCESS, lines.join("\n")) {
            crate::State::Access(state) => state.rules,
            other => panic!("{other:?}"),
        };
        let said = changes(&before.join("\n"), &after.join("\n"));
        let differ = rules(&before) != rules(&after);
        prop_assert_eq!(said.iter().any(|change| change.starts_with("rule ")), differ);
    }
}
