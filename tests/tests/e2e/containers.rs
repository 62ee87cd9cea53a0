//! Who did it, in which container.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use fimk_tests::{Expect, Site, append_line, attempt, not_run, run, text};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).expect("process ids are small");
    kill(Pid::from_raw(pid), signal).expect("it runs");
}

/// The unified hierarchy, mounted for a test, with a group in it of the name that Docker gives.
struct Group {
    root: PathBuf,
    name: PathBuf,
}

impl Group {
    fn new(site: &Site) -> Option<Self> {
        let root = site.outside("cgroup");
        fs::create_dir(&root).expect("it is ours");
        let arguments = ["-t", "cgroup2", "none", text(&root)];
        if !attempt("mount", &arguments).succeeded {
            return None;
        }
        let name = root.join(format!("fimk-{}", std::process::id()));
        let name = name.join(format!("docker-{ID}.scope"));
        fs::create_dir_all(&name).expect("root may make groups");
        Some(Self { root, name })
    }

    fn processes(&self) -> PathBuf {
        self.name.join("cgroup.procs")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.name);
        let _ = self.name.parent().map(fs::remove_dir);
        attempt("umount", &[&self.root]);
    }
}

#[test]
fn a_process_in_a_container_is_named_with_its_container() {
    let site = Site::new();
    let Some(group) = Group::new(&site) else {
        not_run(
            "a_process_in_a_container_is_named_with_its_container",
            "this machine mounts no cgroup2",
        );
        return;
    };
    let (executed, forked) = (
        site.write("executed", "one\n"),
        site.write("forked", "one\n"),
    );
    let plain = site.write("plain", "one\n");
    let monitor = site.watch();
    let processes = group.processes();
    // Moved, then a new program: as container managers do it.
    let script = "echo $$ >\"$0\" && exec sh -c 'echo two >>\"$0\"' \"$1\"";
    let arguments = ["-c", script, text(&processes), text(&executed)];
    let writer = run("sh", &arguments);
    let expected = Expect::action("modified").of(&executed).by(&writer);
    let event = monitor.expect(expected.field("container.id", ID));
    let group = event.text("fimk.cgroup").unwrap_or_default();
    let tail = format!("/fimk-{}/docker-{ID}.scope", std::process::id());
    assert!(group.ends_with(&tail), "{event:?}");
    // Moved, then only a child: what the parent was at its exec no longer holds.
    let script = "echo $$ >\"$0\" && (echo two >>\"$1\"; true) && true";
    run("sh", &["-c", script, text(&processes), text(&forked)]);
    monitor.expect(
        Expect::action("modified")
            .of(&forked)
            .field("container.id", ID),
    );
    let outsider = append_line(&plain, "two");
    let expected = Expect::action("modified").of(&plain).by(&outsider);
    monitor.expect(expected.without("container"));
    monitor.stop();
}

/// A root of its own with programs of the host and a directory of it as `/data`, as container managers make one, and a write
/// to a file there; then it lives until a line comes. In the words of the shell: control group, root, directory of the host.
const CONTAINER: &str = r#"
set -e
echo $$ >"$0"
mount -t tmpfs none "$1"
for directory in /bin /sbin /lib /lib64 /usr /dev; do
    if [ -e "$directory" ]; then
        mkdir "$1$directory"
        mount --rbind "$directory" "$1$directory"
    fi
done
mkdir "$1/data" "$1/old"
mount --bind "$2" "$1/data"
cd "$1"
pivot_root . old
cd /
exec sh -c 'echo two >>/data/file; echo one >/data/new; read line || true'
"#;

/// A process in a container of its own, ended with this.
struct Inside(Child);

impl Inside {
    fn start(group: &Group, site: &Site) -> Self {
        let root = site.outside("root");
        fs::create_dir(&root).expect("it is ours");
        let (processes, volume) = (group.processes(), site.file("volume"));
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", CONTAINER])
            .args([&processes, &root, &volume])
            .stdin(Stdio::piped())
            .spawn()
            .expect("unshare can be executed");
        Self(child)
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        let status = self.0.wait().expect("it is our child");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_change_from_inside_a_container_is_told_by_its_path_on_the_host_and_the_one_used_inside() {
    let site = Site::new();
    let Some(group) = Group::new(&site) else {
        not_run(
            "a_change_from_inside_a_container_is_told_by_both_paths",
            "this machine mounts no cgroup2",
        );
        return;
    };
    let path = site.write("volume/file", "one\n");
    let monitor = site.watch();
    let inside = Inside::start(&group, &site);
    let by = |event: Expect| {
        let event = event.field("process.pid", inside.id());
        event.field("container.id", ID)
    };
    let modified = by(Expect::action("modified").of(&path).adds("two"));
    monitor.expect(modified.field("fimk.accessed_path", "/data/file"));
    let created = by(Expect::action("created").of(&site.file("volume/new")));
    monitor.expect(created.field("fimk.accessed_path", "/data/new"));
    inside.end();
    monitor.stop();
}

#[test]
fn a_change_from_inside_a_container_by_who_ended_at_once_is_told_without_a_guess_at_the_path_used()
{
    let site = Site::new();
    let Some(group) = Group::new(&site) else {
        not_run(
            "a_change_from_inside_a_container_by_who_ended_at_once",
            "this machine mounts no cgroup2",
        );
        return;
    };
    let path = site.write("volume/file", "one\n");
    let monitor = site.watch();
    let analyzer = monitor.analyzer_pid().expect("it runs");
    signal(analyzer, Signal::SIGSTOP);
    let inside = Inside::start(&group, &site);
    let modified = Expect::action("modified").of(&path).adds("two");
    let modified = modified.field("process.pid", inside.id());
    let modified = modified.field("container.id", ID);
    inside.end();
    signal(analyzer, Signal::SIGCONT);
    // The BPF programs saw the name used; fanotify knows only whose it was, and the mounts of that are gone.
    monitor.expect(if monitor.is_bpf() {
        modified.field("fimk.accessed_path", "/data/file")
    } else {
        modified.without("fimk.accessed_path")
    });
    monitor.stop();
}
