//! An analyzer for the loader's tests: the file given as `--config` says what it does, and it prints what
//! it was told. Each word of the file is one step.
#![allow(
    clippy::expect_used,
    reason = "a test helper that cannot go on must stop"
)]
#![allow(unsafe_code, reason = "the channel is inherited under a known number")]

use std::io::{IoSlice, IoSliceMut, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::time::Duration;

use fimk_wire::{BUSY, HANDED, Packet, leaf_first_to_path, raw, request, spanned};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    connect, recv, recvmsg, send, sendmsg, socket,
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = match value("--handover") {
        Some(path) => ask_for_channel(&path),
        None => value("--channel").and_then(|number| number.parse().ok()),
    };
    let Some(number) = number else {
        return;
    };
    // SAFETY: the loader hands the channel over under this number; nothing else here uses it.
    let channel = unsafe { OwnedFd::from_raw_fd(number) };
    let script = std::fs::read_to_string(value("--config").expect("--config FILE"))
        .expect("a readable script");
    say(&format!("arguments {}", arguments[1..].join(" ")));
    let watched =
        std::path::Path::new(&value("--state-dir").expect("--state-dir DIR")).join("watched");
    for step in script.split_whitespace() {
        match step {
            "arm" => arm(&channel, &watched),
            "marks" => marks(),
            "change" => change(&channel, &watched),
            _ => take_step(&channel, step),
        }
    }
    while let Some(packet) = receive(&channel) {
        print(&packet);
    }
    say("end");
}

/// The channel of a loader in service mode; says so if it is refused.
fn ask_for_channel(path: &str) -> Option<i32> {
    let socket = socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::empty(),
        None,
    )
    .expect("a socket");
    let address = UnixAddr::new(path).expect("a short path");
    if let Err(cause) = connect(socket.as_raw_fd(), &address) {
        say(&format!("no connection {cause}"));
        return None;
    }
    let mut bytes = [0; 2];
    let mut space = nix::cmsg_space!(RawFd);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::empty();
    let answer = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)
        .expect("an answer");
    let mut channel = None;
    for control in answer.cmsgs().expect("whole control messages") {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            channel = descriptors.first().copied();
        }
    }
    let length = answer.bytes;
    match (&bytes[..length], channel) {
        (&[HANDED], Some(channel)) => return Some(channel),
        (&[BUSY], None) => say("busy"),
        _ => say("turned away"),
    }
    None
}

fn take_step(channel: &OwnedFd, step: &str) {
    let mut key = raw::fimk_key::new_zeroed();
    match step {
        "status" => say(&std::fs::read_to_string("/proc/self/status").expect("our own status")),
        "files" => {
            for entry in std::fs::read_dir("/proc/self/fd")
                .expect("our own descriptors")
                .flatten()
            {
                say(&format!(
                    "file {} {:?}",
                    entry.file_name().display(),
                    std::fs::read_link(entry.path()).ok()
                ));
            }
        }
        "environment" => std::env::vars().for_each(|(name, _)| say(&format!("variable {name}"))),
        "garbage" => ask(channel, b"garbage"),
        "long" => ask(channel, &[0; 4096]),
        "flood" => flood(channel),
        "early" => ask(
            channel,
            request(raw::FIMK_REQUEST_SYNC, 0, key, 1).as_bytes(),
        ),
        "hang" => std::thread::sleep(Duration::from_secs(60)),
        "crash" => std::process::abort(),
        "who" => {
            key.actor.pid = std::process::id();
            ask(
                channel,
                request(raw::FIMK_REQUEST_WHO, 0, key, 77).as_bytes(),
            );
            until_synced(channel);
        }
        "nobody" => {
            key.actor.pid = i32::MAX.cast_unsigned();
            ask(
                channel,
                request(raw::FIMK_REQUEST_WHO, 0, key, 78).as_bytes(),
            );
            until_synced(channel);
        }
        "holders" => {
            ask(
                channel,
                request(raw::FIMK_REQUEST_HOLDERS, 0, key, 80).as_bytes(),
            );
            until_synced(channel);
        }
        "sync" => {
            ask(
                channel,
                request(raw::FIMK_REQUEST_SYNC, 0, key, 79).as_bytes(),
            );
            until_synced(channel);
        }
        _ => match step.split_once('=') {
            Some(("hello", source)) => {
                let source = source.parse().expect("a source's number");
                ask(
                    channel,
                    request(raw::FIMK_REQUEST_HELLO, source, key, 0).as_bytes(),
                );
                print(&receive(channel).expect("READY"));
            }
            Some(("leave", source)) => {
                let source = source.parse().expect("a source's number");
                let hello = request(raw::FIMK_REQUEST_HELLO, source, key, 0);
                ask(channel, hello.as_bytes());
                std::process::exit(0);
            }
            Some(("who", pid)) => {
                key.actor.pid = pid.parse().expect("a pid");
                ask(
                    channel,
                    request(raw::FIMK_REQUEST_WHO, 0, key, 76).as_bytes(),
                );
                until_synced(channel);
            }
            Some(("exit", status)) => std::process::exit(status.parse().expect("a status")),
            _ => panic!("unknown step {step}"),
        },
    }
}

/// The marker's socket, which came with READY.
static MARKER: OnceLock<RawFd> = OnceLock::new();

/// Asks the marker for whatever may be asked, and for what may not.
fn marks() {
    let root = std::fs::File::open("/").expect("everybody may");
    let path = nix::fcntl::open(
        "/",
        nix::fcntl::OFlag::O_PATH,
        nix::sys::stat::Mode::empty(),
    )
    .expect("everybody may");
    let root = root.as_raw_fd();
    let version = u16::try_from(raw::FIMK_WIRE_VERSION).expect("it is small");
    for (words, kind, descriptors) in [
        ("changes", raw::FIMK_MARK_CHANGES, vec![root]),
        ("no changes", raw::FIMK_MARK_NO_CHANGES, vec![root]),
        ("no changes again", raw::FIMK_MARK_NO_CHANGES, vec![root]),
        ("an unknown kind", 99, vec![root]),
        ("no descriptor", raw::FIMK_MARK_CHANGES, vec![]),
        (
            "only a path",
            raw::FIMK_MARK_CHANGES,
            vec![path.as_raw_fd()],
        ),
        ("nothing", raw::FIMK_MARK_NOTHING, vec![]),
    ] {
        // What is no request is passed over.
        tell_marker(&[7; 5], &[root]);
        tell_marker(mark(version + 1, kind).as_bytes(), &[root]);
        tell_marker(mark(version, kind).as_bytes(), &[root, root]);
        tell_marker(mark(version, kind).as_bytes(), &descriptors);
        let mut answer = [0; size_of::<raw::fimk_mark>()];
        recv(marker(), &mut answer, MsgFlags::empty()).expect("an answer");
        let answer = raw::fimk_mark::read_from_bytes(&answer).expect("a whole one");
        say(&format!("marker {words}: {}", answer.error));
    }
}

fn mark(version: u16, kind: u32) -> raw::fimk_mark {
    raw::fimk_mark {
        version,
        kind: u16::try_from(kind).expect("it is small"),
        error: 0,
        cookie: 5,
    }
}

fn marker() -> RawFd {
    *MARKER.get().expect("a second descriptor came with READY")
}

fn tell_marker(bytes: &[u8], descriptors: &[RawFd]) {
    let rights = [ControlMessage::ScmRights(descriptors)];
    sendmsg::<UnixAddr>(
        marker(),
        &[IoSlice::new(bytes)],
        if descriptors.is_empty() { &[] } else { &rights },
        MsgFlags::empty(),
        None,
    )
    .expect("somebody listens");
}

/// Walks a "tree" of one file.
fn arm(channel: &OwnedFd, watched: &std::path::Path) {
    if !watched.exists() {
        std::fs::write(watched, "before").expect("the state directory is ours");
    }
    let mut key = raw::fimk_key::new_zeroed();
    key.actor.image = raw::FIMK_WATCH_CHILDREN;
    let thread = u64::try_from(nix::unistd::gettid().as_raw()).expect("positive");
    ask(
        channel,
        request(raw::FIMK_REQUEST_ARM, 7, key, thread).as_bytes(),
    );
    until_synced(channel);
    let path = std::ffi::CString::new(watched.to_str().expect("ASCII")).expect("no NUL");
    nix::sys::stat::lstat(path.as_c_str()).expect("it is there");
    ask(
        channel,
        request(raw::FIMK_REQUEST_ARM, 0, key, 0).as_bytes(),
    );
    until_synced(channel);
}

/// Writes, is told of it, takes it, and says that it is done.
fn change(channel: &OwnedFd, watched: &std::path::Path) {
    std::fs::write(watched, "after").expect("it is ours");
    let key = loop {
        let packet = receive(channel).expect("a touch");
        print(&packet);
        if let Packet::Touch(touch) = packet {
            break touch.key;
        }
    };
    for _ in 0..2 {
        ask(
            channel,
            request(raw::FIMK_REQUEST_TAKE, 0, key, 0).as_bytes(),
        );
        loop {
            let packet = receive(channel).expect("TAKEN");
            print(&packet);
            if let Packet::Taken(taken) = packet {
                ask(
                    channel,
                    request(raw::FIMK_REQUEST_DONE, 0, key, taken.entry.take).as_bytes(),
                );
                break;
            }
        }
    }
}

/// Asks without end and reads nothing, until there was no room for a while; then reads what is there.
fn flood(channel: &OwnedFd) {
    let key = raw::fimk_key::new_zeroed();
    let mut rests = 0;
    for cookie in 0..2_000_000 {
        let kind = if cookie % 2 == 0 {
            raw::FIMK_REQUEST_SYNC
        } else {
            raw::FIMK_REQUEST_HOLDERS
        };
        let asked = request(kind, 0, key, 1 << 32 | cookie);
        let flags = MsgFlags::MSG_DONTWAIT;
        while send(channel.as_raw_fd(), asked.as_bytes(), flags).is_err() {
            rests += 1;
            if rests == 100 {
                say("flooded");
                std::process::exit(0);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    panic!("the loader takes in what nobody can need");
}

fn until_synced(channel: &OwnedFd) {
    while let Some(packet) = receive(channel) {
        print(&packet);
        if matches!(packet, Packet::Synced(_)) {
            return;
        }
    }
    panic!("the channel ended before SYNCED");
}

fn ask(channel: &OwnedFd, bytes: &[u8]) {
    send(channel.as_raw_fd(), bytes, MsgFlags::empty()).expect("room for a request");
}

fn receive(channel: &OwnedFd) -> Option<Packet> {
    let mut bytes = [0; fimk_wire::PACKET_MAX];
    let mut space = nix::cmsg_space!([RawFd; 2]);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let message = recvmsg::<UnixAddr>(
        channel.as_raw_fd(),
        &mut slices,
        Some(&mut space),
        MsgFlags::empty(),
    )
    .expect("a packet or the end");
    for control in message.cmsgs().expect("whole control messages") {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            let link = std::fs::read_link(format!("/proc/self/fd/{}", descriptors[0]))
                .expect("a descriptor");
            say(&format!("descriptor {}", link.display()));
            if let Some(&second) = descriptors.get(1) {
                MARKER.get_or_init(|| second);
            }
        }
    }
    let length = message.bytes;
    (length > 0).then(|| Packet::decode(&bytes[..length]).expect("a packet of this build"))
}

fn print(packet: &Packet) {
    match packet {
        Packet::Ready(ready) => say(&format!(
            "ready source={} reason={} error={} kept={} plan={:?}",
            ready.source,
            ready.reason,
            ready.error,
            ready.objects_kept,
            &ready.plan[..raw::FIMK_HOOKS as usize]
        )),
        Packet::Actor(actor) => say(&format!(
            "actor pid={} flags={} executable={}",
            actor.key.pid,
            actor.flags,
            String::from_utf8_lossy(&leaf_first_to_path(spanned(&actor.tail, actor.executable)))
        )),
        Packet::Synced(synced) => say(&format!("synced {}", synced.cookie)),
        Packet::Counters(_) => say("counters"),
        Packet::Taken(taken) => say(&format!(
            "taken count={} take={}",
            taken.entry.count, taken.entry.take
        )),
        Packet::Touch(touch) => say(&format!(
            "touch pid={} hook={} path={}",
            touch.key.actor.pid,
            touch.hook,
            String::from_utf8_lossy(&leaf_first_to_path(spanned(&touch.tail, touch.path)))
        )),
        Packet::Name(_) => say("name"),
        Packet::Holder(holder) => say(&format!(
            "holder pid={} inode={} flags={}",
            holder.key.actor.pid, holder.key.object.inode, holder.flags
        )),
        Packet::Armed(armed) => say(&format!("armed rule={} flags={}", armed.rule, armed.flags)),
    }
}

fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").expect("somebody reads");
    output.flush().expect("somebody reads");
}
