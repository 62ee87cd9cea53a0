//! btrfs: a file and its copy in a snapshot have one identity for the kernel, and are two files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fimk_tests::{Expect, Monitor, Site, append_line, attempt, not_run, rule, run, text, which};

use crate::mounts::Mounted;

/// A btrfs of our own, with a subvolume `volume` that has `dir/file`.
struct Btrfs {
    site: Site,
    _mounted: Mounted,
}

impl Btrfs {
    /// None, and said aloud, where there is no btrfs.
    fn new(test: &str) -> Option<Self> {
        let mut tools = ["mkfs.btrfs", "btrfs"].into_iter();
        if let Some(tool) = tools.find(|it| which(Path::new(it)).is_none()) {
            not_run(test, &format!("{tool} is not installed"));
            return None;
        }
        let site = Site::new();
        let (image, place) = (site.outside("image"), site.outside("btrfs"));
        fs::create_dir(&place).expect("it is ours");
        // mkfs.btrfs takes no less than 109 MiB.
        run("truncate", &["-s", "200M", text(&image)]);
        let mut mounted = Mounted::default();
        for command in [
            vec!["mkfs.btrfs", "-q", text(&image)],
            vec!["mount", "-o", "loop", text(&image), text(&place)],
        ] {
            let made = attempt(command[0], &command[1..]);
            if !made.succeeded {
                not_run(test, &format!("{}: {}", command[0], made.output));
                return None;
            }
        }
        mounted.undo_later(&place);
        let btrfs = Self {
            site,
            _mounted: mounted,
        };
        subvolume(&["create", text(&btrfs.at("volume"))]);
        fs::create_dir(btrfs.at("volume/dir")).expect("it is ours");
        fs::write(btrfs.at("volume/dir/file"), "one\n").expect("it is ours");
        Some(btrfs)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.site.outside("btrfs").join(name)
    }

    fn snapshot(&self, to: &str) {
        let (from, to) = (self.at("volume"), self.at(to));
        subvolume(&["snapshot", text(&from), text(&to)]);
    }

    fn append(&self, monitor: &Monitor, name: &str, line: &str) {
        let path = self.at(name);
        let shell = append_line(&path, line);
        let modified = Expect::action("modified").of(&path).by(&shell);
        monitor.expect(modified.adds(line));
    }
}

fn subvolume(arguments: &[&str]) {
    run("btrfs", &[&["subvolume"], arguments].concat());
}

#[test]
fn what_is_done_in_a_snapshot_is_no_change_of_the_original() {
    let test = "what_is_done_in_a_snapshot_is_no_change_of_the_original";
    let Some(btrfs) = Btrfs::new(test) else {
        return;
    };
    btrfs.snapshot("copy");
    let monitor = btrfs.site.start(&rule(&[&btrfs.at("volume")]));
    let [new, file, moved] = ["new", "file", "moved"].map(|it| btrfs.at("copy/dir").join(it));
    append_line(&new, "one");
    append_line(&file, "two");
    run("mv", &[&file, &moved]);
    run("rm", &[&moved, &new]);
    // The original is watched as before.
    btrfs.append(&monitor, "volume/dir/file", "three");
    let made = btrfs.at("volume/dir/made");
    let shell = append_line(&made, "one");
    monitor.expect(Expect::action("created").of(&made).by(&shell));
    let rm = run("rm", &[btrfs.at("volume/dir/file")]);
    let gone = Expect::action("deleted").of(&btrfs.at("volume/dir/file"));
    monitor.expect(gone.by(&rm));
    let events = monitor.stop();
    let expected = ["monitor_started", "baseline_created", "monitor_stopped"];
    let told = events.iter().map(fimk_tests::Event::action);
    let told: Vec<&str> = told.filter(|it| !expected.contains(it)).collect();
    assert_eq!(told, ["modified", "created", "deleted"], "{events:?}");
}

#[test]
fn a_snapshot_made_in_a_watched_directory_is_told_with_what_is_in_it_and_watched() {
    let test = "a_snapshot_made_in_a_watched_directory_is_told_with_what_is_in_it_and_watched";
    let Some(btrfs) = Btrfs::new(test) else {
        return;
    };
    fs::create_dir(btrfs.at("snapshots")).expect("it is ours");
    let paths = ["volume", "snapshots"].map(|name| btrfs.at(name));
    let monitor = btrfs.site.start(&rule(&[&paths[0], &paths[1]]));
    btrfs.snapshot("snapshots/one");
    monitor.expect(Expect::action("created").of(&btrfs.at("snapshots/one")));
    monitor.expect(Expect::action("created").of(&btrfs.at("snapshots/one/dir/file")));
    btrfs.append(&monitor, "snapshots/one/dir/file", "two");
    btrfs.append(&monitor, "volume/dir/file", "three");
    let new = btrfs.at("snapshots/one/dir/new");
    let shell = append_line(&new, "one");
    monitor.expect(Expect::action("created").of(&new).by(&shell));
    let events = monitor.stop();
    let about = |name: &str| {
        let path = btrfs.at(name);
        events.iter().filter(|it| it.is_about(&path)).count()
    };
    let counts = [
        "volume/dir/file",
        "snapshots/one/dir/file",
        "volume/dir/new",
    ]
    .map(about);
    assert_eq!(counts, [1, 2, 0], "{events:?}");
}
