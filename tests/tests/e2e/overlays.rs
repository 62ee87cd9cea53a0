//! Overlays: what is done to a merged name, and what is done behind its back to the layers below.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fimk_tests::{Expect, Monitor, Site, append_line, attempt, not_run, run, text};

use crate::mounts::Mounted;

/// An overlay in the directory of watched files, its layers beside it.
struct Overlay {
    site: Site,
    mounted: Mounted,
}

impl Overlay {
    /// With these files in its layers; none, and said aloud, where this kernel or file system has no overlays.
    fn with(test: &str, files: &[&str]) -> Option<Self> {
        let site = Site::new();
        let overlay = Self {
            site,
            mounted: Mounted::default(),
        };
        for directory in ["lower", "upper", "work"] {
            fs::create_dir(overlay.site.outside(directory)).expect("it is ours");
        }
        fs::create_dir(overlay.merged("")).expect("it is ours");
        for file in files {
            let path = overlay.site.outside(file);
            fs::create_dir_all(path.parent().expect("a layer")).expect("it is ours");
            fs::write(path, "one\n").expect("it is ours");
        }
        overlay.mount(test)
    }

    fn mount(mut self, test: &str) -> Option<Self> {
        let layer = |name: &str| text(&self.site.outside(name)).to_owned();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            layer("lower"),
            layer("upper"),
            layer("work")
        );
        let merged = self.merged("");
        let arguments = ["-t", "overlay", "-o", &options, "fimk-test", text(&merged)];
        let mount = attempt("mount", &arguments);
        if !mount.succeeded {
            not_run(
                test,
                &format!("no overlay can be mounted: {}", mount.output),
            );
            return None;
        }
        self.mounted.undo_later(&merged);
        Some(self)
    }

    fn merged(&self, name: &str) -> PathBuf {
        self.site.file("merged").join(name)
    }

    /// Watches the merged names; none where the source sees only what passes them.
    fn watch(&self, test: &str) -> Option<Monitor> {
        let monitor = self.site.watch();
        if monitor.is_bpf() {
            return Some(monitor);
        }
        not_run(
            test,
            "only the BPF programs see what is done to the layers of an overlay",
        );
        monitor.stop();
        None
    }
}

fn appended(monitor: &Monitor, path: &Path, line: &str, told: &Path) {
    let shell = append_line(path, line);
    monitor.expect(
        Expect::action("modified")
            .of(told)
            .by(&shell)
            .adds(line)
            .field("fimk.detected_by", "event"),
    );
}

#[test]
fn a_write_to_an_upper_file_is_one_to_the_merged_file() {
    let test = "a_write_to_an_upper_file_is_one_to_the_merged_file";
    let Some(overlay) = Overlay::with(test, &["upper/dir/file"]) else {
        return;
    };
    let Some(monitor) = overlay.watch(test) else {
        return;
    };
    let merged = overlay.merged("dir/file");
    appended(&monitor, &merged, "two", &merged);
    let upper = overlay.site.outside("upper/dir/file");
    let shell = append_line(&upper, "three");
    monitor.expect(
        Expect::action("modified")
            .of(&merged)
            .by(&shell)
            .adds("three")
            .field("fimk.accessed_path", text(&upper)),
    );
    let chmod = run("chmod", &["600", text(&upper)]);
    monitor.expect(
        Expect::action("attributes_modified")
            .of(&merged)
            .by(&chmod)
            .says_of_it("mode", "0644", "0600"),
    );
    monitor.stop();
}

#[test]
fn a_file_that_is_copied_up_stays_watched_and_its_copy_is_too() {
    let test = "a_file_that_is_copied_up_stays_watched_and_its_copy_is_too";
    let Some(overlay) = Overlay::with(test, &["lower/dir/file"]) else {
        return;
    };
    let Some(monitor) = overlay.watch(test) else {
        return;
    };
    let merged = overlay.merged("dir/file");
    appended(&monitor, &merged, "two", &merged);
    appended(&monitor, &merged, "three", &merged);
    let upper = overlay.site.outside("upper/dir/file");
    appended(&monitor, &upper, "four", &merged);
    monitor.stop();
}

#[test]
fn a_copy_up_without_a_change_is_no_event() {
    let test = "a_copy_up_without_a_change_is_no_event";
    let Some(overlay) = Overlay::with(test, &["lower/dir/file", "lower/other"]) else {
        return;
    };
    let monitor = overlay.site.watch();
    let merged = overlay.merged("dir/file");
    run("sh", &["-c", ": >> \"$0\"", text(&merged)]);
    assert!(overlay.site.outside("upper/dir/file").exists());
    let other = overlay.merged("other");
    append_line(&other, "two");
    monitor.expect(Expect::action("modified").of(&other).adds("two"));
    let events = monitor.stop();
    let about = |path: &Path| events.iter().filter(|event| event.is_about(path)).count();
    assert_eq!(
        about(&merged) + about(&overlay.merged("dir")),
        0,
        "{events:?}"
    );
}

#[test]
fn a_lower_file_that_changes_is_a_change_of_the_merged_file() {
    let test = "a_lower_file_that_changes_is_a_change_of_the_merged_file";
    let Some(overlay) = Overlay::with(test, &["lower/dir/file"]) else {
        return;
    };
    let Some(monitor) = overlay.watch(test) else {
        return;
    };
    let merged = overlay.merged("dir/file");
    appended(
        &monitor,
        &overlay.site.outside("lower/dir/file"),
        "two",
        &merged,
    );
    monitor.stop();
}

#[test]
fn a_name_made_in_an_upper_directory_is_one_of_the_merged_directory() {
    let test = "a_name_made_in_an_upper_directory_is_one_of_the_merged_directory";
    let Some(overlay) = Overlay::with(test, &["upper/dir/file"]) else {
        return;
    };
    let Some(monitor) = overlay.watch(test) else {
        return;
    };
    let merged = overlay.merged("dir/new");
    let shell = append_line(&overlay.site.outside("upper/dir/new"), "one");
    monitor.expect(Expect::action("created").of(&merged).by(&shell));
    appended(&monitor, &merged, "two", &merged);
    appended(
        &monitor,
        &overlay.site.outside("upper/dir/new"),
        "three",
        &merged,
    );
    monitor.stop();
}

#[test]
fn what_is_done_through_an_overlay_is_told_once() {
    let test = "what_is_done_through_an_overlay_is_told_once";
    let Some(overlay) = Overlay::with(test, &["lower/dir/file", "lower/dir/gone"]) else {
        return;
    };
    let monitor = overlay.site.watch();
    let [made, file, moved] = ["dir/made", "dir/made/file", "dir/made/moved"];
    let [gone, kept] = ["dir/gone", "dir/file"];
    run("mkdir", &[overlay.merged(made)]);
    monitor.expect(Expect::action("created").of(&overlay.merged(made)));
    append_line(&overlay.merged(file), "one");
    monitor.expect(Expect::action("created").of(&overlay.merged(file)));
    run("mv", &[overlay.merged(file), overlay.merged(moved)]);
    monitor.expect(Expect::action("renamed").of(&overlay.merged(moved)));
    run("rm", &[overlay.merged(gone)]);
    monitor.expect(Expect::action("deleted").of(&overlay.merged(gone)));
    run("chmod", &["600", text(&overlay.merged(kept))]);
    monitor.expect(Expect::action("attributes_modified").of(&overlay.merged(kept)));
    append_line(&overlay.merged(moved), "two");
    monitor.expect(
        Expect::action("modified")
            .of(&overlay.merged(moved))
            .adds("two"),
    );
    let events = monitor.stop();
    for (name, actions) in [
        (made, vec!["created"]),
        (file, vec!["created", "renamed"]),
        (moved, vec!["renamed", "modified"]),
        (gone, vec!["deleted"]),
        (kept, vec!["attributes_modified"]),
    ] {
        let path = overlay.merged(name);
        let told = events.iter().filter(|event| event.is_about(&path));
        let told: Vec<&str> = told.map(fimk_tests::Event::action).collect();
        assert_eq!(told, actions, "{name}: {events:?}");
    }
}

#[test]
fn an_overlay_that_is_mounted_is_told_and_its_layers_are_watched() {
    let test = "an_overlay_that_is_mounted_is_told_and_its_layers_are_watched";
    let Some(overlay) = Overlay::with(test, &["lower/dir/file", "upper/dir/other"]) else {
        return;
    };
    run("umount", &[overlay.merged("")]);
    let Some(monitor) = overlay.watch(test) else {
        return;
    };
    let Some(overlay) = overlay.mount(test) else {
        return;
    };
    monitor.expect(Expect::action("mounted").of(&overlay.site.file("merged")));
    let other = overlay.merged("dir/other");
    monitor.expect(Expect::action("created").of(&other));
    appended(
        &monitor,
        &overlay.site.outside("upper/dir/other"),
        "two",
        &other,
    );
    monitor.stop();
}
