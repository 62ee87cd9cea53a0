//! Keys by which packages are believed: `OpenPGP` (RFC 9580, before it RFC 4880), binary or armoured.
//!
//! A key is known by its fingerprint, and has its names; a key below it, which may sign as well, is an entry of its
//! own. Signatures are not checked: a digest tells whether they changed, and with them for how long a key is good.
//! Public keys are no secrets. What is not of the form, a keybox of `GnuPG` for example, is a malformed line as long as the
//! file, for what reads it may find a key there.
//!
//! Limits: 20,000 keys, and 64 names of each; of a file that is longer than 1 MiB only whether it differs.

use base64::{Engine, engine::general_purpose};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::{
    Tokenize,
    entries::{self, Entry, Fault, Field, MAX_ENTRIES},
    lines,
    others::Malformed,
    pieces::Pieces,
};

mod packets;

use packets::Packet;

/// The keys.
pub type State = entries::State;

const BEGIN: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";
const MAX_NAMES: usize = 64;

/// Types of packets: RFC 9580 §5.
const SIGNATURE: u8 = 2;
const KEY: u8 = 6;
const NAME: u8 = 13;
const SUBKEY: u8 = 14;
const SECRET: [u8; 2] = [5, 7];

/// The flag tells whether it may hold secrets, such as the private part of a key: what is not understood may.
pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    let is_long = content.len() > lines::MAX_BYTES;
    let keys = if is_long { None } else { understood(content) };
    let is_unknown = keys.is_none() && !is_long && !content.trim_ascii().is_empty();
    let unknown = is_unknown.then(|| Malformed::new(0, content, Fault::Form, tokenize));
    let entries = keys.iter().flatten().map(Key::entry).collect();
    let state = State {
        entries,
        ordered: false,
        malformed: Vec::from_iter(unknown),
        whole: tokenize.token(content),
        rest: is_long
            .then(|| lines::rest(content, content, tokenize))
            .flatten(),
    };
    (state, keys.is_none())
}

fn understood(content: &[u8]) -> Option<Vec<Key>> {
    if content.trim_ascii().starts_with(BEGIN) {
        return keys(&dearmoured(content)?);
    }
    keys(content)
}

#[derive(Default)]
struct Key {
    subject: String,
    names: Vec<Vec<u8>>,
    signatures: Sha256,
    signed: bool,
}

impl Key {
    fn entry(&self) -> Entry {
        let names = Pieces::clear(&self.names.join(&b"; "[..]));
        let digest = general_purpose::STANDARD_NO_PAD.encode(self.signatures.clone().finalize());
        let signatures = Pieces::clear(format!("SHA256:{digest}").as_bytes());
        let mut fields = Vec::new();
        if !self.names.is_empty() {
            fields.push((Field::Value, names));
        }
        if self.signed {
            fields.push((Field::Signatures, signatures));
        }
        Entry {
            subject: Pieces::clear(self.subject.as_bytes()),
            fields,
        }
    }
}

/// The keys and those below them, in order.
fn keys(binary: &[u8]) -> Option<Vec<Key>> {
    let mut keys: Vec<Key> = Vec::new();
    let mut primary = String::new();
    for packet in packets::split(binary)? {
        match packet.tag {
            tag if SECRET.contains(&tag) => return None,
            KEY => {
                primary = fingerprint(&packet)?;
                keys.push(Key {
                    subject: format!("trusted key {primary}"),
                    ..Key::default()
                });
            }
            SUBKEY => keys.push(Key {
                subject: format!("key {} below {primary}", fingerprint(&packet)?),
                ..Key::default()
            }),
            NAME => {
                let names = &mut keys.last_mut()?.names;
                if names.len() < MAX_NAMES {
                    names.push(packet.body.clone());
                }
            }
            SIGNATURE => {
                let key = keys.last_mut()?;
                key.signatures.update(&packet.body);
                key.signed = true;
            }
            // Pictures, trust, padding and what is yet to come.
            _ => {}
        }
        if keys.len() > MAX_ENTRIES {
            return None;
        }
    }
    (!keys.is_empty() && !primary.is_empty()).then_some(keys)
}

/// RFC 9580 §5.5.4: of version 4 by SHA-1, of version 6 by SHA-256. Older ones are good for nothing today.
fn fingerprint(packet: &Packet) -> Option<String> {
    let body = &packet.body;
    match body.first()? {
        4 => {
            let length = u16::try_from(body.len()).ok()?.to_be_bytes();
            let digest = Sha1::new().chain_update([0x99]).chain_update(length);
            Some(hex(&digest.chain_update(body).finalize()))
        }
        6 => {
            let length = u32::try_from(body.len()).ok()?.to_be_bytes();
            let digest = Sha256::new().chain_update([0x9b]).chain_update(length);
            Some(hex(&digest.chain_update(body).finalize()))
        }
        version => Some(format!("of version {version}")),
    }
}

fn hex(digest: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    digits
        .map(|nibble| digit(nibble).to_ascii_uppercase())
        .collect()
}

/// RFC 9580 §6.2: headers, a blank line, base64, and mostly a checksum behind `=`. Blocks may follow one another.
fn dearmoured(content: &[u8]) -> Option<Vec<u8>> {
    let mut binary = Vec::new();
    let mut digits: Option<Vec<u8>> = None;
    let mut in_block = false;
    for line in content.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        if line == BEGIN {
            in_block = true;
        } else if line.starts_with(b"-----END PGP PUBLIC KEY BLOCK-----") {
            let digits = digits.take()?;
            binary.extend(general_purpose::STANDARD.decode(digits).ok()?);
            in_block = false;
        } else if in_block {
            match &mut digits {
                None if line.is_empty() => digits = Some(Vec::new()),
                Some(digits) if !line.starts_with(b"=") => digits.extend_from_slice(line),
                _ => {}
            }
        }
    }
    (!in_block).then_some(binary)
}
