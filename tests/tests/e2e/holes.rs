//! What an earlier monitor of this kind, bpfink, does not notice, or what ends it: each hole is a test here.
//!
//! | hole | test |
//! |---|---|
//! | uid becomes 0 | `a_uid_that_becomes_0_is_told` |
//! | service account gets a shell | `a_service_account_that_gets_a_shell_is_told` |
//! | uid-0 user without a password, in passwd or shadow | `a_new_uid_0_user_without_a_password_is_told` |
//! | keys that are not ssh-rsa | `an_ed25519_and_an_ecdsa_key_of_root_are_told` |
//! | a commented-out key taken for a key | `a_key_that_is_commented_out_is_not_told_as_a_key` |
//! | options of a key | `a_command_added_to_a_key_is_told` |
//! | a hash with the same length and end | `a_password_hash_of_the_same_length_and_end_is_told` |
//! | odd lines end the process | `lines_that_are_none_are_told_and_end_nothing` |
//! | origins and order in access.conf | `an_origin_that_becomes_all_is_told`, `swapped_access_rules_are_told` |
//! | `#includedir` taken for a comment | `an_includedir_in_sudoers_is_told` |
//! | what follows a long line | `a_line_behind_a_long_one_is_told` |
//! | duplicates and order of lines | `a_duplicate_and_another_order_of_lines_are_told` |
//! | identical content called modified | `identical_content_is_not_called_a_change`, `silence::the_same_bytes_written_again_are_not_printed` |
//! | one record for all generic files | `two_files_have_records_of_their_own_over_a_restart` |
//! | changes while it was down | `changes_of_every_consumer_while_stopped_are_told`, `restarts::a_change_while_stopped_is_reported_once_as_a_gap_with_its_bounds` |
//! | a short key file | unit test `a_key_that_is_missing_short_long_or_a_link_is_refused_in_a_sentence` of the analyzer |
//! | writes that no hook sees | `writes`; `content::a_store_to_a_mapping_…` (2), `content::a_write_through_io_uring_is_seen`, `content::a_truncated_file_loses_its_lines`, `content::a_copy_within_the_kernel_is_seen` |
//! | chmod, chown | `content::a_changed_mode_is_named_with_both_values`, `content::a_set_id_bit_is_named`, `content::a_changed_owner_is_named` |
//! | utimes, symlink, mknod | `writes::times_that_are_set_are_told`, `writes::a_new_symbolic_link_and_a_new_fifo_are_told` |
//! | link | `links::a_new_hard_link_in_a_rule_is_reported`, `links::a_write_through_a_hard_link_elsewhere_…` |
//! | old content read before the write | every test that asks `with_content_of` |
//! | unlink and create again drops the watch | `every_classic_file_stays_watched_when_it_is_made_again`, `names::a_file_removed_and_made_again_stays_watched` |
//! | a missing file that appears is never watched | `links::a_rule_path_that_appears_later_is_picked_up` |
//! | names of 32 bytes and more | `writes::long_names_are_whole`, `long_names_and_deep_paths_are_whole_after_a_renaming_too` |
//! | equal inode numbers on two file systems | `writes::equal_inode_numbers_on_two_file_systems_are_two_files` |
//! | subvolumes of btrfs, overlays | `snapshots`, `overlays` |
//! | clones, writes of the kernel, mounts over a file | `scripts/evasion` (cases clone, loop, nfs), `mounts` |
//! | order of events lost | `content::every_line_has_the_fields_that_are_promised_for_all` (numbers rise) |
//! | a process named puppet | `writes::a_process_that_calls_itself_puppet_is_told` |
//! | mkdir, then a file at once; rmdir | `names::a_new_directory_and_what_is_in_it_are_seen`, `names::a_removed_tree_is_deleted_name_by_name` |
//! | files of a chroot | all here: they lie in `…/etc`, not in `/etc` |
//! | secrets in differences | `secrets`, `a_secret_in_a_text_is_not_shown` |
//! | SIGTERM | `Monitor::stop`, which ends every test |
//! | waits for ever on a held database | `refusals::a_second_instance_on_the_same_state_is_refused_and_the_first_goes_on` |
//!
//! And two others, that compare trees or print what the kernel says:
//!
//! | hole | test |
//! |---|---|
//! | a rewrite of the same size with its times set back | `a_rewrite_of_the_same_size_whose_times_were_set_back_is_told` |
//! | hidden files | every test with `.ssh`, `rules::tests::hidden_names_are_covered_unless_…` of the core |
//! | a mode of a directory | `what_is_done_to_a_directory_itself_is_told` |
//! | setxattr | `attributes::an_extended_attribute_is_named_with_both_values` |
//! | names of backups and temporaries are left out | `names_like_those_of_backups_are_not_left_out` |
//! | only the first path is served | `every_classic_file_stays_watched_when_it_is_made_again` |
//! | a new name is swallowed where renamings are not asked for | `switches::a_name_that_comes_or_goes_by_a_renaming_is_told_to_who_asks_for_names_only` |
//! | names of switches | `switches`, `config::tests::events_of_a_rule_are_switched_by_our_names_and_by_others` of the core |
//! | excludes that match no path, or too many | `rules::tests` of the core |
//! | exporters that do nothing | `forwarder`, `syslog`, `journald` |
//! | made and removed between two looks | `report::tests::what_was_made_and_removed_at_once_is_told_without_having_been_seen` of the analyzer |
//! | an owner taken for a move | `content::a_changed_owner_is_named` |
//! | one directory removed and another made, taken for a renaming | `a_directory_that_goes_and_another_that_comes_are_no_renaming` |
//! | a hundred thousand files blind it | `limits`, `floods` |
//! | later changes of a path are dropped for minutes | `every_change_of_a_path_is_told_however_soon_it_comes` |
//! | names the process that monitors | `attribution`, `names::files_of_a_burst_are_all_reported_under_the_right_pid` |
//! | links followed to what is there by then | unit tests `read::tests::homes` of the analyzer |
//! | failed operations reported as done | `silence::a_write_that_fails_is_not_reported`, `silence::a_write_that_is_not_allowed_is_not_reported`, `a_renaming_and_a_removal_that_fail_are_not_told_as_done` |
//! | users, groups and devices beyond 16 bits | `an_owner_beyond_16_bits_is_told_whole` |
//! | short names, paths without their mount point | `writes::long_names_are_whole`, `mounts` |
//! | fields forged by a name | `names::names_of_any_bytes_are_reported_without_breaking_a_line` |
//! | files that stay open | `holders` |
//! | mode, owner and size read from the wrong arguments | `content::a_changed_mode_is_named_with_both_values`, `content::a_changed_owner_is_named`, `writes::ftruncate_is_told` |
//! | a digest of whatever has that name, kept by the name | `the_digest_is_that_of_the_object_and_is_made_anew_when_it_changes` |
//! | a process without its directory, arguments and ancestors | `attribution` |
//! | whoever shares a shell with the monitor is hidden | `who_shares_the_session_of_fimk_is_told` |
//! | what is under way is thrown away at the end | `restarts`, `Monitor::stop` |
//!
//! Of one that records processes, what concerns those that change files:
//!
//! | hole | test |
//! |---|---|
//! | short-lived processes have no path | `attribution::short_lived_writers_are_named_right_or_not_at_all` |
//! | a thread that ends takes its process along | `a_process_whose_first_thread_has_ended_is_named` |
//! | parents are known by their short name or not at all | `attribution::a_change_has_the_ancestors_of_its_process` |
//! | root has no name | `content::every_line_has_the_fields_that_are_promised_for_all` |
//! | containers by their names of today | `containers`, unit tests `container::tests` of the core |
//! | secrets of processes in a readable database | `secrets` |

use fimk_tests::{Event, Expect, Site, append_line, not_run, run, text, which};

pub(crate) const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC3j8IZGT20SRaSmPR8xODJy8zl7TmTWXdLTsUHctOFY";
const ED25519_SUBJECT: &str = "key SHA256:b71XwJZhTN4A6MpP4lj8cNyeqZU25LcAxjevwG17enw";
const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAlRirwL0t1R4ugdK/1lErcCpenzdjzh3cUDDNY+OVgC/tsCCfLCKTsnMeJz1mfADW98CFEmRkJiR3r2vQISDlk=";
const P256_SUBJECT: &str = "key SHA256:gN8wScTeZDnPMhYkyIjfRwpgzCxbQQpxLAR9JFBmyoU";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33:www:/var/www:/usr/sbin/nologin\nalice:x:1000:1000:Alice:/home/alice:/bin/bash\n";
const SHADOW: &str = "root:$6$aaaaaaaa$bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbWXYZ:19000:0:99999:7:::\nalice:!:19000:0:99999:7:::\n";
const ACCESS: &str = "# who may log in\n+:root:LOCAL\n+:john:127.0.0.0/24\n-:ALL:ALL\n";
const GROUP: &str = "root:x:0:\nsudo:x:27:alice\n";
const SUDOERS: &str = "%ops ALL=(ALL:ALL) ALL\n";
const SSHD: &str = "PermitRootLogin no\n";
const CRON: &str = "25 6 * * * root run-parts /etc/cron.daily\n";
const PAM: &str = "auth sufficient pam_rootok.so\n";
const KEYS: &str = "root/.ssh/authorized_keys";
const RULES: &str = "etc/security/access.conf";

fn modified() -> Expect {
    Expect::action("modified")
}

/// Puts another text in the place of a file and waits for what is to be told of it.
fn told(name: &str, before: &str, after: &str, expected: Expect) -> Event {
    let site = Site::new();
    let path = site.write(name, before);
    let monitor = site.watch();
    site.replace(&path, after);
    let event = monitor.expect(expected.of(&path));
    monitor.stop();
    event
}

/// The thing is new, and these words are said of it.
fn added(expected: Expect, subject: &'static str, words: &'static str) -> Expect {
    expected.and(format!("{subject} is new: {words}"), move |event| {
        event.changes().iter().any(|change| {
            change["subject"] == subject
                && change.get("before").is_none()
                && change["after"]
                    .as_str()
                    .is_some_and(|after| after.contains(words))
        })
    })
}

#[test]
fn a_uid_that_becomes_0_is_told() {
    let after = PASSWD.replace("alice:x:1000:", "alice:x:0:");
    let expected = modified().says("user alice", "uid", Some("1000"), Some("0"));
    told("etc/passwd", PASSWD, &after, expected);
}

#[test]
fn a_service_account_that_gets_a_shell_is_told() {
    let after = PASSWD.replace("/usr/sbin/nologin", "/bin/sh");
    let (before, shell) = (Some("/usr/sbin/nologin"), Some("/bin/sh"));
    let expected = modified().says("user www-data", "shell", before, shell);
    told("etc/passwd", PASSWD, &after, expected);
}

#[test]
fn a_new_uid_0_user_without_a_password_is_told() {
    let after = format!("{PASSWD}toor::0:0::/root:/bin/sh\n");
    let expected = added(modified(), "user toor", "uid 0");
    let expected = added(expected, "user toor", "password empty");
    told("etc/passwd", PASSWD, &after, expected);
    let after = format!("{SHADOW}toor::19000:0:99999:7:::\n");
    let expected = added(modified(), "user toor", "password empty");
    told("etc/shadow", SHADOW, &after, expected);
    let after = PASSWD.replace("alice:x:", "alice::");
    let (before, empty) = (Some("in shadow"), Some("empty (no password needed)"));
    let expected = modified().says("user alice", "password", before, empty);
    told("etc/passwd", PASSWD, &after, expected);
}

#[test]
fn an_ed25519_and_an_ecdsa_key_of_root_are_told() {
    let after = format!("{ED25519} mallory\nno-pty {P256}\n");
    let expected = added(
        modified(),
        ED25519_SUBJECT,
        "ssh-ed25519, mallory, no options",
    );
    let expected = added(
        expected,
        P256_SUBJECT,
        "ecdsa-sha2-nistp256, options no-pty",
    );
    told(KEYS, "# none yet\n", &after, expected);
}

#[test]
fn a_key_that_is_commented_out_is_not_told_as_a_key() {
    let before = format!("{ED25519} alice\n");
    let after = format!("{before}# {P256} mallory\n");
    let words = "only comments, blanks or the order of lines differ";
    let expected = modified().says("file", "layout", None, Some(words));
    let event = told(KEYS, &before, &after, expected);
    assert_eq!(event.changes().len(), 1, "{event:?}");
}

#[test]
fn a_command_added_to_a_key_is_told() {
    let before = format!("{ED25519} alice\n");
    let command = "command=\"/bin/sh -c \\\"id\\\"\"";
    let after = format!("{command} {before}");
    let expected = modified().says(ED25519_SUBJECT, "options", None, Some(command));
    told(KEYS, &before, &after, expected);
}

#[test]
fn a_password_hash_of_the_same_length_and_end_is_told() {
    let after = SHADOW.replace("$bbbb", "$cccc");
    let (before, other) = (
        Some("[redacted 1] (SHA-512)"),
        Some("[redacted 2] (SHA-512)"),
    );
    let expected = modified().says("user root", "password", before, other);
    told("etc/shadow", SHADOW, &after, expected);
}

#[test]
fn lines_that_are_none_are_told_and_end_nothing() {
    for (name, before, odd, subjects) in [
        (
            "etc/passwd",
            PASSWD,
            "+\n\nmallory:x\n",
            ["NIS entry +", "line 5", "line 6"],
        ),
        (
            "etc/shadow",
            SHADOW,
            "mallory\n\n:\n",
            ["line 3", "line 4", "line 5"],
        ),
        (
            RULES,
            ACCESS,
            "   # indented\n+\n\u{e9}:x:y\n",
            ["line 5", "line 6", "line 7"],
        ),
        (
            KEYS,
            "",
            "ssh-rsa\nssh-rsa AAAA\nfrom=\"\n",
            ["line 1", "line 2", "line 3"],
        ),
    ] {
        let site = Site::new();
        let path = site.write(name, before);
        let monitor = site.watch();
        site.replace(&path, &format!("{before}{odd}"));
        let all = subjects.into_iter().fold(modified(), Expect::mentions);
        monitor.expect(all.of(&path));
        // It goes on: the lines that went are told as well.
        site.replace(&path, before);
        let gone = move |event: &Event| {
            event.changes().iter().any(|change| {
                change["subject"] == subjects[2]
                    && change.get("before").is_some()
                    && change.get("after").is_none()
            })
        };
        monitor.expect(modified().of(&path).and("the lines went".to_owned(), gone));
        assert!(
            !monitor.errors().contains("panicked"),
            "{}",
            monitor.errors()
        );
        monitor.stop();
    }
}

#[test]
fn an_origin_that_becomes_all_is_told() {
    let after = ACCESS.replace("127.0.0.0/24", "ALL");
    let expected = modified().says("rule 2", "origins", Some("127.0.0.0/24"), Some("ALL"));
    told(RULES, ACCESS, &after, expected);
}

#[test]
fn swapped_access_rules_are_told() {
    let after = "# who may log in\n+:root:LOCAL\n-:ALL:ALL\n+:john:127.0.0.0/24\n";
    let expected = modified().and("a rule has moved".to_owned(), |event| {
        event
            .changes()
            .iter()
            .any(|change| change["field"] == "order" && change.get("before").is_some())
    });
    told(RULES, ACCESS, after, expected);
}

#[test]
fn an_includedir_in_sudoers_is_told() {
    let before = "root ALL=(ALL:ALL) ALL\n";
    let after = format!("{before}#includedir /tmp/evil\n");
    let expected = added(modified(), "includedir /tmp/evil", "place 2");
    told("etc/sudoers", before, &after, expected);
}

#[test]
fn a_line_behind_a_long_one_is_told() {
    let before = "root ALL=(ALL:ALL) ALL\n";
    let evil = "evil ALL=(ALL) NOPASSWD: ALL";
    let after = format!("{before}# {}\n{evil}\n", "x".repeat(70_000));
    told("script", before, &after, modified().adds(evil));
    let subject = "evil may run ALL without password";
    let expected = added(modified(), subject, "as ALL, on ALL, tags NOPASSWD");
    told("etc/sudoers", before, &after, expected);
}

#[test]
fn a_duplicate_and_another_order_of_lines_are_told() {
    let after = "two\none\nthree\nthree\n";
    let event = told("list", "one\ntwo\nthree\n", after, modified().adds("three"));
    assert!(
        event.diff_has("+one") || event.diff_has("+two"),
        "{event:?}"
    );
}

#[test]
fn identical_content_is_not_called_a_change() {
    let site = Site::new();
    let path = site.write("quiet", "one\n");
    let sentinel = site.write("sentinel", "one\n");
    let monitor = site.watch();
    site.replace(&path, "one\n");
    run("touch", &[&path]);
    append_line(&sentinel, "two");
    monitor.expect(modified().of(&sentinel).adds("two"));
    for event in monitor.stop() {
        if event.text("file.path") == Some(text(&path)) {
            assert_eq!(event.text("fimk.diff"), None, "{event:?}");
            assert_ne!(event.text("fimk.content"), Some("changed"), "{event:?}");
        }
    }
}

#[test]
fn a_secret_in_a_text_is_not_shown() {
    let after = "user = x\npassword = swordfish-2\n";
    let expected = modified().adds("password = [redacted 2]");
    let event = told(
        "app.conf",
        "user = x\npassword = swordfish-1\n",
        after,
        expected,
    );
    assert!(!format!("{event:?}").contains("swordfish"), "{event:?}");
}

#[test]
fn two_files_have_records_of_their_own_over_a_restart() {
    let site = Site::new();
    let one = site.write("one", "first\n");
    let two = site.write("two", "second\n");
    site.watch().stop();
    append_line(&one, "more of one");
    append_line(&two, "more of two");
    let monitor = site.watch();
    for (path, own, other) in [
        (&one, "more of one", "second"),
        (&two, "more of two", "first"),
    ] {
        let event = monitor.expect(modified().of(path).adds(own));
        assert!(
            !event
                .text("fimk.diff")
                .is_some_and(|diff| diff.contains(other)),
            "a record of the other: {event:?}"
        );
    }
    monitor.stop();
}

#[test]
fn changes_of_every_consumer_while_stopped_are_told() {
    let site = Site::new();
    let key = format!("{ED25519} alice\n");
    let files = [
        ("etc/passwd", PASSWD.to_owned()),
        ("etc/shadow", SHADOW.to_owned()),
        (KEYS, key.clone()),
        (RULES, ACCESS.to_owned()),
        ("etc/group", GROUP.to_owned()),
        ("etc/sudoers.d/site", SUDOERS.to_owned()),
        ("etc/ssh/sshd_config", SSHD.to_owned()),
        ("etc/cron.d/site", CRON.to_owned()),
        ("etc/pam.d/su", PAM.to_owned()),
        ("etc/hosts", "10.0.0.7 updates\n".to_owned()),
        ("etc/ld.so.preload", "\n".to_owned()),
    ];
    let paths = files.map(|(name, text)| site.write(name, &text));
    site.watch().stop();
    let [
        passwd,
        shadow,
        keys,
        rules,
        group,
        sudoers,
        sshd,
        cron,
        pam,
        hosts,
        preload,
    ] = &paths;
    site.replace(passwd, &PASSWD.replace("alice:x:1000:", "alice:x:0:"));
    site.replace(shadow, &SHADOW.replace("alice:!:", "alice::"));
    site.replace(keys, &format!("no-pty {key}"));
    site.replace(rules, &ACCESS.replace("-:ALL", "+:ALL"));
    site.replace(group, &GROUP.replace("27:alice", "27:alice,bob"));
    site.replace(sudoers, &SUDOERS.replace("ALL) ", "ALL) NOPASSWD: "));
    site.replace(sshd, &SSHD.replace("RootLogin no", "RootLogin yes"));
    site.replace(cron, &CRON.replace("25 6 * * *", "* * * * *"));
    site.replace(pam, &PAM.replace("sufficient", "required"));
    site.replace(hosts, "203.0.113.66 updates\n");
    site.replace(preload, "/tmp/evil.so\n");
    let monitor = site.watch();
    let gap = |path| modified().of(path).field("fimk.detected_by", "gap");
    monitor.expect(gap(passwd).says("user alice", "uid", Some("1000"), Some("0")));
    monitor.expect(gap(shadow).mentions("user alice"));
    monitor.expect(gap(keys).says(ED25519_SUBJECT, "options", None, Some("no-pty")));
    let permission = (Some("- (deny)"), Some("+ (grant)"));
    monitor.expect(gap(rules).says("rule 3", "permission", permission.0, permission.1));
    monitor.expect(added(gap(group), "group sudo member bob", "member"));
    monitor.expect(gap(sudoers).says("%ops may run ALL", "tags", None, Some("NOPASSWD")));
    monitor.expect(gap(sshd).says("PermitRootLogin", "", Some("no"), Some("yes")));
    let job = "job run-parts /etc/cron.daily";
    let schedules = (Some("25 6 * * *"), Some("* * * * *"));
    monitor.expect(gap(cron).says(job, "schedule", schedules.0, schedules.1));
    let controls = (Some("sufficient"), Some("required"));
    monitor.expect(gap(pam).says("auth pam_rootok.so", "", controls.0, controls.1));
    let addresses = (Some("10.0.0.7"), Some("203.0.113.66"));
    monitor.expect(gap(hosts).says("host updates", "address", addresses.0, addresses.1));
    monitor.expect(added(gap(preload), "preload /tmp/evil.so", "place 1"));
    monitor.stop();
}

#[test]
fn every_classic_file_stays_watched_when_it_is_made_again() {
    let site = Site::new();
    let user = |name: &str| format!("{name}:x:7:7::/:/bin/sh\n");
    let shadow = |name: &str| format!("{name}:!:19000:0:99999:7:::\n");
    let files = [
        ("etc/passwd", user("eve"), "user eve"),
        ("etc/shadow", shadow("eve"), "user eve"),
        (KEYS, format!("{ED25519}\n"), ED25519_SUBJECT),
        (RULES, "+:eve:ALL\n".to_owned(), "rule 1"),
    ];
    let paths = files
        .each_ref()
        .map(|(name, ..)| site.write(name, "# nothing\n"));
    // The rule names the files themselves, so nothing but their own names keeps them watched.
    let named: Vec<_> = paths.iter().map(std::path::PathBuf::as_path).collect();
    let monitor = site.start(&fimk_tests::rule(&named));
    for ((_, line, subject), path) in files.iter().zip(&paths) {
        let rm = run("rm", &[path]);
        monitor.expect(Expect::action("deleted").of(path).by(&rm));
        let maker = run("sh", &["-c", "echo '# again' > \"$0\"", text(path)]);
        monitor.expect(Expect::action("created").of(path).by(&maker));
        let writer = append_line(path, line.trim_end());
        monitor.expect(modified().of(path).by(&writer).mentions(subject));
    }
    monitor.stop();
}

#[test]
fn a_rewrite_of_the_same_size_whose_times_were_set_back_is_told() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let like = site.outside("like");
    run("cp", &["-p", text(&path), text(&like)]);
    let monitor = site.watch();
    let script = "printf 'two\\n' 1<>\"$0\" && touch -r \"$1\" \"$0\"";
    run("sh", &["-c", script, text(&path), text(&like)]);
    let event = monitor.expect(modified().of(&path).adds("two"));
    assert_eq!(event.number("file.size"), Some(4));
    monitor.stop();
}

#[test]
fn what_is_done_to_a_directory_itself_is_told() {
    let site = Site::new();
    site.write("dir/file", "one\n");
    let dir = site.file("dir");
    let monitor = site.watch();
    let chmod = run("chmod", &["0777", text(&dir)]);
    let told = Expect::action("attributes_modified").of(&dir).by(&chmod);
    monitor.expect(told.says_of_it("mode", "0755", "0777"));
    monitor.stop();
}

#[test]
fn a_directory_that_goes_and_another_that_comes_are_no_renaming() {
    let site = Site::new();
    let (old, new) = (site.file("old"), site.file("new"));
    let file = site.write("old/file", "one\n");
    let monitor = site.watch();
    let rm = run("rm", &["-r", text(&old)]);
    let mkdir = run("mkdir", &[&new]);
    for path in [&file, &old] {
        monitor.expect(Expect::action("deleted").of(path).by(&rm));
    }
    monitor.expect(Expect::action("created").of(&new).by(&mkdir));
    let events = monitor.stop();
    let renamed = events.iter().filter(|it| it.action() == "renamed");
    assert_eq!(renamed.count(), 0, "{events:?}");
}

#[test]
fn every_change_of_a_path_is_told_however_soon_it_comes() {
    let site = Site::new();
    let path = site.write("file", "0\n");
    let monitor = site.watch();
    for number in 1..=5 {
        let line = number.to_string();
        let shell = append_line(&path, &line);
        monitor.expect(modified().of(&path).by(&shell).adds(&line));
    }
    monitor.stop();
}

#[test]
fn an_owner_beyond_16_bits_is_told_whole() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let chown = run("chown", &["100001:200002", text(&path)]);
    let told = Expect::action("attributes_modified").of(&path).by(&chown);
    let owners = told.field("file.uid", "100001").field("file.gid", "200002");
    monitor.expect(owners);
    monitor.stop();
}

#[test]
fn names_like_those_of_backups_are_not_left_out() {
    let site = Site::new();
    site.write("file", "");
    let monitor = site.watch();
    for name in ["evil.bak", "evil.tmp", "evil.log.1", ".evil.swp", "evil~"] {
        let path = site.file(name);
        let touch = run("touch", &[&path]);
        monitor.expect(Expect::action("created").of(&path).by(&touch));
    }
    monitor.stop();
}

#[test]
fn long_names_and_deep_paths_are_whole_after_a_renaming_too() {
    let site = Site::new();
    // More directories than 16, and a path of more than a page of names.
    let mut directory = "d".repeat(40);
    while directory.len() < 3_000 {
        directory = format!("{directory}/{}", "d".repeat(100));
    }
    let path = site.write(&format!("{directory}/{}", "a".repeat(200)), "one\n");
    let other = path.with_file_name("b".repeat(255));
    let monitor = site.watch();
    let mv = run("mv", &[&path, &other]);
    let renamed = Expect::action("renamed").of(&other).by(&mv);
    monitor.expect(renamed.field("fimk.previous_path", text(&path)));
    let shell = append_line(&other, "two");
    monitor.expect(modified().of(&other).by(&shell).adds("two"));
    monitor.stop();
}

#[test]
fn a_renaming_and_a_removal_that_fail_are_not_told_as_done() {
    let site = Site::new();
    let path = site.write("dir/file", "one\n");
    site.write("full/file", "one\n");
    let dir = site.file("dir");
    let monitor = site.watch();
    // No directory takes the place of one that is not empty, nobody removes that, and others may do neither here.
    let script = "mv -T \"$0/dir\" \"$0/full\"; rmdir \"$0/dir\"; \
        setpriv --reuid 65534 --clear-groups sh -c 'rm -f \"$0/file\"; mv \"$0/file\" \"$0/other\"' \"$0/dir\"; true";
    run("sh", &["-c", script, text(&site.files())]);
    let shell = append_line(&path, "two");
    monitor.expect(modified().of(&path).by(&shell).adds("two"));
    let events = monitor.stop();
    let done = events
        .iter()
        .filter(|it| ["renamed", "deleted"].contains(&it.action()));
    assert_eq!(done.count(), 0, "{events:?}");
    assert!(dir.is_dir() && path.is_file());
}

#[test]
fn the_digest_is_that_of_the_object_and_is_made_anew_when_it_changes() {
    let digest = |content: &[u8]| {
        use std::fmt::Write as _;
        let digest = <sha2::Sha256 as sha2::Digest>::digest(content);
        digest.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    };
    let site = Site::new();
    // The same name, size and times in two directories.
    let [one, two] = ["one", "two"].map(|name| site.write(&format!("{name}/file"), "0\n"));
    let monitor = site.watch();
    for (path, content) in [(&one, "1\n"), (&two, "2\n"), (&one, "3\n")] {
        let script = "printf %s \"$1\" 1<>\"$0\" && touch -d @1000000000 \"$0\"";
        run("sh", &["-c", script, text(path), content]);
        let expected = modified().of(path);
        monitor.expect(expected.field("file.hash.sha256", digest(content.as_bytes())));
    }
    monitor.stop();
}

#[test]
fn who_shares_the_session_of_fimk_is_told() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    // The test started both, in its own session.
    let shell = append_line(&path, "two");
    let told = modified().of(&path).by(&shell).adds("two");
    monitor.expect(told.field("process.parent.pid", std::process::id()));
    monitor.stop();
}

/// Not what somebody has in its place: that executes another one.
const PYTHON: &str = "/usr/bin/python3";

#[test]
fn a_process_whose_first_thread_has_ended_is_named() {
    if which(PYTHON.as_ref()).is_none() {
        not_run(
            "a_process_whose_first_thread_has_ended_is_named",
            "it needs python3 of the system",
        );
        return;
    }
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let script = "import ctypes, os, sys, threading
def write():
    stat = '/proc/self/task/%d/stat' % os.getpid()
    while open(stat).read().split()[2] != 'Z':
        pass
    with open(sys.argv[1], 'a') as file:
        file.write('two\\n')
    os._exit(0)
threading.Thread(target=write).start()
ctypes.CDLL(None).pthread_exit(None)
";
    let python = run(PYTHON, &["-c", script, text(&path)]);
    let event = monitor.expect(modified().of(&path).by(&python).adds("two"));
    let name = event.text("process.name").unwrap_or_default();
    assert!(name.starts_with("python3"), "{event:?}");
    monitor.stop();
}
