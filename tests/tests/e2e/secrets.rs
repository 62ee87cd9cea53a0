//! Password hashes stay in: not a piece of one in any output, log or file of the state directory.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use fimk_tests::{
    Account, Event, Expect, Monitor, Site, attempt, rule, run, run_with_input, text, which,
};

use super::{
    forwarder::{
        Forwarder, await_sent, log,
        receivers::{HttpServer, free_port},
    },
    journald::Journald,
    syslog::Rsyslog,
};

/// yescrypt, SHA-512 and DES, of no passwords that anybody knows.
const HASHES: [&str; 3] = [
    "$y$j9T$q8XwZ3nR5vK1tL7cM9bYp.$uH4sE6jF2gD0aW8xQ5rT3zV7iN1oP9kB4mC6lJ2hGyA",
    "$6$rounds=5000$mT4kQ9wZ7xLp$Nf2Vb8Hc5Jd1Ks6Gl3Ma9Pz0Qy4Rx7Tw2Uv5Ei8Oo1Wq6Yr3Ct9Xu4Zs7Dp0Fn2Hm5Jl8Kk1Lj6Mh3Ng9Bf4Vd7Ca0Sb",
    "kWq7Zx3RtY9Lp",
];

/// Long enough that none occurs by chance, short enough that a hash cut in parts is still found.
const PIECE: usize = 8;

fn pieces() -> HashSet<&'static [u8]> {
    HASHES
        .iter()
        .flat_map(|hash| hash.as_bytes().windows(PIECE))
        .collect()
}

/// The first piece of a hash in these bytes.
fn leak<'a>(bytes: &'a [u8], pieces: &HashSet<&'static [u8]>) -> Option<&'a [u8]> {
    bytes.windows(PIECE).find(|window| pieces.contains(window))
}

fn assert_no_leak(what: &str, bytes: &[u8], pieces: &HashSet<&'static [u8]>) {
    if let Some(piece) = leak(bytes, pieces) {
        panic!(
            "{what} has a piece of a password hash: {:?}",
            String::from_utf8_lossy(piece)
        );
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_below(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

/// A directory in the real /etc with a copy of shadow in it; gone when dropped.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Self {
        let directory = PathBuf::from(format!("/etc/fimk-test-{}", std::process::id()));
        fs::create_dir_all(directory.join("etc")).expect("tests run as root");
        let copy = Self(directory);
        fs::write(copy.shadow(), "eve:!:19000:0:99999:7:::\n").expect("it is ours");
        copy
    }

    fn shadow(&self) -> PathBuf {
        self.0.join("etc/shadow")
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn no_piece_of_a_hash_is_printed_logged_or_stored() {
    let site = Site::new();
    let account = Account::new("fimksec");
    let copy = Copy::new();
    let shadow = Path::new("/etc/shadow");
    let monitor = site.start(&rule(&["/etc".as_ref()]));
    for hash in HASHES {
        let chpasswd = run_with_input("chpasswd", &["-e"], &format!("{}:{hash}\n", account.name));
        monitor.expect(
            Expect::action("modified")
                .of(shadow)
                .by(&chpasswd)
                .mentions(&account.subject()),
        );
        // Seen before it is undone: of what was changed and changed back at once, nothing is left to be read.
        let locked = run_with_input("chpasswd", &["-e"], &format!("{}:!\n", account.name));
        monitor.expect(
            Expect::action("modified")
                .of(shadow)
                .by(&locked)
                .mentions(&account.subject()),
        );
        let usermod = run("usermod", &["-p", hash, &account.name]);
        monitor.expect(
            Expect::action("modified")
                .of(shadow)
                .by(&usermod)
                .mentions(&account.subject()),
        );
        let sed = run(
            "sed",
            &[
                "-i",
                &format!("s|^eve:[^:]*|eve:{hash}|"),
                text(&copy.shadow()),
            ],
        );
        monitor.expect(
            Expect::action("modified")
                .of(&copy.shadow())
                .by(&sed)
                .mentions("user eve"),
        );
    }
    let pieces = pieces();
    assert_no_leak("stdout or stderr", &monitor.raw(), &pieces);
    monitor.stop();
    let files = files_below(&site.state());
    assert!(
        !files.is_empty(),
        "the state directory is where it is looked for"
    );
    for file in files {
        let bytes = fs::read(&file).expect("tests run as root");
        assert_no_leak(&file.display().to_string(), &bytes, &pieces);
    }
}

/// Secrets by what stands before them, each with nothing in common with another.
const PLANTED: [&str; 10] = [
    "Zq8wJx3Tn6Vb1Rk5",
    "hG4mPs9Lc2Yd7Xf0",
    "Ub5eWt1Qo8Ni3Ka6",
    "rD7zMv2Hj9Sg4Bl1",
    "Ey6cTf0Xp3Wu8Nq5",
    "kL1aVb7Rm4Oi9Jd2",
    "Fx3sCn8Gz5Th0Pw6",
    "Mo2jYq7Dk4Ls9Ve1",
    "aC8hBt5Zf1Rw6Gu3",
    "Xi4pQs0Ny7Jm2Eo9",
];

fn planted(what: &str, bytes: &[u8]) {
    for secret in PLANTED {
        let found = bytes
            .windows(secret.len())
            .position(|window| window == secret.as_bytes());
        if let Some(at) = found {
            let near = &bytes[at.saturating_sub(60)..(at + 80).min(bytes.len())];
            panic!("{what} has {secret}: {}", String::from_utf8_lossy(near));
        }
    }
}

fn output(path: &Path, format: &str) -> String {
    format!(
        "[[output]]\ntype = \"file\"\nname = \"{format}\"\npath = \"{}\"\nformat = \"{format}\"\nseverity = 0\n",
        path.join(format).display()
    )
}

/// A key in form, not in content.
fn private_key(secret: &str) -> String {
    format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU{secret}AAAA\n-----END OPENSSH PRIVATE KEY-----\n"
    )
}

/// Watches files with secrets, with these outputs.
fn start(site: &Site, outputs: &str) -> Monitor {
    let [password, _, in_key, ..] = PLANTED;
    site.write("etc/app.conf", &format!("port=1\npassword={password}\n"));
    site.write("etc/apt/sources.list", "deb https://example.org/ a main\n");
    site.write("home/.ssh/id_ed25519", &private_key(in_key));
    site.start(&(rule(&[&site.files()]) + outputs))
}

/// Puts others in their places, and where else they may be; what is told last.
fn plant(site: &Site, monitor: &Monitor) -> Event {
    let [
        _,
        next_password,
        _,
        in_url,
        in_next_key,
        argument,
        by_sed,
        in_name,
        in_next_name,
        in_value,
    ] = PLANTED;
    let settings = site.file("etc/app.conf");
    let sources = site.file("etc/apt/sources.list");
    let key = site.file("home/.ssh/id_ed25519");
    site.replace(&settings, &format!("port=2\npassword={next_password}\n"));
    monitor.expect(Expect::action("modified").of(&settings).adds("port=2"));
    // The temporaries of editors lie beside the file, and the secret is among what they write and are told.
    let sed = run(
        "sed",
        &[
            "-i",
            &format!("s|^password=.*|password={by_sed}|"),
            text(&settings),
        ],
    );
    monitor.expect(Expect::action("modified").of(&settings).by(&sed));
    if which("vim.tiny".as_ref()).is_some() {
        let edit = ["-u", "NONE", "-es", "-c", "normal Goport=3", "-c", "wq"];
        attempt("vim.tiny", &[&edit[..], &[text(&settings)]].concat());
        monitor.expect(
            Expect::any_of(&["created", "modified", "renamed"])
                .of(&settings)
                .adds("port=3"),
        );
    }
    site.replace(
        &sources,
        &format!("deb https://bob:{in_url}@example.org/ a main\n"),
    );
    monitor.expect(Expect::action("modified").of(&sources));
    site.replace(&key, &private_key(in_next_key));
    monitor.expect(Expect::action("modified").of(&key));
    for name in [in_name, in_next_name] {
        let (name, value) = (format!("user.password={name}"), format!("token={in_value}"));
        let set = run("setfattr", &["-n", &name, "-v", &value, text(&sources)]);
        let attributes = Expect::action("attributes_modified").of(&sources).by(&set);
        monitor.expect(attributes.mentions("file"));
    }
    let script = "echo port=4 >>\"$1\"";
    let told = format!("--password={argument}");
    let sh = run("sh", &["-c", script, "sh", text(&settings), &told]);
    let written = Expect::action("modified").of(&settings).by(&sh);
    monitor.expect(written.adds("port=4"))
}

#[test]
fn no_planted_secret_is_in_any_output_nor_in_an_answer() {
    let site = Site::new();
    let out = site.outside("out");
    run("install", &["-d", "-o", "fimk", text(&out)]);
    let formats = ["json", "ocsf", "text", "table"].map(|format| output(&out, format));
    let monitor = start(&site, &formats.concat());
    let event = plant(&site, &monitor);
    let settings = site.file("etc/app.conf");

    let number = event
        .number("event.sequence")
        .expect("it has one")
        .to_string();
    let path = text(&settings);
    for words in [
        &["events", "--limit", "0", "--format", "json"][..],
        &["events", "--limit", "0"],
        &["show", &number],
        &["log", path],
        &["explain", path],
        &["status", "--format", "json"],
    ] {
        let run_dir = site.run_dir();
        let asked = [words, &["--run-dir", text(&run_dir)]].concat();
        let answer = run(site.fimk(), &asked);
        assert!(!answer.output.is_empty(), "{words:?}");
        planted(&format!("{words:?}"), answer.output.as_bytes());
    }
    planted("stdout or stderr", &monitor.raw());
    planted("the log", monitor.errors().as_bytes());
    monitor.stop();
    let written = files_below(&out);
    assert_eq!(written.len(), 4, "each output wrote");
    for file in written.into_iter().chain(files_below(&site.state())) {
        let bytes = fs::read(&file).expect("tests run as root");
        assert!(
            !file.starts_with(&out) || !bytes.is_empty(),
            "{}",
            file.display()
        );
        planted(&file.display().to_string(), &bytes);
    }
}

#[test]
fn no_planted_secret_is_in_the_journal_in_syslog_or_with_a_receiver_over_the_network() {
    let test = "secrets in journal, syslog and over the network";
    if !Journald::is_here(test)
        || !Rsyslog::is_here(test)
        || !Forwarder::is_possible(test)
        || !HttpServer::is_here(test)
    {
        return;
    }
    let site = Site::new();
    let journald = Journald::start(&site);
    let local = Rsyslog::start(&site);
    let tcp = free_port();
    let remote = Rsyslog::with(
        site.outside("tcp"),
        &format!(
            "module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{tcp}\")\n"
        ),
    );
    let http = HttpServer::start(&site, 100);
    let output =
        |name: &str, keys: &str| format!("\n[[output]]\nname = \"{name}\"\nseverity = 0\n{keys}");
    let outputs = [
        output(
            "journald",
            &format!(
                "type = \"journald\"\nsocket = \"{}\"\n",
                text(&Journald::socket(&site))
            ),
        ),
        output(
            "local",
            &format!(
                "type = \"syslog\"\nsocket = \"{}\"\n",
                text(&local.socket())
            ),
        ),
        output(
            "tcp",
            &format!("type = \"syslog\"\naddress = \"127.0.0.1:{tcp}\"\ntransport = \"tcp\"\n"),
        ),
        output(
            "http",
            &format!(
                "type = \"http\"\nurl = \"http://127.0.0.1:{}/\"\nheaders = [\"Authorization: Bearer s3cret\"]\n\
                 body = \"array\"\ngzip = true\nbatch_ms = 0\ntimeout_ms = 1000\n",
                http.port
            ),
        ),
    ];
    let monitor = start(&site, &outputs.concat());
    let forwarder = Forwarder::start(&site);
    plant(&site, &monitor);
    await_sent(&site, "http");
    let events = monitor.events();
    local.await_all(&events, &monitor);
    remote.await_all(&events, &monitor);
    journald.await_all(&events, &monitor);
    let has_all = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("port=4");
    for (what, bytes) in [
        ("the journal", journald.export()),
        (
            "the files of journald",
            all_below(&site.outside("journald")),
        ),
        ("syslog", all_below(&site.outside("rsyslog"))),
        ("syslog over TCP", all_below(&site.outside("tcp"))),
        ("the HTTP server", all_below(&site.outside("http"))),
    ] {
        planted(what, &bytes);
        // Compressed, the journal's own files need not have it in clear.
        assert!(what == "the files of journald" || has_all(&bytes), "{what}");
    }
    planted("the log of the forwarder", log(&site).as_bytes());
    monitor.stop();
    assert!(forwarder.stop(), "{}", log(&site));
}

fn all_below(directory: &Path) -> Vec<u8> {
    let files = files_below(directory);
    let read = |file: PathBuf| fs::read(file).expect("tests run as root");
    files.into_iter().flat_map(read).collect()
}

#[test]
fn the_search_finds_every_piece_of_a_hash() {
    let pieces = pieces();
    for hash in HASHES {
        for piece in hash.as_bytes().windows(PIECE) {
            let haystack = [b"before ", piece, b" after"].concat();
            assert_eq!(leak(&haystack, &pieces), Some(piece));
        }
    }
    assert_eq!(leak(b"nothing of the kind", &pieces), None);
}
