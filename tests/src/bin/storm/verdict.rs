//! Deeds held against what was told of them.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use fimk_tests::Event;

use crate::deed::{Deed, Directory, Kind, READ_WITHIN_NS};

/// The clock of an entry may be a tick of the kernel too early, and boot time is turned into wall time.
const SLACK_NS: i64 = 50_000_000;
/// What an `events_lost` tells may have been lost so long before: no more than one is told in five seconds.
const LOSS_NS: i64 = 15_000_000_000;

/// A writer's call that takes so long was held up, and whoever reads may have been as long.
const STALL_NS: i64 = 100_000_000;

/// So long before and after a change that is named wrongly its story is told.
const STORY_NS: i64 = 10_000_000_000;

/// What the harness itself writes when the storm is over.
pub const LAST: &str = "last";
/// Events shown of what was missed.
const NEAREST: usize = 8;

/// All that was told, easily found.
pub struct Told {
    changes: Vec<Change>,
    by_path: HashMap<PathBuf, Vec<usize>>,
    by_inode: HashMap<u64, Vec<usize>>,
    /// In which nobody watched, or something was lost.
    windows: Vec<(i64, i64)>,
    /// All that is no change.
    notices: Vec<Event>,
    is_fanotify: bool,
}

struct Change {
    event: Event,
    operations: Vec<String>,
    /// First and last touch.
    touched: (i64, i64),
    /// When it was reported.
    created: i64,
    /// Of what was found by looking.
    window: Option<(i64, i64)>,
}

/// How a deed was told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By an event of the source.
    Event,
    /// By something found by looking, in a window that has it.
    Found,
    /// By a window alone.
    Window,
    /// Not at all.
    Missed,
}

impl Told {
    /// From everything printed; what came twice counts once. The deeds tell when the machine stood still.
    pub fn new(mut events: Vec<Event>, deeds: &[Deed]) -> Self {
        events.sort_by_key(|event| event.number("event.sequence"));
        events.dedup_by_key(|event| event.number("event.sequence"));
        let windows = events.iter().filter_map(window_of_notice).collect();
        let (notices, events): (Vec<Event>, Vec<Event>) = events
            .into_iter()
            .partition(|event| event.text("file.path").is_none());
        let calls = deeds.iter().map(|deed| (deed.begun, deed.ended));
        let stalls: Vec<(i64, i64)> = calls
            .filter(|(begun, ended)| ended - begun >= STALL_NS)
            .collect();
        let changes = events.into_iter();
        let changes: Vec<Change> = changes
            .filter_map(|event| Change::new(event, &stalls))
            .collect();
        let mut told = Self {
            changes,
            by_path: HashMap::new(),
            by_inode: HashMap::new(),
            windows,
            is_fanotify: notices
                .iter()
                .any(|event| event.text("fimk.source") == Some("fanotify")),
            notices,
        };
        for (number, change) in told.changes.iter().enumerate() {
            for path in change.paths() {
                told.by_path.entry(path).or_default().push(number);
            }
            if let Some(inode) = change.inode() {
                told.by_inode.entry(inode).or_default().push(number);
            }
        }
        told
    }

    /// How this deed was told, by its path or its object.
    pub fn how(&self, deed: &Deed) -> How {
        let paths = [Some(&deed.path), deed.from.as_ref()];
        let by_path = paths
            .into_iter()
            .flatten()
            .chain(&deed.later)
            .filter_map(|it| self.by_path.get(it));
        let about = || {
            let found = by_path.clone().chain(self.by_inode.get(&deed.inode));
            found
                .flatten()
                .filter_map(|number| self.changes.get(*number))
        };
        let former = deed.former.iter().filter(|_| self.is_fanotify);
        let mut merged = former
            .filter_map(|path| self.by_path.get(path))
            .flatten()
            .filter_map(|number| self.changes.get(*number))
            .filter(|change| {
                let may_be = |inode| inode == deed.inode || deed.stood.contains(&inode);
                change.inode().is_none_or(may_be)
            });
        if about().chain(&mut merged).any(|change| change.tells(deed)) {
            How::Event
        } else if about().any(|change| change.window.is_some_and(|it| overlap(it, deed))) {
            How::Found
        } else if self.windows.iter().any(|window| overlap(*window, deed)) {
            How::Window
        } else if self.is_fanotify && deed.directories.iter().any(|it| !self.knew(*it, deed)) {
            // fanotify does not see into a directory before it is marked: what comes and goes there leaves no trace.
            How::Window
        } else {
            How::Missed
        }
    }

    /// Whether the directory was told of before that deed: it is marked before it is read. What was heard before it was made is
    /// of another that had its name, though what is read of the name by then is this one.
    fn knew(&self, directory: Directory, deed: &Deed) -> bool {
        let about = self.by_inode.get(&directory.inode).into_iter().flatten();
        let mut changes = about.filter_map(|number| self.changes.get(*number));
        changes.any(|it| directory.made < it.touched.1 && it.created < deed.begun)
    }

    /// What is wrong about who is named: only who changed the object, or something in the directory, may be.
    pub fn wrongly_named(&self, deeds: &[Deed]) -> Vec<String> {
        let mut wrong = Vec::new();
        for change in &self.changes {
            let Some(path) = change.event.text("file.path").map(Path::new) else {
                continue;
            };
            if path.file_name().is_some_and(|name| name == LAST) {
                continue;
            }
            for pid in change.named() {
                if !deeds
                    .iter()
                    .any(|deed| u64::from(deed.pid) == pid && may_be_named(deed, change, path))
                {
                    wrong.push(format!(
                        "process {pid} did not do this: {}\n        it did:\n{}",
                        in_brief(&change.event),
                        done_then(deeds, pid, change)
                    ));
                }
            }
        }
        wrong
    }

    /// What was told of this path or object, also by the names that it had before and after, at about that time: for a
    /// failure message.
    pub fn account(&self, deed: &Deed) -> String {
        let names = std::iter::once(&deed.path)
            .chain(&deed.former)
            .chain(&deed.later);
        let is_about = |change: &&Change| {
            let paths = change.paths();
            change.inode() == Some(deed.inode) || names.clone().any(|it| paths.contains(it))
        };
        let mut about: Vec<&Change> = self.changes.iter().filter(is_about).collect();
        about.sort_by_key(|change| (change.touched.1 - deed.ended).abs());
        let nearest = about.iter().take(NEAREST);
        let lines = nearest.map(|change| format!("        {}", in_brief(&change.event)));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Starts, ends, gaps and losses.
    pub fn lives(&self) -> Vec<String> {
        self.notices.iter().map(in_brief).collect()
    }

    /// Operations that the source counted on this path.
    pub fn counted(&self, path: &Path) -> u64 {
        let about = self.by_path.get(path).into_iter().flatten();
        let changes = about.filter_map(|number| self.changes.get(*number));
        changes
            .filter_map(|change| change.event.number("fimk.count"))
            .sum()
    }
}

impl Change {
    fn new(event: Event, stalls: &[(i64, i64)]) -> Option<Self> {
        event.text("file.path")?;
        let time = |name: &str| event.text(name).and_then(nanoseconds);
        let list = event.get("fimk.operations").and_then(|it| it.as_array());
        let operations = list.into_iter().flatten().filter_map(|it| it.as_str());
        let window = time("fimk.gap.from").zip(time("fimk.gap.to"));
        Some(Self {
            operations: operations.map(str::to_owned).collect(),
            touched: time("event.start")
                .map(|start| start - read_within(&event, start, stalls))
                .zip(time("event.end"))?,
            created: time("event.created")?,
            window,
            event,
        })
    }

    fn paths(&self) -> Vec<PathBuf> {
        let names = [
            "file.path",
            "fimk.previous_path",
            "fimk.new_path",
            "fimk.accessed_path",
        ];
        let mut paths: Vec<PathBuf> = names
            .iter()
            .filter_map(|it| self.event.text(it))
            .map(PathBuf::from)
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }

    fn tells(&self, deed: &Deed) -> bool {
        let fanotify = is_of_fanotify(&self.event);
        let told = deed.kind.told_by(fanotify);
        let (from, mut to) = self.touched;
        // Of a mapping fanotify tells only the release, and nothing differs any more if it was read before that; what is told as
        // new was read after it.
        let unreleased = fanotify && deed.kind == Kind::Store;
        if unreleased {
            to = self.created.max(to);
        }
        // So was what is told to have come by a rename, if that was heard of only after the store: it is in what was read.
        let came_with_it = self.inode() == Some(deed.inode) && self.touched.1 > deed.ended;
        let is_in_it = |it: &str| match it {
            "create" => self.created > deed.ended,
            "rename" => came_with_it,
            _ => false,
        };
        let is_told = |it: &String| told.contains(&it.as_str()) || unreleased && is_in_it(it);
        overlap((from, to), deed) && self.operations.iter().any(is_told)
    }

    fn inode(&self) -> Option<u64> {
        self.event.text("file.inode")?.parse().ok()
    }

    fn named(&self) -> Vec<u64> {
        let several = self.event.get("fimk.actors").and_then(|it| it.as_array());
        let several = several
            .into_iter()
            .flatten()
            .filter_map(|it| it.get("pid")?.as_u64());
        several.chain(self.event.number("process.pid")).collect()
    }
}

fn is_of_fanotify(event: &Event) -> bool {
    event.text("fimk.source") == Some("fanotify")
}

/// How long before the time that an event tells it may have been.
fn read_within(event: &Event, start: i64, stalls: &[(i64, i64)]) -> i64 {
    if !is_of_fanotify(event) {
        return 0;
    }
    let then = stalls
        .iter()
        .filter(|(begun, ended)| *begun <= start && start - READ_WITHIN_NS <= *ended);
    let longest = then.map(|(begun, ended)| ended - begun).max();
    READ_WITHIN_NS + longest.unwrap_or(0)
}

fn may_be_named(deed: &Deed, change: &Change, path: &Path) -> bool {
    let about = deed.path.starts_with(path)
        || deed.from.as_ref().is_some_and(|from| from.starts_with(path))
        || deed.later.iter().any(|later| later == path)
        || change.inode() == Some(deed.inode)
        // The directory in which it was done, under another name by now.
        || deed.directories.iter().any(|it| change.inode() == Some(it.inode))
        // What is in a directory moves with it.
        || (deed.kind == Kind::Rename && path.starts_with(&deed.path));
    about && (overlap(change.touched, deed) || change.window.is_some_and(|it| overlap(it, deed)))
}

/// What a process did nearest to a change, then what became of that object and of both directories: for a failure message.
fn done_then(deeds: &[Deed], pid: u64, change: &Change) -> String {
    let mut own: Vec<&Deed> = deeds.iter().filter(|it| u64::from(it.pid) == pid).collect();
    own.sort_by_key(|deed| {
        let during = (deed.begun..=deed.ended).contains(&change.touched.1);
        (!during, (change.touched.0 - deed.begun).abs())
    });
    let mut told: Vec<&Deed> = own.iter().take(NEAREST).copied().collect();
    let nearest = told.first().copied();
    let names: Vec<&Path> = [
        nearest.map(|it| it.path.as_path()),
        change.event.text("file.path").map(Path::new),
    ]
    .into_iter()
    .flatten()
    .flat_map(|path| [Some(path), path.parent()])
    .flatten()
    .collect();
    own.sort_by_key(|deed| deed.begun);
    let further = own.iter().filter(|deed| {
        let is_named = |path: &Path| names.contains(&path);
        (deed.begun - change.touched.0).abs() < STORY_NS
            && (nearest.is_some_and(|it| it.inode == deed.inode)
                || is_named(&deed.path)
                || deed.from.as_deref().is_some_and(is_named))
    });
    told.extend(further);
    let lines = told.iter().map(|deed| format!("        {deed}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn overlap((from, to): (i64, i64), deed: &Deed) -> bool {
    from.saturating_sub(SLACK_NS) <= deed.ended && deed.begun <= to.saturating_add(SLACK_NS)
}

fn window_of_notice(event: &Event) -> Option<(i64, i64)> {
    let time = |name: &str| event.text(name).and_then(nanoseconds);
    match event.action() {
        "gap" => time("fimk.gap.from").zip(time("fimk.gap.to")),
        "events_lost" => {
            let told = time("@timestamp")?;
            Some(
                time("fimk.gap.from")
                    .zip(time("fimk.gap.to"))
                    .unwrap_or((told - LOSS_NS, told)),
            )
        }
        _ => None,
    }
}

/// What matters of an event in a failure message.
fn in_brief(event: &Event) -> String {
    const FIELDS: [&str; 15] = [
        "@timestamp",
        "message",
        "event.sequence",
        "event.action",
        "file.path",
        "fimk.previous_path",
        "file.inode",
        "fimk.operations",
        "fimk.count",
        "fimk.detected_by",
        "process.pid",
        "event.start",
        "event.end",
        "fimk.gap.from",
        "fimk.gap.to",
    ];
    let known = FIELDS
        .iter()
        .filter_map(|name| Some((name, event.get(name)?)));
    let words: Vec<String> = known
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    words.join(" ")
}

/// Since 1970, of a time as events have it.
fn nanoseconds(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}
