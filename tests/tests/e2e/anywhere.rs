//! What must be told on any machine: by fanotify where BPF is not to be had, and by comparing where nothing is.
//!
//! The first half are changes that other monitors of this kind were seen to miss or to misname; then come every kind of change
//! in one sequence, and renames and moves.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use fimk_tests::{Event, Expect, Monitor, Ran, Site, append_line, not_run, rule, run, text, which};

const SOURCES: [&str; 2] = ["fanotify", "periodic"];

/// A site that is watched by a source of a name.
struct Scene {
    site: Site,
    source: &'static str,
    monitor: Monitor,
}

impl Scene {
    fn new(source: &'static str, site: Site, settings: &str) -> Self {
        let config = config(&site, source, settings);
        let mut monitor = site.launch(&config).spawn();
        assert_eq!(monitor.await_start_or_exit(), None);
        let started = monitor.expect(Expect::action("monitor_started"));
        assert_eq!(started.text("fimk.source"), Some(source), "{started:?}");
        Self {
            site,
            source,
            monitor,
        }
    }

    fn sees_who(&self) -> bool {
        self.source == "fanotify"
    }

    /// Waits for what is told of an act of this process: as an event with its name, or found and put on nobody.
    fn told(&self, expected: Expect, who: &Ran) -> Event {
        self.monitor.expect(if self.sees_who() {
            expected.by(who)
        } else {
            expected
                .without("process")
                .field("fimk.detected_by", "scan")
        })
    }

    /// Ends, and gives all changes: action, path and former path below the watched directory.
    fn changes(self) -> Vec<(String, String, Option<String>)> {
        let files = self.site.files();
        let within = |event: &Event, field: &str| {
            let path = Path::new(event.text(field)?).strip_prefix(&files).ok()?;
            Some(text(path).to_owned())
        };
        let events = self.monitor.stop();
        let changes = events.iter().filter_map(|event| {
            let path = within(event, "file.path")?;
            let former = within(event, "fimk.previous_path");
            Some((event.action().to_owned(), path, former))
        });
        changes.collect()
    }
}

fn config(site: &Site, source: &str, settings: &str) -> String {
    let rule = rule(&[&site.files()]);
    format!("source = \"{source}\"\nscan_interval_s = 1\n{settings}\n{rule}")
}

/// The same with each source; `prepare` before it starts.
fn with_each(prepare: impl Fn(&Site), test: impl Fn(Scene)) {
    for source in SOURCES {
        let site = Site::new();
        prepare(&site);
        test(Scene::new(source, site, ""));
    }
}

fn sh(script: &str, arguments: &[&Path]) -> Ran {
    let arguments = arguments.iter().map(|path| text(path));
    run(
        "sh",
        &["-c", script]
            .into_iter()
            .chain(arguments)
            .collect::<Vec<_>>(),
    )
}

fn owned(change: &(String, String, Option<String>)) -> (&str, &str, Option<&str>) {
    (&change.0, &change.1, change.2.as_deref())
}

#[test]
fn a_rewrite_of_the_same_size_with_its_times_put_back_is_told() {
    with_each(
        |site| drop(site.write("file", "pin 1234\n")),
        |scene| {
            let path = scene.site.file("file");
            let times = scene.site.outside("times");
            run("touch", &["-r", text(&path), text(&times)]);
            let script = "echo 'pin 9999' >\"$0\"; touch -r \"$1\" \"$0\"; :";
            let shell = sh(script, &[&path, &times]);
            let rewritten = Expect::action("modified").of(&path).adds("pin 9999");
            let event = scene.told(rewritten, &shell);
            assert_eq!(event.number("file.size"), Some(9));
            scene.monitor.stop();
        },
    );
}

#[test]
fn a_key_in_a_hidden_directory_is_told() {
    with_each(
        |_| {},
        |scene| {
            let keys = scene.site.file(".ssh/authorized_keys");
            let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Bdeq8FLQrzXIVaqKDR1Ww0YFsGO5nbpzFKZmFzRk0 eve";
            let script = "mkdir \"${0%/*}\" && echo \"$1\" >\"$0\"";
            run("sh", &["-c", script, text(&keys), key]);
            let came = Expect::any_of(&["created", "modified"]).of(&keys);
            scene.monitor.expect(came.with_content_of(&keys));
            scene.monitor.stop();
        },
    );
}

#[test]
fn a_new_link_is_told_with_where_it_leads() {
    with_each(
        |_| {},
        |scene| {
            let link = scene.site.file("link");
            let ln = run("ln", &["-s", "/etc/shadow", text(&link)]);
            let created = Expect::action("created").of(&link);
            let created = created.field("file.type", "symlink");
            scene.told(created.field("file.target_path", "/etc/shadow"), &ln);
            scene.monitor.stop();
        },
    );
}

#[test]
fn a_new_mode_of_a_directory_is_told() {
    with_each(
        |site| fs::create_dir(site.file("dir")).expect("it is ours"),
        |scene| {
            let dir = scene.site.file("dir");
            let chmod = run("chmod", &["0777", text(&dir)]);
            let changed = Expect::action("attributes_modified").of(&dir);
            scene.told(changed.says_of_it("mode", "0755", "0777"), &chmod);
            scene.monitor.stop();
        },
    );
}

#[test]
fn an_extended_attribute_is_told() {
    let test = "an_extended_attribute_is_told";
    if which(Path::new("setfattr")).is_none() {
        not_run(test, "setfattr is not installed");
        return;
    }
    with_each(
        |site| drop(site.write("file", "text\n")),
        |scene| {
            let path = scene.site.file("file");
            let arguments = ["-n", "user.note", "-v", "seen", text(&path)];
            let setfattr = run("setfattr", &arguments);
            let changed = Expect::action("attributes_modified").of(&path);
            let changed = changed.says("file", "xattr user.note", None, Some("seen"));
            scene.told(changed, &setfattr);
            scene.monitor.stop();
        },
    );
}

#[test]
fn another_owner_is_a_change_of_attributes_and_no_move() {
    with_each(
        |site| drop(site.write("file", "text\n")),
        |scene| {
            let path = scene.site.file("file");
            let chown = run("chown", &["1:1", text(&path)]);
            let owner = Expect::action("attributes_modified").of(&path);
            scene.told(owner.says_of_it("uid", "0", "1"), &chown);
            let changes = scene.changes();
            assert_eq!(changes.len(), 1, "{changes:?}");
        },
    );
}

#[test]
fn what_takes_the_number_of_what_was_removed_was_not_renamed() {
    with_each(
        |site| {
            fs::create_dir(site.file("one")).expect("it is ours");
            site.write("file", "text\n");
        },
        |scene| {
            let (one, two) = (scene.site.file("one"), scene.site.file("two"));
            let (file, other) = (scene.site.file("file"), scene.site.file("other"));
            // Most file systems give the next object the number that came free last.
            let script = "rm -r \"$0\"; mkdir \"$1\"; rm \"$2\"; echo text >\"$3\"";
            sh(script, &[&one, &two, &file, &other]);
            for gone in [&one, &file] {
                scene.monitor.expect(Expect::action("deleted").of(gone));
            }
            for new in [&two, &other] {
                scene.monitor.expect(Expect::action("created").of(new));
            }
            let changes = scene.changes();
            let moved = changes.iter().find(|change| change.2.is_some());
            assert_eq!(moved, None, "{changes:?}");
        },
    );
}

/// More names than `names_max` in one directory, made while nobody watched.
#[test]
fn a_flood_of_names_is_said_and_takes_nothing_from_what_is_on_record() {
    const NAMES_MAX: usize = 1_000;
    for source in SOURCES {
        let site = Site::new();
        let kept = site.write("kept", "one\n");
        let deep = site.write("z/deep/kept", "one\n");
        let settings = format!("names_max = {NAMES_MAX}");
        Scene::new(source, site, &settings).stop_and(|site| {
            fs::create_dir(site.file("a")).expect("it is ours");
            for number in 0..NAMES_MAX + 100 {
                fs::write(site.file(&format!("a/{number}")), "").expect("it is ours");
            }
            append_line(&deep, "two");
            let scene = Scene::new(source, site, &settings);
            let full = Expect::action("degraded").and("names_max".to_owned(), |event| {
                event
                    .text("message")
                    .is_some_and(|message| message.contains("names_max is reached"))
            });
            scene.monitor.expect(full);
            let modified = |path: &Path, line: &str| Expect::action("modified").of(path).adds(line);
            scene.monitor.expect(modified(&deep, "two"));
            let shell = append_line(&kept, "three");
            scene.told(modified(&kept, "three"), &shell);
            if source == "periodic" {
                append_line(&deep, "four");
                scene.monitor.expect(modified(&deep, "four"));
            }
            let changes = scene.changes();
            let gone = changes.iter().find(|change| change.0 == "deleted");
            assert_eq!(gone, None, "{changes:?}");
        });
    }
}

impl Scene {
    /// Stops, and goes on at the same place.
    fn stop_and(self, next: impl FnOnce(Site)) {
        self.monitor.stop();
        next(self.site);
    }
}

#[test]
fn every_kind_of_change_of_one_file_is_told_once_and_in_its_own_word() {
    with_each(
        |site| {
            for directory in ["a", "b"] {
                fs::create_dir(site.file(directory)).expect("it is ours");
            }
        },
        |scene| {
            let at = |name: &str| scene.site.file(name);
            let (first, moved, renamed) = (at("a/file"), at("b/file"), at("b/other"));
            let shell = append_line(&first, "one");
            scene.told(Expect::action("created").of(&first), &shell);
            let shell = append_line(&first, "two");
            scene.told(Expect::action("modified").of(&first).adds("two"), &shell);
            let chmod = run("chmod", &["0600", text(&first)]);
            let chmodded = Expect::action("attributes_modified").of(&first);
            scene.told(chmodded.says_of_it("mode", "0644", "0600"), &chmod);
            for (from, to) in [(&first, &moved), (&moved, &renamed)] {
                let mv = run("mv", &[from, to]);
                let told = Expect::action("renamed").of(to);
                let told = told.field("fimk.previous_path", text(from));
                scene.told(told, &mv);
            }
            let rm = run("rm", &[&renamed]);
            scene.told(Expect::action("deleted").of(&renamed), &rm);
            let changes = scene.changes();
            assert_eq!(
                changes.iter().map(owned).collect::<Vec<_>>(),
                [
                    ("created", "a/file", None),
                    ("modified", "a/file", None),
                    ("attributes_modified", "a/file", None),
                    ("renamed", "b/file", Some("a/file")),
                    ("renamed", "b/other", Some("b/file")),
                    ("deleted", "b/other", None),
                ]
            );
        },
    );
}

#[test]
fn what_moved_is_the_same_object_wherever_it_is_found_and_whatever_else_was_done_to_it() {
    with_each(
        |site| {
            site.write("dir/in/file", "text\n");
            site.write("dir/gone", "text\n");
            site.write("plain", "text\n");
            site.write("written", "one\n");
            site.write("target", "old\n");
            site.write("new", "new\n");
        },
        |scene| {
            let at = |name: &str| scene.site.file(name);
            // Between two comparisons: a directory with all that is in it, and one entry less.
            let script = "rm \"$0/gone\"; mv \"$0\" \"$1\"";
            sh(script, &[&at("dir"), &at("moved")]);
            let renamed = |to: &Path, from: &Path| {
                let told = Expect::action("renamed").of(to);
                told.field("fimk.previous_path", text(from))
            };
            scene.monitor.expect(renamed(&at("moved"), &at("dir")));
            let gone = Expect::action("deleted").and("of gone".to_owned(), |event| {
                event.text("file.name") == Some("gone")
            });
            scene.monitor.expect(gone);
            // A file, that was written besides.
            sh(
                "echo two >>\"$0\"; mv \"$0\" \"$1\"",
                &[&at("written"), &at("moved/written")],
            );
            let told = renamed(&at("moved/written"), &at("written"));
            scene
                .monitor
                .expect(told.with_content_of(&at("moved/written")));
            // One over another.
            let mv = run("mv", &[at("new"), at("target")]);
            let replaced = Expect::action("modified").of(&at("target")).adds("new");
            let replaced = replaced.field("fimk.replaced", true);
            scene.told(replaced.field("fimk.previous_path", text(&at("new"))), &mv);
            // What was below goes on being compared where it is now.
            let inside = at("moved/in/file");
            let shell = append_line(&inside, "more");
            scene.told(Expect::action("modified").of(&inside).adds("more"), &shell);
            let changes = scene.changes();
            // What came along is told by a comparison, one by one; the event of the directory stands for it.
            let along = |it: &&(String, String, Option<String>)| it.1.starts_with("moved/in");
            let told = |action: &str| {
                let of = changes.iter().filter(|it| it.0 == action);
                of.filter(|it| !along(it)).count()
            };
            assert_eq!(
                (told("renamed"), told("created"), told("deleted")),
                (2, 0, 1),
                "{changes:?}"
            );
            let other = |it: &&(String, String, Option<String>)| {
                !matches!(it.0.as_str(), "renamed" | "modified")
            };
            assert_eq!(
                changes.iter().filter(along).filter(other).count(),
                0,
                "{changes:?}"
            );
        },
    );
}

#[test]
fn a_rotation_is_told_as_one() {
    with_each(
        |site| {
            site.write("log", "new\n");
            site.write("log.1", "old\n");
        },
        |scene| {
            let at = |name: &str| scene.site.file(name);
            let script = "mv \"$0.1\" \"$0.2\"; mv \"$0\" \"$0.1\"; echo newest >\"$0\"";
            sh(script, &[&at("log")]);
            for (to, from) in [("log.2", "log.1"), ("log.1", "log")] {
                let told = Expect::any_of(&["renamed", "modified"]).of(&at(to));
                let told = told.field("fimk.previous_path", text(&at(from)));
                scene.monitor.expect(told.with_content_of(&at(to)));
            }
            let told = Expect::any_of(&["created", "modified"]).of(&at("log"));
            scene.monitor.expect(told.with_content_of(&at("log")));
            let changes = scene.changes();
            let gone = changes.iter().find(|change| change.0 == "deleted");
            assert_eq!(gone, None, "{changes:?}");
        },
    );
}

#[test]
fn a_move_while_nobody_watched_is_told_as_one() {
    with_each(
        |site| drop(site.write("dir/file", "text\n")),
        |scene| {
            let source = scene.source;
            scene.stop_and(|site| {
                run("mv", &[site.file("dir"), site.file("moved")]);
                fs::set_permissions(site.file("moved/file"), fs::Permissions::from_mode(0o600))
                    .expect("it is ours");
                symlink("moved", site.file("dir")).expect("it is ours");
                let scene = Scene::new(source, site, "");
                let at = |name: &str| scene.site.file(name);
                let renamed = |to: &str, from: &str| {
                    let told = Expect::action("renamed").of(&at(to));
                    let told = told.field("fimk.detected_by", "gap");
                    told.field("fimk.previous_path", text(&at(from)))
                };
                scene.monitor.expect(renamed("moved", "dir"));
                let file = renamed("moved/file", "dir/file");
                scene
                    .monitor
                    .expect(file.says_of_it("mode", "0644", "0600"));
                let changes = scene.changes();
                let told: Vec<_> = changes.iter().map(owned).collect();
                assert!(
                    told.iter()
                        .all(|it| it.0 != "deleted" && (it.0, it.1) != ("created", "moved/file")),
                    "{told:?}"
                );
            });
        },
    );
}

#[test]
fn four_files_are_four_events() {
    with_each(
        |_| {},
        |scene| {
            let names = ["one", "two", "three", "four"];
            for name in names {
                scene.site.write(name, "text\n");
            }
            for name in names {
                let created = Expect::action("created").of(&scene.site.file(name));
                scene.monitor.expect(created);
            }
            let changes = scene.changes();
            assert_eq!(changes.len(), 4, "{changes:?}");
        },
    );
}

/// Writes in one window become one event with their number. None hides what stands there in the end, nor what happened to
/// another file, nor another kind of change.
#[test]
fn changes_in_one_window_are_counted_and_the_last_content_is_told() {
    with_each(
        |site| {
            site.write("busy", "0\n");
            site.write("quiet", "0\n");
        },
        |scene| {
            let (busy, quiet) = (scene.site.file("busy"), scene.site.file("quiet"));
            let script =
                "for i in $(seq 200); do echo $i >>\"$0\"; done; echo 1 >>\"$1\"; chmod 600 \"$0\"";
            let shell = sh(script, &[&busy, &quiet]);
            let last = Expect::action("modified").of(&busy);
            scene.monitor.expect(last.with_content_of(&busy));
            let other = Expect::action("modified").of(&quiet);
            scene.told(other.with_content_of(&quiet), &shell);
            let mode = |event: &Event| event.says(None, "mode", Some("0644"), Some("0600"));
            let any = Expect::any_of(&["modified", "attributes_modified"]).of(&busy);
            scene.monitor.expect(any.and("its mode".to_owned(), mode));
            let sees = scene.sees_who();
            let events = scene.monitor.stop();
            let of_busy = events.iter().filter(|it| it.is_about(&busy));
            let of_busy: Vec<_> = of_busy.collect();
            let counted: Option<u64> = of_busy.iter().map(|it| it.number("fimk.count")).sum();
            assert!(of_busy.len() < 100, "{of_busy:?}");
            // fanotify makes one of those that are alike while they wait.
            assert!(counted >= Some(if sees { 2 } else { 1 }), "{of_busy:?}");
        },
    );
}
