//! pam.d(5)
use super::{Keyed, compared, state, words};
use crate::{Consumer, compare, read};

const BASE: &str = "# as Debian has it\n\
    auth\t[success=1 default=ignore]\tpam_unix.so nullok\n\
    auth\trequisite\tpam_deny.so\n\
    auth\trequired\tpam_permit.so\n\
    @include common-account\n\
    password\trequisite\tpam_pwquality.so retry=3\n\
    -session optional pam_systemd.so\n";

fn changes(before: &str, after: &str) -> Vec<String> {
    words(&compared(Consumer::Pam, before, after).changes)
}

#[test]
fn a_module_that_comes_first_is_told_with_its_place() {
    let after = format!("auth sufficient pam_permit.so\n{BASE}");
    let said = changes(BASE, &after);
    assert_eq!(said, ["auth pam_permit.so||-|sufficient, place 1"]);
    let exec = BASE.replace(
        "@include",
        "auth optional pam_exec.so quiet /tmp/x\n@include",
    );
    assert_eq!(
        changes(BASE, &exec),
        ["auth pam_exec.so||-|optional, arguments quiet /tmp/x, place 4"]
    );
}

#[test]
fn another_control_or_argument_is_told_with_both_values() {
    let after = BASE.replace("requisite\tpam_deny", "optional\tpam_deny");
    assert_eq!(
        changes(BASE, &after),
        ["auth pam_deny.so||requisite|optional"]
    );
    let after = BASE
        .replace("success=1", "success=2")
        .replace(" nullok", "");
    assert_eq!(
        changes(BASE, &after),
        [
            "auth pam_unix.so||[success=1 default=ignore]|[success=2 default=ignore]",
            "auth pam_unix.so|arguments|nullok|-"
        ]
    );
    let after = BASE.replace("-session", "session");
    assert_eq!(
        changes(BASE, &after),
        ["session pam_systemd.so|log|none if it is missing|-"]
    );
}

/// Each of these is the same to libpam (1.5.2).
#[test]
fn any_word_may_stand_in_brackets() {
    for line in [
        "auth sufficient pam_x.so a",
        "[auth] sufficient pam_x.so a",
        "auth [sufficient]pam_x.so a",
        "AUTH sufficient [pam_x.so]a",
    ] {
        let said = changes("", &format!("{line}\n"));
        assert_eq!(said, ["auth pam_x.so||-|sufficient, arguments a, place 1"]);
    }
    for control in ["[success=done]", "success=done"] {
        let said = changes("", &format!("auth {control} pam_x.so\n"));
        assert_eq!(said, ["auth pam_x.so||-|[success=done], place 1"]);
    }
}

#[test]
fn modules_that_were_swapped_are_told() {
    let (deny, permit) = (
        "auth\trequisite\tpam_deny.so\n",
        "auth\trequired\tpam_permit.so\n",
    );
    let after = BASE.replace(&format!("{deny}{permit}"), &format!("{permit}{deny}"));
    let said = changes(BASE, &after);
    assert!(
        said == ["auth pam_permit.so|place|3|2"] || said == ["auth pam_deny.so|place|2|3"],
        "{said:?}"
    );
}

#[test]
fn what_is_included_is_told() {
    let after = format!("{BASE}@include evil\nsession include evil\naccount substack evil\n");
    assert_eq!(
        changes(BASE, &after),
        [
            "@include evil||-|place 7",
            "session include evil||-|place 8",
            "account substack evil||-|place 9"
        ]
    );
}

#[test]
fn lines_that_continue_one_another_are_one_and_comments_do_not() {
    let layout = "file|layout|-|only comments, blanks or the way it is written differ";
    let after = BASE.replace("auth\trequisite", "AUTH \\\n  requisite");
    assert_eq!(changes(BASE, &after), [layout]);
    let after =
        format!("{BASE}# harmless \\\nauth sufficient pam_permit.so # \\\nauth optional x.so\n");
    assert_eq!(changes(BASE, &after).len(), 2);
}

#[test]
fn malformed_lines_are_named_by_number_and_length_and_never_quoted() {
    for (line, fault) in [
        ("planted required pam_unix.so", "of no known form"),
        ("auth [success=1 planted", "something is missing"),
        ("auth required", "something is missing"),
        ("auth", "something is missing"),
        ("[auth", "something is missing"),
        ("auth [] pam_unix.so", "something is missing"),
        ("auth required [planted", "something is missing"),
        ("@include", "something is missing"),
    ] {
        let said = changes(BASE, &format!("{BASE}{line}\n"));
        let expected = format!("line 8||-|malformed, {} bytes ({fault})", line.len());
        assert_eq!(said, [expected], "{line}");
    }
}

#[test]
fn the_password_stack_is_no_secret_and_an_argument_may_be_one() {
    assert!(!read(Consumer::Pam, BASE.as_bytes(), &Keyed).secrets);
    let after = format!("{BASE}auth required pam_x.so secret=hunter2hunter2\n");
    assert_eq!(
        changes(BASE, &after),
        ["auth pam_x.so||-|required, arguments secret=[redacted 1], place 7"]
    );
}

#[test]
fn a_new_service_lists_its_stack() {
    let after = state(Consumer::Pam, BASE);
    assert_eq!(compare(None, Some(&after)).changes.len(), 6);
}
