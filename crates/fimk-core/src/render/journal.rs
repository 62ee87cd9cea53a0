//! An event as an entry of the journal, in the bytes of its native protocol.
//!
//! A field is `NAME=value` on a line, or, if the value has a newline, `NAME`, a newline, the value's length in eight
//! bytes, least first, the value and a newline. So no value can begin another field. Names are ours alone: up to 64 of
//! `A-Z0-9_`, none first an underscore, which is journald's own. (systemd: Native Journal Protocol;
//! systemd.journal-fields(7).)

use super::{
    Host,
    flat::{TRUNCATED, fields},
    line::sentence,
    severity::syslog_severity,
};
use crate::event::{Action, Event};

/// What journald may limit: names longer than this it drops.
pub const JOURNAL_NAME_BYTES_MAX: usize = 64;

/// An entry with more fields than this journald leaves out as a whole (`ENTRY_FIELD_COUNT_MAX`).
const JOURNAL_FIELDS_MAX: usize = 1_000;

/// The entry. A field's name is that of ECS in capitals with `FIMK_` before it, once.
pub fn journal_entry(event: &Event, host: &Host) -> Vec<u8> {
    let mut entry = Vec::with_capacity(4096);
    put(&mut entry, "MESSAGE", &sentence(event));
    put(&mut entry, "MESSAGE_ID", message_id(event.action));
    let priority = syslog_severity(event.severity).to_string();
    put(&mut entry, "PRIORITY", &priority);
    put(&mut entry, "SYSLOG_IDENTIFIER", "fimk");
    for (name, texts) in few_enough(fields(event, host)) {
        if let Some(name) = journal_name(name) {
            for text in texts {
                put(&mut entry, &name, &text);
            }
        }
    }
    entry
}

/// Cuts the longest lists until the entry has as many fields as journald takes; which were cut is one of them.
fn few_enough(mut fields: Vec<(&'static str, Vec<String>)>) -> Vec<(&'static str, Vec<String>)> {
    let mut cut = Vec::new();
    loop {
        let count: usize = fields.iter().map(|(_, texts)| texts.len()).sum();
        if count + cut.len() <= JOURNAL_FIELDS_MAX {
            break;
        }
        let Some((name, texts)) = fields.iter_mut().max_by_key(|(_, texts)| texts.len()) else {
            break;
        };
        texts.truncate(texts.len() / 2);
        if !cut.contains(name) {
            cut.push(*name);
        }
    }
    let cut = cut.into_iter().map(str::to_owned);
    match fields.iter_mut().find(|(name, _)| *name == TRUNCATED) {
        Some((_, texts)) => texts.extend(cut),
        None => fields.push((TRUNCATED, cut.collect())),
    }
    fields
}

/// How the journal calls a field of [`super::FIELDS`]; none for the sentence, which is `MESSAGE`.
pub fn journal_name(field: &str) -> Option<String> {
    let own = field.strip_prefix("fimk.").unwrap_or(field);
    let plain: String = own
        .chars()
        .filter(char::is_ascii)
        .filter(|it| *it != '@')
        .map(|it| {
            if it == '.' {
                '_'
            } else {
                it.to_ascii_uppercase()
            }
        })
        .collect();
    (field != "message").then(|| format!("FIMK_{plain}"))
}

fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

/// `MESSAGE_ID`: 128 random bits for each action, under which packaging/fimk.catalog explains it. They never change.
pub fn message_id(action: Action) -> &'static str {
    match action {
        Action::Created => "e1827fa6dacf4a7fb0517323f43dbcf1",
        Action::Deleted => "b49ad871e880453b87eda65ac3bd112e",
        Action::Renamed => "fb067fb90490435a92413d3c716c35e9",
        Action::Modified => "90497a14064343f9ab2d32d3b511c2d1",
        Action::AttributesModified => "6ceeb843b252445f962108cfa4b728d3",
        Action::Linked => "04638a972bf84c75b2b8f6c0da546fec",
        Action::MonitorStarted => "f63e452ec6714103998c5762352729e4",
        Action::MonitorStopped => "231f0279e2f845489c39f22ca8a44764",
        Action::BaselineCreated => "05fa9f1c46174610ae2980ddfaef2488",
        Action::Gap => "1e473123ce664061a43a2551ca616de6",
        Action::EventsLost => "3c6509cdefe7433da4c499f589adb99d",
        Action::Degraded => "01bd8e10b153430587e32b535fa69063",
        Action::Mounted => "e3935bd80c774104b819d736e1be819e",
        Action::Unmounted => "333ff6e6a7574c7eac6e40a515783f57",
        Action::Denied => "5fb649e7c4d543ec9fd34be91dc616c8",
        Action::Opened => "8568cbc228f748fb897a0858a6f5caf7",
        Action::Executed => "ffc5dd40c5ce4525a3bca5b92e6c8c2f",
        Action::Heartbeat => "bc4c4da54ee04a1fb55a5f1f10cae7f2",
        Action::Burst => "a1aab979a2814d9bacf3a5e22e4bf2f6",
        Action::Recovered => "2d05902b407d457eb5aa5e82ecf903f6",
        Action::EventsRemoved => "c8bc2e9dc99b4fc7a9f55fd55103dfa7",
        Action::ConfigReloaded => "ceb6e72c2a86437883a4cc8a2fe9fa6b",
        Action::ConfigRejected => "6047174d2f7f4153a7291d1d22990c56",
        Action::ScanFinished => "edf20ce49b804c93b44af2e1aedfaeea",
        Action::BaselineAccepted => "3036bc6a3dbc4fa6b1e41a79301e0d3d",
    }
}
