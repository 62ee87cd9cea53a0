//! sudoers(5)
use super::{Keyed, SHA512, assert_hidden, compared, state, words};
use crate::{Consumer, State, compare, findings::find, read};

const BASE: &str = "Defaults\tenv_reset\n\
    Defaults\tsecure_path=\"/usr/sbin:/usr/bin\"\n\
    root ALL=(ALL:ALL) ALL\n\
    %sudo ALL=(ALL:ALL) ALL\n\
    @includedir /etc/sudoers.d\n";

fn changes(before: &str, after: &str) -> Vec<String> {
    words(&compared(Consumer::Sudoers, before, after).changes)
}

/// What a line behind [`BASE`] adds, without its place.
fn added(line: &str) -> Vec<String> {
    let said = changes(BASE, &format!("{BASE}{line}\n"));
    let place = |said: String| match said.rfind("place ") {
        Some(at) => said[..at].trim_end_matches(", ").to_owned(),
        None => said,
    };
    said.into_iter().map(place).collect()
}

#[test]
fn a_rule_says_who_may_run_what_as_whom_and_where() {
    assert_eq!(
        changes(BASE, &format!("{BASE}evil ALL=(ALL) NOPASSWD: ALL\n")),
        ["evil may run ALL without password||-|as ALL, on ALL, tags NOPASSWD, place 6"]
    );
    assert_eq!(
        added(
            "alice, %ops web1,web2=/bin/ls, (bob : adm) SETENV:NOEXEC: /bin/cat /etc/x, !/bin/su"
        ),
        [
            "alice, %ops may run /bin/ls||-|as root by default, on web1,web2",
            "alice, %ops may run /bin/cat /etc/x||-|as bob:adm, on web1,web2, tags NOEXEC SETENV",
            "alice, %ops may not run /bin/su||-|as bob:adm, on web1,web2, tags NOEXEC SETENV",
        ]
    );
    assert_eq!(
        added("alice a = /bin/ls : b = () CWD=/tmp TIMEOUT=5m PASSWD: /bin/su"),
        [
            "alice may run /bin/ls||-|as root by default, on a",
            "alice may run /bin/su||-|as the user, on b, tags PASSWD, options CWD=/tmp TIMEOUT=5m",
        ]
    );
}

#[test]
fn a_tag_that_is_added_to_a_rule_is_named() {
    let after = BASE.replace(
        "%sudo ALL=(ALL:ALL) ALL",
        "%sudo ALL=(ALL:ALL) NOPASSWD: ALL",
    );
    assert_eq!(changes(BASE, &after), ["%sudo may run ALL|tags|-|NOPASSWD"]);
    assert_eq!(changes(&after, BASE), ["%sudo may run ALL|tags|NOPASSWD|-"]);
    let other = BASE.replace("root ALL=(ALL:ALL)", "root localhost=(root)");
    assert_eq!(
        changes(BASE, &other),
        [
            "root may run ALL|as|ALL:ALL|root",
            "root may run ALL|on|ALL|localhost"
        ]
    );
}

#[test]
fn a_later_tag_takes_the_place_of_its_opposite() {
    assert_eq!(
        added("a ALL=NOPASSWD: /bin/a, PASSWD: /bin/b, NOLOG_INPUT: LOG_INPUT: /bin/c"),
        [
            "a may run /bin/a without password||-|as root by default, on ALL, tags NOPASSWD",
            "a may run /bin/b||-|as root by default, on ALL, tags PASSWD",
            "a may run /bin/c||-|as root by default, on ALL, tags LOG_INPUT PASSWD",
        ]
    );
}

#[test]
fn includes_are_no_comments_whatever_begins_them() {
    for (line, said) in [
        ("#includedir /tmp/evil", "#includedir /tmp/evil"),
        ("#include /tmp/evil", "include /tmp/evil"),
        ("@include /tmp/evil", "include /tmp/evil"),
        ("  @includedir  /tmp/evil", "includedir /tmp/evil"),
    ] {
        let said = said.trim_start_matches('#');
        assert_eq!(added(line), [format!("{said}||-|")]);
    }
    // Not at the start of its line the hash sign begins a comment, and a user's number is none.
    for comment in [
        "  #include /tmp/evil",
        "#includes /tmp/evil",
        "# 1000 ALL=ALL",
    ] {
        assert!(changes(BASE, &format!("{BASE}{comment}\n"))[0].starts_with("file|layout"));
    }
    for (user, line) in [("#1000", "#1000 ALL=ALL"), ("%#27", "%#27 ALL=ALL # all")] {
        let expected = format!("{user} may run ALL||-|as root by default, on ALL");
        assert_eq!(added(line), [expected]);
    }
}

#[test]
fn a_comment_is_not_continued_and_so_hides_no_rule() {
    for comment in ["# harmless \\", "root ALL=(ALL:ALL) ALL # harmless \\"] {
        let said = added(&format!("{comment}\nevil ALL=ALL"));
        let evil = "evil may run ALL||-|as root by default, on ALL";
        assert!(said.contains(&evil.to_owned()), "{said:?}");
    }
}

#[test]
fn lines_that_continue_one_another_are_one() {
    assert_eq!(
        added("alice ALL = \\\n  /bin/ls, \\\n  NOPASSWD: /bin/su"),
        [
            "alice may run /bin/ls||-|as root by default, on ALL",
            "alice may run /bin/su without password||-|as root by default, on ALL, tags NOPASSWD",
        ]
    );
    let joined = BASE.replace("%sudo ALL", "%sudo \\\n ALL");
    assert!(changes(BASE, &joined)[0].starts_with("file|layout"));
    // Behind an even number the backslash is one of the text.
    assert_eq!(added("a ALL=/bin/x \\\\\nb ALL=ALL").len(), 2);
}

#[test]
fn settings_are_told_by_name() {
    let after = BASE.replace("env_reset", "!env_reset, !authenticate");
    assert_eq!(
        changes(BASE, &after),
        [
            "Defaults env_reset||on|off",
            "Defaults authenticate||-|off, place 2"
        ]
    );
    let path = BASE.replace("/usr/sbin:", "/tmp:/usr/sbin:");
    assert_eq!(
        changes(BASE, &path),
        ["Defaults secure_path||\"/usr/sbin:/usr/bin\"|\"/tmp:/usr/sbin:/usr/bin\""]
    );
    assert_eq!(
        added(
            "Defaults:alice, bob !authenticate\nDefaults env_keep += \"LD_PRELOAD\"\nDefaults@web1 log_host"
        ),
        [
            "Defaults:alice, bob authenticate||-|off",
            "Defaults env_keep += \"LD_PRELOAD\"||-|",
            "Defaults@web1 log_host||-|on",
        ]
    );
}

#[test]
fn members_of_aliases_are_told_one_by_one() {
    let before = format!("{BASE}User_Alias ADMINS = alice, bob : OPS = carol\n");
    let after = before.replace("alice, bob", "alice,bob , mallory");
    assert_eq!(
        changes(&before, &after),
        ["User_Alias ADMINS member mallory||-|place 8"]
    );
    assert_eq!(
        added("Cmnd_Alias SHELLS = /bin/sh, sha256:abcd /bin/bash \\\n : ED = /bin/ed")
            .iter()
            .map(|said| said.split('|').next().unwrap_or_default())
            .collect::<Vec<_>>(),
        [
            "Cmnd_Alias SHELLS member /bin/sh",
            "Cmnd_Alias SHELLS member sha256:abcd /bin/bash",
            "Cmnd_Alias ED member /bin/ed",
        ]
    );
}

#[test]
fn a_rule_that_moved_is_told_because_the_later_one_wins() {
    let before = format!("{BASE}a ALL=ALL\na ALL=!/bin/su\n");
    let after = format!("{BASE}a ALL=!/bin/su\na ALL=ALL\n");
    let said = changes(&before, &after);
    assert!(
        said == ["a may run ALL|place|6|7"] || said == ["a may not run /bin/su|place|7|6"],
        "{said:?}"
    );
}

#[test]
fn quotes_escapes_digests_and_expressions_are_parts_of_names_and_commands() {
    for (line, said) in [
        (
            "\"my user\" ALL=ALL",
            "\"my user\" may run ALL||-|as root by default, on ALL",
        ),
        (
            "a ALL=/bin/x a\\,b\\:c",
            "a may run /bin/x a\\,b\\:c||-|as root by default, on ALL",
        ),
        (
            "a ALL=sha224:ab/c=, sha256:de /bin/x",
            "a may run sha224:ab/c=, sha256:de /bin/x||-|as root by default, on ALL",
        ),
        (
            "a ALL=^/bin/(a,b:c)$ ^x,y$",
            "a may run ^/bin/(a,b:c)$ ^x,y$||-|as root by default, on ALL",
        ),
        (
            "a 2001:db8::1 = ALL",
            "a may run ALL||-|as root by default, on 2001:db8::1",
        ),
        (
            "a ALL=/bin/x --file=/etc/y",
            "a may run /bin/x --file=/etc/y||-|as root by default, on ALL",
        ),
        (
            "ALL, !a, ! b ALL=ALL",
            "ALL, !a, ! b may run ALL||-|as root by default, on ALL",
        ),
    ] {
        assert_eq!(added(line), [said]);
    }
}

#[test]
fn malformed_lines_are_named_by_number_and_length_and_never_quoted() {
    for (line, fault) in [
        ("planted words", "of no known form"),
        ("planted", "of no known form"),
        ("planted = ALL", "of no known form"),
        ("Defaults", "of no known form"),
        ("Defaults x,,y", "something is missing"),
        ("a ALL=", "something is missing"),
        ("a ALL=(root ALL", "something is missing"),
        ("a ALL=ALL,", "something is missing"),
        ("a ALL=ALL :", "of no known form"),
        ("User_Alias planted = a", "of no known form"),
        ("@include", "something is missing"),
        ("a ALL=/bin/\0x", "has NUL bytes"),
        (&format!("a ALL={}", "x".repeat(70_000)), "too long"),
    ] {
        let said = changes(BASE, &format!("{BASE}{line}\n"));
        let expected = format!("line 6||-|malformed, {} bytes ({fault})", line.len());
        assert_eq!(said, [expected], "{line}");
        assert!(read(Consumer::Sudoers, line.as_bytes(), &Keyed).secrets);
    }
}

#[test]
fn a_secret_in_a_command_is_hidden_and_its_change_is_told() {
    let line = |secret: &str| format!("{BASE}a ALL=/sbin/usermod -p {secret} eve\n");
    let other = SHA512.replace("zVqIMe", "qVzeMI");
    let (before, after) = (line(SHA512), line(&other));
    let said = changes(&before, &after);
    assert_eq!(said.len(), 2, "{said:?}");
    assert_hidden(SHA512, &said.concat());
    assert_hidden(SHA512, &format!("{:?}", state(Consumer::Sudoers, &before)));
    let comment = format!("{BASE}# password = hunter2hunter2\n");
    assert!(read(Consumer::Sudoers, comment.as_bytes(), &Keyed).secrets);
    assert!(!read(Consumer::Sudoers, BASE.as_bytes(), &Keyed).secrets);
}

#[test]
fn very_many_commands_of_very_many_users_are_kept_in_linear_space() {
    let users: Vec<String> = (0..3_000).map(|n| format!("user{n}")).collect();
    let commands: Vec<String> = (0..3_000).map(|n| format!("/bin/c{n}")).collect();
    let line = format!("{} ALL={}\n", users.join(","), commands.join(","));
    let State::Sudoers(state) = state(Consumer::Sudoers, &line) else {
        panic!("it is a sudoers file");
    };
    let kept: usize = format!("{state:?}").len();
    assert!(kept < 20 * line.len(), "{kept} of {}", line.len());
    let after = line.replace("/bin/c2999", "/bin/d2999");
    assert!(!changes(&line, &after).is_empty());
}

#[test]
fn very_many_commands_say_that_one_of_them_needs_no_password_and_that_one_is_any() {
    let users = vec!["user"; 2_000].join(",");
    let commands: Vec<String> = (0..40).map(|n| format!("/bin/c{n}")).collect();
    let line = format!(
        "{users} ALL=(www) {}, NOPASSWD: /bin/x, (root) NOSETENV: ALL\n",
        commands.join(", ")
    );
    let after = state(Consumer::Sudoers, &line);
    let said = words(&compare(None, Some(&after)).changes).join("\n");
    assert!(
        said.contains("bytes) without password||-|on ALL, tags NOPASSWD NOSETENV, commands"),
        "{said}"
    );
    let found: Vec<String> = find(None, Some(&after))
        .into_iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(
        found,
        ["sudoers-nopasswd", "sudoers-nopasswd", "sudoers-all"]
    );
}

#[test]
fn a_new_file_lists_its_entries_and_a_removed_one_their_number() {
    let after = state(Consumer::Sudoers, BASE);
    assert_eq!(compare(None, Some(&after)).changes.len(), 5);
    assert_eq!(
        words(&compare(Some(&after), None).changes),
        ["file|content|5 entries|-"]
    );
}
