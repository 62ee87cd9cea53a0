//! Who did it, in which container.

use std::{fs, path::PathBuf};

use fimk_tests::{Expect, Site, append_line, attempt, not_run, run, text};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

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
