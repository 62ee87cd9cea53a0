//! What is a secret and what is not
use std::cell::Cell;

use super::{DES, SHA512, YESCRYPT};
use crate::{
    Consumer, Token, Tokenize,
    redact::{arguments, line},
};

#[test]
fn secrets_are_replaced_where_they_stand() {
    for (text, expected) in [
        ("password=hunter2", "password=[redacted]"),
        ("DB_PASS=hunter2 # x", "DB_PASS=[redacted]"),
        (
            "mode=1 password=hunter2 user=x",
            "mode=1 password=[redacted] user=x",
        ),
        (
            "{\"api_key\": \"abc\", \"user\": \"x\"}",
            "{\"api_key\": \"[redacted]\", \"user\": \"x\"}",
        ),
        ("  client-secret: a b c", "  client-secret: [redacted]"),
        (
            "$conf['password'] = 'it\\'s';",
            "$conf['password'] = '[redacted]';",
        ),
        (
            "Authorization: Bearer abcdefghijk",
            "Authorization: [redacted]",
        ),
        (
            "curl sends Bearer abcdefghijk today",
            "curl sends [redacted] today",
        ),
        (
            "https://user:pass@host/path",
            "https://user:[redacted]@host/path",
        ),
        (
            "postgres://u:p/q@host/db",
            "postgres://u:[redacted]@host/db",
        ),
        ("https://host:8080/a@b", "https://host:8080/a@b"),
        ("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
        (
            "aws_secret_access_key = wJalrXUtnFEMI",
            "aws_secret_access_key = [redacted]",
        ),
        (
            "define( 'DB_PASSWORD' , 'it\\'s' ); // x",
            "define( 'DB_PASSWORD' , '[redacted]' ); // x",
        ),
        (
            "<db><password>a b</password><user>u</user></db>",
            "<db><password>[redacted]</password><user>u</user></db>",
        ),
        (
            "<c:apiKey kind=\"x\">abc</c:apiKey>",
            "<c:apiKey kind=\"x\">[redacted]</c:apiKey>",
        ),
        ("dbpass = hunter2", "dbpass = [redacted]"),
        ("A=b;AccountKey=ab==;C=d", "A=b;AccountKey=[redacted];C=d"),
        (
            "alice:1000:2:abJnggxhB/yWI,cdKnhhyiC/zXJ",
            "alice:1000:2:[redacted]",
        ),
        ("bindpw hunter2", "bindpw [redacted]"),
        (
            "machine h login me password hunter2",
            "machine h login me password [redacted]",
        ),
        ("userPassword:: e1NTSEF9", "userPassword:: [redacted]"),
        ("olcRootPW {SSHA}abcdefgh12345", "olcRootPW [redacted]"),
        (
            "useradd -p 'abJnggxhB/yWI' eve",
            "useradd -p '[redacted]' eve",
        ),
        (
            "useradd x && mkdir -p /srv/x",
            "useradd x && mkdir -p /srv/x",
        ),
        ("a\\$6\\$saltsalt\\$hashhash b", "a\\[redacted] b"),
        (
            "-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----[redacted]-----END PRIVATE KEY-----",
        ),
        (
            "first\npassword=x1\nlast",
            "first\npassword=[redacted]\nlast",
        ),
    ] {
        assert_eq!(line(text), expected);
    }
}

#[test]
fn what_is_no_secret_is_left() {
    for text in [
        "evil ALL=(ALL) NOPASSWD: ALL",
        "bob ALL=(ALL) PASSWD: /bin/ls, NOPASSWD: ALL",
        "passwd:         files systemd",
        "shadow:         files",
        "password required pam_unix.so",
        "password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt",
        "PasswordAuthentication no",
        "PermitRootLogin prohibit-password",
        "PASS_MAX_DAYS 99999",
        "Defaults passwd_tries=3",
        "password_file = /etc/x",
        "deb http://deb.debian.org/debian bookworm main",
        "http://example.com",
        "echo $HOME $1 $2",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin",
        "root:x:0:",
        "nameserver 2001:db8::1",
        "# see https://host/token/x",
        "+:root:192.168.200.1 192.168.200.4",
        "-:ALL EXCEPT root:127.0.0.0/24",
        "Documentation=man:journald.conf(5)",
        "LoadCredential=sysctl.extra",
        "net.ipv4.tcp_syncookies=1",
        "no_proxy_bypass = yes please",
        "a <token> of thanks, 'user', 'name'",
        "if (a > b) { x('password') }",
    ] {
        assert_eq!(line(text), text);
    }
}

fn args(words: &[&str]) -> Vec<String> {
    arguments(
        &words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>(),
    )
}

#[test]
fn values_of_secret_options_are_redacted() {
    for (words, expected) in [
        (
            &["usermod", "-p", SHA512, "eve"][..],
            &["usermod", "-p", "[redacted]", "eve"][..],
        ),
        (
            &["/usr/sbin/usermod", "-p", DES, "eve"],
            &["/usr/sbin/usermod", "-p", "[redacted]", "eve"],
        ),
        (
            &["sudo", "useradd", "-mp", DES, "eve"],
            &["sudo", "useradd", "-mp", "[redacted]", "eve"],
        ),
        (
            &["useradd", "-pabJnggxhB/yWI", "eve"],
            &["useradd", "-p[redacted]", "eve"],
        ),
        (
            &["useradd", "--password", DES, "eve"],
            &["useradd", "--password", "[redacted]", "eve"],
        ),
        (
            &["useradd", "--password=a b", "eve"],
            &["useradd", "--password=[redacted]", "eve"],
        ),
        (
            &["x", "--api-key", "abc", "--token=def"],
            &["x", "--api-key", "[redacted]", "--token=[redacted]"],
        ),
        (
            &["docker", "login", "--password-stdin", "-u", "me"],
            &["docker", "login", "--password-stdin", "-u", "me"],
        ),
        (&["mkdir", "-p", "/srv/x"], &["mkdir", "-p", "/srv/x"]),
        (&["ssh", "-p", "22", "host"], &["ssh", "-p", "22", "host"]),
        (
            &[
                "curl",
                "--user",
                "a:secret",
                "-U",
                "b:secret",
                "--proxy-user=c:secret",
            ],
            &[
                "curl",
                "--user",
                "a:[redacted]",
                "-U",
                "b:[redacted]",
                "--proxy-user=c:[redacted]",
            ],
        ),
        (
            &["mysql", "-psecret", "-p", "db"],
            &["mysql", "-p[redacted]", "-p", "db"],
        ),
        (
            &["curl", "-u", "me:secret", "x"],
            &["curl", "-u", "me:[redacted]", "x"],
        ),
        (
            &["sh", "-c", "usermod -p 'a b' eve"],
            &["sh", "-c", "usermod -p '[redacted]' eve"],
        ),
        (
            &["sh", "-c", "echo eve:hunter2 | chpasswd"],
            &["sh", "-c", "echo eve:[redacted] | chpasswd"],
        ),
        (
            &["setfattr", "-n", "user.a", "-v", "secret", "--value=b", "x"],
            &[
                "setfattr",
                "-n",
                "user.a",
                "-v",
                "[redacted]",
                "--value=[redacted]",
                "x",
            ],
        ),
        (&["echo", YESCRYPT], &["echo", "[redacted]"]),
        (&[], &[]),
    ] {
        assert_eq!(args(words), expected);
    }
}

/// Counts the bytes that become tokens: a scan that reads again what it has read makes more of them.
struct Counting(Cell<usize>);

impl Tokenize for Counting {
    fn token(&self, secret: &[u8]) -> Token {
        self.0.set(self.0.get() + secret.len());
        Token([0; 16])
    }
}

#[test]
fn no_byte_becomes_part_of_two_tokens_of_a_line() {
    for part in [
        "password=",
        "passwd: files ",
        "PASSWD:\"",
        "password=no ",
        "$6$",
        "$6$abcdefgh ",
        "://a:b@",
        "a:abJnggxhB/yWI",
        "-p 'x ",
        "useradd -p '",
        "BEGIN PRIVATE KEY",
        "{SSHA}abcdefgh",
        "eyJ",
        "password=\"\\",
        ":",
        "token ;",
    ] {
        let content = part.repeat((1 << 20) / part.len());
        let counting = Counting(Cell::new(0));
        crate::read(Consumer::Text, content.as_bytes(), &counting);
        assert!(counting.0.get() <= content.len(), "{part:?}");
    }
}
