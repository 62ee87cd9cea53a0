//! Messages against the whole grammar of RFC 5424, section 6, read byte by byte; and the reader against what is none.

use proptest::prelude::*;

use super::{
    others::{HOSTILE, all, forged},
    *,
};

/// What is left of a message to be read, or which production it breaks.
type Rest<'m> = Result<&'m [u8], String>;

/// SYSLOG-MSG = HEADER SP STRUCTURED-DATA [SP MSG]
fn message(bytes: &[u8]) -> Result<(), String> {
    let rest = structured_data(space(header(bytes)?)?)?;
    match rest {
        [] => Ok(()),
        rest => words(space(rest)?),
    }
}

/// HEADER = PRI VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID
fn header(bytes: &[u8]) -> Rest<'_> {
    let rest = space(version(priority(bytes)?)?)?;
    let mut rest = timestamp(rest)?;
    for (name, most) in [
        ("HOSTNAME", 255),
        ("APP-NAME", 48),
        ("PROCID", 128),
        ("MSGID", 32),
    ] {
        rest = printable(name, most, &[], space(rest)?)?.1;
    }
    Ok(rest)
}

fn space(bytes: &[u8]) -> Rest<'_> {
    literal(b" ", bytes)
}

fn literal<'m>(text: &[u8], bytes: &'m [u8]) -> Rest<'m> {
    let rest = bytes.strip_prefix(text);
    rest.ok_or_else(|| format!("no {:?}", String::from_utf8_lossy(text)))
}

/// So many digits.
fn digits(least: usize, most: usize, bytes: &[u8]) -> Result<(u32, &[u8]), String> {
    let count = bytes
        .iter()
        .take(most)
        .take_while(|it| it.is_ascii_digit())
        .count();
    if count < least {
        return Err("too few digits".to_owned());
    }
    let value = bytes[..count]
        .iter()
        .fold(0, |sum, it| 10 * sum + u32::from(it - b'0'));
    Ok((value, &bytes[count..]))
}

/// PRI = "<" PRIVAL ">", 0 to 191 without leading zeros
fn priority(bytes: &[u8]) -> Rest<'_> {
    let begun = literal(b"<", bytes)?;
    let (value, rest) = digits(1, 3, begun)?;
    let leads = begun[0] == b'0' && begun.len() - rest.len() > 1;
    if leads || value > 191 {
        return Err(format!("PRIVAL {value}"));
    }
    literal(b">", rest)
}

/// VERSION = NONZERO-DIGIT 0*2DIGIT; this one is 1
fn version(bytes: &[u8]) -> Rest<'_> {
    match digits(1, 3, bytes)? {
        (1, rest) => Ok(rest),
        (other, _) => Err(format!("VERSION {other}")),
    }
}

/// TIMESTAMP = NILVALUE / FULL-DATE "T" FULL-TIME
fn timestamp(bytes: &[u8]) -> Rest<'_> {
    if let Some(rest) = bytes.strip_prefix(b"-") {
        return Ok(rest);
    }
    let part = |least: u32, most: u32, rest| match digits(2, 2, rest)? {
        (value, rest) if (least..=most).contains(&value) => Ok(rest),
        (value, _) => Err(format!("{value} in a TIMESTAMP")),
    };
    let rest = literal(b"-", digits(4, 4, bytes)?.1)?;
    let rest = literal(b"-", part(1, 12, rest)?)?;
    let rest = literal(b"T", part(1, 31, rest)?)?;
    let rest = literal(b":", part(0, 23, rest)?)?;
    let rest = literal(b":", part(0, 59, rest)?)?;
    let mut rest = part(0, 59, rest)?;
    if let Some(fraction) = rest.strip_prefix(b".") {
        rest = digits(1, 6, fraction)?.1;
    }
    match rest {
        [b'Z', rest @ ..] => Ok(rest),
        [b'+' | b'-', rest @ ..] => part(0, 59, literal(b":", part(0, 23, rest)?)?),
        _ => Err("no TIME-OFFSET".to_owned()),
    }
}

/// `name` = 1*`most`PRINTUSASCII, without some
fn printable<'m>(
    name: &str,
    most: usize,
    without: &[u8],
    bytes: &'m [u8],
) -> Result<(&'m [u8], &'m [u8]), String> {
    let fits = |it: &&u8| (33..=126).contains(*it) && !without.contains(it);
    let count = bytes.iter().take_while(fits).count();
    if count == 0 || count > most {
        return Err(format!("{name} has {count} characters"));
    }
    Ok(bytes.split_at(count))
}

/// STRUCTURED-DATA = NILVALUE / 1*SD-ELEMENT, no SD-ID twice
fn structured_data(bytes: &[u8]) -> Rest<'_> {
    if let Some(rest) = bytes.strip_prefix(b"-") {
        return Ok(rest);
    }
    let mut ids = BTreeSet::new();
    let mut rest = bytes;
    while let Some(element) = rest.strip_prefix(b"[") {
        let (id, parameters) = sd_name(element)?;
        if !ids.insert(id) {
            return Err("an SD-ID twice".to_owned());
        }
        sd_id(id)?;
        rest = parameters;
        while let Some(parameter) = rest.strip_prefix(b" ") {
            let (_, value) = sd_name(parameter)?;
            rest = value_of_parameter(literal(b"=\"", value)?)?;
        }
        rest = literal(b"]", rest)?;
    }
    if ids.is_empty() {
        return Err("no SD-ELEMENT".to_owned());
    }
    Ok(rest)
}

/// SD-NAME = 1*32PRINTUSASCII, except '=', SP, ']', %d34
fn sd_name(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    printable("SD-NAME", 32, b"=]\"", bytes)
}

/// A name of our own is that before the number of a private enterprise.
fn sd_id(id: &[u8]) -> Result<(), String> {
    let mut parts = id.split(|it| *it == b'@');
    let (name, number, more) = (parts.next(), parts.next(), parts.next());
    let named = name.is_some_and(|it| !it.is_empty());
    let numbered = number.is_some_and(|it| !it.is_empty() && it.iter().all(u8::is_ascii_digit));
    if named && numbered && more.is_none() {
        Ok(())
    } else {
        Err("SD-ID".to_owned())
    }
}

/// PARAM-VALUE = UTF-8-STRING in which '"', '\' and ']' are escaped, and its closing quote
fn value_of_parameter(bytes: &[u8]) -> Rest<'_> {
    let mut at = 0;
    loop {
        match bytes[at..] {
            [b'"', ..] => break,
            [b'\\', b'"' | b'\\' | b']', ..] => at += 2,
            [b'\\' | b']', ..] => return Err("not escaped".to_owned()),
            [_, ..] => at += 1,
            [] => return Err("no closing quote".to_owned()),
        }
    }
    utf8(&bytes[..at])?;
    Ok(&bytes[at + 1..])
}

/// MSG = MSG-ANY / MSG-UTF8: with a byte order mark it is UTF-8; without one it may be anything, and ours is that too.
fn words(bytes: &[u8]) -> Result<(), String> {
    utf8(bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes))
}

/// Of octets below 32 the RFC says that they are to be avoided: here there is none.
fn utf8(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    match text.chars().find(|it| it.is_control()) {
        Some(control) => Err(format!("{control:?}")),
        None => Ok(()),
    }
}

fn holds(text: &str) -> Result<(), String> {
    message(text.as_bytes()).map_err(|why| format!("{why}: {text:?}"))
}

#[test]
fn the_grammar_takes_what_the_rfc_takes_and_nothing_else() {
    for good in [
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - words",
        "<0>1 - - - - - -",
        "<191>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 p 8710 - - %% words",
        "<165>1 2003-10-11T22:14:15Z h a - I [e@32473 i=\"3\" s=\"\"][f@1] w",
        "<165>1 - h a - I [e@32473 i=\"\\\"\\]\\\\\u{e9}\"]",
        "<1>1 - - - - - - \u{feff}\u{e9}",
    ] {
        assert_eq!(holds(good), Ok(()));
    }
    for bad in [
        "",
        "<192>1 - - - - - -",
        "<01>1 - - - - - -",
        "<>1 - - - - - -",
        "<1> - - - - - -",
        "<1>2 - - - - - -",
        "<1>1  - - - - - -",
        "<1>1 - - - - -",
        "<1>1 - - - - - - a\nb",
        "<1>1 2003-13-11T22:14:15Z - - - - -",
        "<1>1 2003-10-11T24:14:15Z - - - - -",
        "<1>1 2003-10-11T22:14:60Z - - - - -",
        "<1>1 2003-10-11T22:14:15.0000003Z - - - - -",
        "<1>1 2003-10-11t22:14:15Z - - - - -",
        "<1>1 2003-10-11T22:14:15 - - - - -",
        "<1>1 - h\u{e9} - - - -",
        "<1>1 - - - - - [] w",
        "<1>1 - - - - - [e] w",
        "<1>1 - - - - - [e@x] w",
        "<1>1 - - - - - [e@1 a=\"1\"",
        "<1>1 - - - - - [e@1 a=\"]\"]",
        "<1>1 - - - - - [e@1 a=\"\\n\"]",
        "<1>1 - - - - - [e@1 a=1]",
        "<1>1 - - - - - [e@1  a=\"1\"]",
        "<1>1 - - - - - [e@1 a=\"1\"][e@1 b=\"2\"]",
        "<1>1 - - - - - [e@1 a=\"1\"]w",
    ] {
        assert!(holds(bad).is_err(), "{bad:?}");
    }
    for (field, most) in [(0, 255), (1, 48), (2, 128), (3, 32)] {
        let with = |length: usize| {
            let mut words = ["-"; 4].map(str::to_owned);
            words[field] = "x".repeat(length);
            holds(&format!("<1>1 - {} -", words.join(" ")))
        };
        assert!(with(most).is_ok() && with(most + 1).is_err(), "{field}");
    }
    let named = |length: usize| holds(&format!("<1>1 - - - - - [e@1 {}=\"\"]", "n".repeat(length)));
    assert!(named(32).is_ok() && named(33).is_err());
    assert!(message(b"<1>1 - - - - - [e@1 a=\"\xff\"]").is_err());
}

#[test]
fn every_event_is_a_message_of_the_grammar_whatever_it_is_called() {
    for action in Action::ALL {
        let event = event(action, Body::Notice(notice()));
        assert_eq!(holds(&syslog_message(&event, &host(), 23, 7, None)), Ok(()));
    }
    for event in all() {
        for facility in [0, 10, 23] {
            for pid in [1, u32::MAX] {
                let of = |words| syslog_message(&event, &host(), facility, pid, words);
                assert_eq!(holds(&of(None)), Ok(()));
                assert_eq!(holds(&of(Some(&ecs_line(&event, &host())))), Ok(()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn no_name_of_anything_breaks_the_grammar(
        parts in proptest::collection::vec(
            prop_oneof![
                any::<String>(),
                proptest::sample::select(&HOSTILE[..]).prop_map(str::to_owned),
                any::<char>().prop_map(|it| it.to_string().repeat(300)),
            ],
            1..6,
        ),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        facility in 0_u8..24,
        severity in 0_u8..=100,
    ) {
        let name = parts.concat();
        for mut event in forged(&name) {
            event.severity = severity;
            if let Body::Change(change) = &mut event.body {
                change.file.path = BytePath::new(&[b"/", &bytes[..]].concat());
            }
            for host in [host(), Host { name: name.clone() }] {
                let text = syslog_message(&event, &host, facility, 7, None);
                prop_assert!(text.len() <= SYSLOG_BYTES_MAX);
                prop_assert_eq!(holds(&text), Ok(()));
            }
        }
    }
}
