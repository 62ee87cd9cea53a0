//! All cases, one after the other, under one fimk.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fimk_tests::{Event, Monitor, Site, attempt, deadline, marks, rule, run as execute, text};

use crate::{
    case::{Case, Need},
    helper::{Helper, PROGRAM, Word},
    reasons::reason_of,
    verdict::{Deed, Outcome, account, judge},
};

/// The watched file of each case, see `evade.h`.
const BLOCKS: usize = 3 * 4096;

/// A case that runs or has run.
struct Running<'a> {
    case: &'a Case,
    watched: PathBuf,
    out: PathBuf,
    helper: Option<Helper>,
    helper_pid: u32,
    actor: u32,
    holder: u32,
    begun: Instant,
    done: Instant,
    digests: Vec<Option<String>>,
    /// Why there is nothing to judge.
    failed: Option<Outcome>,
}

/// What serves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Bpf,
    Fanotify,
    /// With whole file systems marked, which is another source for these tables.
    Wholes,
    Periodic,
}

impl Source {
    fn of(monitor: &Monitor) -> Self {
        let events = monitor.events();
        let is_periodic = |event: &Event| {
            event.action() == "monitor_started" && event.text("fimk.source") == Some("periodic")
        };
        if monitor.is_bpf() {
            Self::Bpf
        } else if events.iter().any(is_periodic) {
            Self::Periodic
        } else if marks().as_deref() == Some("filesystem") {
            Self::Wholes
        } else {
            Self::Fanotify
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bpf => "bpf",
            Self::Fanotify => "fanotify",
            Self::Wholes => "fanotify-filesystem",
            Self::Periodic => "periodic",
        }
    }
}

/// A line of the table.
struct Line<'a> {
    case: &'a Case,
    outcome: Outcome,
    delay: Option<Duration>,
    notes: Vec<String>,
    well: bool,
}

/// Runs the cases; whether all did as they must.
pub fn run(cases: &[Case]) -> bool {
    let site = Site::new();
    let _mounted = Mounted(site.files().parent().expect("it has one").to_owned());
    let program = write_program(&site);
    let mut running: Vec<Running<'_>> = cases
        .iter()
        .enumerate()
        .map(|(number, case)| Running::new(&site, number, case))
        .collect();
    for it in running.iter_mut().filter(|it| it.case.early) {
        it.start(&program);
    }
    let config = config(&site);
    let monitor = site.start(&config);
    println!("\nrunning {} tests", cases.len());
    for it in &mut running {
        it.act(&monitor, &program);
    }
    await_all(&running, &monitor, &program);
    let events = monitor.timed_events();
    let source = Source::of(&monitor);
    if source == Source::Wholes {
        assert_whole(&site);
    }
    let mappings = tells_mappings(&monitor);
    if std::env::var_os("FIMK_SHOW").is_some() {
        println!("{}", monitor.account());
    }
    let lines: Vec<Line<'_>> = running
        .iter()
        .map(|it| it.line(&events, source, it.need(source, mappings), &program))
        .collect();
    let header = header(&site, source);
    // While fimk watches, so that what is released now does not stay unread.
    drop(running);
    monitor.stop();
    print(&header, &lines)
}

fn write_program(site: &Site) -> PathBuf {
    let program = site.outside("evade");
    fs::write(&program, PROGRAM).expect("it is ours");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    program
}

/// Everything is printed, also what changed nothing; all content is compared soon enough to be waited for.
fn config(site: &Site) -> String {
    let rule = rule(&[&site.files()]).replace("\"stdout\"", "\"stdout\"\nseverity = 0");
    // What only comparing finds is waited for before the next case begins.
    format!("compare_interval_s = 20\nscan_interval_s = 1\n{rule}")
}

/// How long a case waits for its event before the next begins. What comes later counts, too.
fn patience() -> Duration {
    deadline() / 12
}

impl<'a> Running<'a> {
    fn new(site: &Site, number: usize, case: &'a Case) -> Self {
        let name = format!("{number:03}-{}", case.technique);
        let (watched, out) = (site.file(&name), site.outside("out").join(&name));
        for directory in [&watched, &out] {
            fs::create_dir_all(directory).expect("it is ours");
        }
        fs::write(watched.join("file"), lines()).expect("it is ours");
        let now = Instant::now();
        Self {
            case,
            watched,
            out,
            helper: None,
            helper_pid: 0,
            actor: 0,
            holder: 0,
            begun: now,
            done: now,
            digests: vec![None; case.told.len()],
            failed: None,
        }
    }

    fn start(&mut self, program: &Path) {
        let mut helper = Helper::start(program, self.case.technique, &self.watched, &self.out);
        self.helper_pid = helper.pid();
        let word = helper.hear();
        self.helper = Some(helper);
        self.take(word);
    }

    fn take(&mut self, word: Word) {
        match word {
            Word::Ready => {}
            Word::Done(actor, holder, at) => {
                (self.actor, self.holder, self.done) = (actor, holder, at);
            }
            Word::Cannot(why) => self.failed = Some(Outcome::NotRun(why)),
            Word::Broken(why) => self.failed = Some(Outcome::Broken(why)),
        }
    }

    fn act(&mut self, monitor: &Monitor, program: &Path) {
        let source = Source::of(monitor);
        let from = monitor.event_count();
        if self.helper.is_none() {
            self.start(program);
        }
        self.begun = Instant::now();
        if let (None, Some(helper)) = (&self.failed, &mut self.helper) {
            helper.go();
            let word = helper.hear();
            self.take(word);
        }
        if !self.case.keeps {
            self.helper = None;
        }
        if self.failed.is_some() {
            return;
        }
        self.digests = self
            .case
            .told
            .iter()
            .map(|told| digest(&self.watched, told))
            .collect();
        if !self.case.told.is_empty() && self.need(source, true) != Need::Never {
            monitor.wait_at_most(patience(), from, |events| {
                let now = Instant::now();
                let events: Vec<_> = events.iter().map(|event| (now, event.clone())).collect();
                self.is_settled(&events, source, program)
            });
        }
    }

    fn deed<'b>(&'b self, program: &'b Path, source: Source) -> Deed<'b> {
        Deed {
            watched: &self.watched,
            out: &self.out,
            executable: program,
            actor: self.actor,
            helper: self.helper_pid,
            holder: self.holder,
            begun: self.begun,
            digests: &self.digests,
            bpf: source == Source::Bpf,
            periodic: source == Source::Periodic,
        }
    }

    /// Whether there is nothing more to wait for.
    fn is_settled(&self, events: &[(Instant, Event)], source: Source, program: &Path) -> bool {
        self.failed.is_some()
            || self.case.told.is_empty()
            || judge(self.case, &self.settling(program, source), events).0
                < Outcome::NotRun(String::new())
    }

    /// Nothing is waited for only to hear of other names.
    fn settling<'b>(&'b self, program: &'b Path, source: Source) -> Deed<'b> {
        Deed {
            bpf: false,
            ..self.deed(program, source)
        }
    }

    /// Who has held a mapping since before fimk started, only an iterator over mappings tells.
    fn need(&self, source: Source, mappings: bool) -> Need {
        let need = match source {
            Source::Bpf => self.case.bpf,
            Source::Fanotify | Source::Wholes => self.case.fanotify,
            Source::Periodic => self.case.periodic,
        };
        if self.case.early && need == Need::Slow && !mappings {
            Need::Seen
        } else {
            need
        }
    }

    fn line(
        &self,
        events: &[(Instant, Event)],
        source: Source,
        need: Need,
        program: &Path,
    ) -> Line<'a> {
        let (mut outcome, at, mut notes) = match &self.failed {
            Some(failed) => (failed.clone(), None, Vec::new()),
            None => judge(self.case, &self.deed(program, source), events),
        };
        let unseen = matches!(need, Need::Unseen | Need::Never);
        if outcome == Outcome::Missed && unseen {
            outcome = Outcome::Unseen;
            notes = vec!["the source does not see it".to_owned()];
        }
        let explained = source == Source::Bpf
            || outcome.is_best()
            || reason_of(source.name(), &outcome.to_string(), self.case.technique).is_some();
        if !explained {
            notes.push("nothing in reasons.rs explains that".to_owned());
        }
        let well = explained && outcome.satisfies(need) && (unseen || notes.is_empty());
        if !well {
            notes.push(account(&self.deed(program, source), events));
        }
        Line {
            case: self.case,
            well,
            outcome,
            delay: at.map(|at| at.saturating_duration_since(self.done)),
            notes,
        }
    }
}

/// Where it is not, the table would be that of the source fanotify.
fn assert_whole(site: &Site) {
    let status = site.status();
    let mounts = status["mounts"].as_array().cloned().unwrap_or_default();
    let above = mounts.iter().filter(|mount| {
        let point = mount["path"].as_str().unwrap_or_default();
        site.files().starts_with(point)
    });
    let nearest = above.max_by_key(|mount| mount["path"].as_str().map(str::len));
    let marks = nearest.and_then(|mount| mount["marks"].as_str());
    assert_eq!(marks, Some("filesystem"), "{status}");
}

/// Whether this kernel lets us look through all mappings (5.12).
fn tells_mappings(monitor: &Monitor) -> bool {
    monitor.events().iter().any(|event| {
        event
            .text("fimk.plan.mappings")
            .is_some_and(|plan| !plan.starts_with("absent"))
    })
}

/// Three blocks of lines.
fn lines() -> Vec<u8> {
    let mut text = b"before\n".to_vec();
    while text.len() < BLOCKS {
        text.extend_from_slice(b"one of many lines that stay as they are\n");
    }
    text.truncate(BLOCKS - 1);
    text.push(b'\n');
    text
}

fn digest(watched: &Path, told: &crate::case::Told) -> Option<String> {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let path = watched.join(OsStr::from_bytes(told.path));
    if !told.content || !path.is_file() {
        return None;
    }
    let printed = execute("sha256sum", &[path.as_os_str()]).output;
    // A backslash before the digest says that the name was escaped.
    printed
        .trim_start_matches('\\')
        .split_whitespace()
        .next()
        .map(str::to_owned)
}

/// What is still out gets twice the time that any test has.
fn await_all(running: &[Running<'_>], monitor: &Monitor, program: &Path) {
    // The comparison of all content begins at intervals, and takes its time.
    let end = Instant::now() + 2 * deadline();
    let source = Source::of(monitor);
    loop {
        let events = monitor.timed_events();
        let out: Vec<&Running<'_>> = running
            .iter()
            .filter(|it| {
                it.need(source, true) != Need::Never && !it.is_settled(&events, source, program)
            })
            .collect();
        if out.is_empty() || Instant::now() >= end {
            return;
        }
        let seen = events.len();
        monitor.wait_at_most(Duration::from_millis(500), seen, |more| !more.is_empty());
    }
}

/// Kernel, file system, source. A guest that made the file system calls it by the name it was asked for.
fn header(site: &Site, source: Source) -> String {
    let kernel = execute("uname", &["-r"]).output;
    let system = std::env::var("FIMK_FILE_SYSTEM").unwrap_or_else(|_| {
        let files = site.files();
        attempt("findmnt", &["-n", "-o", "FSTYPE", "-T", text(&files)]).output
    });
    format!("{}, {}, {}", kernel.trim(), system.trim(), source.name())
}

/// As libtest would, then the table. Whether all did well.
fn print(header: &str, lines: &[Line<'_>]) -> bool {
    for line in lines {
        let word = match &line.outcome {
            Outcome::NotRun(_) => "ignored",
            _ if line.well => "ok",
            _ => "FAILED",
        };
        println!(
            "test {} ... {word}, {}{}",
            line.case.name,
            line.outcome,
            delay(line, " in ", " ms")
        );
        if word == "FAILED" {
            for note in &line.notes {
                println!("    {note}");
            }
        }
    }
    let ignored = lines
        .iter()
        .filter(|it| matches!(it.outcome, Outcome::NotRun(_)))
        .count();
    let failed = lines.iter().filter(|it| !it.well).count();
    println!("\n@@ evasion table: {header}");
    println!("| technique | outcome | ms |\n|---|---|---|");
    for line in lines {
        println!(
            "| {} | {} | {} |",
            line.case.name,
            line.outcome.to_string().replace('|', "/"),
            delay(line, "", "")
        );
    }
    println!("@@ evasion table ends");
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out",
        lines.len() - failed - ignored
    );
    failed == 0
}

fn delay(line: &Line<'_>, before: &str, after: &str) -> String {
    line.delay.map_or_else(String::new, |delay| {
        format!("{before}{}{after}", delay.as_millis())
    })
}

/// What the cases mounted, unmounted when dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4));
        let ours: Vec<&str> = points
            .filter(|point| Path::new(point).starts_with(&self.0))
            .collect();
        for point in ours.iter().rev() {
            attempt("umount", &["-l", point]);
        }
    }
}
