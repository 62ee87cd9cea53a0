#![allow(clippy::expect_used, reason = "a failed step of a test is its failure")]

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::sys::fanotify::{EventFFlags, InitFlags};
use tempfile::{TempDir, tempdir};

use super::{resolve::is_of_a_name, *};
use crate::not_run::not_run;

/// A group as the loader makes it, the directories `in` (marked) and `out` (not), or nothing without root.
struct Scene {
    group: Group,
    directory: TempDir,
}

impl Scene {
    fn new() -> Option<Self> {
        Self::with(
            libc::FAN_REPORT_DFID_NAME
                | libc::FAN_REPORT_FID
                | libc::FAN_REPORT_TARGET_FID
                | libc::FAN_REPORT_PIDFD,
        )
        .or_else(Self::of_names)
    }

    /// With the oldest flags that serve; `None`, with a word, where there is no such group.
    fn of_names() -> Option<Self> {
        let scene = Self::with(libc::FAN_REPORT_DFID_NAME);
        if scene.is_none() {
            not_run("a fanotify group", "needs root, and Linux 5.9 or newer");
        }
        scene
    }

    fn with(flags: u32) -> Option<Self> {
        let init = InitFlags::from_bits_retain(flags)
            | InitFlags::FAN_CLOEXEC
            | InitFlags::FAN_UNLIMITED_QUEUE;
        let fanotify = Fanotify::init(init, EventFFlags::O_RDONLY).ok()?;
        let mut group = Group::new(fanotify.into(), flags).expect("a group");
        let directory = tempdir().expect("a directory");
        for name in ["in", "out"] {
            fs::create_dir(directory.path().join(name)).expect("made");
        }
        group
            .mark_directory(
                &bytes(&directory.path().join("in")),
                Within::Everything,
                MaskFlags::empty(),
            )
            .expect("marked");
        Some(Self { group, directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a shell in the directory, and returns its pid and the events since.
    fn shell(&mut self, script: &str) -> (u32, Vec<FanotifyEvent>) {
        let mut child = Command::new("/bin/sh")
            .args(["-c", script])
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("started");
        assert!(child.wait().expect("waited").success(), "{script}");
        (child.id(), self.events())
    }

    fn events(&mut self) -> Vec<FanotifyEvent> {
        let mut events = Vec::new();
        while self.group.read(&|_| true, &mut events).expect("read") {}
        events
    }
}

fn bytes(path: &Path) -> BytePath {
    BytePath::new(path.as_os_str().as_bytes())
}

fn has(event: &FanotifyEvent, mask: MaskFlags) -> bool {
    event.mask & mask.bits() != 0
}

fn only(events: &[FanotifyEvent], mask: MaskFlags) -> FanotifyEvent {
    let mut found = events.iter().filter(|event| has(event, mask));
    let first = found
        .next()
        .unwrap_or_else(|| panic!("{mask:?} in {events:?}"));
    assert_eq!(found.next(), None, "one {mask:?} only");
    first.clone()
}

#[test]
fn creating_and_writing_name_directory_entry_and_process() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let (pid, events) = scene.shell("echo x > in/a");
    for mask in [
        MaskFlags::FAN_CREATE,
        MaskFlags::FAN_MODIFY,
        MaskFlags::FAN_CLOSE_WRITE,
    ] {
        let event = events
            .iter()
            .find(|event| has(event, mask))
            .expect("an event");
        assert_eq!(event.directory, Some(bytes(&scene.path("in"))));
        assert_eq!((event.name.as_slice(), event.pid), (&b"a"[..], pid));
        assert!(!event.unknown && !event.overflow && event.old.is_none());
    }
    assert!(!scene.group.read(&|_| true, &mut Vec::new()).expect("read"));
}

#[test]
fn a_directory_that_only_leads_elsewhere_tells_of_names_and_of_nothing_that_is_written() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let leads = bytes(&scene.path("out"));
    scene
        .group
        .mark_directory(&leads, Within::Names, MaskFlags::empty())
        .expect("marked");
    let (_, events) = scene.shell("echo x > out/a; chmod 600 out/a; mkdir out/d; rm out/a");
    let written = MaskFlags::FAN_MODIFY | MaskFlags::FAN_CLOSE_WRITE | MaskFlags::FAN_ATTRIB;
    assert!(
        !events.iter().any(|event| has(event, written)),
        "{events:?}"
    );
    let created = events
        .iter()
        .filter(|event| has(event, MaskFlags::FAN_CREATE));
    let names: Vec<_> = created.map(|event| event.name.as_slice()).collect();
    assert_eq!(names, [&b"a"[..], b"d"]);
    assert_eq!(only(&events, MaskFlags::FAN_DELETE).directory, Some(leads));
}

#[test]
fn a_reaped_process_is_told_from_a_living_one() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    fs::write(scene.path("in/a"), "by ourselves").expect("written");
    assert!(
        scene
            .events()
            .iter()
            .all(|event| event.pidfd != Some(PidState::Reaped))
    );
    let (_, events) = scene.shell("echo x > in/b");
    // From Linux 7.1 on there is a pidfd for it as well; before 5.15 there is none at all.
    eprintln!(
        "of a reaped process: {:?}",
        events.first().and_then(|event| event.pidfd)
    );
    assert!(!events.is_empty());
}

#[test]
fn pidfds_are_closed() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    // Other tests of this process open much else, and a few of these.
    let is_pidfd = |target: &PathBuf| target.to_string_lossy().contains("pidfd");
    let open = || {
        let all = fs::read_dir("/proc/self/fd").expect("read").flatten();
        let targets = all.filter_map(|it| fs::read_link(it.path()).ok());
        targets.filter(is_pidfd).count()
    };
    for name in 0..2000 {
        fs::write(scene.path(&format!("in/{name}")), "x").expect("written");
    }
    assert!(scene.events().len() >= 2000);
    assert!(open() < 500, "{} pidfds are open", open());
}

#[test]
fn a_rename_inside_has_both_names() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    fs::write(scene.path("in/a"), "x").expect("written");
    scene.events();
    let (pid, events) = scene.shell("exec mv in/a in/b");
    let inside = bytes(&scene.path("in"));
    assert!(scene.group.reports_renames());
    let event = only(&events, MaskFlags::FAN_RENAME);
    assert_eq!(event.old, Some((inside.clone(), b"a".to_vec())));
    assert_eq!(
        (event.directory, event.name.as_slice(), event.pid),
        (Some(inside), &b"b"[..], pid)
    );
}

#[test]
fn a_rename_across_the_border_has_the_watched_side_only() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    fs::write(scene.path("in/a"), "x").expect("written");
    scene.events();
    let inside = bytes(&scene.path("in"));
    let (_, events) = scene.shell("exec mv in/a out/b");
    let left = only(&events, MaskFlags::FAN_RENAME);
    assert_eq!(
        (left.old, left.directory, left.unknown),
        (Some((inside.clone(), b"a".to_vec())), None, false)
    );
    let (_, events) = scene.shell("exec mv out/b in/c");
    let came = only(&events, MaskFlags::FAN_RENAME);
    assert_eq!(
        (came.old, came.directory, came.name.as_slice()),
        (None, Some(inside), &b"c"[..])
    );
}

#[test]
fn an_unmarked_directory_in_a_marked_one_is_no_unknown_directory() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let (_, events) = scene.shell("mkdir in/d && chmod 700 in/d && rmdir in/d");
    assert!(events.iter().any(|event| has(event, MaskFlags::FAN_CREATE)));
    assert!(events.iter().any(|event| has(event, MaskFlags::FAN_DELETE)));
    assert!(!events.iter().any(|event| event.unknown), "{events:?}");
}

#[test]
fn what_is_forgotten_and_written_elsewhere_is_nothing_unknown() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    fs::write(scene.path("in/a"), "x").expect("written");
    let watched = bytes(&scene.path("in/a"));
    scene
        .group
        .mark_file(&watched, MaskFlags::empty())
        .expect("marked");
    scene.shell("mv in/a out/a");
    scene.group.forget(&watched);
    let (_, events) = scene.shell("echo y > out/a && rm out/a");
    assert_eq!(events, []);
}

#[test]
fn without_fan_rename_the_two_halves_are_told_apart() {
    let Some(mut scene) = Scene::of_names() else {
        return;
    };
    let inside = bytes(&scene.path("in"));
    let second = bytes(&scene.path("out"));
    // As on a kernel that refused it: a directory marked so from the start.
    scene.group.rename = false;
    scene
        .group
        .mark_directory(&second, Within::Everything, MaskFlags::empty())
        .expect("marked");
    fs::write(scene.path("out/a"), "x").expect("written");
    scene.events();
    let (_, events) = scene.shell("exec mv out/a out/b");
    let from = only(&events, MaskFlags::FAN_MOVED_FROM);
    assert_eq!(
        (from.old, from.directory),
        (Some((second.clone(), b"a".to_vec())), None)
    );
    let to = only(&events, MaskFlags::FAN_MOVED_TO);
    assert_eq!(
        (to.old, to.directory, to.name.as_slice()),
        (None, Some(second), &b"b"[..])
    );
    assert_ne!(Some(inside), to.object);
}

#[test]
fn deleting_and_changing_the_mode_are_seen() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    fs::write(scene.path("in/a"), "x").expect("written");
    scene.events();
    let (pid, events) = scene.shell("exec chmod 600 in/a");
    let event = only(&events, MaskFlags::FAN_ATTRIB);
    assert_eq!((event.name.as_slice(), event.pid), (&b"a"[..], pid));
    let (pid, events) = scene.shell("exec rm in/a");
    let event = only(&events, MaskFlags::FAN_DELETE);
    assert_eq!((event.name.as_slice(), event.pid), (&b"a"[..], pid));
}

#[test]
fn the_directory_itself_has_an_empty_name() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let (_, events) = scene.shell("chmod 711 in; rmdir in");
    let inside = Some(bytes(&scene.path("in")));
    let event = only(&events, MaskFlags::FAN_ATTRIB);
    assert_eq!(
        (event.directory.clone(), event.name.as_slice()),
        (inside.clone(), &b""[..])
    );
    let event = only(&events, MaskFlags::FAN_DELETE_SELF);
    assert!(event.directory == inside || event.object == inside);
}

#[test]
fn a_moved_directory_has_its_new_path_and_a_forgotten_one_is_silent() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let (old, new) = (bytes(&scene.path("in")), bytes(&scene.path("out/new")));
    scene.shell("mv in out/new");
    scene.group.moved(&old, &new);
    let (_, events) = scene.shell("echo x > out/new/a");
    assert_eq!(
        only(&events, MaskFlags::FAN_CREATE).directory,
        Some(new.clone())
    );
    scene.group.forget(&new);
    let (_, events) = scene.shell("echo x > out/new/b");
    assert_eq!(events, []);
    scene
        .group
        .mark_directory(&new, Within::Everything, MaskFlags::empty())
        .expect("marked again");
    let (_, events) = scene.shell("echo x > out/new/c");
    assert_eq!(only(&events, MaskFlags::FAN_CREATE).directory, Some(new));
}

#[test]
fn a_file_marked_itself_is_seen_under_another_name() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    fs::write(scene.path("out/a"), "x").expect("written");
    fs::hard_link(scene.path("out/a"), scene.path("out/b")).expect("linked");
    let path = bytes(&scene.path("out/a"));
    scene
        .group
        .mark_file(&path, MaskFlags::empty())
        .expect("marked");
    let (pid, events) = scene.shell("echo y >> out/b");
    let event = events
        .iter()
        .find(|event| has(event, MaskFlags::FAN_MODIFY))
        .expect("an event");
    assert_eq!((event.object.as_ref(), event.pid), (Some(&path), pid));
}

#[test]
fn a_full_queue_is_an_event() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let limited = InitFlags::from_bits_retain(libc::FAN_REPORT_DFID_NAME) | InitFlags::FAN_CLOEXEC;
    let fanotify = Fanotify::init(limited, EventFFlags::O_RDONLY).expect("a group");
    scene.group = Group::new(fanotify.into(), libc::FAN_REPORT_DFID_NAME).expect("a group");
    scene
        .group
        .mark_directory(
            &bytes(&scene.path("in")),
            Within::Everything,
            MaskFlags::empty(),
        )
        .expect("marked");
    for name in 0..17_000 {
        fs::File::create(scene.path(&format!("in/{name}"))).expect("created");
    }
    assert!(scene.events().iter().any(|event| event.overflow));
}

#[test]
fn links_files_and_missing_directories_are_not_marked() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    symlink("/etc", scene.path("link")).expect("linked");
    fs::write(scene.path("file"), "x").expect("written");
    for name in ["link", "file"] {
        assert_eq!(
            scene.group.mark_directory(
                &bytes(&scene.path(name)),
                Within::Everything,
                MaskFlags::empty()
            ),
            Err(MarkError::NotDirectory)
        );
    }
    assert_eq!(
        scene.group.mark_directory(
            &bytes(&scene.path("none")),
            Within::Everything,
            MaskFlags::empty()
        ),
        Err(MarkError::Gone)
    );
    assert_eq!(scene.group.marked(), 1);
}

/// The same with the file system marked as a whole; nothing where the kernel does not tell enough, or takes no such mark.
fn whole_scene() -> Option<Scene> {
    let mut scene = Scene::new()?;
    let top = fs::File::open(scene.path("")).expect("opened");
    let top = OwnedFd::from(top);
    let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM;
    let mask = names_mask() | content_mask() | MaskFlags::FAN_RENAME;
    let marked = scene.group.fanotify.mark(flags, mask, &top, None::<&str>);
    if !scene.group.takes_wholes() || marked.is_err() {
        not_run(
            "a whole file system",
            &format!("this kernel does not tell enough ({marked:?})"),
        );
        return None;
    }
    let id = Group::file_system_of(&top).expect("every file system has one");
    scene.group.begin_whole(id);
    Some(scene)
}

#[test]
fn on_a_whole_file_system_what_is_in_a_new_directory_is_known_by_the_events_alone() {
    let Some(mut scene) = whole_scene() else {
        return;
    };
    let script = "mkdir -p in/d/e && echo x >in/d/e/a && mkdir out/d && echo x >out/d/a && mv in/d in/n && echo x >in/n/e/b";
    let (_, events) = scene.shell(script);
    let created = |path: &str| {
        let path = bytes(&scene.path(path));
        let mut created = events.iter().filter(|it| has(it, MaskFlags::FAN_CREATE));
        created
            .any(|it| it.directory.as_ref().map(|above| above.join(&it.name)) == Some(path.clone()))
    };
    assert!(created("in/d") && created("in/d/e") && created("in/d/e/a"));
    assert!(!created("out/d") && !created("out/d/a"));
    assert!(events.iter().all(|event| !event.unknown), "{events:?}");
    // Where it is now is known once the rename was looked at.
    let renamed = only(&events, MaskFlags::FAN_RENAME);
    scene.group.moved_newborn(&renamed, true);
    let (_, mut events) = scene.shell("echo x >in/n/e/c");
    let mut made = only(&events, MaskFlags::FAN_CREATE);
    assert_eq!(made.directory, Some(bytes(&scene.path("in/n/e"))));
    scene.group.moved_newborn(&renamed, false);
    scene.group.refresh(&mut made);
    assert_eq!(
        made.directory,
        Some(bytes(&scene.path("in/n/e"))),
        "it keeps the one it had"
    );
    (_, events) = scene.shell("echo x >in/n/e/d");
    assert_eq!(events, [], "out of sight");
}

#[test]
fn on_a_whole_file_system_a_directory_that_only_leads_to_others_tells_of_names_alone() {
    let Some(mut scene) = whole_scene() else {
        return;
    };
    scene
        .group
        .mark_directory(
            &bytes(&scene.path("out")),
            Within::Names,
            MaskFlags::empty(),
        )
        .expect("marked");
    let (_, events) = scene.shell("echo x >out/a && chmod 600 out/a && rm out/a");
    assert!(
        events.iter().all(|event| is_of_a_name(event.mask)),
        "{events:?}"
    );
    only(&events, MaskFlags::FAN_DELETE);
    let (_, events) = scene.shell("chmod 711 out");
    only(&events, MaskFlags::FAN_ATTRIB);
    let (_, events) = scene.shell("echo x >in/a");
    assert!(
        events.iter().any(|it| has(it, MaskFlags::FAN_MODIFY)),
        "{events:?}"
    );
}
