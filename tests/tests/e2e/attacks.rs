//! Somebody without any privilege fights fimk with its own limits: each limit holds, is told when it is met, and takes
//! nothing from what others do.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use fimk_store::Store;
use fimk_tests::{
    Event, Expect, Monitor, Ran, Site, append_line, attempt, deadline, not_run, rule, text, which,
};
use nix::sys::signal::Signal;

/// Somebody without any privilege.
const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/// Processes that end at once, as many as it is told.
const FORKS: &str = r#"
    use POSIX ();
    $SIG{CHLD} = "IGNORE";
    for (my $left = $ARGV[0]; $left > 0; $left--) {
        my $pid = fork;
        POSIX::_exit(0) if defined $pid && $pid == 0;
        select(undef, undef, undef, 0.001) unless defined $pid;
    }
"#;

/// More than there is room for in the table of processes, which has 16,384 entries.
const MORE_THAN_FIT: &str = "20000";

fn is_emulated() -> bool {
    deadline() > Duration::from_secs(30)
}

/// Runs this as nobody, to its end.
fn as_nobody(words: &[&str]) -> Ran {
    attempt("setpriv", &[&NOBODY[..], words].concat())
}

/// A program that goes on as nobody until it is dropped.
struct Attacker(Child);

impl Attacker {
    fn new(words: &[&str]) -> Self {
        let mut command = Command::new("setpriv");
        command.args(NOBODY).args(words).stdin(Stdio::null());
        Self(command.spawn().expect("setpriv is there"))
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file, and who appended to it.
type Written = (PathBuf, Ran);

fn write_each(site: &Site, name: &str, count: u32) -> Vec<Written> {
    let paths = (0..count).map(|number| site.file(&format!("{name}{number}")));
    paths
        .map(|path| {
            let shell = append_line(&path, name);
            (path, shell)
        })
        .collect()
}

/// Each is told, and of nobody else. How many are told with their program.
fn are_told_of_nobody_else(monitor: &Monitor, written: &[Written]) -> usize {
    let mut named = 0;
    for (path, shell) in written {
        let event = monitor.expect(Expect::any_of(&["created", "modified"]).of(path));
        let all = monitor.events();
        for event in all.iter().filter(|event| event.is_about(path)) {
            let pid = event.number("process.pid");
            let executable = event.text("process.executable");
            let user = event.text("user.id");
            let of = |account: &str| format!("{account}: {event:?}\n{}", monitor.account());
            assert!(
                pid.is_none_or(|pid| pid == u64::from(shell.pid)),
                "{}",
                of("another's number")
            );
            assert!(
                executable.is_none_or(|it| it == text(&shell.executable)),
                "{}",
                of("another's program")
            );
            assert!(
                user.is_none_or(|user| user == "0"),
                "{}",
                of("another user")
            );
        }
        named += usize::from(event.text("process.executable").is_some());
    }
    named
}

#[test]
fn who_starts_processes_without_end_is_told_and_nobody_is_taken_for_another() {
    let name = "who_starts_processes_without_end_is_told_and_nobody_is_taken_for_another";
    if which("perl".as_ref()).is_none() {
        not_run(name, "it needs perl");
        return;
    }
    let site = Site::new();
    let monitor = site.watch();
    let flood = Attacker::new(&["perl", "-e", FORKS, "1000000"]);
    let beside = write_each(&site, "beside", if is_emulated() { 5 } else { 20 });
    let named = are_told_of_nobody_else(&monitor, &beside);
    drop(flood);
    assert_eq!(named, beside.len(), "there was room\n{}", monitor.account());

    if is_emulated() {
        not_run(
            "a full table of processes",
            "an emulated machine needs more than a minute for 20,000 processes",
        );
        monitor.stop();
        return;
    }
    // Who forgets the processes that ended gets no CPU for a while.
    monitor.signal(Signal::SIGSTOP);
    let flood = as_nobody(&["perl", "-e", FORKS, MORE_THAN_FIT]);
    assert!(flood.succeeded, "{}", flood.output);
    let full = write_each(&site, "full", 5);
    monitor.signal(Signal::SIGCONT);
    let named = are_told_of_nobody_else(&monitor, &full);
    println!(
        "{named} of {} are named while the table is full",
        full.len()
    );
    monitor.expect(
        Expect::action("events_lost").and("of the table of processes".to_owned(), |event| {
            event.number("fimk.counts.actors_map_full") > Some(0)
        }),
    );
    let path = site.file("after");
    let end = Instant::now() + deadline();
    loop {
        let shell = append_line(&path, "line");
        let told = monitor.wait_at_most(Duration::from_secs(1), 0, |events| {
            let by_it = Expect::any_of(&["created", "modified"])
                .of(&path)
                .by(&shell);
            events.iter().any(|event| by_it.is_met_by(event))
        });
        if told {
            break;
        }
        assert!(
            Instant::now() < end,
            "there is room again\n{}",
            monitor.account()
        );
    }
    monitor.stop();
}

/// Makes this many files of 8 KiB in a directory.
const NOISE: &str = r#"
    chdir $ARGV[0] or die;
    for my $file (1..$ARGV[1]) {
        open(my $out, ">", $file) or die;
        print $out "$file $_\n" . "n" x 1000 . "\n" for 1..8;
    }
"#;
/// So many that their events take more than the room for all.
const NOISES: u32 = 300;

/// Everything in the database of a fimk that has ended.
fn stored(site: &Site) -> Vec<fimk_core::event::Event> {
    let (store, _) = Store::open(&site.state()).expect("nobody else has it");
    store.verify_chain(0).expect("it is whole");
    let mut all: Vec<fimk_core::event::Event> = Vec::new();
    loop {
        let last = all.last().map_or(0, |event| event.sequence);
        let more = store.events_after(last, 1_000).expect("they can be read");
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

#[test]
fn noise_pushes_out_itself_and_leaves_the_evidence_in_the_store() {
    let name = "noise_pushes_out_itself_and_leaves_the_evidence_in_the_store";
    if which("perl".as_ref()).is_none() {
        not_run(name, "it needs perl");
        return;
    }
    let site = Site::new();
    let evidence = site.write("evidence", "one\n");
    fs::set_permissions(&evidence, fs::Permissions::from_mode(0o666)).expect("it is ours");
    let open = site.file("open");
    fs::create_dir(&open).expect("it is ours");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let of = |name: &str, severity: &str, path: &Path| {
        let path = text(path);
        format!("[[rule]]\nname = {name:?}\nseverity = {severity:?}\npaths = [{path:?}]\n")
    };
    let rules = [of("evidence", "high", &evidence), of("noise", "low", &open)].concat();
    let config = format!("objects_max = 8192\n[store]\nkeep_bytes = 1048576\n{rules}");
    let monitor = site.start(&config);
    let script = "echo two >> \"$0\"";
    assert!(as_nobody(&["sh", "-c", script, text(&evidence)]).succeeded);
    let by_nobody = Expect::action("modified").of(&evidence).adds("two");
    let told = monitor.expect(by_nobody.field("user.id", "65534"));

    let count = NOISES.to_string();
    let noise = as_nobody(&["perl", "-e", NOISE, text(&open), &count]);
    assert!(noise.succeeded, "{}", noise.output);
    let removed = |event: &Event, class: &str| {
        event
            .number(&format!("fimk.counts.removed_{class}"))
            .unwrap_or(0)
    };
    monitor.expect(
        Expect::action("events_removed").and("of the noise alone".to_owned(), move |event| {
            removed(event, "low") > 0 && removed(event, "high") == 0
        }),
    );
    let database = site.status()["database"].clone();
    assert!(
        database["removed_by_size"]["low"].as_u64() > Some(0),
        "{database}"
    );
    assert_eq!(
        database["removed_by_size"]["high"].as_u64(),
        None,
        "{database}"
    );
    monitor.stop();

    let stored = stored(&site);
    let about = |path: &Path| {
        let name = text(path).as_bytes().to_vec();
        let changes = stored
            .iter()
            .filter_map(|event| Some((event.sequence, event.body.change()?)));
        let below = changes.filter(move |(_, change)| change.file.path.bytes().starts_with(&name));
        below.map(|(sequence, _)| sequence).collect::<Vec<_>>()
    };
    assert_eq!(
        about(&evidence),
        told.number("event.sequence")
            .into_iter()
            .collect::<Vec<_>>()
    );
    let left = about(&open).len();
    assert!(
        left > 0 && left < NOISES as usize,
        "{left} of the noise are left"
    );
}

/// How many events there are about what lies below these.
fn about(events: &[Event], places: &[&Path]) -> usize {
    let below = |path: &str| {
        places
            .iter()
            .any(|place| Path::new(path).starts_with(place))
    };
    let paths = events.iter().filter_map(|event| event.text("file.path"));
    paths.filter(|path| below(path)).count()
}

#[test]
fn a_rule_that_covers_fimks_own_directories_is_said_and_makes_no_circle() {
    let site = Site::new();
    let alias = site.file("alias");
    fs::create_dir(&alias).expect("it is ours");
    let root = site.files().parent().expect("it is in the site").to_owned();
    let config = rule(&[&root]).replace("type = \"stdout\"", "type = \"stdout\"\nseverity = 0");
    let monitor = site.start(&config);
    for own in [site.state(), site.run_dir()] {
        monitor.expect_logged(&format!(
            "the rule \"test\" covers {}, where fimk itself",
            text(&own)
        ));
    }
    let before = monitor.event_count();
    let bound = attempt("mount", &["--bind", text(&site.state()), text(&alias)]);
    if !bound.succeeded {
        not_run("fimk's directory by another name", &bound.output);
    }
    // Each is an event that is stored below the rule.
    for number in 0..5 {
        let path = site.file(&format!("file{number}"));
        let shell = append_line(&path, "one");
        monitor.expect(
            Expect::any_of(&["created", "modified"])
                .of(&path)
                .by(&shell),
        );
        thread::sleep(Duration::from_secs(1));
    }
    attempt("umount", &["-l", text(&alias)]);
    let events = monitor.stop();
    let own = [site.state(), site.run_dir()].map(|own| about(&events, &[&own]));
    assert_eq!(own, [0, 0], "{events:?}");
    // Of the place itself it may be told what was mounted there.
    let below = events[before..].iter().filter(|event| {
        event
            .text("file.directory")
            .is_some_and(|it| it.starts_with(text(&alias)))
    });
    assert_eq!(below.count(), 0, "{events:?}");
}
