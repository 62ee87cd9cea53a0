//! What events are sent to: servers that fail at times, and who signs their certificates.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    iter,
    net::{TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::Duration,
};

use fimk_tests::{Site, attempt, not_run, run, text};
use nix::sys::socket::Backlog;
use serde_json::Value;

use super::{USER, until};

/// A port that nobody has now, and that no connection is given by chance: those come from 32768 on.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let seed = u16::try_from(std::process::id() % 10_000).unwrap_or(0);
    let mut ports = iter::repeat_with(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        20_000 + (seed + number % 10_000) % 10_000
    });
    ports
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of so many")
}

/// Certificates: of one who signs, of a server `logs.example`, one of it that has expired, and of a client.
pub struct Authority(PathBuf);

impl Authority {
    pub fn is_possible(test: &str) -> bool {
        let openssl = attempt("openssl", &["version"]).succeeded;
        if !openssl {
            not_run(test, "there is no openssl");
        }
        openssl
    }

    /// And rsyslog can use them.
    pub fn serves_rsyslog(test: &str) -> bool {
        let driver = [
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/usr/lib64",
            "/usr/lib",
        ]
        .iter()
        .any(|lib| PathBuf::from(lib).join("rsyslog/lmnsd_gtls.so").exists());
        if !driver {
            not_run(test, "rsyslog has no TLS (rsyslog-gnutls)");
        }
        driver && Self::is_possible(test)
    }

    pub fn new(site: &Site) -> Self {
        let directory = site.outside("certificates");
        fs::create_dir(&directory).expect("it is ours");
        let script = "cd \"$0\" && exec 2>&1
            key() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout \"$1.key\" \"${@:2}\"; }
            sign() { openssl ca -batch -notext -config ca.conf -in \"$1.csr\" -out \"$1.pem\" \"${@:2}\"; }
            printf '%s\\n' '[ca]' 'default_ca = it' '[it]' 'database = index' 'new_certs_dir = .' 'serial = serial' \\
                'certificate = ca.pem' 'private_key = ca.key' 'default_md = sha256' 'policy = any' 'unique_subject = no' \\
                'x509_extensions = names' '[any]' 'commonName = supplied' '[names]' 'subjectAltName = DNS:logs.example' >ca.conf
            touch index && echo 01 >serial &&
            key ca -x509 -days 2 -subj '/CN=ca' -out ca.pem &&
            for name in server expired client; do key $name -subj \"/CN=logs.example\" -out $name.csr || exit; done &&
            sign server -days 2 && sign client -days 2 &&
            sign expired -startdate 20200101000000Z -enddate 20210101000000Z &&
            chgrp \"$1\" client.key && chmod 0640 client.key";
        run("bash", &["-c", script, text(&directory), USER]);
        Self(directory)
    }

    pub fn file(&self, name: &str) -> String {
        text(&self.0.join(name)).to_owned()
    }

    /// For an rsyslog that asks for a certificate, and has this one.
    pub fn input(&self, port: u16, certificate: &str) -> String {
        format!(
            "global(DefaultNetstreamDriver=\"gtls\" DefaultNetstreamDriverCAFile=\"{}\"\n\
             DefaultNetstreamDriverCertFile=\"{}\" DefaultNetstreamDriverKeyFile=\"{}\")\n\
             module(load=\"imtcp\" StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"x509/certvalid\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")\n",
            self.file("ca.pem"),
            self.file(&format!("{certificate}.pem")),
            self.file(&format!("{certificate}.key"))
        )
    }
}

/// Takes POSTs. Of the first every other fails, each in another way; later every fifth.
const SERVER: &str = r#"
import gzip, http.server, itertools, json, os, ssl, sys, time
directory, most, port, steady, tls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "steady", sys.argv[5:]
# Who is steady is always at a request that does not fail.
numbers = itertools.repeat(1) if steady else itertools.count()

def keep(name, text):
    with open(os.path.join(directory, name), "a") as file:
        file.write(text)

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def take(self, body):
        assert self.headers["Authorization"] == "Bearer s3cret", self.headers["Authorization"]
        events = json.loads(gzip.decompress(body))
        assert 1 <= len(events) <= most, len(events)
        keep("out", "".join(json.dumps(event) + "\n" for event in events))

    def do_POST(self):
        number = next(numbers)
        if number == 0:
            keep("failed", "closed before it was read\n")
            self.connection.close()
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if number == 2:
            keep("failed", "500\n")
            self.send_error(500, "the disk is full")
        elif number == 4:
            keep("failed", "silent\n")
            time.sleep(3)
        elif number == 6:
            keep("failed", "garbage\n")
            self.wfile.write(b"\x00\x01 220 smtp ready\r\n")
        elif number == 8:
            keep("failed", "taken, not answered\n")
            self.take(body)
        elif b"poison" in gzip.decompress(body):
            keep("failed", "400\n")
            self.send_error(400, "that is no word for us")
        elif number > 10 and number % 5 == 0:
            keep("failed", "503\n")
            self.send_error(503)
        else:
            try:
                self.take(body)
            except Exception as error:
                keep("wrong", repr(error) + "\n")
                raise
            self.send_response(200)
            self.end_headers()

server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
if tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls[0], tls[1])
    context.load_verify_locations(tls[2])
    context.verify_mode = ssl.CERT_REQUIRED
    # The thread of a connection does it, when it reads first.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
keep("port.new", str(server.server_port))
os.rename(os.path.join(directory, "port.new"), os.path.join(directory, "port"))
server.serve_forever()
"#;

/// The real server of Python's library with [`SERVER`]. Dropped, it ends.
pub struct HttpServer {
    process: Child,
    directory: PathBuf,
    pub port: u16,
}

const PYTHON: &str = "/usr/bin/python3";

impl HttpServer {
    pub fn is_here(test: &str) -> bool {
        let here = PathBuf::from(PYTHON).exists()
            && attempt(PYTHON, &["-c", "import http.server"]).succeeded;
        if !here {
            not_run(test, "there is no python3 with its library");
        }
        here
    }

    /// That must never be given more events at once.
    pub fn start(site: &Site, most: usize) -> Self {
        Self::with(site, (most, "fails"), 0, &[])
    }

    /// That never fails.
    pub fn steady(site: &Site) -> Self {
        Self::with(site, (500, "steady"), 0, &[])
    }

    /// That speaks TLS with this certificate, and wants one of the same authority.
    pub fn with_tls(site: &Site, port: u16, authority: &Authority, certificate: &str) -> Self {
        let files = ["pem", "key"].map(|kind| authority.file(&format!("{certificate}.{kind}")));
        let [certificate, key] = &files;
        Self::with(
            site,
            (500, "steady"),
            port,
            &[certificate, key, &authority.file("ca.pem")],
        )
    }

    fn with(site: &Site, (most, manner): (usize, &str), port: u16, tls: &[&str]) -> Self {
        let directory = site.outside("http");
        fs::create_dir_all(&directory).expect("it is ours");
        let _ = fs::remove_file(directory.join("port"));
        let process = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                PYTHON,
                "-c",
                SERVER,
                text(&directory),
                &most.to_string(),
                &port.to_string(),
                manner,
            ])
            .args(tls)
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv is there");
        let port = directory.join("port");
        until("the server listens", site, || port.exists());
        let port = fs::read_to_string(port).expect("it is there");
        Self {
            process,
            directory,
            port: port.parse().expect("a number"),
        }
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.directory.join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// All that were taken.
    pub fn events(&self) -> Vec<Value> {
        assert_eq!(self.lines("wrong"), Vec::<String>::new());
        let lines = self.lines("out").into_iter();
        lines
            .map(|line| serde_json::from_str(&line).expect("JSON"))
            .collect()
    }

    /// How often it failed.
    pub fn refusals(&self) -> usize {
        self.lines("failed").len()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

type Kept = Arc<Mutex<Vec<String>>>;

fn kept(kept: &Kept) -> MutexGuard<'_, Vec<String>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket that takes datagrams.
pub struct Datagrams {
    pub port: u16,
    all: Kept,
}

impl Datagrams {
    pub fn on(host: &str) -> Self {
        let socket = UdpSocket::bind(format!("{host}:0")).expect("loopback is there");
        let port = socket.local_addr().expect("it is bound").port();
        let all = Kept::default();
        let theirs = Arc::clone(&all);
        thread::spawn(move || {
            let mut bytes = vec![0; 70_000];
            while let Ok(count) = socket.recv(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                kept(&theirs).push(text);
            }
        });
        Self { port, all }
    }

    /// All that came; what was sent before is there, for a datagram on loopback does not travel.
    pub fn all(&self) -> Vec<String> {
        let mut before = usize::MAX;
        loop {
            thread::sleep(Duration::from_millis(200));
            let all = kept(&self.all);
            if all.len() == before {
                return all.clone();
            }
            before = all.len();
        }
    }
}

/// What a receiver of lines does with who connects.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Reads,
    /// Closes at once, what was sent unread.
    Closes,
    /// Talks without end, where it has nothing to say.
    Talks,
    /// Takes no connections, and its queue of them is full.
    Stalls,
}

/// Takes lines over TCP.
pub struct Lines {
    pub port: u16,
    all: Kept,
    mood: Arc<Mutex<Mood>>,
    listener: TcpListener,
    /// Who fills the queue.
    crowd: Vec<TcpStream>,
}

fn serve_lines(listener: &TcpListener, all: &Kept, mood: &Mutex<Mood>) {
    let now = || *mood.lock().unwrap_or_else(PoisonError::into_inner);
    for mut stream in listener.incoming().flatten() {
        match now() {
            Mood::Reads => {
                let lines = BufReader::new(stream).lines();
                kept(all).extend(lines.map_while(Result::ok));
            }
            Mood::Closes => drop(stream),
            Mood::Talks => while stream.write_all(&[b'x'; 4_096]).is_ok() {},
            Mood::Stalls => {
                while now() == Mood::Stalls {
                    thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }
}

impl Lines {
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let port = listener.local_addr().expect("it is bound").port();
        let (all, mood) = (Kept::default(), Arc::new(Mutex::new(Mood::Reads)));
        let (kept, moods) = (Arc::clone(&all), Arc::clone(&mood));
        let accepted = listener.try_clone().expect("it is ours");
        thread::spawn(move || serve_lines(&accepted, &kept, &moods));
        Self {
            port,
            all,
            mood,
            listener,
            crowd: Vec::new(),
        }
    }

    /// From the next connection on.
    pub fn become_one_that(&mut self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
        self.crowd.clear();
        if mood == Mood::Stalls {
            let one = Backlog::new(1).expect("it is small");
            nix::sys::socket::listen(&self.listener, one).expect("it listens already");
            // The first is taken by who waits for it, and kept; the others fill the queue.
            let address = self.listener.local_addr().expect("it is bound");
            let next = || TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok();
            self.crowd.extend(iter::from_fn(next));
        }
    }

    /// What came so far, of several times.
    pub fn lines(&self, site: &Site) -> Vec<String> {
        until("counters come twice", site, || {
            let all = kept(&self.all);
            all.iter()
                .filter(|line| line.contains(".installed.") && line.contains(".count."))
                .count()
                >= 2
        });
        kept(&self.all).clone()
    }
}
