//! Datagrams: one an event, to each of the addresses. Nobody says whether they arrive.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use fimk_core::config::Address;

use super::Receiver;
use crate::link::resolve;

/// Names are resolved again as often: who answers under one may change.
const RESOLVED_FOR: Duration = Duration::from_secs(60);

/// Sent without a pause; a receiver's queue in the kernel takes about as many.
const AT_ONCE: usize = 64;

/// After as many.
const PAUSE: Duration = Duration::from_millis(5);

/// See the module.
pub struct Udp {
    targets: Vec<Target>,
    complaint: Option<String>,
    /// Records that were too large for a datagram on the way there.
    too_large: u64,
}

struct Target {
    address: Address,
    socket: Option<(UdpSocket, Instant)>,
}

impl Udp {
    /// To these.
    pub fn new(addresses: Vec<Address>) -> Self {
        let target = |address| Target {
            address,
            socket: None,
        };
        Self {
            targets: addresses.into_iter().map(target).collect(),
            complaint: None,
            too_large: 0,
        }
    }

    /// To all; it counts as sent if one address takes it.
    fn send_one(&mut self, record: &str) -> Result<(), String> {
        let mut sent = false;
        let mut failed = None;
        for target in &mut self.targets {
            match target.send(record.as_bytes()) {
                Ok(()) => sent = true,
                Err(Trouble::TooLarge) => {
                    sent = true;
                    self.too_large += 1;
                    self.complaint = Some(format!(
                        "{}: {} events were larger than what is taken on the way there, and are lost to it: lower datagram_bytes",
                        target.address, self.too_large
                    ));
                }
                Err(Trouble::Other(why)) => failed = Some(format!("{}: {why}", target.address)),
            }
        }
        match failed {
            Some(why) if !sent => Err(why),
            failed => {
                self.complaint = failed.or_else(|| self.complaint.take());
                Ok(())
            }
        }
    }
}

impl Receiver for Udp {
    fn send(&mut self, records: &[String]) -> Result<usize, String> {
        for (number, record) in records.iter().enumerate() {
            if number > 0 && number % AT_ONCE == 0 {
                std::thread::sleep(PAUSE);
            }
            match self.send_one(record) {
                Ok(()) => {}
                Err(why) if number == 0 => return Err(why),
                Err(_) => return Ok(number),
            }
        }
        Ok(records.len())
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
            Err(error) => {
                self.socket = None;
                Err(Trouble::Other(words(&error)))
            }
        }
    }

    fn socket(&mut self) -> Result<&UdpSocket, String> {
        let kept = self.socket.take();
        let fresh = kept.filter(|(_, since)| since.elapsed() < RESOLVED_FOR);
        let socket = match fresh {
            Some(socket) => socket,
            None => (open(&self.address)?, Instant::now()),
        };
        let (socket, _) = self.socket.insert(socket);
        Ok(socket)
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
        assert_eq!(udp.send(&records), Ok(2));
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
            assert_eq!(both.send(&[number.to_string()]), Ok(1));
            assert_eq!(received(&socket), number.to_string());
            both.complaint()
                .is_some_and(|it| it.contains("nobody listens"))
        });
        assert!(complained);
    }

    #[test]
    fn what_no_datagram_can_hold_is_counted_and_passed_over() {
        let (socket, address) = listener("127.0.0.1:0").expect("loopback");
        let mut udp = Udp::new(vec![address]);
        let records = ["x".repeat(70_000), "small".to_owned()];
        assert_eq!(udp.send(&records), Ok(2));
        assert_eq!(received(&socket), "small");
        let complaint = udp.complaint().expect("it is said");
        assert!(complaint.contains("1 events were larger"), "{complaint}");
    }
}
