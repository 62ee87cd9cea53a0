//! Which source watches which mount: one that fanotify cannot mark, or that others may change, is compared at intervals.

use std::{fs, path::Path, process::Command};

use fimk_tests::{Event, Expect, Monitor, Site, attempt, fuse::Silent, not_run, rule, text};
use serde_json::Value;

const TEST: &str = "a mount that the source does not serve is compared";

/// Unmounts when dropped.
struct Mounted(Vec<std::path::PathBuf>);

impl Mounted {
    fn mount(&mut self, point: &Path, arguments: &[&str]) {
        fs::create_dir_all(point).expect("it is ours");
        if attempt("mount", &[arguments, &[text(point)]].concat()).succeeded {
            self.0.push(point.to_owned());
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for point in self.0.iter().rev() {
            attempt("umount", &["-l", text(point)]);
        }
    }
}

fn started(site: &Site, source: &str) -> Monitor {
    let rule = rule(&[&site.files()]);
    let config = format!("source = \"{source}\"\nscan_interval_s = 1\n{rule}");
    let mut monitor = site.launch(&config).spawn();
    assert_eq!(monitor.await_start_or_exit(), None);
    monitor
}

/// The mounts of a status by their paths.
fn mounts(site: &Site) -> Vec<(String, Vec<String>, String)> {
    let output = Command::new(site.fimk())
        .args(["status", "--format", "json", "--run-dir"])
        .arg(site.run_dir())
        .output()
        .expect("fimk is built beside the loader");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("it answers");
    let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |mount: &Value| {
        let sources = mount["sources"].as_array().expect("a list");
        let sources = sources.iter().map(words).collect();
        (words(&mount["path"]), sources, words(&mount["reason"]))
    };
    let mounts = answer["mounts"].as_array().expect("a list");
    mounts.iter().map(of).collect()
}

fn sources_of<'a>(mounts: &'a [(String, Vec<String>, String)], point: &Path) -> Vec<&'a str> {
    let mount = mounts.iter().find(|(path, ..)| path == text(point));
    let (_, sources, why) =
        mount.unwrap_or_else(|| panic!("{} is not in {mounts:?}", point.display()));
    assert!(!why.is_empty(), "{mounts:?}");
    sources.iter().map(String::as_str).collect()
}

#[test]
fn what_others_may_change_is_compared_beside_the_source_and_the_status_says_which_and_why() {
    let site = Site::new();
    let point = site.file("fuse");
    fs::create_dir(&point).expect("it is ours");
    let silent = match Silent::mount(&point) {
        Ok(silent) => silent,
        Err(error) => {
            let test = "what_others_may_change_is_compared_beside_the_source";
            not_run(test, &format!("no FUSE here: {error}"));
            return;
        }
    };
    silent.answer();
    let monitor = started(&site, "fanotify");
    let told = mounts(&site);
    let sources = sources_of(&told, &point);
    assert!(sources.contains(&"periodic"), "{told:?}");
    assert_eq!(sources_of(&told, Path::new("/")).len(), 1, "{told:?}");
    if sources == ["periodic"] {
        let refused = Expect::action("degraded").and("of the mount".to_owned(), {
            let point = text(&point).to_owned();
            move |event: &Event| {
                let message = event.text("message").unwrap_or_default();
                message.contains(&point) && message.contains("is compared every 1 s")
            }
        });
        monitor.expect(refused);
    }
    let words = Command::new(site.fimk())
        .args(["status", "--run-dir"])
        .arg(site.run_dir())
        .output()
        .expect("fimk is built beside the loader");
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(
        words.contains(&format!("periodic: {} (fuse): ", text(&point))),
        "{words}"
    );
    monitor.stop();
}

/// Which file systems take no marks depends on the kernel: overlays before 6.12, tmpfs on 5.10.
#[test]
fn what_fanotify_cannot_mark_is_found_by_comparing_and_said_to_be() {
    let site = Site::new();
    let mut mounted = Mounted(Vec::new());
    let layers = ["lower", "upper", "work"].map(|name| site.outside("layers").join(name));
    mounted.mount(&site.outside("layers"), &["-t", "tmpfs", "none"]);
    for layer in &layers {
        fs::create_dir(layer).expect("it is ours");
    }
    let [lower, upper, work] = layers.each_ref().map(|layer| text(layer));
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    let (overlay, tmpfs) = (site.file("overlay"), site.file("tmpfs"));
    mounted.mount(&overlay, &["-t", "overlay", "none", "-o", &options]);
    mounted.mount(&tmpfs, &["-t", "tmpfs", "none"]);
    let monitor = started(&site, "fanotify");
    let told = mounts(&site);
    let apart: Vec<_> = [overlay, tmpfs]
        .into_iter()
        .filter(|point| sources_of(&told, point) == ["periodic"])
        .collect();
    if apart.is_empty() {
        not_run(TEST, "this kernel marks overlays and tmpfs");
        monitor.stop();
        return;
    }
    for point in &apart {
        let (path, moved) = (point.join("made"), point.join("moved"));
        let found = |action: &str, path: &Path| {
            let event = Expect::action(action).of(path).without("process");
            event.field("fimk.source", "periodic")
        };
        fs::write(&path, "one\n").expect("it is ours");
        monitor.expect(found("created", &path));
        fs::write(&path, "two\n").expect("it is ours");
        monitor.expect(found("modified", &path).adds("two"));
        fs::rename(&path, &moved).expect("it is ours");
        let renamed = Expect::any_of(&["renamed", "created"]).of(&moved);
        monitor.expect(renamed.field("fimk.source", "periodic"));
        fs::remove_file(&moved).expect("it is ours");
        monitor.expect(found("deleted", &moved));
    }
    let here = site.write("here", "one\n");
    let created = Expect::action("created").of(&here);
    monitor.expect(created.field("fimk.source", "fanotify"));
    monitor.stop();
}
