//! Places at which a test makes the store fail or die. In a release they are nothing.

use std::io;

/// Where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "only tests tell them apart"))]
pub(crate) enum Point {
    /// A commit is complete in memory.
    BeforeBatch,
    /// It is in the WAL.
    AfterBatch,
    /// The WAL is on disk, and the file that says so is not.
    BetweenSyncs,
    /// Both are.
    AfterSync,
    /// Old events are chosen and not yet removed.
    BeforeRemoval,
    /// They are removed.
    AfterRemoval,
    /// A database that failed is closed.
    Closed,
    /// It is open again, and what was kept is not yet in it.
    Reopened,
}

#[cfg(not(test))]
#[allow(clippy::unnecessary_wraps, reason = "in a test it can fail")]
pub(crate) const fn point(_: Point) -> io::Result<()> {
    Ok(())
}

/// The variable that names the point at which a child process of a test is to die, and after how many passes.
#[cfg(test)]
pub(crate) const DIE: &str = "FIMK_STORE_TEST_DIE";

#[cfg(test)]
thread_local! {
    /// At which point everything fails in this thread, and with which errno.
    pub(crate) static FAILING: std::cell::Cell<Option<(Point, i32)>> = const { std::cell::Cell::new(None) };
    static PASSES: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
pub(crate) fn point(here: Point) -> io::Result<()> {
    if let Some((at, errno)) = FAILING.get()
        && at == here
    {
        return Err(io::Error::from_raw_os_error(errno));
    }
    let Some(wanted) = std::env::var_os(DIE) else {
        return Ok(());
    };
    let wanted = wanted.to_string_lossy().into_owned();
    let (name, passes) = wanted.split_once(' ').unwrap_or((&wanted, "1"));
    if name == format!("{here:?}") {
        PASSES.set(PASSES.get() + 1);
        if passes.parse() == Ok(PASSES.get()) {
            // As by kill -9: nothing is flushed, nobody's destructor runs.
            std::process::abort();
        }
    }
    Ok(())
}
