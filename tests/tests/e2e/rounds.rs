//! All content is read again at intervals: what was changed below a file system, where no hook is, is found then.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{
    Expect, Monitor, OBJECTS_MAX, Site, append_line, attempt, deadline, not_run, run, text, which,
};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use serde_json::Value;

use crate::mounts::Mounted;

const BEFORE: &str = "as it was before";
const AFTER: &str = "as it is to stay";

/// Of each file where reading is to take long. At a mebibyte a second four are read in that time.
const FILE_BYTES: usize = 256 << 10;
const FILES: usize = 24;

/// A file system in a file, and the files in it.
struct Disk {
    site: Site,
    _mounted: Mounted,
}

impl Disk {
    /// With these files, below the directory that [`Disk::at`] begins with. All were last changed long ago: what is
    /// young is read more often. None, and said aloud, where no file system can be made or mounted.
    fn new(test: &str, files: &[(String, String)]) -> Option<Self> {
        let mut tools = ["mkfs.ext4", "debugfs"].into_iter();
        if let Some(tool) = tools.find(|it| which(Path::new(it)).is_none()) {
            not_run(test, &format!("{tool} is not installed"));
            return None;
        }
        let site = Site::new();
        let (image, place, source) = (
            site.outside("image"),
            site.outside("disk"),
            site.outside("source"),
        );
        fs::create_dir(&place).expect("it is ours");
        for (name, content) in files {
            let path = source.join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("it is ours");
            fs::write(path, content).expect("it is ours");
        }
        run("truncate", &["-s", "32M", text(&image)]);
        run("mkfs.ext4", &["-q", "-d", text(&source), text(&image)]);
        for (name, _) in files {
            let old = format!("set_inode_field {name} ctime 20000101");
            run("debugfs", &["-w", "-R", &old, text(&image)]);
        }
        let mount = attempt("mount", &["-o", "loop", text(&image), text(&place)]);
        if !mount.succeeded {
            not_run(test, &mount.output);
            return None;
        }
        let mut mounted = Mounted::default();
        mounted.undo_later(&place);
        Some(Self {
            site,
            _mounted: mounted,
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.site.outside("disk").join(name)
    }

    /// Changes the text behind this mark, in the one file that has it, without that the file system takes part.
    fn change_below(&self, name: &str, mark: &str) {
        let image = self.site.outside("image");
        let bytes = fs::read(&image).expect("it is ours");
        let old = line(mark, BEFORE).into_bytes();
        let mut places = bytes
            .windows(old.len())
            .enumerate()
            .filter(|(_, it)| *it == old);
        let (place, _) = places.next().expect("it is on the disk");
        assert!(places.next().is_none(), "{mark} is there twice");
        let device = OpenOptions::new()
            .write(true)
            .open(&image)
            .expect("it is ours");
        let new = line(mark, AFTER).into_bytes();
        device.write_all_at(&new, place as u64).expect("it is ours");
        // Readers see what the cache holds until it is dropped.
        let file = File::open(self.at(name)).expect("it is ours");
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).expect("it is a file");
        let seen = fs::read(self.at(name)).expect("it is ours");
        assert!(seen.windows(new.len()).any(|it| it == new), "it shows");
    }
}

fn line(mark: &str, what: &str) -> String {
    format!("{mark}: {what}")
}

/// Asks until a round is under way that has come so far.
fn await_round(site: &Site, monitor: &Monitor, done: u64) -> Value {
    let end = Instant::now() + 3 * deadline();
    loop {
        let answer = site.status();
        let come = answer["scan"]["done"].as_u64();
        if answer["state"] == "watching" && come.is_some_and(|it| it >= done) {
            return answer;
        }
        assert!(
            Instant::now() < end,
            "no round came to {done}: {answer}\n{}",
            monitor.account()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn found(path: &Path, mark: &str) -> Expect {
    Expect::action("modified").of(path).adds(&line(mark, AFTER))
}

#[test]
fn what_was_written_to_the_device_below_is_found_when_the_time_of_its_rule_has_come() {
    let test = "what_was_written_to_the_device_below_is_found_when_the_time_of_its_rule_has_come";
    let files = ["often", "seldom"].map(|rule| {
        let content = format!("{}\n", line(rule, BEFORE));
        (format!("{rule}/file"), content)
    });
    let Some(disk) = Disk::new(test, &files) else {
        return;
    };
    let (often, seldom) = (disk.at("often"), disk.at("seldom"));
    let config = format!(
        "objects_max = {OBJECTS_MAX}\n\
         [[rule]]\nname = \"often\"\npaths = [{often:?}]\ncompare_interval_s = 1\n\
         [[rule]]\nname = \"seldom\"\npaths = [{seldom:?}]\n\
         [[output]]\ntype = \"stdout\"\n"
    );
    let monitor = disk.site.start(&config);
    disk.change_below("seldom/file", "seldom");
    disk.change_below("often/file", "often");
    let event = monitor.expect(
        found(&often.join("file"), "often")
            .field("fimk.detected_by", "late")
            .field("fimk.rule", "often"),
    );
    assert_eq!(event.get("process"), None, "nobody can be named");
    let events = monitor.stop();
    let told = events.iter().filter(|it| it.is_about(&seldom.join("file")));
    assert_eq!(told.count(), 0, "it is compared once a day: {events:?}");
    // It was there to be found.
    let monitor = disk.site.start(&config);
    monitor.expect(found(&seldom.join("file"), "seldom").field("fimk.detected_by", "gap"));
    monitor.stop();
}

#[test]
fn a_round_holds_up_nothing_shows_how_far_it_is_and_is_made_again_after_a_kill() {
    let test = "a_round_holds_up_nothing_shows_how_far_it_is_and_is_made_again_after_a_kill";
    let mark = |number: usize| format!("mark of {number:02}");
    let filler = "what there is besides\n";
    let files: Vec<_> = (0..FILES)
        .map(|number| {
            let body = filler.repeat(FILE_BYTES / filler.len());
            (
                format!("all/{number:02}"),
                format!("{}\n{body}", line(&mark(number), BEFORE)),
            )
        })
        .collect();
    let Some(disk) = Disk::new(test, &files) else {
        return;
    };
    let (first, last) = (disk.at("all/00"), disk.at(&format!("all/{:02}", FILES - 1)));
    let config = format!(
        "compare_interval_s = 1\n{}",
        fimk_tests::rule(&[&disk.at("all")])
    );
    let slow = format!("scan_bytes_per_s = {}\n{config}", 1 << 20);
    let monitor = disk.site.start(&slow);
    let answer = await_round(&disk.site, &monitor, 4);
    assert_eq!(answer["scan"]["kind"], "comparison");
    assert!(
        answer["scan"]["of"].as_u64() > Some(FILES as u64),
        "{answer}"
    );
    let shell = append_line(&first, "meanwhile");
    monitor.expect(
        Expect::action("modified")
            .of(&first)
            .by(&shell)
            .adds("meanwhile"),
    );
    disk.change_below(&format!("all/{:02}", FILES - 1), &mark(FILES - 1));
    monitor.kill9();

    let monitor = disk.site.start(&config);
    monitor.expect(found(&last, &mark(FILES - 1)));
    // And the next rounds are made.
    disk.change_below("all/07", &mark(7));
    monitor.expect(found(&disk.at("all/07"), &mark(7)).field("fimk.detected_by", "late"));
    await_round(&disk.site, &monitor, 1);
    monitor.stop();
}
