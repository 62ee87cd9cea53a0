//! What changes without a record of the kernel, because somebody holds it mapped or open: found, with who holds it.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use fimk_tests::{Expect, Mapping, Monitor, Site, append_line, myself, not_run, text};

/// The path that the other process is to map.
const VARIABLE: &str = "FIMK_TEST_MAPS";
const MAPPED: &str = "it is mapped";

/// No test: what [`Other`] runs.
#[test]
fn the_other_process_that_holds_a_mapping() {
    let Some(path) = std::env::var_os(VARIABLE) else {
        return;
    };
    let mapping = Mapping::new(Path::new(&path), 7).expect("it can be mapped");
    println!("{MAPPED}");
    // Until whoever started us closes the pipe.
    let _ = std::io::stdin().lines().count();
    drop(mapping);
}

/// This program once more, with a mapping of a file.
struct Other {
    child: Child,
    /// Kept open: the test harness in it says how it went.
    _output: BufReader<ChildStdout>,
}

impl Other {
    fn maps(path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("it runs"))
            .args([
                "--exact",
                "--nocapture",
                "holders::the_other_process_that_holds_a_mapping",
            ])
            .env(VARIABLE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be executed");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut said = String::new();
        while !said.contains(MAPPED) {
            let length = output.read_line(&mut said).expect("it is text");
            assert!(length > 0, "the other process maps nothing: {said}");
        }
        Self {
            child,
            _output: output,
        }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Whether this kernel can tell who holds a mapping.
fn tells_mappings(monitor: &Monitor, test: &str) -> bool {
    let events = monitor.events();
    let plan = events
        .iter()
        .find_map(|event| event.get("fimk.plan")?.get("mappings")?.as_str());
    let tells = plan.is_some_and(|plan| plan.contains("task_vma"));
    if !tells {
        not_run(test, "this kernel has no iterator over mappings (5.12)");
    }
    tells
}

#[test]
fn a_store_to_a_mapping_older_than_fimk_names_the_process_that_holds_it() {
    let site = Site::new();
    let path = site.write("mapped", "before\n");
    let mut mapping = Mapping::new(&path, 7).expect("it can be mapped");
    let monitor = site.watch();
    mapping.store(b"after!\n");
    let mut expected = Expect::action("modified")
        .of(&path)
        .removes("before")
        .adds("after!")
        .field("fimk.detected_by", "late");
    if tells_mappings(&monitor, "a mapping older than fimk, with its process") {
        expected = expected.by(&myself());
        expected = expected.field("fimk.attributed_by", vec!["look", "process_table"]);
    }
    monitor.expect(expected.with_content_of(&path));
    // The page is dirty by now: no time changes for this one.
    mapping.store(b"again!\n");
    let again = Expect::action("modified").of(&path).removes("after!");
    monitor.expect(again.adds("again!"));
    drop(mapping);
    monitor.stop();
}

#[test]
fn of_several_who_hold_a_mapping_all_are_named_and_none_as_the_one() {
    let site = Site::new();
    let path = site.write("mapped", "before\n");
    let other = Other::maps(&path);
    let mut mapping = Mapping::new(&path, 7).expect("it can be mapped");
    let monitor = site.watch();
    if !tells_mappings(&monitor, "of several who hold a mapping all are named") {
        return;
    }
    mapping.store(b"after!\n");
    let event = monitor.expect(Expect::action("modified").of(&path).adds("after!"));
    assert_eq!(event.get("process"), None, "{event:?}");
    let mut pids: Vec<_> = event
        .get("fimk.actors")
        .and_then(serde_json::Value::as_array)
        .expect("there are actors")
        .iter()
        .filter_map(|actor| actor["pid"].as_u64())
        .collect();
    pids.sort_unstable();
    let mut both = [u64::from(other.pid()), u64::from(myself().pid)];
    both.sort_unstable();
    assert_eq!(pids, both, "{event:?}");
    drop(other);
    // The other may be among those of this one: it released the file just before.
    mapping.store(b"first!\n");
    monitor.expect(Expect::action("modified").of(&path).adds("first!"));
    mapping.store(b"alone!\n");
    let alone = Expect::action("modified").of(&path).adds("alone!");
    monitor.expect(alone.by(&myself()));
    monitor.stop();
}

#[test]
fn a_store_after_mprotect_is_found_while_the_mapping_stays() {
    let site = Site::new();
    let path = site.write("mapped", "before\n");
    let monitor = site.watch();
    let mut mapping = Mapping::read_only(&path, 7).expect("it can be mapped");
    mapping.allow_stores().expect("it was opened for writing");
    mapping.store(b"after!\n");
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&myself())
            .adds("after!"),
    );
    drop(mapping);
    monitor.stop();
}

#[test]
fn a_write_is_put_on_the_writer_while_another_process_holds_a_mapping() {
    let site = Site::new();
    let path = site.write("mapped", "before\n");
    let other = Other::maps(&path);
    let monitor = site.watch();
    for line in ["one", "two", "three"] {
        let writer = append_line(&path, line);
        let expected = Expect::action("modified").of(&path).adds(line);
        monitor.expect(expected.by(&writer));
    }
    let pid = u64::from(other.pid());
    drop(other);
    let events = monitor.stop();
    let wrong = |event: &&fimk_tests::Event| {
        event.text("file.path") == Some(text(&path)) && event.number("process.pid") == Some(pid)
    };
    assert_eq!(events.iter().find(wrong), None, "it changed nothing");
}

#[test]
fn a_mapping_that_nobody_stores_to_is_no_change() {
    let site = Site::new();
    let (path, last) = (
        site.write("mapped", "before\n"),
        site.write("last", "one\n"),
    );
    let other = Other::maps(&path);
    let monitor = site.watch();
    drop(other);
    append_line(&last, "two");
    monitor.expect(Expect::action("modified").of(&last));
    let events = monitor.stop();
    let about = |event: &&fimk_tests::Event| event.text("file.path") == Some(text(&path));
    assert_eq!(events.iter().find(about), None);
}

#[test]
fn a_write_by_a_descriptor_older_than_fimk_is_seen_with_its_process() {
    use std::io::Write as _;
    let site = Site::new();
    let path = site.write("open", "before\n");
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .expect("it is ours");
    let monitor = site.watch();
    file.write_all(b"after\n").expect("it is ours");
    let expected = Expect::action("modified").of(&path).by(&myself());
    monitor.expect(expected.adds("after"));
    monitor.stop();
}
