//! Commands, and how they are recognised in events.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

/// A process that has done something.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its process id.
    pub pid: u32,
    /// The program it ran, links resolved.
    pub executable: PathBuf,
    /// Whether it ended with status 0.
    pub succeeded: bool,
    /// What it printed on both streams.
    pub output: String,
}

/// Runs a command to its end; panics unless it succeeds.
pub fn run<A: AsRef<OsStr>>(program: impl AsRef<Path>, arguments: &[A]) -> Ran {
    let program = program.as_ref();
    let ran = attempt(program, arguments);
    assert!(
        ran.succeeded,
        "{} failed: {}",
        program.display(),
        ran.output
    );
    ran
}

/// Runs a command to its end with this text on its standard input; panics unless it succeeds.
pub fn run_with_input<A: AsRef<OsStr>>(
    program: impl AsRef<Path>,
    arguments: &[A],
    input: &str,
) -> Ran {
    let program = program.as_ref();
    let ran = execute(program, arguments, input);
    assert!(
        ran.succeeded,
        "{} failed: {}",
        program.display(),
        ran.output
    );
    ran
}

/// Runs a command to its end, whatever that is.
pub fn attempt<A: AsRef<OsStr>>(program: impl AsRef<Path>, arguments: &[A]) -> Ran {
    execute(program.as_ref(), arguments, "")
}

fn execute<A: AsRef<OsStr>>(program: &Path, arguments: &[A], input: &str) -> Ran {
    let executable =
        which(program).unwrap_or_else(|| panic!("{} is not installed", program.display()));
    let mut child = Command::new(&executable)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be executed");
    let pid = child.id();
    // Short enough for the pipe; a program that does not read it is none of our concern.
    let _ = child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the child can be awaited");
    let text = [output.stdout, output.stderr].concat();
    Ran {
        pid,
        executable: fs::canonicalize(&executable).expect("it was just executed"),
        succeeded: output.status.success(),
        output: String::from_utf8_lossy(&text).into_owned(),
    }
}

/// Appends a line with the shell's own `echo`, so that the shell is the writer.
pub fn append_line(path: &Path, line: &str) -> Ran {
    run("sh", &["-c", "echo \"$1\" >> \"$0\"", text(path), line])
}

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("tests use UTF-8 names")
}

/// This process, for what a test does by itself.
pub fn myself() -> Ran {
    Ran {
        pid: process::id(),
        executable: env::current_exe()
            .and_then(fs::canonicalize)
            .expect("it runs"),
        succeeded: true,
        output: String::new(),
    }
}

/// Where a program lies: as given if it has a directory, else along `PATH` and the system directories.
pub fn which(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.exists().then(|| program.to_owned());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.exists())
}
