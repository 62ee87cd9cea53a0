//! Ways to change a file, or what stands under a name, that a hook on `vfs_write` alone does not see.
//! The table at the head of `holes` says which further ones are tested elsewhere.

use std::{
    fs::{self, File, OpenOptions},
    io::{IoSlice, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use fimk_tests::{Expect, Site, append_line, attempt, myself, not_run, run, text};
use nix::{
    fcntl::{self, FallocateFlags, SpliceFFlags},
    sys::{sendfile, uio},
    unistd,
};

const BEFORE: &str = "before\n";
const AFTER: &[u8] = b"after!\n";

/// Has this process change a watched file in some way and waits for the change with its new content.
fn change_is_told(change: impl FnOnce(&Site, &File), expected: impl FnOnce(Expect) -> Expect) {
    let site = Site::new();
    let path = site.write("target", BEFORE);
    let monitor = site.watch();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .expect("it is ours");
    change(&site, &file);
    drop(file);
    let event = Expect::action("modified").of(&path).by(&myself());
    monitor.expect(expected(event).with_content_of(&path));
    monitor.stop();
}

fn replaced_line(expected: Expect) -> Expect {
    expected.removes("before").adds("after!")
}

/// A file with the new content, which no rule covers.
fn source(site: &Site) -> File {
    let path = site.outside("source");
    fs::write(&path, AFTER).expect("it is ours");
    File::open(&path).expect("it is ours")
}

#[test]
fn writev_is_told() {
    let halves = [IoSlice::new(&AFTER[..3]), IoSlice::new(&AFTER[3..])];
    let change = |_: &Site, mut file: &File| {
        let written = file.write_vectored(&halves).expect("it is ours");
        assert_eq!(written, AFTER.len());
    };
    change_is_told(change, replaced_line);
}

#[test]
fn pwrite_and_pwritev_are_told() {
    let change = |_: &Site, file: &File| file.write_all_at(AFTER, 0).expect("it is ours");
    change_is_told(change, replaced_line);
    let halves = [IoSlice::new(&AFTER[..3]), IoSlice::new(&AFTER[3..])];
    let change = |_: &Site, file: &File| {
        let written = uio::pwritev(file, &halves, 0).expect("it is ours");
        assert_eq!(written, AFTER.len());
    };
    change_is_told(change, replaced_line);
}

#[test]
fn sendfile_is_told() {
    let change = |site: &Site, file: &File| {
        let sent = sendfile::sendfile(file, source(site), None, AFTER.len());
        assert_eq!(sent, Ok(AFTER.len()));
    };
    change_is_told(change, replaced_line);
}

#[test]
fn copy_file_range_is_told() {
    let change = |site: &Site, file: &File| {
        let copied = fcntl::copy_file_range(source(site), None, file, None, AFTER.len());
        assert_eq!(copied, Ok(AFTER.len()));
    };
    change_is_told(change, replaced_line);
}

#[test]
fn splice_is_told() {
    let change = |_: &Site, file: &File| {
        let (out, into) = unistd::pipe().expect("pipes can be made");
        File::from(into).write_all(AFTER).expect("a pipe has room");
        let none = SpliceFFlags::empty();
        let moved = fcntl::splice(out, None, file, None, AFTER.len(), none);
        assert_eq!(moved, Ok(AFTER.len()));
    };
    change_is_told(change, replaced_line);
}

#[test]
fn ftruncate_is_told() {
    let change = |_: &Site, file: &File| file.set_len(3).expect("it is ours");
    change_is_told(change, |expected| expected.removes("before").adds("bef"));
}

#[test]
fn an_open_that_truncates_is_told() {
    let change = |site: &Site, _: &File| {
        File::create(site.file("target")).expect("it is ours");
    };
    change_is_told(change, |expected| expected.removes("before"));
}

#[test]
fn fallocate_is_told() {
    let site = Site::new();
    let probe = File::create(site.outside("probe")).expect("it is ours");
    let allocate = |file: &File| fcntl::fallocate(file, FallocateFlags::empty(), 0, 4096);
    if let Err(error) = allocate(&probe) {
        return not_run("fallocate", &format!("this file system cannot: {error}"));
    }
    let change = |_: &Site, file: &File| allocate(file).expect("it could before");
    change_is_told(change, |expected| {
        expected.says("file", "content", Some("text"), Some("binary"))
    });
}

#[test]
fn times_that_are_set_are_told() {
    let site = Site::new();
    let path = site.write("old", "one\n");
    let monitor = site.watch();
    let touch = run("touch", &["-d", "2001-01-01", text(&path)]);
    let expected = Expect::action("attributes_modified").of(&path).by(&touch);
    monitor.expect(expected);
    monitor.stop();
}

#[test]
fn a_new_symbolic_link_and_a_new_fifo_are_told() {
    let site = Site::new();
    let monitor = site.watch();
    let (link, fifo) = (site.file("link"), site.file("fifo"));
    let ln = run("ln", &["-s", "/etc/shadow", text(&link)]);
    let expected = Expect::action("created").of(&link).by(&ln);
    monitor.expect(expected.field("file.type", "symlink"));
    let mknod = run("mknod", &[text(&fifo), "p"]);
    let expected = Expect::action("created").of(&fifo).by(&mknod);
    monitor.expect(expected.field("file.type", "fifo"));
    monitor.stop();
}

#[test]
fn long_names_are_whole() {
    let site = Site::new();
    let monitor = site.watch();
    for length in [31, 32, 33, 40, 200, 255] {
        let path = site.file(&"n".repeat(length));
        let shell = run("sh", &["-c", "echo one > \"$0\"", text(&path)]);
        monitor.expect(Expect::action("created").of(&path).by(&shell));
        let shell = append_line(&path, "two");
        let expected = Expect::action("modified").of(&path).by(&shell);
        monitor.expect(expected.adds("two"));
        let rm = run("rm", &[&path]);
        monitor.expect(Expect::action("deleted").of(&path).by(&rm));
    }
    monitor.stop();
}

#[test]
fn a_process_that_calls_itself_puppet_is_told() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let script = "printf puppet > /proc/$$/comm && read -r name < /proc/$$/comm && [ $name = puppet ] && echo two >> \"$0\"";
    let shell = run("sh", &["-c", script, text(&path)]);
    let expected = Expect::action("modified").of(&path).by(&shell);
    monitor.expect(expected.adds("two"));
    monitor.stop();
}

/// A file system in memory, unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(site: &Site, name: &str) -> Option<Self> {
        let directory = site.file(name);
        fs::create_dir(&directory).expect("it is ours");
        let mounted = attempt("mount", &["-t", "tmpfs", "fimk-test", text(&directory)]);
        mounted.succeeded.then_some(Self(directory))
    }

    fn file(&self) -> PathBuf {
        let path = self.0.join("file");
        fs::write(&path, "one\n").expect("it is ours");
        path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        attempt("umount", &["-l", text(&self.0)]);
    }
}

#[test]
fn equal_inode_numbers_on_two_file_systems_are_two_files() {
    let test = "equal inode numbers on two file systems";
    let site = Site::new();
    let (Some(left), Some(right)) = (Mounted::new(&site, "left"), Mounted::new(&site, "right"))
    else {
        return not_run(test, "no tmpfs can be mounted here");
    };
    let paths = [left.file(), right.file()];
    let inode = |path: &Path| fs::metadata(path).expect("it is ours").ino();
    if inode(&paths[0]) != inode(&paths[1]) {
        return not_run(test, "this kernel numbers all tmpfs together");
    }
    let monitor = site.watch();
    for path in &paths {
        let shell = append_line(path, text(path));
        let expected = Expect::action("modified").of(path).by(&shell);
        monitor.expect(expected.adds(text(path)));
    }
    monitor.stop();
}
