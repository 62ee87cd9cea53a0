//! Whether this kernel preempts BPF programs: then a trampoline's guard against recursion skips a program for
//! every other task of a CPU on which some task lies preempted inside it, which anybody can bring about.
//!
//! Found out by doing it. A thread of low priority runs a program that lasts for some ticks; another wakes on the
//! same CPU meanwhile. Where kernel code is not preempted it gets the CPU only when the program has ended.

use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use crate::log;
use crate::objects::Linger;
use crate::system;

/// Between two looks of the thread that wakes: a fraction of what the program lasts.
const NAP: Duration = Duration::from_millis(1);
/// A busy host may not run the thread of low priority for long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tries it. What cannot be tried is taken for yes: then nothing is missed.
pub fn is_possible() -> bool {
    // A kernel built with any kind of preemption says so; one before 5.14, which cannot run a program by hand, too.
    let kernel = nix::sys::utsname::uname();
    if kernel.is_ok_and(|kernel| !kernel.version().to_string_lossy().contains("PREEMPT")) {
        return false;
    }
    // In a thread of its own, whose binding to a CPU ends with it.
    let tried = thread::spawn(attempt).join().unwrap_or(None);
    tried.unwrap_or_else(|| {
        log::line(format_args!(
            "whether this kernel preempts BPF programs cannot be tried: it is taken for granted"
        ));
        true
    })
}

fn attempt() -> Option<bool> {
    let linger = Linger::load().ok()?;
    let mut here = CpuSet::new();
    here.set(sched_getcpu().ok()?).ok()?;
    sched_setaffinity(Pid::from_raw(0), &here).ok()?;
    thread::scope(|scope| {
        // It inherits the binding.
        let runs = scope.spawn(|| {
            system::yield_to_all();
            linger.run()
        });
        let deadline = Instant::now() + PATIENCE;
        let preempted = loop {
            thread::sleep(NAP);
            match linger.state() {
                (true, ended) => break Some(!ended),
                _ if Instant::now() >= deadline || runs.is_finished() => break None,
                _ => {}
            }
        };
        runs.join().ok()?.ok()?;
        preempted
    })
}
