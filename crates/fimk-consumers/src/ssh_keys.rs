//! The keys of a host or of a user: private ones, of which nothing is kept but what is public, and public ones.
//!
//! A private key of OpenSSH's own form (PROTOCOL.key in its source) has its public key in clear, so it is known by the
//! fingerprint that ssh-keygen(1) prints; keys of other forms (RFC 7468) have only the words of their first line.
//! A token stands for the content of the file.
//!
//! A public key has a line, as in `authorized_keys` but without options. Limits: see [`crate::entries`]; of a private
//! key the first key is told, and OpenSSH writes no more.

use base64::{Engine, engine::general_purpose};

use crate::{
    Tokenize,
    authorized_keys::Key,
    entries::{
        self, Entry, Fault, Field, Format, Line,
        line::{normal, word},
    },
    pieces::{Piece, Pieces},
};

/// The keys.
pub type State = entries::State;

/// What an OpenSSH private key begins with.
const MAGIC: &[u8] = b"openssh-key-v1\0";
const BEGIN: &[u8] = b"-----BEGIN ";
const LABEL: &[u8] = b"PRIVATE KEY-----";

/// A file that is to hold a private key: all of it is a secret.
pub(crate) fn read_private(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    let whole = tokenize.token(content);
    let mut entry = private(content).unwrap_or_else(|| Entry {
        subject: Pieces::clear(b"content of no known form"),
        fields: Vec::new(),
    });
    let secret = Pieces(vec![Piece::Secret(whole)]);
    entry.fields.push((Field::Content, secret));
    let empty = content.trim_ascii().is_empty();
    let state = State {
        entries: if empty { Vec::new() } else { vec![entry] },
        ordered: false,
        malformed: Vec::new(),
        whole,
        rest: None,
    };
    (state, true)
}

fn private(content: &[u8]) -> Option<Entry> {
    let text = content.trim_ascii().strip_prefix(BEGIN)?;
    let end = text.iter().position(|&byte| byte == b'\n')?;
    let label = text[..end].trim_ascii().strip_suffix(LABEL)?.trim_ascii();
    let known = [&b""[..], b"OPENSSH", b"RSA", b"DSA", b"EC", b"ENCRYPTED"];
    if !known.contains(&label) {
        return None;
    }
    if label == b"OPENSSH"
        && let Some((key, cipher)) = openssh(&text[end..])
    {
        let cipher = if cipher == b"none" {
            b"no passphrase"
        } else {
            cipher.as_slice()
        };
        return Some(Entry {
            subject: Pieces::clear(format!("private key {}", key.shown()).as_bytes()),
            fields: vec![
                (Field::Value, Pieces::clear(key.kind.as_bytes())),
                (Field::Encryption, Pieces::clear(cipher)),
            ],
        });
    }
    let subject = [&b"private key"[..], label].join(&b' ');
    Some(Entry {
        subject: Pieces::clear(subject.trim_ascii()),
        fields: Vec::new(),
    })
}

/// The public key, and the name of the cipher: `magic, cipher, kdf, its options, number of keys, public keys`.
fn openssh(body: &[u8]) -> Option<(Key, Vec<u8>)> {
    let end = body.windows(5).position(|window| window == b"-----")?;
    let digits: Vec<u8> = body[..end]
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let blob = general_purpose::STANDARD.decode(digits).ok()?;
    let mut rest = blob.strip_prefix(MAGIC)?;
    let cipher = string(&mut rest)?;
    string(&mut rest)?;
    string(&mut rest)?;
    let (_count, mut rest) = rest.split_first_chunk::<4>()?;
    let public = string(&mut rest)?;
    let kind = string(&mut &public[..])?;
    let key = Key::parse(kind, general_purpose::STANDARD.encode(public).as_bytes()).ok()?;
    let is_name = cipher.len() <= 64 && cipher.iter().all(u8::is_ascii_graphic);
    is_name.then(|| (key, cipher.to_vec()))
}

/// A string behind its length.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (string, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some(string)
}

/// A file of public keys.
pub(crate) fn read_public(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(Public, content, tokenize)
}

struct Public;

impl Format for Public {
    fn ordered(&self) -> bool {
        false
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            return Ok(());
        }
        let (kind, rest) = word(text);
        let (base64, comment) = word(rest);
        if base64.is_empty() {
            return Err(Fault::Incomplete);
        }
        let key = Key::parse(kind, base64).map_err(|_| Fault::Key)?;
        let subject = format!("public key {}", key.shown());
        let fields = [
            (Field::Value, key.kind.as_bytes()),
            (Field::Comment, &normal(comment)),
        ];
        entries.push(Entry::new(line, subject.as_bytes(), fields));
        Ok(())
    }
}
