//! Each test that needs the sandbox runs this test program again as another user and restricts the thread of the test.
#![allow(clippy::expect_used, reason = "a failed step of a test is its failure")]

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::{
        fs::PermissionsExt,
        fs::chown,
        net::{UnixDatagram, UnixStream},
    },
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use nix::{
    errno::Errno,
    fcntl::AT_FDCWD,
    sys::{
        socket::{AddressFamily, SockFlag, SockType, socket, socketpair},
        stat::{FchmodatFlags, Mode, fchmodat},
    },
    unistd::{ForkResult, Uid, geteuid, setuid},
};
use tempfile::tempdir;

use super::*;
use crate::not_run::not_run;

/// Tells the second run which directory is its own.
const INSIDE: &str = "FIMK_TEST_SANDBOX";
/// The second run leaves it behind, so that a run of no test at all does not count.
const RAN: &str = "ran";
const NOBODY: u32 = 65534;

/// Runs the test `name` again as nobody. In that second run, the directory that is its own.
fn inside(name: &str, capabilities: &str) -> Option<PathBuf> {
    if let Some(directory) = env::var_os(INSIDE).map(PathBuf::from) {
        fs::write(directory.join(RAN), "").expect("written");
        return Some(directory);
    }
    if !geteuid().is_root() {
        not_run(
            name,
            "needs root (it becomes nobody with CAP_DAC_READ_SEARCH)",
        );
        return None;
    }
    let directory = tempdir().expect("a directory");
    for part in ["", "state", "run"] {
        let path = directory.path().join(part);
        fs::create_dir_all(&path).expect("made");
        chown(&path, Some(NOBODY), Some(NOBODY)).expect("given away");
    }
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("mode set");
    let status = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args([
            format!("--inh-caps={capabilities}"),
            format!("--ambient-caps={capabilities}"),
            "--".to_owned(),
        ])
        .arg(env::current_exe().expect("this program"))
        .args([
            "--exact",
            &format!("sandbox::tests::{name}"),
            "--nocapture",
            "--test-threads=1",
        ])
        .env(INSIDE, directory.path())
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .status()
        .expect("setpriv runs");
    assert!(
        status.success(),
        "the second run of {name} failed: {status}"
    );
    assert!(
        directory.path().join(RAN).exists(),
        "the second run of {name} ran nothing"
    );
    None
}

fn entered(directory: &Path) -> Report {
    restrict_thread(
        &directory.join("state"),
        &directory.join("run"),
        &Places::default(),
    )
    .expect("entered")
}

#[test]
fn inside_nothing_is_possible_but_reading_and_the_own_directories() {
    let Some(directory) = inside(
        "inside_nothing_is_possible_but_reading_and_the_own_directories",
        "-all,+dac_read_search",
    ) else {
        return;
    };
    let report = entered(&directory);
    eprintln!("{report:?}");
    assert!(report.reads_everything);
    reads_everything();
    writes_only_its_own(&directory, report.landlock_abi.is_some());
    starts_nothing();
    reaches_nobody(&directory);
    gains_nothing();
}

fn reads_everything() {
    let mut shadow = String::new();
    File::open("/etc/shadow")
        .and_then(|mut file| file.read_to_string(&mut shadow))
        .expect("shadow is read");
    assert!(shadow.contains("root:"));
    let reader = crate::read::Reader::new(
        std::sync::Arc::new(crate::key::DigestKey::from_bytes([1; 32])),
        1 << 20,
        crate::homes::Homes::default(),
    );
    let wanted = crate::read::Wanted {
        consumer: None,
        content: fimk_core::config::ContentMode::Hash,
        growing: false,
    };
    let read = reader
        .snapshot(&fimk_core::path::BytePath::new(b"/etc/shadow"), &wanted)
        .expect("a reading");
    assert!(matches!(
        read.snapshot.content,
        fimk_core::record::Content::Read { .. }
    ));
    assert!(read.snapshot.extended.is_some(), "xattrs are read too");
    assert!(fs::read_dir("/root").is_ok());
    assert!(crate::users::Users::default().user(0).is_some());
}

fn writes_only_its_own(directory: &Path, landlocked: bool) {
    for part in ["state", "run"] {
        let path = directory.join(part);
        fs::create_dir(path.join("d")).expect("a directory");
        fs::write(path.join("d/a"), "x").expect("a file");
        fs::rename(path.join("d/a"), path.join("b")).expect("moved");
        OpenOptions::new()
            .append(true)
            .open(path.join("b"))
            .and_then(|mut file| file.write_all(b"y"))
            .expect("appended");
        fs::remove_file(path.join("b")).expect("removed");
        fs::remove_dir(path.join("d")).expect("removed");
    }
    assert!(std::os::unix::net::UnixListener::bind(directory.join("run/socket")).is_ok());
    if landlocked {
        // The directory is its own and not beneath the two.
        assert_eq!(
            fs::write(directory.join("x"), "x")
                .expect_err("refused")
                .kind(),
            ErrorKind::PermissionDenied
        );
        assert!(fs::create_dir(directory.join("x")).is_err());
        assert!(fs::remove_dir(directory.join("state")).is_err());
        assert!(OpenOptions::new().write(true).open("/dev/null").is_err());
        assert!(fs::write(env::temp_dir().join("fimk-sandbox-test"), "x").is_err());
    }
    assert!(fs::hard_link("/etc/passwd", directory.join("state/l")).is_err());
    assert!(std::os::unix::fs::symlink("/", directory.join("state/s")).is_err());
    let mode = fchmodat(
        AT_FDCWD,
        &directory.join("state"),
        Mode::S_IRWXO,
        FchmodatFlags::FollowSymlink,
    );
    assert_eq!(mode, Err(Errno::EPERM));
}

fn starts_nothing() {
    assert!(Command::new("/bin/true").status().is_err());
    let argument = c"/bin/true";
    assert_eq!(
        nix::unistd::execv(argument, &[argument]).expect_err("refused"),
        Errno::EPERM
    );
    assert_eq!(fork(), Err(Errno::EPERM));
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .name("inside".to_owned())
        .spawn(move || sender.send(thread::current().name().is_some()))
        .expect("a thread");
    assert_eq!(receiver.recv(), Ok(true));
}

#[allow(unsafe_code, reason = "fork is what is tested")]
fn fork() -> nix::Result<()> {
    // SAFETY: it fails; were it not to, the child does nothing but abort.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => std::process::abort(),
        ForkResult::Parent { .. } => Ok(()),
    }
}

fn reaches_nobody(directory: &Path) {
    assert!(TcpListener::bind("127.0.0.1:0").is_err());
    assert!(TcpStream::connect("127.0.0.1:22").is_err());
    assert!(UdpSocket::bind("127.0.0.1:0").is_err());
    for family in [
        AddressFamily::Inet,
        AddressFamily::Inet6,
        AddressFamily::Netlink,
        AddressFamily::Packet,
    ] {
        let made = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, None);
        assert_eq!(made.map(drop), Err(Errno::EPERM), "{family:?}");
    }
    assert!(UnixStream::connect(directory.join("run/socket")).is_err());
    let pair = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    );
    assert!(pair.is_ok());
    let parent = nix::unistd::getppid();
    assert_eq!(nix::sys::ptrace::attach(parent), Err(Errno::EPERM));
    assert_eq!(nix::sys::signal::kill(parent, None), Err(Errno::EPERM));
}

fn gains_nothing() {
    assert_eq!(setuid(Uid::from_raw(0)), Err(Errno::EPERM));
    assert_eq!(
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER),
        Err(Errno::EPERM)
    );
    let root: Option<&str> = None;
    assert_eq!(nix::mount::umount("/"), Err(Errno::EPERM));
    assert_eq!(
        nix::mount::mount(root, "/", root, nix::mount::MsFlags::MS_REMOUNT, root),
        Err(Errno::EPERM)
    );
    let status = fs::read_to_string("/proc/thread-self/status").expect("read");
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000004",
        "CapEff:\t0000000000000004",
        "CapAmb:\t0000000000000000",
    ] {
        assert!(status.contains(line), "{line} in {status}");
    }
    assert!(
        status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"),
        "{status}"
    );
    assert_eq!(prctl::get_dumpable(), Ok(false));
}

#[test]
fn outputs_reach_their_places_inside_and_no_others() {
    let name = "outputs_reach_their_places_inside_and_no_others";
    let Some(directory) = inside(name, "-all,+dac_read_search") else {
        return;
    };
    for part in ["log", "daemon", "elsewhere"] {
        fs::create_dir(directory.join(part)).expect("a directory");
    }
    let daemon = UnixDatagram::bind(directory.join("daemon/socket")).expect("bound");
    let elsewhere = UnixDatagram::bind(directory.join("elsewhere/socket")).expect("bound");
    std::os::unix::fs::symlink("daemon/socket", directory.join("link")).expect("a link");
    let places = Places {
        files: vec![directory.join("log/events")],
        sockets: vec![directory.join("link")],
    };
    let report = restrict_thread(&directory.join("state"), &directory.join("run"), &places);
    let report = report.expect("entered");
    eprintln!("{report:?}");
    let sender = UnixDatagram::unbound().expect("a socket");
    let sent = sender.send_to(b"x", directory.join("link"));
    assert_eq!(sent.expect("sent"), 1);
    drop(daemon);
    // Landlock asks about sockets since ABI 9.
    let refused = sender.send_to(b"x", directory.join("elsewhere/socket"));
    assert_eq!(refused.is_err(), report.landlock_abi >= Some(9));
    drop(elsewhere);
    fs::write(directory.join("log/events"), "x").expect("a file");
    fs::rename(directory.join("log/events"), directory.join("log/events.1")).expect("renamed");
    assert!(fs::create_dir(directory.join("log/d")).is_err() || report.landlock_abi.is_none());
    let made = |flags| nix::sys::memfd::memfd_create(c"test", flags).map(drop);
    assert_eq!(made(crate::output::MEMORY_FILE), Ok(()));
    assert_eq!(made(nix::sys::memfd::MFdFlags::empty()), Err(Errno::EPERM));
}

#[test]
fn without_the_capability_the_report_says_so() {
    let Some(directory) = inside("without_the_capability_the_report_says_so", "-all") else {
        return;
    };
    assert!(!entered(&directory).reads_everything);
    assert!(File::open("/etc/shadow").is_err());
}

#[test]
fn the_fanotify_group_is_marked_and_read_inside() {
    let name = "the_fanotify_group_is_marked_and_read_inside";
    let Some(directory) = inside(name, "-all,+dac_read_search") else {
        return;
    };
    let flags = libc::FAN_REPORT_DFID_NAME;
    let init = nix::sys::fanotify::InitFlags::from_bits_retain(flags);
    let Ok(fanotify) =
        nix::sys::fanotify::Fanotify::init(init, nix::sys::fanotify::EventFFlags::O_RDONLY)
    else {
        not_run(name, "this kernel gives no fanotify group without root");
        return;
    };
    entered(&directory);
    let mut group = crate::fanotify::Group::new(fanotify.into(), flags).expect("a group");
    let state = directory.join("state");
    let path = fimk_core::path::BytePath::new(state.as_os_str().as_encoded_bytes());
    group
        .mark_directory(
            &path,
            crate::fanotify::Within::Everything,
            crate::fanotify::MaskFlags::empty(),
        )
        .expect("marked");
    fs::write(state.join("a"), "x").expect("written");
    let mut events = Vec::new();
    assert!(group.read(&|_| true, &mut events).expect("read"));
    assert!(
        events
            .iter()
            .any(|event| event.directory.as_ref() == Some(&path) && event.name == b"a")
    );
    assert!(
        nix::sys::fanotify::Fanotify::init(init, nix::sys::fanotify::EventFFlags::O_RDONLY)
            .is_err()
    );
}

#[test]
fn a_process_with_threads_is_refused() {
    // The test program has a thread of its own.
    assert!(
        enter(Path::new("/"), Path::new("/"), &Places::default())
            .expect_err("threads")
            .contains("threads run already")
    );
}

#[test]
fn root_is_refused() {
    if !geteuid().is_root() {
        not_run("root is refused", "needs root");
        return;
    }
    assert!(
        restrict_thread(Path::new("/"), Path::new("/"), &Places::default())
            .expect_err("root")
            .contains("does not run as root")
    );
}

#[test]
fn a_missing_directory_is_named() {
    let Some(directory) = inside("a_missing_directory_is_named", "-all") else {
        return;
    };
    let missing = directory.join("missing");
    let error = restrict_thread(&directory, &missing, &Places::default()).expect_err("missing");
    assert!(
        error.contains("missing cannot be opened") && error.contains("must exist"),
        "{error}"
    );
}
