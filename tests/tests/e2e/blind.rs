//! What three further monitors do not notice or tell wrong of files, as `holes` has it for bpfink: each is a test, here
//! or elsewhere.
//!
//! The file sensor of Kubescape's node-agent:
//!
//! | hole | test |
//! |---|---|
//! | its fanotify source never starts | all tests run with fanotify where BPF does not serve |
//! | events are put on the monitor's own process, or on none | `names::a_new_file_is_created_by_its_writer`, `attribution::short_lived_writers_are_named_right_or_not_at_all` |
//! | same size, and the time of change set back | `what_looks_the_same_to_others_is_told` |
//! | hidden files | `holes::an_ed25519_and_an_ecdsa_key_of_root_are_told` (in `.ssh`) |
//! | new symbolic link | `writes::a_new_symbolic_link_and_a_new_fifo_are_told` |
//! | chmod of a directory | `what_looks_the_same_to_others_is_told` |
//! | extended attributes | `attributes::an_extended_attribute_is_named_with_both_values`, `operations::an_extended_attribute_set_and_removed_is_seen` |
//! | made and removed between two looks | `what_is_made_and_removed_at_once_is_told_as_both` |
//! | names ending in `.bak` left out by default | `what_looks_the_same_to_others_is_told` |
//! | chown told as a move | `content::a_changed_owner_is_named`, `what_looks_the_same_to_others_is_told` |
//! | one directory removed and another made told as a rename | `a_directory_removed_and_another_made_are_no_rename` |
//! | atomic replacement, hard link (told right) | `content::a_temporary_renamed_over_the_file_is_a_modification_of_it`, `links::a_new_hard_link_in_a_rule_is_reported` |
//! | too many names blind it | `limits::a_user_who_fills_the_watch_map_takes_nothing_from_named_files_nor_from_root`, `floods` |
//! | nothing is kept over a restart | `restarts::the_state_is_kept_over_a_restart`, `restarts::a_change_while_stopped_is_reported_once_as_a_gap_with_its_bounds` |
//! | later changes of a path hidden for five minutes | `what_looks_the_same_to_others_is_told` (two in a row) |
//! | without the event for a rename the new name is not told either | `names::a_file_moved_into_a_rule_is_seen` |
//! | what was not sent is lost at the end | `restarts::what_a_crash_interrupts_is_printed_at_least_once` |
//! | reads whatever a path leads to by then | `homes::a_link_to_a_file_of_roots_is_told_and_its_content_is_not` |
//! | one process with all privileges | `privileges::the_analyzer_is_unprivileged_but_for_reading`, `privileges::the_loader_keeps_only_what_it_needs` |
//!
//! BPF Recorder, as far as who changed a file is concerned:
//!
//! | hole | test |
//! |---|---|
//! | the parent is a short name, or another process of that pid | `attribution::a_change_has_the_ancestors_of_its_process` |
//! | root has no name | `what_looks_the_same_to_others_is_told` |
//! | a thread that ends ends its process | unit tests of the loader's `actors` |
//! | short-lived processes have no path | `attribution::short_lived_writers_are_named_right_or_not_at_all` |
//! | five hundred processes a second are too many | `names::files_of_a_burst_are_all_reported_under_the_right_pid` |
//! | containers by cgroup v2 | `containers::a_process_in_a_container_is_named_with_its_container` |
//! | environments with secrets are stored | `secrets::no_piece_of_a_hash_is_printed_logged_or_stored` |
//! | hash and copy are of two opens | `content::a_binary_file_is_told_by_its_digest` (`with_content_of`) |
//! | anybody may write to it by its own interface | `status::whoever_talks_…` |
//!
//! kflowd:
//!
//! | hole | test |
//! |---|---|
//! | a path lacks its mount point | `writes::equal_inode_numbers_on_two_file_systems_are_two_files` |
//! | does not load on later kernels, or reads garbage | `operations::the_start_tells_how_every_operation_is_served`, on each kernel |
//! | no write seen where nobody else has a mark | `writes` |
//! | writes through a mapping | `content::a_store_to_a_mapping_is_found_when_the_mapping_goes` |
//! | a file that stays open is told when it is closed | `a_file_that_stays_open_is_told_before_it_is_closed` |
//! | keys without a device, of 32 bits | `writes::equal_inode_numbers_on_two_file_systems_are_two_files` |
//! | names cut at 31 and 15 characters, paths at 96 | `writes::long_names_are_whole` |
//! | refused operations told as done | `a_rename_and_a_removal_that_are_refused_are_not_told`, `silence::a_write_that_is_not_allowed_is_not_reported` |
//! | the whole host is told | `silence::changes_outside_the_rules_are_not_reported` |
//! | a file name forges fields | `names::names_of_any_bytes_are_reported_without_breaking_a_line` |
//! | user numbers beyond 65,535 | `what_looks_the_same_to_others_is_told` |
//! | the hash is of the base name's file | `holes::two_files_have_records_of_their_own_over_a_restart` |

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{MetadataExt, chown},
};

use fimk_tests::{Account, Event, Expect, Monitor, Site, run, text};

/// Beyond 16 bits, and beyond 31.
const LARGE_UID: u32 = 4_000_000_123;

fn events_about(monitor: Monitor, path: &std::path::Path) -> Vec<Event> {
    let events = monitor.stop();
    events
        .into_iter()
        .filter(|event| event.is_about(path))
        .collect()
}

#[test]
fn what_looks_the_same_to_others_is_told() {
    let site = Site::new();
    let path = site.write("data", "one\n");
    let directory = site.file("directory");
    fs::create_dir(&directory).expect("it is made");
    let backup = site.file("evil.bak");
    let monitor = site.watch();
    // Two changes in a row, the second as long as the first, with the old time of change.
    site.replace(&path, "two\n");
    let first = monitor.expect(Expect::action("modified").of(&path).adds("two"));
    assert_eq!(first.text("user.name"), Some("root"));
    let (path_text, other) = (text(&path), site.outside("reference"));
    run("touch", &["-r", path_text, text(&other)]);
    let line = format!(
        "printf 'six\\n' >{path_text}; touch -r {} {path_text}",
        text(&other)
    );
    run("sh", &["-c", &line]);
    monitor.expect(Expect::action("modified").of(&path).adds("six"));
    assert_eq!(
        fs::metadata(&path).and_then(|it| it.modified()).ok(),
        fs::metadata(&other).and_then(|it| it.modified()).ok()
    );
    chown(&path, Some(LARGE_UID), None).expect("root may");
    let owner = Expect::action("attributes_modified").of(&path);
    monitor.expect(owner.field("file.uid", LARGE_UID.to_string()));
    let chmod = run("chmod", &["0777", text(&directory)]);
    let mode = Expect::action("attributes_modified")
        .of(&directory)
        .by(&chmod);
    monitor.expect(mode.field("file.mode", "0777"));
    fs::write(&backup, "x\n").expect("it is written");
    monitor.expect(Expect::action("created").of(&backup));
    monitor.stop();
}

#[test]
fn a_directory_removed_and_another_made_are_no_rename() {
    let site = Site::new();
    let old = site.write("old/a", "a\n");
    let new = site.file("new");
    let monitor = site.watch();
    let line = format!(
        "rm -r {}; mkdir {}",
        text(old.parent().expect("it has one")),
        text(&new)
    );
    run("sh", &["-c", &line]);
    monitor.expect(Expect::action("deleted").of(&old));
    monitor.expect(Expect::action("created").of(&new));
    let about = events_about(monitor, &new);
    assert!(
        about
            .iter()
            .all(|event| event.get("fimk.previous_path").is_none()),
        "{about:?}"
    );
}

#[test]
fn what_is_made_and_removed_at_once_is_told_as_both() {
    let site = Site::new();
    let path = site.file("brief");
    let monitor = site.watch();
    let brief = run("sh", &["-c", &format!(": >{0}; rm {0}", text(&path))]);
    // In one window the first that applies is the action, and both are listed.
    let event = monitor.expect(Expect::any_of(&["created", "deleted"]).of(&path));
    let operations = event.get("fimk.operations").map(ToString::to_string);
    let shell = event.number("process.pid") == Some(brief.pid.into());
    assert!(shell || operations.is_some(), "{event:?}");
    monitor.wait_until("both are told", |events| {
        let about = events.iter().filter(|event| event.is_about(&path));
        let said: Vec<String> = about.map(|event| format!("{event:?}")).collect();
        let has = |word: &str| said.iter().any(|event| event.contains(word));
        has("created") && has("deleted")
    });
    monitor.stop();
}

#[test]
fn a_file_that_stays_open_is_told_before_it_is_closed() {
    let site = Site::new();
    let path = site.write("log", "one\n");
    let monitor = site.watch();
    let mut file = File::options().append(true).open(&path).expect("it opens");
    file.write_all(b"two\n").expect("it is written");
    monitor.expect(Expect::action("modified").of(&path).adds("two"));
    drop(file);
    monitor.stop();
}

#[test]
fn a_rename_and_a_removal_that_are_refused_are_not_told() {
    let site = Site::new();
    let path = site.write("kept", "one\n");
    let account = Account::new("fimkref");
    let inode = fs::metadata(&path).expect("it is there").ino();
    let monitor = site.watch();
    account.sh(&format!("rm -f {0}; mv {0} {0}.moved; true", text(&path)));
    assert_eq!(fs::metadata(&path).map(|it| it.ino()).ok(), Some(inode));
    // Behind them, so that what would have been told is.
    site.replace(&path, "two\n");
    monitor.expect(Expect::action("modified").of(&path).adds("two"));
    let moved = site.file("kept.moved");
    let events = monitor.stop();
    let told = |event: &&Event| {
        event.is_about(&moved) || event.is_about(&path) && event.action() != "modified"
    };
    assert_eq!(
        events.iter().find(told).map(|event| format!("{event:?}")),
        None
    );
}
