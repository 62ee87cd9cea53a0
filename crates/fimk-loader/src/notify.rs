//! What systemd is told, if it started us: `sd_notify(3)`, one datagram a word. Also a module of the analyzer.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// A socket to systemd, or none.
#[derive(Default)]
pub struct Notify {
    socket: Option<UnixDatagram>,
    /// How often a sign of life is given, and when next.
    beat: Option<(Duration, Instant)>,
}

impl Notify {
    /// By `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`. To be called before a sandbox is entered. Whoever
    /// named a socket that cannot be reached is told nothing: that is no reason not to watch.
    pub fn from_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| connect(name.as_bytes()));
        let Some(socket) = socket else {
            return Self::default();
        };
        let text = |name| env::var(name).ok();
        let own = std::process::id();
        Self::over(
            socket,
            interval(text("WATCHDOG_USEC"), text("WATCHDOG_PID"), own),
        )
    }

    /// Over a socket that is connected; with a sign of life so often.
    pub fn over(socket: UnixDatagram, every: Option<Duration>) -> Self {
        Self {
            socket: Some(socket),
            beat: every.map(|interval| (interval, Instant::now() + interval)),
        }
    }

    /// The start is done.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// One line for `systemctl status`.
    pub fn status(&self, line: &str) {
        self.say(&format!("STATUS={line}"));
    }

    /// Gives a sign of life if it is time. To be called by the loop that must not hang.
    pub fn beat(&mut self) {
        let now = Instant::now();
        if let Some((interval, next)) = &mut self.beat
            && now >= *next
        {
            *next = now + *interval;
            self.say("WATCHDOG=1");
        }
    }

    /// When the next sign of life is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.beat.map(|(_, next)| next)
    }

    fn say(&self, words: &str) {
        if let Some(socket) = &self.socket {
            // It never blocks; a word too many for a busy systemd is lost.
            let _ = socket.send(words.as_bytes());
        }
    }
}

fn connect(name: &[u8]) -> Option<UnixDatagram> {
    let address = match name.split_first()? {
        (b'@', rest) => SocketAddr::from_abstract_name(rest).ok()?,
        (b'/', _) => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)).ok()?,
        _ => return None,
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect_addr(&address).ok()?;
    Some(socket)
}

/// Half of what systemd waits, if it waits for us.
fn interval(microseconds: Option<String>, pid: Option<String>, own: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    let microseconds = microseconds?.parse().ok().filter(|&time| time > 0)?;
    Some(Duration::from_micros(microseconds) / 2)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test that cannot go on must stop")]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_life_is_due_at_half_of_what_is_waited_and_only_by_the_one_asked() {
        let of = |time: &str, pid: Option<&str>| {
            interval(Some(time.to_owned()), pid.map(str::to_owned), 7)
        };
        assert_eq!(of("3000000", None), Some(Duration::from_millis(1500)));
        assert_eq!(of("3000000", Some("7")), Some(Duration::from_millis(1500)));
        assert_eq!(of("3000000", Some("8")), None);
        assert_eq!((of("0", None), of("soon", None)), (None, None));
        assert_eq!(interval(None, None, 7), None);
    }

    #[test]
    fn words_arrive_at_a_path_and_at_an_abstract_name() {
        let abstract_name = format!("fimk-notify-{}", std::process::id());
        let directory = env::temp_dir().join(&abstract_name);
        let path = SocketAddr::from_pathname(&directory).expect("it is short");
        let name = SocketAddr::from_abstract_name(&abstract_name).expect("it is short");
        let given = [
            (path, directory.to_string_lossy().into_owned()),
            (name, format!("@{abstract_name}")),
        ];
        for (address, given) in given {
            let systemd = UnixDatagram::bind_addr(&address).expect("a free name");
            let notify = Notify {
                socket: connect(given.as_bytes()),
                beat: None,
            };
            notify.ready();
            let mut buffer = [0; 32];
            let length = systemd.recv(&mut buffer).expect("a word");
            assert_eq!(&buffer[..length], b"READY=1");
        }
        let _ = std::fs::remove_file(directory);
    }

    #[test]
    fn without_a_socket_nothing_is_said() {
        assert!(connect(b"").is_none() && connect(b"relative").is_none());
        Notify::default().ready();
    }
}
