//! crontab(5)
use super::{Keyed, SHA512, assert_hidden, compared, state, words};
use crate::{Consumer, compare, read};

const BASE: &str = "# system jobs\n\
    17 *\t* * *\troot\tcd / && run-parts /etc/cron.hourly\n\
    25 6\t* * *\troot\ttest -x /usr/sbin/anacron || run-parts /etc/cron.daily\n";

fn changes(before: &str, after: &str) -> Vec<String> {
    words(&compared(Consumer::Crontab, before, after).changes)
}

fn of_user(before: &str, after: &str) -> Vec<String> {
    words(&compared(Consumer::UserCrontab, before, after).changes)
}

#[test]
fn a_job_is_told_with_its_schedule_user_and_command() {
    let after = format!("{BASE}*/5 * * * * www-data /tmp/x # not a comment\n@reboot root /tmp/y\n");
    assert_eq!(
        changes(BASE, &after),
        [
            "job /tmp/x # not a comment||-|schedule */5 * * * *, user www-data",
            "job /tmp/y||-|schedule @reboot, user root"
        ]
    );
    assert_eq!(changes(&after, BASE).len(), 2);
}

#[test]
fn another_schedule_or_user_is_told_with_both_values() {
    let after = BASE
        .replace("17 *", "* *")
        .replace("25 6\t* * *\troot", "25 6\t* * *\tbob");
    assert_eq!(
        changes(BASE, &after),
        [
            "job cd / && run-parts /etc/cron.hourly|schedule|17 * * * *|* * * * *",
            "job test -x /usr/sbin/anacron || run-parts /etc/cron.daily|user|root|bob"
        ]
    );
}

#[test]
fn a_users_crontab_names_no_user() {
    let before = "0 4 * jan-mar mon,tue backup --all\n";
    let after = "0 4 * jan-mar mon,tue /tmp/backup --all\n-1~9 * * * * true\n";
    assert_eq!(
        of_user(before, after),
        [
            "job /tmp/backup --all||-|schedule 0 4 * jan-mar mon,tue",
            "job true||-|schedule -1~9 * * * *",
            "job backup --all||schedule 0 4 * jan-mar mon,tue|-"
        ]
    );
}

#[test]
fn what_is_assigned_is_told_and_its_place_counts() {
    let before = format!("PATH=/usr/bin:/bin\n{BASE}");
    let after = before.replace("PATH=/usr", "PATH = /tmp:/usr");
    assert_eq!(
        changes(&before, &after),
        ["environment PATH||/usr/bin:/bin|/tmp:/usr/bin:/bin"]
    );
    let quoted = before.replace("/usr/bin:/bin", "\"/usr/bin:/bin\"");
    assert!(changes(&before, &quoted)[0].starts_with("file|layout"));
    let moved = format!("{BASE}PATH=/usr/bin:/bin\n");
    assert_eq!(changes(&before, &moved), ["environment PATH|place|1|3"]);
    let empty = format!("MAILTO=\"\"\n{BASE}");
    assert_eq!(changes(BASE, &empty), ["environment MAILTO||-|place 1"]);
}

#[test]
fn jobs_in_another_order_are_the_same_jobs() {
    let (before, after) = ("1 1 * * * a\n2 2 * * * b\n", "2 2 * * * b\n1 1 * * * a\n");
    assert!(of_user(before, after)[0].starts_with("file|layout"));
    let twice = format!("{before}1 1 * * * a\n");
    assert_eq!(of_user(before, &twice), ["job a||-|schedule 1 1 * * *"]);
}

#[test]
fn secrets_in_commands_and_assignments_are_hidden() {
    let text = |secret: &str| {
        format!(
            "DB_PASSWORD=\"{secret}\"\n1 1 * * * root usermod -p '{secret}' eve\n2 2 * * * root curl --token {secret}\n"
        )
    };
    let other = SHA512.replace("zVqIMe", "qVzeMI");
    let (before, after) = (text(SHA512), text(&other));
    let said = changes(&before, &after);
    assert!(said[0].starts_with("environment DB_PASSWORD||[redacted 1]|[redacted 2]"));
    assert_hidden(SHA512, &said.concat());
    assert_hidden(SHA512, &format!("{:?}", state(Consumer::Crontab, &before)));
    assert!(read(Consumer::Crontab, before.as_bytes(), &Keyed).secrets);
    assert!(!read(Consumer::Crontab, BASE.as_bytes(), &Keyed).secrets);
}

#[test]
fn malformed_lines_are_named_by_number_and_length_and_never_quoted() {
    for (line, fault) in [
        ("* * * * planted", "something is missing"),
        ("* * * * * planted", "something is missing"),
        ("planted words of some length here", "the schedule is none"),
        ("* * * * % root planted", "the schedule is none"),
        ("@planted root x", "the schedule is none"),
        ("@daily planted", "something is missing"),
        ("* * * * * root a\0b", "has NUL bytes"),
    ] {
        let said = changes(BASE, &format!("{BASE}{line}\n"));
        let expected = format!("line 4||-|malformed, {} bytes ({fault})", line.len());
        assert_eq!(said, [expected], "{line}");
    }
}

#[test]
fn a_new_crontab_lists_its_jobs() {
    let after = state(Consumer::Crontab, BASE);
    assert_eq!(compare(None, Some(&after)).changes.len(), 2);
    assert_eq!(
        words(&compare(Some(&after), None).changes),
        ["file|content|2 entries|-"]
    );
}
