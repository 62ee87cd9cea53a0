//! Datagrams: one an event, to each of the addresses. Nobody says whether they arrive.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use fimk_core::config::Address;

use super::{REFUSED_MAX, Receiver, Taken};
use crate::link::resolve;

/// Names are resolved again as often: who answers under one may change.
const RESOLVED_FOR: Duration = Duration::from_secs(60);

/// A name that is not resolved is asked for again after so long, or after ten times as long as it took to learn that: who
/// resolves names may be silent for half a minute, and the other addresses wait meanwhile.
const UNRESOLVED_FOR: Duration = Duration::from_secs(30);
const TIMES_THE_WAIT: u32 = 10;

/// A socket that does not serve, for its own address may be gone, is made anew after so long.
const BROKEN_FOR: Duration = Duration::from_secs(1);

/// Sent without a pause; a receiver's queue in the kernel takes about as many.
const AT_ONCE: usize = 64;

/// After as many.
const PAUSE: Duration = Duration::from_millis(5);

/// See the module.
pub struct Udp {
    targets: Vec<Target>,
    complaint: Option<String>,
}

struct Target {
    address: Address,
    /// Stays when its name is not resolved any more.
    socket: Option<UdpSocket>,
    /// Why there is none.
    trouble: String,
    /// When its name is to be resolved.
    due: Instant,
}

/// What became of one record.
enum Sent {
    /// One address took it at least.
    Yes,
    /// It is too large on the way to one of them: that, in a sentence.
    TooLarge(String),
    No(String),
}

impl Udp {
    /// To these.
    pub fn new(addresses: Vec<Address>) -> Self {
        let target = |address| Target {
            address,
            socket: None,
            trouble: String::new(),
            due: Instant::now(),
        };
        Self {
            targets: addresses.into_iter().map(target).collect(),
            complaint: None,
        }
    }

    fn send_one(&mut self, record: &str) -> Sent {
        let mut sent = false;
        let (mut too_large, mut failed) = (None, None);
        for target in &mut self.targets {
            match target.send(record.as_bytes()) {
                Ok(()) => sent = true,
                Err(Trouble::TooLarge) => {
                    too_large = Some(format!(
                        "{}: larger than what is taken on the way there: lower datagram_bytes",
                        target.address
                    ));
                }
                Err(Trouble::Other(why)) => failed = Some(format!("{}: {why}", target.address)),
            }
        }
        match (too_large, failed) {
            (Some(why), _) => Sent::TooLarge(why),
            (None, Some(why)) if !sent => Sent::No(why),
            (None, failed) => {
                self.complaint = failed.or_else(|| self.complaint.take());
                Sent::Yes
            }
        }
    }
}

impl Receiver for Udp {
    fn send(&mut self, records: &[String]) -> Result<Taken, String> {
        let mut taken = Taken::default();
        for record in records {
            if taken.count > 0 && taken.count % AT_ONCE == 0 {
                std::thread::sleep(PAUSE);
            }
            match self.send_one(record) {
                Sent::Yes => {}
                Sent::TooLarge(why) => {
                    taken.refused.push(taken.count);
                    taken.why = why;
                }
                Sent::No(why) if taken.count == 0 => return Err(why),
                Sent::No(_) => break,
            }
            taken.count += 1;
            if taken.refused.len() == REFUSED_MAX {
                break;
            }
        }
        Ok(taken)
    }

    fn batch(&self) -> (usize, Duration) {
        (4 * AT_ONCE, Duration::ZERO)
    }

    fn complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }
}

enum Trouble {
    TooLarge,
    Other(String),
}

impl Target {
    fn send(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let socket = self.socket().map_err(Trouble::Other)?;
        match socket.send(bytes) {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => Err(Trouble::TooLarge),
            // Somebody may listen there any moment, and the socket serves then.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Err(Trouble::Other(words(&error)))
            }
            Err(error) => {
                self.socket = None;
                self.trouble = words(&error);
                self.due = Instant::now() + BROKEN_FOR;
                Err(Trouble::Other(self.trouble.clone()))
            }
        }
    }

    fn socket(&mut self) -> Result<&UdpSocket, String> {
        let began = Instant::now();
        if began >= self.due {
            match open(&self.address) {
                Ok(socket) => {
                    self.socket = Some(socket);
                    self.due = Instant::now() + RESOLVED_FOR;
                }
                Err(why) => {
                    self.trouble = why;
                    let pause = UNRESOLVED_FOR.max(began.elapsed() * TIMES_THE_WAIT);
                    self.due = Instant::now() + pause;
                }
            }
        }
        self.socket.as_ref().ok_or_else(|| self.trouble.clone())
    }
}

/// Connected, so that the system says when nobody listens there.
fn open(address: &Address) -> Result<UdpSocket, String> {
    let mut last = "its name stands for no address".to_owned();
    for address in resolve(address)? {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let opened = UdpSocket::bind(any).and_then(|socket| {
            socket.connect(address)?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => return Ok(socket),
            Err(error) => last = words(&error),
        }
    }
    Err(last)
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn listener(address: &str) -> Option<(UdpSocket, Address)> {
        let socket = UdpSocket::bind(address).ok()?;
        let local = socket.local_addr().ok()?;
        let host = local.ip().to_string();
        let port = local.port();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .ok()?;
        Some((socket, Address { host, port }))
    }

    fn received(socket: &UdpSocket) -> String {
        let mut bytes = vec![0; 70_000];
        let count = socket.recv(&mut bytes).expect("a datagram");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[test]
    fn each_address_gets_every_record_also_over_ipv6() {
        let (four, address) = listener("127.0.0.1:0").expect("loopback");
        let mut addresses = vec![address];
        let six = listener("[::1]:0");
        addresses.extend(six.iter().map(|(_, address)| address.clone()));
        let mut udp = Udp::new(addresses);
        let records = ["one".to_owned(), "two".to_owned()];
        assert_eq!(udp.send(&records), Ok(Taken::all(2)));
        for socket in [Some(&four), six.as_ref().map(|(socket, _)| socket)]
            .into_iter()
            .flatten()
        {
            assert_eq!([received(socket), received(socket)], records);
        }
    }

    #[test]
    fn who_does_not_listen_is_told_of_and_holds_up_nobody_else() {
        let (socket, address) = listener("127.0.0.1:0").expect("loopback");
        let (gone, missing) = listener("127.0.0.1:0").expect("loopback");
        drop(gone);
        let mut alone = Udp::new(vec![missing.clone()]);
        // The first is on its way before anybody says that it is for nobody.
        let refused = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            alone.send(&["x".to_owned()]).is_err()
        });
        assert!(refused);
        let mut both = Udp::new(vec![missing, address]);
        let complained = (0..200).any(|number: u32| {
            assert_eq!(both.send(&[number.to_string()]), Ok(Taken::all(1)));
            assert_eq!(received(&socket), number.to_string());
            both.complaint()
                .is_some_and(|it| it.contains("nobody listens"))
        });
        assert!(complained);
    }

    #[test]
    fn what_no_datagram_can_hold_is_set_aside_and_said() {
        let (socket, address) = listener("127.0.0.1:0").expect("loopback");
        let mut udp = Udp::new(vec![address]);
        let records = ["x".repeat(70_000), "small".to_owned()];
        let taken = udp.send(&records).expect("the second is taken");
        assert_eq!((taken.count, taken.refused), (2, vec![0]));
        assert!(taken.why.contains("lower datagram_bytes"), "{}", taken.why);
        assert_eq!(received(&socket), "small");
        let many = vec!["x".repeat(70_000); 2 * REFUSED_MAX];
        let taken = udp.send(&many).expect("they are done with");
        assert_eq!(
            (taken.count, taken.refused.len()),
            (REFUSED_MAX, REFUSED_MAX)
        );
    }

    fn nowhere() -> Address {
        Address {
            host: "no-such-host.invalid".to_owned(),
            port: 9,
        }
    }

    #[test]
    fn a_name_that_is_not_resolved_is_not_asked_for_with_every_record() {
        let (socket, address) = listener("127.0.0.1:0").expect("loopback");
        let mut udp = Udp::new(vec![nowhere(), address]);
        let records: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        assert_eq!(udp.send(&records[..1]), Ok(Taken::all(1)));
        let due = udp.targets[0].due;
        assert!(due > Instant::now() + UNRESOLVED_FOR / 2);
        assert_eq!(udp.send(&records[1..]), Ok(Taken::all(99)));
        assert_eq!(udp.targets[0].due, due, "it was asked for once");
        for record in &records {
            assert_eq!(received(&socket), *record);
        }
        let complaint = udp.complaint().expect("it is said");
        assert!(complaint.contains("is not resolved"), "{complaint}");
    }

    #[test]
    fn a_name_that_is_not_resolved_any_more_stands_for_what_it_did() {
        let (socket, address) = listener("127.0.0.1:0").expect("loopback");
        let mut udp = Udp::new(vec![address]);
        assert_eq!(udp.send(&["one".to_owned()]), Ok(Taken::all(1)));
        udp.targets[0].address = nowhere();
        udp.targets[0].due = Instant::now();
        assert_eq!(udp.send(&["two".to_owned()]), Ok(Taken::all(1)));
        assert_eq!([received(&socket), received(&socket)], ["one", "two"]);
        assert!(udp.targets[0].due > Instant::now(), "it was asked for");
    }
}
