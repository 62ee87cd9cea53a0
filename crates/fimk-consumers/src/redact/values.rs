//! Secrets known by the name before them: `key = value`, `"key": "value"`, `directive value`, and the
//! second field of lines that look like passwd(5), shadow(5), gshadow(5) or htpasswd's.

use std::ops::Range;

use super::spans::Spans;

/// Parts of a name, without `_`, `-` and `.`, that make the value a secret.
const SECRET: [&[u8]; 16] = [
    b"password",
    b"passwd",
    b"passphrase",
    b"passcode",
    b"secret",
    b"token",
    b"apikey",
    b"accesskey",
    b"accountkey",
    b"privatekey",
    b"presharedkey",
    b"authkey",
    b"encryptionkey",
    b"signingkey",
    b"credential",
    b"authorization",
];
/// Last words of a name that do so only by themselves.
const SECRET_WORDS: [&[u8]; 6] = [b"cookie", b"pass", b"pwd", b"psk", b"pw", b"bindpw"];
/// Ends of a name that do so: `dbpass`.
const SECRET_ENDS: [&[u8]; 1] = [b"pass"];
/// Ends of a name whose value only speaks about a secret.
const HARMLESS: [&[u8]; 31] = [
    b"loadcredential",
    b"importcredential",
    b"conditioncredential",
    b"encryption",
    b"hashes",
    b"file",
    b"path",
    b"dir",
    b"directory",
    b"tries",
    b"timeout",
    b"days",
    b"len",
    b"length",
    b"prompt",
    b"authentication",
    b"url",
    b"uri",
    b"type",
    b"age",
    b"lifetime",
    b"command",
    b"endpoint",
    b"stdin",
    b"nopasswd",
    b"policy",
    b"quality",
    b"algorithm",
    b"minlen",
    b"bypass",
    b"compass",
];
/// Values that are none.
const HARMLESS_VALUES: [&[u8]; 11] = [
    b"yes",
    b"no",
    b"true",
    b"false",
    b"on",
    b"off",
    b"none",
    b"null",
    b"required",
    b"optional",
    b"disabled",
];
/// Services of nsswitch.conf(5), whose `passwd:` is no secret.
const SERVICES: [&[u8]; 10] = [
    b"files", b"compat", b"systemd", b"sss", b"ldap", b"nis", b"nisplus", b"db", b"winbind",
    b"hesiod",
];
/// Directives without a separator: ldap.conf(5), slapd.conf(5), redis.conf, interfaces(5), netrc(5).
const DIRECTIVES: [&[u8]; 8] = [
    b"bindpw",
    b"rootpw",
    b"requirepass",
    b"masterauth",
    b"wpa-psk",
    b"wpa-passphrase",
    b"password",
    b"secret",
];
/// Second words of pam.d(5), whose `password` is a kind of module.
const PAM_CONTROLS: [&[u8]; 6] = [
    b"required",
    b"requisite",
    b"sufficient",
    b"optional",
    b"include",
    b"substack",
];
/// First words of a line of netrc(5).
const NETRC: [&[u8]; 3] = [b"machine", b"default", b"login"];

/// Names are short; the bound keeps the time linear.
const MAX_NAME: usize = 64;

/// Whether the value of what is called so is a secret.
pub(super) fn is_secret_name(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let compact: Vec<u8> = name
        .iter()
        .copied()
        .filter(u8::is_ascii_alphanumeric)
        .collect();
    if HARMLESS.iter().any(|end| compact.ends_with(end)) {
        return false;
    }
    let word = name
        .rsplit(|byte| !byte.is_ascii_alphanumeric())
        .next()
        .unwrap_or(&[]);
    SECRET_WORDS.contains(&word)
        || SECRET_ENDS.iter().any(|end| compact.ends_with(end))
        || SECRET
            .iter()
            .any(|part| super::find(&compact, part).is_some())
}

pub(super) fn find(line: &[u8], spans: &mut Spans) {
    directive(line, spans);
    // Once for the line, or a long tail would be trimmed again for each name.
    let end = line.iter().rposition(|byte| !b" \t\r,;".contains(byte));
    let line = &line[..end.map_or(0, |end| end + 1)];
    // Once for the line as well: what may stand before a name that begins it.
    let lead = line.iter().take_while(|byte| b" \t-#;\"'{".contains(byte));
    let lead = lead.count();
    let mut at = 0;
    while at < line.len() {
        let span = match line[at] {
            b'=' | b':' => assignment(line, at, lead),
            b',' => argument(line, at),
            b'>' => element(line, at),
            _ => None,
        };
        at = span.as_ref().map_or(at + 1, |span| span.end.max(at + 1));
        spans.extend(span.into_iter().collect());
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

/// The name that ends before the separator.
fn name_before(line: &[u8], separator: usize) -> Range<usize> {
    let near = separator.saturating_sub(MAX_NAME);
    let trim = |end: usize, noise: &[u8]| {
        let kept = line[near..end]
            .iter()
            .rposition(|byte| !noise.contains(byte));
        kept.map_or(near, |last| near + last + 1)
    };
    let end = trim(separator, b" \t:+?\"'\\]");
    let length = line[near..end]
        .iter()
        .rev()
        .take_while(|&&byte| is_name(byte))
        .count();
    end - length..end
}

/// `lead`: the length of what may stand before the first name.
fn assignment(line: &[u8], separator: usize, lead: usize) -> Option<Range<usize>> {
    let name = name_before(line, separator);
    if !is_secret_name(&line[name.clone()]) {
        return None;
    }
    let first =
        name.start <= lead || line[..name.start].ends_with(b"export ") && name.start <= MAX_NAME;
    // `=>`, `==`, and LDIF's `::`.
    let operator = match line[separator..] {
        [b'=', b'>' | b'=', ..] | [b':', b':', ..] => 1,
        _ => 0,
    };
    let after = separator + 1 + operator;
    let blanks = line[after..]
        .iter()
        .take_while(|byte| b" \t".contains(byte))
        .count();
    let start = after + blanks;
    if line[separator] == b':' && is_tag(&line[name], &line[start..]) {
        return None;
    }
    let span = value(line, start, first || blanks > 0);
    (!is_harmless(&line[span.clone()])).then_some(span)
}

/// `define('DB_PASSWORD', 'secret')`: two strings, of which the first names the second.
fn argument(line: &[u8], comma: usize) -> Option<Range<usize>> {
    let is_quote = |byte: &u8| b"'\"".contains(byte);
    let blank = |byte: &&u8| b" \t".contains(byte);
    let mut before = line[..comma].iter().rev().take(MAX_NAME);
    let closes = before.find(|byte| !blank(byte)).is_some_and(is_quote);
    let start = comma + 1 + line[comma + 1..].iter().take_while(blank).count();
    let opens = line.get(start).is_some_and(is_quote);
    let named = closes && opens && is_secret_name(&line[name_before(line, comma)]);
    let span = named.then(|| value(line, start, false))?;
    (!is_harmless(&line[span.clone()])).then_some(span)
}

/// `<password>secret</password>`
fn element(line: &[u8], close: usize) -> Option<Range<usize>> {
    let near = close.saturating_sub(MAX_NAME);
    let open = line[near..close].iter().rposition(|&byte| byte == b'<')?;
    let tag = &line[near + open + 1..close];
    // Attributes may stand behind the name.
    let name = tag
        .split(u8::is_ascii_whitespace)
        .next()
        .unwrap_or_default();
    if !name.iter().all(|&byte| is_name(byte) || byte == b':') || !is_secret_name(name) {
        return None;
    }
    let text = &line[close + 1..];
    let length = text.iter().position(|&byte| byte == b'<')?;
    // What does not end is a word in brackets, as in the usage of a program.
    let ends = text[length..].starts_with(b"</");
    let span = close + 1..close + 1 + length;
    (ends && !is_harmless(line[span.clone()].trim_ascii())).then_some(span)
}

fn is_harmless(value: &[u8]) -> bool {
    let is = |word: &&[u8]| word.eq_ignore_ascii_case(value);
    value.is_empty() || HARMLESS_VALUES.iter().any(is)
}

/// `PASSWD:` of sudoers(5), `passwd:` of nsswitch.conf(5) and what follows.
fn is_tag(name: &[u8], rest: &[u8]) -> bool {
    let leads = |service: &&[u8]| {
        let after = rest.strip_prefix(*service);
        after.is_some_and(|after| after.first().is_none_or(u8::is_ascii_whitespace))
    };
    name == b"PASSWD" || name == b"passwd" && SERVICES.iter().any(leads)
}

/// A quoted value, or one up to a blank or a separator, or to the end of the line.
fn value(line: &[u8], start: usize, to_end: bool) -> Range<usize> {
    let escaped =
        usize::from(line[start..].starts_with(b"\\\"") || line[start..].starts_with(b"\\'"));
    let start = start + escaped;
    if let Some(&quote @ (b'"' | b'\'')) = line.get(start) {
        return quoted(line, start + 1, quote, escaped == 1);
    }
    let rest = &line[start..];
    if to_end {
        return start..line.len();
    }
    let end = rest
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || b"&;,|\"'".contains(byte));
    start..start + end.unwrap_or(rest.len())
}

fn quoted(line: &[u8], start: usize, quote: u8, escaped: bool) -> Range<usize> {
    let mut end = start;
    while let Some(&byte) = line.get(end) {
        if byte == quote || escaped && byte == b'\\' && line.get(end + 1) == Some(&quote) {
            break;
        }
        end += if byte == b'\\' && !escaped { 2 } else { 1 };
    }
    start..end.min(line.len())
}

/// `bindpw secret` at the start of a line, `password secret` after `login name`.
fn directive(line: &[u8], spans: &mut Spans) {
    let words = blank_separated(line);
    let [first, second, ..] = words.as_slice() else {
        return;
    };
    let word = |range: &Range<usize>| &line[range.clone()];
    let is_directive = DIRECTIVES.contains(&word(first).to_ascii_lowercase().as_slice());
    let is_pam = PAM_CONTROLS.contains(&word(second)) || word(second).starts_with(b"[");
    if is_directive && !is_pam && !b"=:".contains(&line[second.start]) {
        let span = value(line, second.start, true);
        if !is_harmless(&line[span.clone()]) {
            spans.push(span);
        }
    }
    if NETRC.contains(&word(first)) {
        for pair in words
            .windows(2)
            .filter(|pair| word(&pair[0]) == b"password")
        {
            spans.push(pair[1].clone());
        }
    }
}

fn blank_separated(line: &[u8]) -> Vec<Range<usize>> {
    let mut at = 0;
    let mut words = Vec::new();
    for word in line.split(|byte| b" \t".contains(byte)) {
        if !word.is_empty() {
            words.push(at..at + word.len());
        }
        at += word.len() + 1;
    }
    words
}

/// Marks the second field of a line that looks like a user's or a group's; `None` if it does not.
pub(super) fn account_password(line: &[u8], spans: &mut Spans) -> Option<()> {
    let fields: Vec<&[u8]> = line.splitn(11, |&byte| byte == b':').collect();
    let (name, password) = (*fields.first()?, *fields.get(1)?);
    if name.is_empty()
        || !name
            .iter()
            .all(|&byte| is_name(byte) || b"$@+".contains(&byte))
    {
        return None;
    }
    let number = |field: &&[u8]| field.iter().all(u8::is_ascii_digit);
    let account = match fields.len() {
        // gshadow(5), group(5)
        4 => password.len() >= 13 && !password.contains(&b' '),
        7 => number(&fields[2]) && number(&fields[3]),
        9 => fields[2..8].iter().all(number),
        _ => false,
    };
    if !account {
        return None;
    }
    let marks = password
        .iter()
        .take_while(|byte| b"!*".contains(byte))
        .count();
    if password != b"x" {
        spans.push(name.len() + 1 + marks..name.len() + 1 + password.len());
    }
    Some(())
}
