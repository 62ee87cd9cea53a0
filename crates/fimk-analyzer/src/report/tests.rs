#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use fimk_consumers::Token;
use fimk_core::{config, rules::RuleSet};
use fimk_wire::raw;

use super::{describe::unreadable, *};
use crate::{
    samples::{pending, snapshot, touch},
    verdict::judge,
};

/// Action, severity, pid and pids of all that is told.
type Told = (Action, u8, Option<u32>, Vec<u32>);

fn told(pending: &Pending, before: Option<Snapshot>, after: Option<&Snapshot>) -> Vec<Told> {
    told_where(pending, before, after, false)
}

/// `lags`: the source's names may be former ones, and of what is not there it is possible that it moved on.
fn told_where(
    pending: &Pending,
    before: Option<Snapshot>,
    after: Option<&Snapshot>,
    lags: bool,
) -> Vec<Told> {
    told_since(pending, before, after, lags, None)
}

/// `read`: when that was read with which is compared.
fn told_since(
    pending: &Pending,
    before: Option<Snapshot>,
    after: Option<&Snapshot>,
    lags: bool,
    read: Option<Timestamp>,
) -> Vec<Told> {
    let text =
        "[[rule]]\nname = \"r\"\npaths = [\"/w\"]\nseverity = 40\n[[output]]\ntype = \"stdout\"\n";
    let rules = RuleSet::new(&config::parse(text, "test").expect("valid")).expect("simple");
    let path = BytePath::new(b"/w/f");
    let before = before.map(|snapshot| Record {
        snapshot,
        seen: Timestamp(1),
        key_id: Token([0; 16]),
    });
    let verdict = judge(before.as_ref(), after, true);
    let case = Case {
        path: &path,
        pending,
        before: before.as_ref(),
        after,
        verdict: &verdict,
        matched: &rules.covers(&path).expect("covered"),
        gap: None,
        read,
        compared: Timestamp(0),
        show_private: false,
        digests: &[],
        cut: None,
        names_lag: lags,
        adrift: lags && after.is_none(),
    };
    reports(&case, &Actors::default(), &mut Users::default())
        .into_iter()
        .map(|(action, severity, change)| {
            let pid = change.actor.map(|it| it.process.pid);
            let pids = change.actors.iter().map(|it| it.process.pid).collect();
            (action, severity, pid, pids)
        })
        .collect()
}

#[test]
fn a_content_is_put_on_who_wrote_and_a_mode_on_who_changed_it() {
    let pending = pending(vec![
        touch(1, raw::FIMK_OP_WRITE, None),
        touch(2, raw::FIMK_OP_CHMOD, None),
    ]);
    let told = told(
        &pending,
        Some(snapshot(1, 0o644)),
        Some(&snapshot(2, 0o600)),
    );
    assert_eq!(
        told,
        [
            (Action::Modified, 40, Some(1), vec![]),
            (Action::AttributesModified, 40, Some(2), vec![]),
        ]
    );
}

#[test]
fn what_a_mode_came_to_mean_makes_the_event_of_its_author_graver() {
    let pending = pending(vec![
        touch(1, raw::FIMK_OP_WRITE, None),
        touch(2, raw::FIMK_OP_CHMOD, None),
    ]);
    let told = |before, after| {
        let told = told(
            &pending,
            Some(snapshot(1, before)),
            Some(&snapshot(2, after)),
        );
        [told[0].1, told[1].1]
    };
    assert_eq!(told(0o755, 0o4755), [40, 73], "set-user-ID");
    assert_eq!(told(0o4755, 0o755), [40, 40], "no longer");
    assert_eq!(told(0o4755, 0o4711), [40, 40], "it was before");
    assert_eq!(told(0o755, 0o2755), [40, 73], "set-group-ID");
    assert_eq!(told(0o644, 0o2644), [40, 40], "means nothing");
    assert_eq!(told(0o644, 0o666), [40, 73], "world-writable");
}

#[test]
fn what_a_user_does_with_a_file_of_his_own_looks_no_graver_at_his_will() {
    let mut after = snapshot(1, 0o4777);
    after.attributes.uid = 1000;
    let mut before = snapshot(1, 0o755);
    before.attributes.uid = 1000;
    let pending = pending(vec![touch(2, raw::FIMK_OP_CHMOD, None)]);
    let told = told(&pending, Some(before), Some(&after));
    assert_eq!(told, [(Action::AttributesModified, 40, Some(2), vec![])]);
}

#[test]
fn who_only_changed_the_mode_is_not_blamed_for_a_content() {
    let pending = pending(vec![touch(1, raw::FIMK_OP_CHMOD, None)]);
    let (before, after) = (snapshot(1, 0o644), snapshot(2, 0o600));
    let told = told(&pending, Some(before), Some(&after));
    assert_eq!(
        told,
        [
            (Action::AttributesModified, 40, Some(1), vec![]),
            (Action::Modified, 40, None, vec![]),
        ]
    );
}

#[test]
fn the_mode_of_what_was_renamed_here_is_not_put_on_who_closed_last() {
    let replaced = Some(Fact::Replaced(None));
    let pending = pending(vec![
        touch(1, raw::FIMK_OP_RENAME, replaced),
        touch(2, raw::FIMK_OP_CLOSE, None),
    ]);
    let told = told(
        &pending,
        Some(snapshot(1, 0o644)),
        Some(&snapshot(2, 0o600)),
    );
    assert_eq!(told, [(Action::Modified, 40, Some(1), vec![])]);
}

#[test]
fn what_was_found_by_looking_is_told_once_with_all_who_may_have_done_it() {
    let mut pending = pending(vec![
        touch(1, raw::FIMK_OP_CREATE, None),
        touch(2, raw::FIMK_OP_RENAME, None),
    ]);
    pending.found = Some(Found::Scan);
    let told = told(&pending, None, Some(&snapshot(1, 0o644)));
    assert_eq!(told, [(Action::Created, 40, None, vec![1, 2])]);
}

#[test]
fn the_same_bytes_written_again_are_stored_and_not_printed() {
    let pending = pending(vec![touch(1, raw::FIMK_OP_WRITE, None)]);
    let told = told(
        &pending,
        Some(snapshot(1, 0o644)),
        Some(&snapshot(1, 0o644)),
    );
    assert_eq!(
        told,
        [(Action::AttributesModified, SILENT, Some(1), vec![])]
    );
}

#[test]
fn opening_for_writing_without_writing_is_no_event() {
    let pending = pending(vec![touch(1, raw::FIMK_OP_CLOSE, None)]);
    let told = told(
        &pending,
        Some(snapshot(1, 0o644)),
        Some(&snapshot(1, 0o644)),
    );
    assert_eq!(told, []);
}

#[test]
fn what_was_made_and_removed_at_once_is_told_without_having_been_seen() {
    let pending = pending(vec![
        touch(1, raw::FIMK_OP_CREATE, Some(Fact::Created)),
        touch(1, raw::FIMK_OP_UNLINK, Some(Fact::Deleted)),
    ]);
    assert_eq!(
        told(&pending, None, None),
        [(Action::Created, 40, Some(1), vec![])]
    );
}

#[test]
fn an_attribute_set_and_set_back_is_kept_and_disturbs_nobody() {
    let pending = pending(vec![touch(1, raw::FIMK_OP_CHMOD, None)]);
    let told = told(
        &pending,
        Some(snapshot(1, 0o644)),
        Some(&snapshot(1, 0o644)),
    );
    assert_eq!(
        told,
        [(Action::AttributesModified, SILENT, Some(1), vec![])]
    );
}

#[test]
fn attributes_that_cannot_be_read_are_told_once_by_name_and_without_a_value() {
    let set = |names: &[&str]| {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        touch(1, raw::FIMK_OP_SETTRUSTED, Some(Fact::Attributes(names)))
    };
    let pending = pending(vec![set(&["trusted.a"]), set(&[]), set(&["trusted.a"])]);
    let file = snapshot(1, 0o644);
    let told = told(&pending, Some(file.clone()), Some(&file));
    assert_eq!(told, [(Action::AttributesModified, 40, Some(1), vec![])]);
    let facts = [
        Fact::Attributes(vec!["trusted.a".to_owned()]),
        Fact::Attributes(Vec::new()),
    ];
    let fields: Vec<String> = unreadable(&facts).into_iter().map(|it| it.field).collect();
    assert_eq!(fields, ["xattr trusted.*", "xattr trusted.a"]);
}

#[test]
fn what_was_never_recorded_and_only_touched_is_told_where_names_may_be_former_ones() {
    let there = snapshot(1, 0o644);
    let cases = [
        (raw::FIMK_OP_WRITE, None, Some(Action::Modified)),
        (raw::FIMK_OP_CLOSE, None, None),
        (raw::FIMK_OP_CHMOD, None, Some(Action::AttributesModified)),
        (raw::FIMK_OP_CLOSE, Some(&there), Some(Action::Modified)),
        (
            raw::FIMK_OP_CHMOD,
            Some(&there),
            Some(Action::AttributesModified),
        ),
    ];
    for (operation, after, expected) in cases {
        let touched = pending(vec![touch(1, operation, None)]);
        let action = |lags| Some(told_where(&touched, None, after, lags).first()?.0);
        assert_eq!(action(true), expected, "{operation}");
        let removed = pending(vec![
            touch(2, raw::FIMK_OP_UNLINK, Some(Fact::Deleted)),
            touch(1, operation, None),
        ]);
        let others = told_where(&removed, None, None, true);
        assert!(others.iter().all(|(_, _, pid, _)| *pid == Some(2)));
    }
    let closed = pending(vec![touch(1, raw::FIMK_OP_CLOSE, None)]);
    assert!(told(&closed, None, Some(&there)).is_empty());
}

#[test]
fn what_was_done_before_the_last_reading_is_not_blamed_for_what_came_after() {
    let read = Some(Timestamp(1_000_000_000));
    let fresh = Touch {
        last: Timestamp(1_000_000_001),
        ..touch(2, raw::FIMK_OP_WRITE, None)
    };
    let before = || Some(snapshot(1, 0o644));
    let after = snapshot(2, 0o644);
    let silent = (Action::AttributesModified, SILENT, Some(1), vec![]);
    let both = pending(vec![touch(1, raw::FIMK_OP_WRITE, None), fresh]);
    assert_eq!(
        told_since(&both, before(), Some(&after), false, read),
        [silent.clone(), (Action::Modified, 40, Some(2), vec![])]
    );
    // Who did it is still to be heard of; if nobody is, nobody is named.
    let alone = pending(vec![touch(1, raw::FIMK_OP_WRITE, None)]);
    let verdict = judge(
        Some(&Record {
            snapshot: snapshot(1, 0o644),
            seen: Timestamp(1),
            key_id: Token([0; 16]),
        }),
        Some(&after),
        true,
    );
    assert!(unexplained(&alone, &verdict, read) && !unexplained(&alone, &verdict, None));
    assert_eq!(
        told_since(&alone, before(), Some(&after), false, read),
        [silent, (Action::Modified, 40, None, vec![])]
    );
    let mapped = pending(vec![touch(1, raw::FIMK_OP_MAP, None)]);
    let told = told_since(&mapped, before(), Some(&after), false, read);
    assert_eq!(told, [(Action::Modified, 40, Some(1), vec![])], "it lasts");
}

#[test]
fn a_write_to_what_was_replaced_is_told_and_explains_nothing_of_what_stands_here_now() {
    let write = || touch(1, raw::FIMK_OP_WRITE, Some(Fact::Former(6)));
    let replace = || touch(2, raw::FIMK_OP_RENAME, Some(Fact::Replaced(None)));
    let before = || Some(snapshot(1, 0o644));
    let after = snapshot(2, 0o644);
    assert_eq!(
        told(&pending(vec![write(), replace()]), before(), Some(&after)),
        [
            (Action::Modified, 40, Some(1), vec![]),
            (Action::Modified, 40, Some(2), vec![]),
        ]
    );
    let late = pending(vec![write()]);
    assert_eq!(
        told(&late, before(), before().as_ref()),
        [(Action::Modified, 40, Some(1), vec![])]
    );
    assert_eq!(
        told(&late, None, None),
        [(Action::Modified, 40, Some(1), vec![])]
    );
    let removed = pending(vec![
        touch(1, raw::FIMK_OP_UNLINK, Some(Fact::Deleted)),
        write(),
    ]);
    assert_eq!(
        told(&removed, before(), None),
        [(Action::Deleted, 40, Some(1), vec![])],
        "one process, one event"
    );
    let mapped = pending(vec![touch(1, raw::FIMK_OP_MAP, Some(Fact::Former(6)))]);
    assert_eq!(
        told(&mapped, before(), before().as_ref()),
        [(Action::Modified, SILENT, Some(1), vec![])]
    );
}
