//! This test program runs again as another user, restricts the thread of the test and tries what it should not.
#![allow(clippy::expect_used, reason = "a failed step of a test is its failure")]

use std::{
    env, fs,
    net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket},
    os::unix::fs::chown,
    os::unix::net::{UnixDatagram, UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
    unistd::geteuid,
};

use super::*;
use crate::not_run::not_run;

/// Tells the second run which directory is its own.
const INSIDE: &str = "FIMK_TEST_FORWARDER_SANDBOX";
/// The second run leaves it behind, so that a run of no test at all does not count.
const RAN: &str = "ran";

/// Runs the test `name` again as nobody. In that second run, the directory that is its own.
fn inside(name: &str) -> Option<PathBuf> {
    if let Some(directory) = env::var_os(INSIDE).map(PathBuf::from) {
        fs::write(directory.join(RAN), "").expect("written");
        return Some(directory);
    }
    if !geteuid().is_root() {
        not_run(name, "needs root (it becomes nobody)");
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let nobody = 65_534;
    chown(directory.path(), Some(nobody), Some(nobody)).expect("given away");
    let status = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", &format!("sandbox::tests::{name}")])
        .args(["--nocapture", "--test-threads=1"])
        .env(INSIDE, directory.path())
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .status()
        .expect("setpriv runs");
    assert!(status.success(), "the second run failed: {status}");
    let ran = directory.path().join(RAN).exists();
    assert!(ran, "the second run ran nothing");
    None
}

#[test]
fn inside_the_network_is_reached_and_nothing_else_is_possible() {
    let Some(directory) = inside("inside_the_network_is_reached_and_nothing_else_is_possible")
    else {
        return;
    };
    let listeners = Listeners::new(&directory);
    enter().expect("entered");
    listeners.are_reached(&directory);
    starts_threads_only();
    writes_nothing(&directory);
    listens_nowhere();
    for (name, number) in REFUSED {
        assert_eq!(tried(*number), Err(Errno::ENOSYS), "{name}");
    }
}

/// Who listens outside.
struct Listeners {
    tcp: TcpListener,
    udp: UdpSocket,
    _stream: UnixListener,
    datagrams: UnixDatagram,
}

impl Listeners {
    fn new(directory: &Path) -> Self {
        Self {
            tcp: TcpListener::bind("127.0.0.1:0").expect("bound"),
            udp: UdpSocket::bind("127.0.0.1:0").expect("bound"),
            _stream: UnixListener::bind(directory.join("stream")).expect("bound"),
            datagrams: UnixDatagram::bind(directory.join("datagrams")).expect("bound"),
        }
    }

    fn are_reached(&self, directory: &Path) {
        let port = self.tcp.local_addr().expect("bound").port();
        let name = ("localhost", port).to_socket_addrs();
        assert!(name.expect("resolved").any(|it| it.ip().is_loopback()));
        let address = self.tcp.local_addr().expect("bound");
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(20));
        let stream = stream.expect("connected");
        stream.set_nodelay(true).expect("set");
        let timeout = Some(Duration::from_secs(1));
        stream.set_read_timeout(timeout).expect("set");
        assert_eq!(crate::unsent::unsent(&stream).expect("known"), 0);
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
        socket
            .connect(self.udp.local_addr().expect("bound"))
            .expect("connected");
        assert_eq!(socket.send(b"x").expect("sent"), 1);
        assert!(UnixStream::connect(directory.join("stream")).is_ok());
        let sender = UnixDatagram::unbound().expect("a socket");
        let sent = sender.send_to(b"x", directory.join("datagrams"));
        assert_eq!(sent.expect("sent"), 1);
        let mut byte = [0];
        assert_eq!(self.datagrams.recv(&mut byte).expect("received"), 1);
        assert!(fs::read_to_string("/etc/passwd").is_ok());
        assert!(fs::read_dir("/etc").is_ok());
        let kept = socket_of(AddressFamily::Netlink, SockType::Raw);
        assert_eq!(kept, Ok(()), "it tells which addresses we have");
    }
}

fn socket_of(family: AddressFamily, kind: SockType) -> nix::Result<()> {
    socket(family, kind, SockFlag::SOCK_CLOEXEC, None).map(drop)
}

fn starts_threads_only() {
    let thread = thread::Builder::new().name("inside".to_owned());
    let thread = thread.spawn(|| thread::current().name().is_some());
    assert!(thread.expect("a thread").join().expect("it ended"));
    assert!(Command::new("/bin/true").status().is_err());
    let (argument, none): (_, [&std::ffi::CStr; 0]) = (c"/bin/true", []);
    assert_eq!(
        nix::unistd::execve(argument, &[argument], &none).expect_err("refused"),
        Errno::ENOSYS
    );
}

fn writes_nothing(directory: &Path) {
    let file = directory.join(RAN);
    assert!(fs::hard_link(&file, directory.join("link")).is_err());
    assert!(std::os::unix::fs::symlink(&file, directory.join("symlink")).is_err());
    assert!(fs::rename(&file, directory.join("renamed")).is_err());
    assert!(fs::remove_file(&file).is_err());
    assert!(fs::create_dir(directory.join("made")).is_err());
    assert!(file.exists());
    let landlocked = fs::read_to_string("/sys/kernel/security/lsm");
    if landlocked.is_ok_and(|all| all.contains("landlock")) {
        assert!(fs::write(&file, "x").is_err());
    }
}

fn listens_nowhere() {
    assert!(TcpListener::bind("127.0.0.1:0").is_err());
    assert!(UnixListener::bind("socket").is_err());
    assert_eq!(
        socket_of(AddressFamily::Packet, SockType::Raw),
        Err(Errno::ENOSYS)
    );
    let parent = nix::unistd::getppid();
    assert_eq!(nix::sys::signal::kill(parent, None), Err(Errno::ENOSYS));
}

/// What became of a call with arguments that are none.
#[allow(unsafe_code, reason = "calls that no library has are tried")]
fn tried(number: libc::c_long) -> nix::Result<libc::c_long> {
    let none: libc::c_long = -1;
    // SAFETY: it is refused; were it not, no argument is a valid address, size or descriptor.
    let result = unsafe { libc::syscall(number, none, none, none, none, none, none) };
    if result == 0 {
        // It may be the child of a call that was to be refused.
        std::process::abort();
    }
    Errno::result(result)
}

/// Numbers that not every release of the C library names.
const FCHMODAT2: libc::c_long = 452;

/// What is to be refused whatever its arguments are.
#[rustfmt::skip]
const REFUSED: &[(&str, libc::c_long)] = &[
    ("accept", libc::SYS_accept),
    ("accept4", libc::SYS_accept4),
    ("acct", libc::SYS_acct),
    ("add_key", libc::SYS_add_key),
    ("bpf", libc::SYS_bpf),
    ("capset", libc::SYS_capset),
    ("chroot", libc::SYS_chroot),
    ("clock_settime", libc::SYS_clock_settime),
    ("clone3", libc::SYS_clone3),
    ("delete_module", libc::SYS_delete_module),
    ("execve", libc::SYS_execve),
    ("execveat", libc::SYS_execveat),
    ("fanotify_init", libc::SYS_fanotify_init),
    ("fanotify_mark", libc::SYS_fanotify_mark),
    ("fchmod", libc::SYS_fchmod),
    ("fchmodat", libc::SYS_fchmodat),
    ("fchmodat2", FCHMODAT2),
    ("fchown", libc::SYS_fchown),
    ("fchownat", libc::SYS_fchownat),
    ("finit_module", libc::SYS_finit_module),
    ("fsconfig", libc::SYS_fsconfig),
    ("fsetxattr", libc::SYS_fsetxattr),
    ("fsmount", libc::SYS_fsmount),
    ("fsopen", libc::SYS_fsopen),
    ("fspick", libc::SYS_fspick),
    ("init_module", libc::SYS_init_module),
    ("io_uring_enter", libc::SYS_io_uring_enter),
    ("io_uring_register", libc::SYS_io_uring_register),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("kcmp", libc::SYS_kcmp),
    ("kexec_load", libc::SYS_kexec_load),
    ("keyctl", libc::SYS_keyctl),
    ("linkat", libc::SYS_linkat),
    ("listen", libc::SYS_listen),
    ("memfd_create", libc::SYS_memfd_create),
    ("mkdirat", libc::SYS_mkdirat),
    ("mknodat", libc::SYS_mknodat),
    ("mount", libc::SYS_mount),
    ("mount_setattr", libc::SYS_mount_setattr),
    ("move_mount", libc::SYS_move_mount),
    ("name_to_handle_at", libc::SYS_name_to_handle_at),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("open_tree", libc::SYS_open_tree),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("personality", libc::SYS_personality),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("pidfd_open", libc::SYS_pidfd_open),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal),
    ("pivot_root", libc::SYS_pivot_root),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("ptrace", libc::SYS_ptrace),
    ("quotactl", libc::SYS_quotactl),
    ("reboot", libc::SYS_reboot),
    ("renameat2", libc::SYS_renameat2),
    ("request_key", libc::SYS_request_key),
    ("setdomainname", libc::SYS_setdomainname),
    ("setfsgid", libc::SYS_setfsgid),
    ("setfsuid", libc::SYS_setfsuid),
    ("setgid", libc::SYS_setgid),
    ("setgroups", libc::SYS_setgroups),
    ("sethostname", libc::SYS_sethostname),
    ("setns", libc::SYS_setns),
    ("setregid", libc::SYS_setregid),
    ("setresgid", libc::SYS_setresgid),
    ("setresuid", libc::SYS_setresuid),
    ("setreuid", libc::SYS_setreuid),
    ("settimeofday", libc::SYS_settimeofday),
    ("setuid", libc::SYS_setuid),
    ("setxattr", libc::SYS_setxattr),
    ("swapoff", libc::SYS_swapoff),
    ("swapon", libc::SYS_swapon),
    ("symlinkat", libc::SYS_symlinkat),
    ("syslog", libc::SYS_syslog),
    ("tkill", libc::SYS_tkill),
    ("umount2", libc::SYS_umount2),
    ("unlinkat", libc::SYS_unlinkat),
    ("unshare", libc::SYS_unshare),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("vhangup", libc::SYS_vhangup),
    #[cfg(target_arch = "x86_64")]
    ("chmod", libc::SYS_chmod),
    #[cfg(target_arch = "x86_64")]
    ("chown", libc::SYS_chown),
    #[cfg(target_arch = "x86_64")]
    ("creat", libc::SYS_creat),
    #[cfg(target_arch = "x86_64")]
    ("fork", libc::SYS_fork),
    #[cfg(target_arch = "x86_64")]
    ("ioperm", libc::SYS_ioperm),
    #[cfg(target_arch = "x86_64")]
    ("iopl", libc::SYS_iopl),
    #[cfg(target_arch = "x86_64")]
    ("kexec_file_load", libc::SYS_kexec_file_load),
    #[cfg(target_arch = "x86_64")]
    ("lchown", libc::SYS_lchown),
    #[cfg(target_arch = "x86_64")]
    ("link", libc::SYS_link),
    #[cfg(target_arch = "x86_64")]
    ("mkdir", libc::SYS_mkdir),
    #[cfg(target_arch = "x86_64")]
    ("mknod", libc::SYS_mknod),
    #[cfg(target_arch = "x86_64")]
    ("modify_ldt", libc::SYS_modify_ldt),
    #[cfg(target_arch = "x86_64")]
    ("rename", libc::SYS_rename),
    #[cfg(target_arch = "x86_64")]
    ("renameat", libc::SYS_renameat),
    #[cfg(target_arch = "x86_64")]
    ("rmdir", libc::SYS_rmdir),
    #[cfg(target_arch = "x86_64")]
    ("symlink", libc::SYS_symlink),
    #[cfg(target_arch = "x86_64")]
    ("unlink", libc::SYS_unlink),
    #[cfg(target_arch = "x86_64")]
    ("vfork", libc::SYS_vfork),
];
