//! Keys of hosts and users, and `known_hosts`
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Keyed, assert_hidden, compared,
    keys::samples::{ED25519, P256},
    state, words,
};
use crate::{Comparison, Consumer, compare, read};

fn changes(consumer: Consumer, before: &str, after: &str) -> Vec<String> {
    words(&compared(consumer, before, after).changes)
}

/// Behind its length.
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short").to_be_bytes();
    [&length, bytes].concat()
}

/// A private key as OpenSSH writes it, for a public key in `authorized_keys` form.
pub(super) fn private(public: &str, cipher: &str, secret: &str) -> String {
    let base64 = public.split(' ').nth(1).expect("a key");
    let public = STANDARD.decode(base64).expect("base64");
    let count = 1_u32.to_be_bytes();
    let blob = [
        &b"openssh-key-v1\0"[..],
        &string(cipher.as_bytes()),
        &string(b"none"),
        &string(b""),
        &count,
        &string(&public),
        &string(secret.as_bytes()),
    ]
    .concat();
    let digits = STANDARD.encode(blob);
    let kind = "OPENSSH PRIVATE KEY";
    let lines: Vec<&str> = digits
        .as_bytes()
        .chunks(70)
        .map(|line| str::from_utf8(line).expect("ASCII"))
        .collect();
    format!(
        "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
        lines.join("\n")
    )
}

const ED25519_NAME: &str = "SHA256:b71XwJZhTN4A6MpP4lj8cNyeqZU25LcAxjevwG17enw";
const P256_NAME: &str = "SHA256:gN8wScTeZDnPMhYkyIjfRwpgzCxbQQpxLAR9JFBmyoU";

#[test]
fn another_private_key_is_told_by_what_is_public_of_it() {
    let [one, two] = [ED25519, P256].map(|key| private(key, "none", "hunter2hunter2"));
    assert_eq!(
        changes(Consumer::PrivateKey, &one, &two),
        [
            format!(
                "private key {P256_NAME}||-|ecdsa-sha2-nistp256, encryption no passphrase, content [redacted 1]"
            ),
            format!(
                "private key {ED25519_NAME}||ssh-ed25519, encryption no passphrase, content [redacted 2]|-"
            ),
        ]
    );
    let locked = private(ED25519, "aes256-ctr", "hunter2hunter3");
    assert_eq!(
        changes(Consumer::PrivateKey, &one, &locked),
        [
            format!("private key {ED25519_NAME}|encryption|no passphrase|aes256-ctr"),
            format!("private key {ED25519_NAME}|content|[redacted 1]|[redacted 2]"),
        ]
    );
}

#[test]
fn nothing_of_a_private_key_is_kept_whatever_its_form() {
    let secret = "b3VyIHNlY3JldCBrZXkgaXMgdGhpcyBvbmU";
    for text in [
        format!("-----BEGIN RSA PRIVATE KEY-----\n{secret}\n-----END RSA PRIVATE KEY-----\n"),
        format!("-----BEGIN PRIVATE KEY-----\n{secret}\n"),
        format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{secret}\n-----END OPENSSH PRIVATE KEY-----\n"
        ),
        format!("-----BEGIN {secret} PRIVATE KEY-----\n"),
        format!("{secret}\n"),
        format!("{secret}\0\n"),
        private(ED25519, "none", secret),
        private(ED25519, secret, secret),
    ] {
        let reading = read(Consumer::PrivateKey, text.as_bytes(), &Keyed);
        assert!(reading.secrets);
        let said = compare(None, Some(&reading.state));
        if !text.contains("b3BlbnNzaC") {
            assert_hidden(secret, &format!("{reading:?}{said:?}"));
        }
        assert_hidden(&STANDARD.encode(secret), &format!("{reading:?}{said:?}"));
        assert_eq!(said.changes.len(), 1, "{text}");
        let other = state(Consumer::PrivateKey, format!("{text} "));
        assert_ne!(
            compare(Some(&reading.state), Some(&other)),
            Comparison::default()
        );
    }
    assert_eq!(
        words(&compare(None, Some(&state(Consumer::PrivateKey, "x"))).changes),
        ["content of no known form||-|content [redacted 1]"]
    );
}

#[test]
fn public_keys_are_told_by_fingerprint_and_comment() {
    assert_eq!(
        changes(
            Consumer::PublicKey,
            &format!("{ED25519} root@a\n"),
            &format!("{ED25519} root@b\n")
        ),
        [format!("public key {ED25519_NAME}|comment|root@a|root@b")]
    );
    assert_eq!(
        changes(
            Consumer::PublicKey,
            "",
            &format!("planted\n{P256}x\n{P256}\n")
        ),
        [
            format!("public key {P256_NAME}||-|ecdsa-sha2-nistp256"),
            "line 1||-|malformed, 7 bytes (something is missing)".to_owned(),
            format!(
                "line 2||-|malformed, {} bytes (the key is none)",
                P256.len() + 1
            ),
        ]
    );
}

#[test]
fn a_known_host_is_told_with_the_fingerprint_of_its_key() {
    let before = format!("# all\na.example,10.0.0.1 {ED25519}\n");
    let hashed = "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=";
    let after = format!(
        "{before}{hashed} {P256} ours\n@cert-authority *.example {ED25519}\n@revoked * {P256}\n"
    );
    assert_eq!(
        changes(Consumer::KnownHosts, &before, &after),
        [
            format!("known host {hashed} ecdsa-sha2-nistp256||-|{P256_NAME}, comment ours"),
            format!("authority for *.example ssh-ed25519||-|{ED25519_NAME}"),
            format!("revoked key of * ecdsa-sha2-nistp256||-|{P256_NAME}"),
        ]
    );
    assert_eq!(
        changes(
            Consumer::KnownHosts,
            &before,
            "10.0.0.1 planted\n@planted x\n"
        ),
        [
            format!("known host a.example ssh-ed25519||{ED25519_NAME}|-"),
            format!("known host 10.0.0.1 ssh-ed25519||{ED25519_NAME}|-"),
            "line 1||-|malformed, 16 bytes (something is missing)".to_owned(),
            "line 2||-|malformed, 10 bytes (of no known form)".to_owned(),
        ]
    );
}
