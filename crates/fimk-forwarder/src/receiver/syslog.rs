//! Syslog: RFC 5424 over TCP with octet counting (RFC 6587), over TLS (RFC 5425), over UDP (RFC 5426), and to a daemon on
//! this host that takes connections.

use std::time::Duration;

use fimk_core::config::{Address, Syslog, Tls, Transport};

use super::{Receiver, Taken, local::Local, udp::Udp};
use crate::link::Link;

/// As configured.
pub fn receiver(config: Syslog, timeout: Duration) -> Box<dyn Receiver> {
    let counted = |address, tls| {
        Box::new(Counted {
            address,
            tls,
            timeout,
            link: None,
        })
    };
    match config.transport {
        Transport::Udp(address) => Box::new(Udp::new(vec![address])),
        Transport::Tcp(address) => counted(address, None),
        Transport::Tls(address, tls) => counted(address, Some(tls)),
        Transport::Stream(path) => Box::new(Local::new(path, timeout)),
    }
}

/// As many as wait in the analyzer at most: each batch is watched for a fifth of a second (see [`Link::confirm`]), so that it is
/// by the size of a batch how fast events go.
const AT_ONCE: usize = 1_024;

/// Messages with their length before them.
struct Counted {
    address: Address,
    tls: Option<Tls>,
    timeout: Duration,
    link: Option<Link>,
}

impl Receiver for Counted {
    fn send(&mut self, records: &[String]) -> Result<Taken, String> {
        let mut link = match self.link.take().map(|mut link| (link.is_open(), link)) {
            Some((true, link)) => link,
            // Who closes when nothing is said for long is no trouble.
            _ => Link::open(&self.address, self.tls.as_ref(), self.timeout)?,
        };
        link.write(&framed(records))?;
        link.confirm()?;
        self.link = Some(link);
        Ok(Taken::all(records.len()))
    }

    fn batch(&self) -> (usize, Duration) {
        (AT_ONCE, Duration::ZERO)
    }
}

/// RFC 6587, 3.4.1: the number of octets, a space, the message.
fn framed(records: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        bytes.extend_from_slice(record.len().to_string().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(record.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_has_its_length_in_octets_before_it() {
        let records = ["<1>1 a".to_owned(), "<1>1 \u{e9}\n".to_owned()];
        assert_eq!(framed(&records), "6 <1>1 a8 <1>1 \u{e9}\n".as_bytes());
    }
}
