//! The process programs, tested by a process.

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::process::{Command, Stdio};

use fimk_wire::plan::{Served, Verdict};
use fimk_wire::raw;

use crate::log;
use crate::objects::Process;
use crate::plan::{self, Plan};

/// Runs this program for a moment, and writes into the plan which programs saw it. Gives why a row could not
/// be tested, by its place.
pub fn judge(process: &Process, plan: &mut Plan) -> BTreeMap<usize, String> {
    let mut untested = BTreeMap::new();
    let traces = run_child().map(|pid| Traces::of(process, pid));
    for (place, row) in plan::rows(true) {
        let Served::By(hook, _) = Served::of(row, plan[place]) else {
            continue;
        };
        let verdict = match &traces {
            Ok(traces) if traces.has(hook) => Verdict::Seen,
            Ok(_) => Verdict::Unseen,
            Err(cause) => {
                untested.insert(place, cause.to_string());
                Verdict::Untested
            }
        };
        let served = Served::By(hook, verdict);
        plan[place] = served.byte(row);
        if verdict == Verdict::Unseen
            && let Some(words) = served.words(row)
        {
            log::line(format_args!("self-test: {}: {words}", row.operation));
        }
    }
    untested
}

/// A process that is forked, executes and exits.
fn run_child() -> Result<u32> {
    let mut child = Command::new("/proc/self/exe")
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let pid = child.id();
    if child.wait()?.success() {
        Ok(pid)
    } else {
        Err(Error::other("it could not be executed"))
    }
}

/// What the maps know of the child, and of ourselves, who are older than the programs.
struct Traces {
    forked: Option<raw::fimk_actor>,
    executed: Option<raw::fimk_actor>,
    ourselves: bool,
}

impl Traces {
    fn of(process: &Process, pid: u32) -> Self {
        let key = process.pids.get(&pid).ok().flatten();
        let actor = |key: raw::fimk_actor_key| process.actors.get(&key).ok().flatten();
        let before = |key: raw::fimk_actor_key| raw::fimk_actor_key {
            image: key.image.wrapping_sub(1),
            ..key
        };
        Self {
            forked: key.and_then(|key| actor(before(key))),
            executed: key.and_then(actor).filter(|actor| actor.exec_ns != 0),
            ourselves: process
                .pids
                .get(&std::process::id())
                .is_ok_and(|known| known.is_some()),
        }
    }

    fn has(&self, hook: u32) -> bool {
        match hook {
            raw::FIMK_HOOK_FORK => self.forked.is_some(),
            raw::FIMK_HOOK_EXEC => self.executed.is_some(),
            raw::FIMK_HOOK_EXIT => self.executed.is_some_and(|actor| actor.exit_ns != 0),
            _ => self.ourselves,
        }
    }
}
