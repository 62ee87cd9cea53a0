//! Secrets known by their shape, wherever they stand. Sources: crypt(5), RFC 2307 and its successors,
//! RFC 3986 §3.2.1, RFC 6750, the published prefixes of services' tokens.
//!
//! Every look ahead is bounded or consumes what it saw, so a line costs linear time.

use std::ops::Range;

use super::spans::Spans;
use crate::password::is_crypt64;

/// Shorter is no hash, whatever stands before it.
const MIN_HASH: usize = 8;

pub(super) fn find(line: &[u8], spans: &mut Spans) {
    let mut at = 0;
    while at < line.len() {
        let found = match line[at] {
            b'$' => crypt(line, at),
            b'{' => ldap(line, at),
            b':' => url(line, at).or_else(|| des(line, at)),
            _ if at == 0 || !line[at - 1].is_ascii_alphanumeric() => token(line, at),
            _ => None,
        };
        at = found.as_ref().map_or(at + 1, |span| span.end);
        spans.extend(found.into_iter().collect());
    }
}

const CRYPT_IDS: [&[u8]; 19] = [
    b"y", b"gy", b"7", b"6", b"5", b"2", b"2a", b"2b", b"2x", b"2y", b"1", b"3", b"md5", b"sha1",
    b"apr1", b"P", b"H", b"S", b"scrypt",
];
const CRYPT_FAMILIES: [&[u8]; 5] = [b"argon2", b"pbkdf2", b"bcrypt", b"8", b"9"];

/// `$id$…`, also with the dollars escaped for a shell.
fn crypt(line: &[u8], start: usize) -> Option<Range<usize>> {
    let id = &line[start + 1..line.len().min(start + 33)];
    let length = id
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"-,=_".contains(byte))
        .count();
    let name = id[..length].split(|&byte| byte == b',').next()?;
    if !CRYPT_IDS.contains(&name) && !CRYPT_FAMILIES.iter().any(|family| name.starts_with(family)) {
        return None;
    }
    let mut end = start + 1 + length;
    end += usize::from(line[end..].starts_with(b"\\$"));
    if line.get(end) != Some(&b'$') {
        return None;
    }
    let rest = end + 1;
    end = rest;
    while let Some(&byte) = line.get(end) {
        let escaped = byte == b'\\' && line.get(end + 1).is_some_and(|next| b"$/.".contains(next));
        if !escaped && (!byte.is_ascii_graphic() || b":;'\"`<>\\".contains(&byte)) {
            break;
        }
        end += 1;
    }
    (end - rest >= MIN_HASH).then_some(start..end)
}

const LDAP_SCHEMES: [&[u8]; 11] = [
    b"ssha",
    b"sha",
    b"smd5",
    b"md5",
    b"crypt",
    b"pbkdf2",
    b"argon2",
    b"blf",
    b"plain",
    b"cleartext",
    b"cram",
];

/// `{SSHA}…`
fn ldap(line: &[u8], start: usize) -> Option<Range<usize>> {
    let near = &line[start + 1..line.len().min(start + 24)];
    let close = near.iter().position(|&byte| byte == b'}')?;
    let scheme = near[..close].to_ascii_lowercase();
    if !LDAP_SCHEMES.iter().any(|known| scheme.starts_with(known)) {
        return None;
    }
    let value = start + close + 2;
    let length = line[value..]
        .iter()
        .take_while(|byte| byte.is_ascii_graphic() && !b"'\"`<>\\:".contains(byte))
        .count();
    (length >= MIN_HASH).then_some(start..value + length)
}

/// `scheme://user:password@`, or a token as the user.
fn url(line: &[u8], colon: usize) -> Option<Range<usize>> {
    // Longer ones exist in theory; a bound keeps the time linear.
    const MAX_AUTHORITY: usize = 512;
    if !line[colon..].starts_with(b"://") {
        return None;
    }
    let start = colon + 3;
    let near = &line[start..line.len().min(start + MAX_AUTHORITY)];
    let length = near
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || b"'\"`<>".contains(byte))
        .unwrap_or(near.len());
    let whole = &near[..length];
    let slash = whole
        .iter()
        .position(|byte| b"/?#".contains(byte))
        .unwrap_or(length);
    let separator = whole[..slash].iter().position(|&byte| byte == b':');
    let at = match whole[..slash].iter().rposition(|&byte| byte == b'@') {
        Some(at) => at,
        // A password with an unescaped slash; a port has digits only.
        None if separator
            .is_some_and(|at| !whole[at + 1..slash].iter().all(u8::is_ascii_digit)) =>
        {
            whole.iter().position(|&byte| byte == b'@')?
        }
        None => return None,
    };
    match separator {
        Some(separator) if separator < at => Some(start + separator + 1..start + at),
        _ if at >= 20 => Some(start..start + at),
        _ => None,
    }
    .filter(|span| !span.is_empty())
}

const URL_SCHEMES: [&[u8]; 8] = [
    b"http", b"https", b"ftp", b"ftps", b"ssh", b"git", b"file", b"ldap",
];

/// `name:` and a traditional hash: thirteen characters, or that of BSD/OS, `_` and nineteen.
fn des(line: &[u8], colon: usize) -> Option<Range<usize>> {
    let before = &line[..colon];
    if !before.last().is_some_and(u8::is_ascii_graphic) {
        return None;
    }
    let near = &line[colon - colon.min(8)..colon];
    if line[colon..].starts_with(b"://") && URL_SCHEMES.iter().any(|scheme| near.ends_with(scheme))
    {
        return None;
    }
    let marks = line[colon + 1..]
        .iter()
        .take_while(|byte| b"!*".contains(byte))
        .count();
    let start = colon + 1 + marks;
    let bsdi = line.get(start) == Some(&b'_');
    let hash = start + usize::from(bsdi);
    let wanted = if bsdi { 19 } else { 13 };
    let end = crypt64_end(line, hash, wanted)?;
    // Of random characters about two in 100,000 look like a path or an address.
    let any = |of: fn(&u8) -> bool| line[hash..end].iter().any(of);
    let is_word =
        !any(u8::is_ascii_uppercase) && !any(u8::is_ascii_digit) || !any(u8::is_ascii_alphabetic);
    // Up to three more: sed(1)'s closing slash and its flags.
    let more = line[end..]
        .iter()
        .take(5)
        .take_while(|&&byte| is_crypt64(byte))
        .count();
    let follows = line.get(end + more);
    let bounded = more == 0 || line[end] == b'/' && more <= 3;
    let found = bounded && !is_word && !follows.is_some_and(|byte| b"-_=(".contains(byte));
    found.then(|| start..further(line, end))
}

/// Where former hashes behind the first end: `alice:1000:2:FIRST,SECOND`, as `pam_pwhistory(8)` keeps them.
fn further(line: &[u8], mut end: usize) -> usize {
    while line.get(end) == Some(&b',') {
        match crypt64_end(line, end + 1, 13) {
            Some(next) if matches!(line.get(next), None | Some(b',' | b'\n' | b'\r')) => end = next,
            _ => break,
        }
    }
    end
}

/// Where `wanted` characters of a hash end; sed(1) has slashes and dots escaped.
fn crypt64_end(line: &[u8], start: usize, wanted: usize) -> Option<usize> {
    let mut end = start;
    for _ in 0..wanted {
        end += usize::from(
            line.get(end) == Some(&b'\\')
                && line.get(end + 1).is_some_and(|next| b"/.".contains(next)),
        );
        if !is_crypt64(*line.get(end)?) {
            return None;
        }
        end += 1;
    }
    Some(end)
}

/// Prefix and at least so many characters.
const TOKENS: [(&[u8], usize); 25] = [
    (b"AKIA", 16),
    (b"ASIA", 16),
    (b"AIza", 30),
    (b"ghp_", 20),
    (b"gho_", 20),
    (b"ghu_", 20),
    (b"ghs_", 20),
    (b"ghr_", 20),
    (b"github_pat_", 20),
    (b"glpat-", 16),
    (b"xoxa-", 10),
    (b"xoxb-", 10),
    (b"xoxp-", 10),
    (b"xoxr-", 10),
    (b"xoxs-", 10),
    (b"sk_live_", 16),
    (b"rk_live_", 16),
    (b"sk-", 20),
    (b"SG.", 20),
    (b"npm_", 30),
    (b"hvs.", 20),
    (b"dop_v1_", 30),
    (b"eyJ", 20),
    (b"AGE-SECRET-KEY-1", 20),
    (b"Bearer ", 8),
];

fn token(line: &[u8], start: usize) -> Option<Range<usize>> {
    let (prefix, least) = TOKENS
        .iter()
        .find(|(prefix, _)| line[start..].starts_with(prefix))?;
    let value = start + prefix.len();
    let length = line[value..]
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.+/=~".contains(byte))
        .count();
    (length >= *least).then_some(start..value + length)
}
