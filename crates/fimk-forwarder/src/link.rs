//! A connection over TCP, with TLS or without. Whatever the other side does, every step ends in time.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    thread,
    time::{Duration, Instant},
};

use fimk_core::config::{Address, Tls};
use rustls::{ClientConnection, StreamOwned};

use crate::{tls, unsent::unsent};

/// Written at once; each must be taken in the time limit, so that a slow receiver gets there in the end.
const CHUNK: usize = 16 << 10;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// So long a receiver that closes after it was given something is noticed, and is given that again.
const WATCHED: Duration = Duration::from_millis(200);

/// What a receiver that has nothing to say may say after each batch.
const CHATTER_BYTES_MAX: usize = 64 << 10;

/// A stream whose steps end at a moment.
struct Timed {
    stream: TcpStream,
    end: Instant,
}

enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

/// See the module.
pub struct Link {
    stream: Stream,
    timeout: Duration,
}

impl Link {
    /// Connects; `tls` says whom to trust.
    ///
    /// # Errors
    /// A sentence: which step failed, and why.
    pub fn open(address: &Address, tls: Option<&Tls>, timeout: Duration) -> Result<Self, String> {
        let stream = connect(address, timeout)?;
        // What is sent is whole messages.
        let _ = stream.set_nodelay(true);
        let end = Instant::now() + timeout;
        let timed = Timed { stream, end };
        let stream = match tls {
            None => Stream::Plain(timed),
            Some(tls) => Stream::Tls(Box::new(shake_hands(address, tls, timed)?)),
        };
        Ok(Self { stream, timeout })
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// What the system or TLS says, or that it was not taken in time.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        for chunk in bytes.chunks(CHUNK) {
            self.begin(self.timeout);
            self.io().write_all(chunk).map_err(|error| why(&error))?;
        }
        self.begin(self.timeout);
        self.io().flush().map_err(|error| why(&error))
    }

    /// Reads what is there, or waits for it until this moment; 0: the other side has ended.
    ///
    /// # Errors
    /// What the system or TLS says, or that nothing came in time.
    pub fn read(&mut self, bytes: &mut [u8], end: Instant) -> Result<usize, String> {
        self.timed().end = end;
        loop {
            match self.io().read(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other.map_err(|error| why(&error)),
            }
        }
    }

    /// That what was written has arrived at the other system, and that its program has not closed since: TCP says
    /// nothing else of what became of it.
    ///
    /// # Errors
    /// It did not arrive in time, or the receiver closed.
    pub fn confirm(&mut self) -> Result<(), String> {
        let end = Instant::now() + self.timeout;
        loop {
            let left = unsent(&self.timed().stream).map_err(|error| why(&error))?;
            if left == 0 {
                break;
            }
            if Instant::now() >= end {
                return Err(format!(
                    "it takes nothing: {left} bytes were not taken in time"
                ));
            }
            self.listen(Duration::from_millis(5))?;
        }
        self.listen(WATCHED)
    }

    /// Whether it is still open, as far as is known here.
    pub fn is_open(&mut self) -> bool {
        self.listen(Duration::from_millis(1)).is_ok()
    }

    /// Waits so long for the receiver to close. What it says is passed over.
    fn listen(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        let mut bytes = [0; 4096];
        let mut heard = 0;
        loop {
            self.timed().end = end;
            match self.io().read(&mut bytes) {
                Ok(0) => return Err("it closed the connection".to_owned()),
                Ok(count) => heard += count,
                Err(error) if is_timeout(&error) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(why(&error)),
            }
            if heard > CHATTER_BYTES_MAX {
                return Err(
                    "it talks without end, where it has nothing to say: see what listens there"
                        .to_owned(),
                );
            }
        }
    }

    fn begin(&mut self, time: Duration) {
        self.timed().end = Instant::now() + time;
    }

    fn timed(&mut self) -> &mut Timed {
        match &mut self.stream {
            Stream::Plain(timed) => timed,
            Stream::Tls(stream) => &mut stream.sock,
        }
    }

    fn io(&mut self) -> &mut dyn ReadWrite {
        match &mut self.stream {
            Stream::Plain(timed) => timed,
            Stream::Tls(stream) => stream.as_mut(),
        }
    }
}

impl Drop for Link {
    /// Says that nothing more comes, if that can be said at once.
    fn drop(&mut self) {
        self.begin(WATCHED);
        if let Stream::Tls(stream) = &mut self.stream {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

impl Timed {
    fn left(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        // A limit of 0 would be none.
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

impl Read for Timed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(bytes)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connect(address: &Address, timeout: Duration) -> Result<TcpStream, String> {
    let mut last = "its name stands for no address".to_owned();
    for address in resolve(address)? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("{address} cannot be connected to: {}", why(&error)),
        }
    }
    Err(last)
}

/// The addresses of a host; asks who resolves names here, as all programs do.
///
/// # Errors
/// A sentence.
pub fn resolve(address: &Address) -> Result<Vec<SocketAddr>, String> {
    let found = (address.host.as_str(), address.port).to_socket_addrs();
    let found = found.map_err(|error| {
        format!(
            "the name {} is not resolved ({error}): see resolv.conf(5)",
            address.host
        )
    })?;
    Ok(found.take(ADDRESSES_MAX).collect())
}

fn shake_hands(
    address: &Address,
    tls: &Tls,
    timed: Timed,
) -> Result<StreamOwned<ClientConnection, Timed>, String> {
    let connection = tls::connection(address, tls)?;
    let mut stream = StreamOwned::new(connection, timed);
    while stream.conn.is_handshaking() {
        match stream.conn.complete_io(&mut stream.sock) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                thread::yield_now();
            }
            Err(error) => return Err(format!("TLS with it fails: {}", why(&error))),
        }
    }
    Ok(stream)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// What the system says, in words that say whose doing it is.
fn why(error: &io::Error) -> String {
    if let Some(inner) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        return tls::why(inner);
    }
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "it does not answer in time".to_owned(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "it closed the connection".to_owned()
        }
        ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        _ => error.to_string(),
    }
}
