//! One object under several names, and names that lead elsewhere.

use std::{fs, io::Write as _, os::unix::fs::symlink, process, thread, time::Duration};

use fimk_tests::{Expect, Site, append_line, rule, run, text};

#[test]
fn a_write_through_a_hard_link_elsewhere_is_a_change_of_the_watched_name() {
    let site = Site::new();
    let path = site.write("passwords", "one\n");
    let alias = site.outside("alias");
    fs::hard_link(&path, &alias).expect("both are on one file system");
    let monitor = site.watch();
    let shell = append_line(&alias, "two");
    let expected = Expect::action("modified").of(&path).by(&shell).adds("two");
    if monitor.is_bpf() {
        monitor.expect(expected.field("fimk.accessed_path", text(&alias)));
    } else {
        monitor.expect(expected);
    }
    monitor.stop();
}

/// Names come and go in a directory that is neither watched nor above one that is, and each time the same process
/// writes then. What is written before the change of names is read is told with that.
#[test]
fn who_links_a_file_out_moves_or_removes_that_link_is_still_seen_to_write() {
    let site = Site::new();
    let path = site.write("passwords", "one\n");
    fs::create_dir(site.outside("elsewhere")).expect("it is ours");
    let (alias, other) = (
        site.outside("elsewhere/alias"),
        site.outside("elsewhere/other"),
    );
    fs::write(&other, "another\n").expect("it is ours");
    let monitor = site.watch();
    let append = |line: &str| {
        let file = fs::OpenOptions::new().append(true).open(&path);
        let mut file = file.expect("it is ours");
        file.write_all(format!("{line}\n").as_bytes())
            .expect("it is ours");
        let told = Expect::any_of(&["modified", "linked", "attributes_modified"]);
        let told = told.of(&path).adds(line);
        monitor.expect(told.field("process.pid", process::id()));
    };
    fs::hard_link(&path, &alias).expect("both are on one file system");
    if monitor.is_bpf() {
        monitor.expect(Expect::action("linked").of(&path));
    }
    append("after a link out");
    fs::rename(&alias, site.outside("elsewhere/moved")).expect("it is ours");
    append("after its move");
    fs::remove_file(site.outside("elsewhere/moved")).expect("it is ours");
    append("after its end");
    fs::hard_link(&path, &alias).expect("both are on one file system");
    fs::rename(&other, &alias).expect("it is ours");
    append("after its replacement");
    monitor.stop();
}

#[test]
fn a_new_hard_link_in_a_rule_is_reported() {
    let site = Site::new();
    let path = site.write("one", "one\n");
    let alias = site.file("two");
    let monitor = site.watch();
    let ln = run("ln", &[&path, &alias]);
    monitor.expect(Expect::any_of(&["linked", "created"]).of(&alias).by(&ln));
    monitor.stop();
}

#[test]
fn a_link_in_a_rule_path_is_watched_as_well_as_its_target() {
    let site = Site::new();
    let target = site.outside("real.conf");
    let other = site.outside("other.conf");
    fs::write(&target, "one\n").expect("it is ours");
    fs::write(&other, "another\n").expect("it is ours");
    let link = site.file("link.conf");
    symlink(&target, &link).expect("it is ours");
    let monitor = site.start(&rule(&[&link]));

    let shell = append_line(&target, "two");
    let (by_link, by_target) = (link.clone(), target.clone());
    let expected = Expect::action("modified").by(&shell).adds("two");
    monitor.expect(
        expected.and("about the link or its target".to_owned(), move |event| {
            event.is_about(&by_link) || event.is_about(&by_target)
        }),
    );

    let ln = run("ln", &["-sfn", text(&other), text(&link)]);
    monitor.expect(
        Expect::any_of(&["modified", "created", "renamed"])
            .of(&link)
            .by(&ln),
    );

    let shell = append_line(&other, "three");
    let (by_link, by_other) = (link.clone(), other.clone());
    let expected = Expect::action("modified").by(&shell);
    monitor.expect(expected.and(
        "about the link or its new target".to_owned(),
        move |event| event.is_about(&by_link) || event.is_about(&by_other),
    ));
    monitor.stop();
}

#[test]
fn a_link_that_a_rule_does_not_follow_is_watched_and_its_target_is_not() {
    let site = Site::new();
    let target = site.outside("real.conf");
    fs::write(&target, "one\n").expect("it is ours");
    let link = site.file("link.conf");
    symlink(&target, &link).expect("it is ours");
    let config = rule(&[&link]).replace("[[output]]", "follow_symlinks = false\n[[output]]");
    let monitor = site.start(&config);
    append_line(&target, "two");
    let ln = run("ln", &["-sfn", "/elsewhere", text(&link)]);
    monitor.expect(
        Expect::any_of(&["modified", "created", "renamed"])
            .of(&link)
            .by(&ln),
    );
    let events = monitor.stop();
    let of_target = events.iter().filter(|event| event.is_about(&target));
    assert_eq!(of_target.count(), 0, "{events:?}");
}

#[test]
fn a_linked_directory_in_a_rule_path_is_watched() {
    let site = Site::new();
    let real = site.outside("real");
    fs::create_dir(&real).expect("it is ours");
    let file = real.join("file");
    fs::write(&file, "one\n").expect("it is ours");
    let link = site.file("link");
    symlink(&real, &link).expect("it is ours");
    let monitor = site.start(&rule(&[&link.join("file")]));
    let shell = append_line(&file, "two");
    monitor.expect(Expect::action("modified").by(&shell).adds("two"));
    monitor.stop();
}

#[test]
fn a_directory_that_rules_reach_by_two_names_is_told_and_no_loss_is() {
    let site = Site::new();
    let real = site.file("real");
    site.write("real/below/zero", "text\n");
    let link = site.file("link");
    symlink(&real, &link).expect("it is ours");
    let monitor = site.start(&rule(&[&link, &real]));
    for name in ["one", "two"] {
        // Whether names agree is judged when nothing more is heard of them for a while.
        thread::sleep(Duration::from_millis(500));
        let (by_link, by_real) = (link.join(name), real.join(name));
        fs::write(&by_real, "text\n").expect("it is ours");
        monitor.expect(
            Expect::action("created").and("by one of its names".to_owned(), move |event| {
                event.is_about(&by_link) || event.is_about(&by_real)
            }),
        );
    }
    let events = monitor.stop();
    let lost = events
        .iter()
        .filter(|event| event.action() == "events_lost");
    assert_eq!(lost.count(), 0);
}

#[test]
fn a_rule_path_that_appears_later_is_picked_up() {
    let site = Site::new();
    let path = site.file("later/deep/app.conf");
    let monitor = site.start(&rule(&[&path]));
    site.write("later/deep/app.conf", "one\n");
    monitor.expect(Expect::action("created").of(&path));
    let shell = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    monitor.stop();
}

#[test]
fn a_write_under_a_renamed_directory_is_seen() {
    let site = Site::new();
    let path = site.write("dir/file", "one\n");
    let monitor = site.watch();
    let (old, new) = (site.file("dir"), site.file("moved"));
    let mv = run("mv", &[&old, &new]);
    monitor.expect(Expect::action("renamed").of(&new).by(&mv));
    assert!(!path.exists());
    let shell = append_line(&new.join("file"), "two");
    monitor.expect(Expect::action("modified").of(&new.join("file")).by(&shell));
    monitor.stop();
}
