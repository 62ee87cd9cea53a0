//! Which source serves and which program serves each row: decisions on facts, without a system call.

use std::collections::{BTreeMap, BTreeSet};

use fimk_wire::plan::{Attach, PROGRAMS, ROWS, Row, Served, Verdict};
use fimk_wire::raw;
use nix::libc;

/// How each row of the plan table is served: `Served::byte` by the row's place.
pub type Plan = [u8; raw::FIMK_HOOKS_MAX as usize];

/// The programs of the process object; all others are the file object's.
pub const PROCESS_HOOKS: std::ops::RangeInclusive<u32> = raw::FIMK_HOOK_EXEC..=raw::FIMK_HOOK_TASKS;

/// The programs of the object that tells who holds a file.
pub const HOLDER_HOOKS: std::ops::RangeInclusive<u32> =
    raw::FIMK_HOOK_OPEN_FILES..=raw::FIMK_HOOK_MAPPINGS;

/// The kernel's own "not supported", which libc does not know; trampolines are refused with it.
const ENOTSUPP: i32 = 524;

/// Whether a row is served by the process object.
pub fn is_of_processes(row: &Row) -> bool {
    row.programs.iter().all(|hook| PROCESS_HOOKS.contains(hook))
}

fn is_of_holders(row: &Row) -> bool {
    row.programs.iter().all(|hook| HOLDER_HOOKS.contains(hook))
}

/// The rows of the process object, or of the file object, with their places.
pub fn rows(of_processes: bool) -> impl Iterator<Item = (usize, &'static Row)> {
    ROWS.iter()
        .enumerate()
        .filter(move |(_, row)| is_of_processes(row) == of_processes && !is_of_holders(row))
}

/// The rows of the object that tells who holds a file, with their places.
pub fn holder_rows() -> impl Iterator<Item = (usize, &'static Row)> {
    ROWS.iter()
        .enumerate()
        .filter(|(_, row)| is_of_holders(row))
}

/// The programs that serve the rows of the file object, by what was written of them.
pub fn file_programs(plan: &Plan) -> impl Iterator<Item = u32> {
    rows(false).filter_map(|(place, row)| match Served::of(row, plan[place]) {
        Served::By(hook, _) => Some(hook),
        _ => None,
    })
}

/// Says the same of every row of one object that these kinds of attempts need.
pub fn fill(plan: &mut Plan, of_processes: bool, kinds: u32, served: Served) {
    for (place, row) in rows(of_processes).filter(|(_, row)| is_wanted(row, kinds)) {
        plan[place] = served.byte(row);
    }
}

/// Whether a row is loaded for one who asks for these kinds of attempts (`FIMK_WATCH_*`).
pub fn is_wanted(row: &Row, kinds: u32) -> bool {
    row.kind == 0 || row.kind & kinds != 0
}

/// Whether a program serves attempts only.
pub fn is_of_attempts(hook: u32) -> bool {
    ROWS.iter()
        .any(|row| row.kind != 0 && row.programs.contains(&hook))
}

/// The plan of a loader before us, for these kinds: rows that are asked for only now are served by the first program
/// that is `able`, untested.
pub fn adapted(found: &Plan, kinds: u32, able: impl Fn(u32) -> bool) -> Plan {
    let mut plan = *found;
    for (place, row) in rows(false).filter(|(_, row)| row.kind != 0) {
        if !is_wanted(row, kinds) {
            plan[place] = Served::NotPart.byte(row);
        } else if Served::of(row, plan[place]) == Served::NotPart {
            let hook = row.programs.iter().copied().find(|&hook| able(hook));
            let served = hook.map_or(Served::Absent, |hook| Served::By(hook, Verdict::Untested));
            plan[place] = served.byte(row);
        }
    }
    plan
}

/// Whether a program fits a kernel function with this many parameters (`None`: there is no such function).
pub fn fits(hook: u32, parameters: Option<usize>) -> bool {
    let expected = PROGRAMS[hook as usize].parameters;
    if PROGRAMS[hook as usize].attach == Attach::Tracepoint {
        return true;
    }
    parameters.is_some_and(|count| expected.is_empty() || expected.contains(&count))
}

/// Why a program cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// The kernel has no such function, or one of another shape.
    Absent,
    /// The kernel refused to load or attach it.
    Refused,
}

/// Which program is to serve each row of the file object, as far as is known.
#[derive(Debug, Default)]
pub struct Choices {
    /// The kinds of attempts that are asked for: `FIMK_WATCH_*`.
    kinds: u32,
    lacking: BTreeMap<u32, Lack>,
    verdicts: BTreeMap<(usize, u32), Verdict>,
}

impl Choices {
    /// Of changes, and of these kinds of attempts.
    pub fn new(kinds: u32) -> Self {
        Self {
            kinds,
            ..Self::default()
        }
    }

    /// The kinds of attempts that are asked for.
    pub fn kinds(&self) -> u32 {
        self.kinds
    }

    /// A program that cannot serve.
    pub fn exclude(&mut self, hook: u32, lack: Lack) {
        self.lacking.insert(hook, lack);
    }

    /// What the self-test found of a program in a row.
    pub fn judge(&mut self, place: usize, hook: u32, verdict: Verdict) {
        self.verdicts.insert((place, hook), verdict);
    }

    /// The first program of a row that can serve and was not overlooked by the self-test; where all
    /// were, the first: attached it may still see what the test did not show.
    pub fn serving(&self, place: usize) -> Option<u32> {
        let able = || {
            let row = ROWS.get(place).filter(|row| is_wanted(row, self.kinds));
            let programs = row.map_or(&[][..], |row| row.programs);
            programs
                .iter()
                .copied()
                .filter(|hook| !self.lacking.contains_key(hook))
        };
        able()
            .find(|&hook| self.verdicts.get(&(place, hook)) != Some(&Verdict::Unseen))
            .or_else(|| able().next())
    }

    /// What there is to say of a row.
    pub fn served(&self, place: usize) -> Served {
        if let Some(hook) = self.serving(place) {
            let verdict = self.verdicts.get(&(place, hook)).copied();
            return Served::By(hook, verdict.unwrap_or(Verdict::Untested));
        }
        if ROWS
            .get(place)
            .is_none_or(|row| !is_wanted(row, self.kinds))
        {
            return Served::NotPart;
        }
        let refused = ROWS.get(place).is_some_and(|row| {
            let mut lacks = row.programs.iter().map(|hook| self.lacking.get(hook));
            lacks.any(|lack| lack == Some(&Lack::Refused))
        });
        if refused {
            Served::Refused
        } else {
            Served::Absent
        }
    }

    /// All programs that serve a row of the file object.
    pub fn programs(&self) -> BTreeSet<u32> {
        rows(false)
            .filter_map(|(place, _)| self.serving(place))
            .collect()
    }

    /// The rows of the file object, for READY.
    pub fn write(&self, plan: &mut Plan) {
        for (place, row) in rows(false) {
            plan[place] = self.served(place).byte(row);
        }
    }
}

/// Why a better source did not come to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// `FIMK_REASON_*`.
    pub reason: u32,
    /// errno, 0: none.
    pub error: i32,
}

impl Refusal {
    /// What a failure to load or attach the file object means.
    pub fn of_trampolines(error: i32) -> Self {
        let refused = [libc::EPERM, libc::EACCES, libc::EOPNOTSUPP, ENOTSUPP].contains(&error);
        let reason = if refused {
            raw::FIMK_REASON_TRAMPOLINES_REFUSED
        } else {
            raw::FIMK_REASON_LOAD_FAILED
        };
        Self { reason, error }
    }
}

/// What to try, best first. A source that was asked for by name has no substitute.
pub fn candidates(wanted: u32) -> &'static [u32] {
    match wanted {
        raw::FIMK_SOURCE_BPF => &[raw::FIMK_SOURCE_BPF],
        raw::FIMK_SOURCE_FANOTIFY => &[raw::FIMK_SOURCE_FANOTIFY],
        raw::FIMK_SOURCE_PERIODIC => &[raw::FIMK_SOURCE_PERIODIC],
        _ => &[
            raw::FIMK_SOURCE_BPF,
            raw::FIMK_SOURCE_FANOTIFY,
            raw::FIMK_SOURCE_PERIODIC,
        ],
    }
}

/// The reason to state: the last refusal met on the way, or that there was none.
pub fn reason(wanted: u32, refusal: Option<Refusal>) -> Refusal {
    match refusal {
        Some(refusal) => refusal,
        None if wanted == raw::FIMK_SOURCE_AUTO => Refusal {
            reason: raw::FIMK_REASON_BEST,
            error: 0,
        },
        None => Refusal {
            reason: raw::FIMK_REASON_ASKED,
            error: 0,
        },
    }
}

/// Whether a program that was detached from a trampoline can be attached to it again. Linux 5.10 says
/// ENOENT to that, and there is no way to ask that does not spend a program, so here the version decides.
pub fn reattaches(release: &str) -> bool {
    let mut numbers = release
        .split(|end: char| !end.is_ascii_digit())
        .map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 14),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn auto_tries_all_and_a_named_source_has_no_substitute() {
        assert_eq!(candidates(raw::FIMK_SOURCE_AUTO).len(), 3);
        for named in [
            raw::FIMK_SOURCE_BPF,
            raw::FIMK_SOURCE_FANOTIFY,
            raw::FIMK_SOURCE_PERIODIC,
        ] {
            assert_eq!(candidates(named), [named]);
        }
    }

    #[test]
    fn a_refused_trampoline_is_told_from_a_program_that_does_not_load() {
        for error in [libc::EPERM, libc::EACCES, libc::EOPNOTSUPP, 524] {
            assert_eq!(
                Refusal::of_trampolines(error).reason,
                raw::FIMK_REASON_TRAMPOLINES_REFUSED
            );
        }
        assert_eq!(
            Refusal::of_trampolines(libc::EINVAL).reason,
            raw::FIMK_REASON_LOAD_FAILED
        );
    }

    #[test]
    fn a_function_of_another_shape_is_not_hooked() {
        assert!(!fits(raw::FIMK_HOOK_IO_WRITE, Some(3)));
        assert!(fits(raw::FIMK_HOOK_IO_WRITE, Some(2)));
        assert!(fits(raw::FIMK_HOOK_NOTIFY_CHANGE, Some(3)));
        assert!(fits(raw::FIMK_HOOK_NOTIFY_CHANGE, Some(4)));
        assert!(!fits(raw::FIMK_HOOK_NOTIFY_CHANGE, Some(5)));
        assert!(!fits(raw::FIMK_HOOK_VFS_WRITE, None));
        assert!(fits(raw::FIMK_HOOK_DELETE, Some(1)));
    }

    #[test]
    fn what_is_not_seen_falls_to_the_next_plan_and_the_last_stays() {
        let mut choices = Choices::default();
        assert_eq!(choices.serving(0), Some(raw::FIMK_HOOK_VFS_WRITE));
        choices.judge(0, raw::FIMK_HOOK_VFS_WRITE, Verdict::Unseen);
        assert_eq!(choices.serving(0), Some(raw::FIMK_HOOK_FILE_PERMISSION));
        choices.judge(0, raw::FIMK_HOOK_FILE_PERMISSION, Verdict::Unseen);
        let first = Served::By(raw::FIMK_HOOK_VFS_WRITE, Verdict::Unseen);
        assert_eq!(choices.served(0), first);
    }

    #[test]
    fn only_programs_that_serve_are_wanted() {
        let mut choices = Choices::default();
        assert!(!choices.programs().contains(&raw::FIMK_HOOK_FILE_PERMISSION));
        choices.exclude(raw::FIMK_HOOK_IO_WRITE, Lack::Absent);
        assert!(choices.programs().contains(&raw::FIMK_HOOK_FILE_PERMISSION));
        assert!(!choices.programs().contains(&raw::FIMK_HOOK_IO_WRITE));
        assert!(!choices.programs().contains(&raw::FIMK_HOOK_EXEC));
    }

    #[test]
    fn a_row_without_a_program_says_whether_the_kernel_lacks_or_refuses_it() {
        let place = ROWS
            .iter()
            .position(|row| row.operation == "setacl")
            .unwrap();
        let mut choices = Choices::default();
        choices.exclude(raw::FIMK_HOOK_SET_ACL, Lack::Absent);
        assert_eq!(choices.served(place), Served::Absent);
        choices.exclude(raw::FIMK_HOOK_SET_ACL, Lack::Refused);
        assert_eq!(choices.served(place), Served::Refused);
    }

    #[test]
    fn what_nobody_asks_for_is_not_loaded_and_not_called_absent() {
        let hook = raw::FIMK_HOOK_FILE_OPEN;
        let place = ROWS
            .iter()
            .position(|row| row.operation == "opened")
            .unwrap();
        let choices = Choices::default();
        assert!(!choices.programs().contains(&hook));
        assert_eq!(choices.served(place), Served::NotPart);
        let mut choices = Choices::new(raw::FIMK_WATCH_OPENED);
        assert!(choices.programs().contains(&hook));
        assert!(!choices.programs().contains(&raw::FIMK_HOOK_PATH_OPENAT));
        choices.exclude(hook, Lack::Absent);
        assert_eq!(choices.served(place), Served::Absent);
    }

    #[test]
    fn a_plan_that_is_taken_over_gets_and_loses_rows_of_attempts() {
        let mut found: Plan = [0; _];
        Choices::new(raw::FIMK_WATCH_OPENED).write(&mut found);
        let adapted = adapted(&found, raw::FIMK_WATCH_DENIED, |hook| {
            hook != raw::FIMK_HOOK_VFS_LINK
        });
        let served = |operation: &str| {
            let place = ROWS
                .iter()
                .position(|row| row.operation == operation)
                .unwrap();
            Served::of(&ROWS[place], adapted[place])
        };
        assert_eq!(served("opened"), Served::NotPart);
        assert_eq!(served("denied link"), Served::Absent);
        assert_eq!(
            served("denied open"),
            Served::By(raw::FIMK_HOOK_PATH_OPENAT, Verdict::Untested)
        );
        assert_eq!(
            served("write"),
            Served::By(raw::FIMK_HOOK_VFS_WRITE, Verdict::Untested)
        );
    }

    #[test]
    fn what_serves_is_read_back_from_what_was_written() {
        let choices = Choices::default();
        let mut plan = [0; raw::FIMK_HOOKS_MAX as usize];
        assert_eq!(file_programs(&plan).count(), 0);
        fill(&mut plan, true, 0, Served::Refused);
        choices.write(&mut plan);
        let read: BTreeSet<u32> = file_programs(&plan).collect();
        assert_eq!(read, choices.programs());
    }

    #[test]
    fn an_old_or_unreadable_kernel_is_not_trusted_to_attach_again() {
        for release in [
            "5.10.0-46-cloud-amd64",
            "5.13",
            "4.19.1",
            "",
            "linux",
            "6",
            "99999999999.1",
        ] {
            assert!(!reattaches(release), "{release}");
        }
        for release in ["5.14.0", "6.1.0-50-cloud-amd64", "7.2.12+deb14"] {
            assert!(reattaches(release), "{release}");
        }
    }

    #[test]
    fn every_row_belongs_to_one_object() {
        assert_eq!(
            rows(true).count() + rows(false).count() + holder_rows().count(),
            ROWS.len()
        );
        for row in &ROWS {
            let of_processes = |hook: &&u32| PROCESS_HOOKS.contains(hook);
            let count = row.programs.iter().filter(of_processes).count();
            assert!(
                count == 0 || count == row.programs.len(),
                "{}",
                row.operation
            );
        }
    }
}
