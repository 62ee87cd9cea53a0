//! An event as a message of RFC 5424, with its fields as structured data.

use super::{
    FIELDS, Host, cut,
    flat::{TRUNCATED, fields},
    json::harmless,
    line::sentence,
    severity::syslog_severity,
};
use crate::{event::Event, text::head};

/// Of a message: what rsyslog takes unless it is told otherwise (`maxMessageSize`).
pub const SYSLOG_BYTES_MAX: usize = 8 * 1024;

/// The one element of structured data. We have no number of our own from IANA, so this is the one that RFC 5612 keeps
/// for documentation, as many do.
pub const SYSLOG_ELEMENT: &str = "fimk@32473";

/// Of `fimk.truncated`, which comes last: names of fields.
const TRUNCATED_BYTES_MAX: usize = 1024;

/// Of the words after the structured data.
const MESSAGE_BYTES_MAX: usize = 2 * 1024;

/// A value is not cut shorter than this: less tells nothing.
const VALUE_BYTES_MIN: usize = 64;

/// Of a host's name, RFC 5424, 6.2.4.
const HOST_BYTES_MAX: usize = 255;

/// The message, without an end of line. `words`: what comes after the structured data, where it is another than the
/// event's sentence; longer words are taken in the place of the structured data.
pub fn syslog_message(
    event: &Event,
    host: &Host,
    facility: u8,
    pid: u32,
    words: Option<&str>,
) -> String {
    let priority = 8 * u32::from(facility) + u32::from(syslog_severity(event.severity));
    let mut message = format!(
        "<{priority}>1 {} {} fimk {pid} {} ",
        time(event),
        host_name(host),
        event.action.name()
    );
    if let Some(words) = words {
        message += "- ";
        message += &harmless(words);
        return message;
    }
    let sentence = sentence(event);
    let words = head(&sentence, MESSAGE_BYTES_MAX);
    let room = SYSLOG_BYTES_MAX - message.len() - words.len() - 1;
    put_element(&mut message, event, host, room);
    message.push(' ');
    message.push_str(words);
    message
}

/// Six digits of the second are what the format has room for.
fn time(event: &Event) -> String {
    let text = event.created.rfc3339();
    let digits = text
        .strip_suffix("000Z")
        .or_else(|| text.get(..text.len().saturating_sub(4)));
    digits.map_or_else(|| "-".to_owned(), |digits| format!("{digits}Z"))
}

/// Printable ASCII without spaces, or that it is not known.
fn host_name(host: &Host) -> &str {
    let name = host.name.as_str();
    let fits = !name.is_empty()
        && name.len() <= HOST_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { name } else { "-" }
}

/// What matters most first, as long as there is room; what is cut or left out is named in the end.
fn put_element(message: &mut String, event: &Event, host: &Host, room: usize) {
    let end = message.len() + room - 1;
    message.push('[');
    message.push_str(SYSLOG_ELEMENT);
    let mut truncated = Vec::new();
    let mut fields = fields(event, host);
    fields.retain(|(name, _)| !matches!(*name, "message" | "host.name"));
    fields.sort_by_key(|(name, _)| std::cmp::Reverse(cut::worth(name)));
    for (name, texts) in fields {
        if name == TRUNCATED {
            truncated.splice(0..0, texts);
            continue;
        }
        let room = end - TRUNCATED_BYTES_MAX;
        let mut texts = texts.iter();
        if !texts.all(|text| put_parameter(message, name, text, room)) {
            truncated.push(name.to_owned());
        }
    }
    for name in truncated {
        put_parameter(message, TRUNCATED, &name, end);
    }
    message.push(']');
}

/// A parameter, if there is room for it or for a good part; whether it is there whole.
fn put_parameter(message: &mut String, name: &str, value: &str, end: usize) -> bool {
    let taken = message.len() + name.len() + " =\"\"".len();
    let room = end.saturating_sub(taken);
    let escaped = escape(value);
    let whole = escaped.len() <= room;
    if !whole && room < VALUE_BYTES_MIN {
        return false;
    }
    message.push(' ');
    message.push_str(name);
    message.push_str("=\"");
    message.push_str(if whole {
        &escaped
    } else {
        shortened(&escaped, room)
    });
    message.push('"');
    whole
}

/// RFC 5424, 6.3.3: quotes, backslashes and closing brackets have a backslash before them. What would end a line or act
/// on a terminal is shown as `\u{…}`.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in harmless(value).chars() {
        if matches!(character, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// Its beginning, without half an escape in the end.
fn shortened(escaped: &str, bytes_max: usize) -> &str {
    let cut = head(escaped, bytes_max);
    let backslashes = cut.bytes().rev().take_while(|byte| *byte == b'\\').count();
    &cut[..cut.len() - backslashes % 2]
}

/// Names of parameters are 1 to 32 printable ASCII characters but `=`, space, `]` and `"` (RFC 5424, 6.3.3).
const _: () = {
    let mut at = 0;
    while at < FIELDS.len() {
        assert!(FIELDS[at].0.len() <= 32);
        at += 1;
    }
};
