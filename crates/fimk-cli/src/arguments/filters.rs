//! Which events `fimk events` and `fimk log` print.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgAction, ArgMatches, Command, builder::PossibleValuesParser, value_parser};
use fimk_core::{event::Action, request::Query, time::Timestamp};

use super::asking;
use crate::events::Wanted;

/// What a screen or two show.
const LIMIT: &str = "100";

/// Words for severities, as in the configuration.
const SEVERITIES: [(&str, u8); 4] = [("low", 1), ("medium", 47), ("high", 73), ("critical", 99)];

pub(super) fn commands() -> [Command; 2] {
    let events = asking("events", "Prints stored events, the newest last")
        .args([
            text("since", "TIME", "Made at this time or later: 2026-11-21, \"2026-11-21 10:11\" (UTC), or 10m, 2h, 3d ago"),
            text("until", "TIME", "Made before this time"),
            text("path", "GLOB", "Of this path, of what matches this glob, and of all below"),
            text("action", "ACTION", "With this action; may be given several times")
                .action(ArgAction::Append)
                .value_parser(PossibleValuesParser::new(
                    Action::ALL.map(Action::name),
                )),
            text("severity", "SEVERITY", "Of at least this severity: low, medium, high, critical or 0 to 100"),
            text("rule", "RULE", "Of this rule"),
            text("process", "PROCESS", "By a process with this number, name or executable, or by what it started"),
            text("user", "USER", "On behalf of this user, by name or number"),
            Arg::new("unaccepted")
                .long("unaccepted")
                .action(ArgAction::SetTrue)
                .help("That nobody has accepted: see fimk baseline accept"),
            Arg::new("follow")
                .long("follow")
                .action(ArgAction::SetTrue)
                .help("Go on with events as they are made"),
        ])
        .args(common());
    let log = asking("log", "Prints the history of one file")
        .args(common())
        .arg(
            Arg::new("of")
                .value_name("PATH")
                .required(true)
                .help("An absolute path; of a directory, all below as well"),
        );
    [events, log]
}

fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn common() -> [Arg; 2] {
    [
        text("format", "FORMAT", "How to print them")
            .value_parser(PossibleValuesParser::new(["text", "table", "json", "ocsf"]))
            .default_value("text"),
        text("limit", "NUMBER", "The newest of them; 0: all")
            .value_parser(value_parser!(u64))
            .default_value(LIMIT),
    ]
}

/// The events of a command; none if it is another command.
pub(super) fn wanted(name: &str, matches: &ArgMatches) -> Result<Option<Wanted>, String> {
    let one = |key: &str| matches.get_one::<String>(key).cloned();
    let mut query = Query {
        format: one("format"),
        ..Query::default()
    };
    let mut follow = false;
    match name {
        "log" => query.path = one("of").map(|path| literal(&path)),
        "events" => {
            let time = |key: &str| one(key).map(|text| moment(key, &text)).transpose();
            query.since = time("since")?;
            query.until = time("until")?;
            query.severity = one("severity").map(|text| severity(&text)).transpose()?;
            query.actions = matches
                .get_many("action")
                .into_iter()
                .flatten()
                .cloned()
                .collect();
            (query.path, query.rule) = (one("path"), one("rule"));
            (query.process, query.user) = (one("process"), one("user"));
            query.unaccepted = matches.get_flag("unaccepted");
            follow = matches.get_flag("follow");
        }
        _ => return Ok(None),
    }
    let limit = matches.get_one::<u64>("limit").copied().unwrap_or(0);
    Ok(Some(Wanted {
        query,
        limit,
        follow,
    }))
}

/// A path as the glob that matches it alone.
fn literal(path: &str) -> String {
    let mut glob = String::new();
    for character in path.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            glob.extend(['[', character, ']']);
        } else {
            glob.push(character);
        }
    }
    glob
}

fn severity(text: &str) -> Result<u8, String> {
    let word = SEVERITIES.iter().find(|(word, _)| *word == text);
    let number = || text.parse().ok().filter(|number| *number <= 100);
    word.map(|(_, number)| *number)
        .or_else(number)
        .ok_or_else(|| "--severity is low, medium, high, critical or 0 to 100".to_owned())
}

/// A time, or so long ago.
fn moment(flag: &str, text: &str) -> Result<i64, String> {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let ago = units.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let then = now.saturating_sub(Duration::from_secs(number.checked_mul(*seconds)?));
        i64::try_from(then.as_nanos()).ok()
    });
    let time = || Timestamp::parse(text).map(|time| time.0);
    ago.or_else(time).ok_or_else(|| {
        format!(
            "--{flag} is a time like 2026-11-21, \"2026-11-21 10:11\" in UTC, or 10m, 2h, 3d ago"
        )
    })
}
