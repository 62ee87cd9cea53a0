//! What is asked over the control socket: one JSON object on a line, whose member `command` names a [`Request`].

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{
    config::{FORMATS, Format},
    event::{Action, Actor, Body, Event},
    path::BytePath,
    pattern::Pattern,
    time::Timestamp,
};

/// Events in one answer at most.
pub const PAGE_EVENTS_MAX: usize = 256;

/// The user that fimk-forwarder runs as.
pub const FORWARDER: &str = "fimk-forwarder";

/// Recorded objects in one answer at most.
pub const PAGE_RECORDS_MAX: usize = 256;

/// A question. A member that this build does not know makes it none, for it may change what is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How fimk is.
    Status {},
    /// Stored events.
    Events(Box<Query>),
    /// One event, with everything.
    Show {
        /// Its number.
        sequence: u64,
    },
    /// The rules that are in force.
    Rules {},
    /// What is known of a path.
    Explain {
        /// Absolute.
        path: String,
    },
    /// Compare now, and say under which number that is known.
    Scan {
        /// What this rule covers; without it, everything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
    },
    /// How far that has come.
    ScanState {
        /// Its number.
        scan: u64,
    },
    /// Recorded objects.
    Records(Box<Records>),
    /// Somebody has looked at changes and found them right.
    Accept(Box<Accept>),
    /// Events of an output that fimk-forwarder sends; only that may ask.
    Forward(Box<Forward>),
}

/// What was sent of an output's events, and that more are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// Its name.
    pub output: String,
    /// `epoch` of the last answer: the tickets of another life of the monitor mean nothing to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// The ticket up to which all was taken by the receiver: these are never handed out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// Those among them that it will never take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// Where its events would be sent, as [`crate::config::Remote::place`] has it: none are handed out to be sent elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What keeps the receiver from taking more now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Events at most; 0: none are wanted now.
    pub limit: usize,
}

/// Events that a receiver refused for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Their tickets.
    pub tickets: Vec<u64>,
    /// What it said.
    pub why: String,
}

impl Request {
    /// Whether more is done than to answer it.
    pub fn does_something(&self) -> bool {
        matches!(self, Self::Scan { .. } | Self::Accept(_))
    }
}

/// Which recorded objects. What is absent asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Records {
    /// A path or a glob of paths; all that lies below it as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// On which this rule decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Only what comes after this one in the order of their bytes: see [`Self::place`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many at most; beyond [`PAGE_RECORDS_MAX`] it is that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl Records {
    /// A path as [`Self::after`] has it: its bytes in base64, for it need not be text.
    pub fn place(path: &BytePath) -> String {
        STANDARD.encode(path.bytes())
    }

    /// The path of [`Self::after`].
    ///
    /// # Errors
    /// A sentence: it is none.
    pub fn begin(&self) -> Result<Option<BytePath>, String> {
        let bytes = self.after.as_ref().map(|text| STANDARD.decode(text));
        let bytes = bytes.transpose();
        let bytes = bytes.map_err(|_| "`after` is no `next` of an answer".to_owned())?;
        Ok(bytes.map(|bytes| BytePath::new(&bytes)))
    }
}

/// Which changes. One of `through` and `path` is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accept {
    /// Events up to this one; without it, all that there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<u64>,
    /// Only of this path or glob, and of all below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What to remember of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Which stored events, and in what form. What is absent asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// Only with a higher number: the oldest of them first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Only with a lower number: the newest of them first. Without this and `after`, the newest of all first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// How many at most; beyond [`PAGE_EVENTS_MAX`] it is that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Made at this time or later: nanoseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Made before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// A path or a glob of paths; all that lies below it as well. An old name of the file counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// One of these actions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// At least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<u8>,
    /// Of this rule, be it the most specific or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// By a process with this number, name or executable, or by what it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// On behalf of the user of this name or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Only what nobody has accepted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unaccepted: bool,
    /// Of the lines: a word of [`FORMATS`]; without it, `json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// A [`Query`] that makes sense.
pub struct Search {
    query: Query,
    actions: Vec<Action>,
    path: Option<Paths>,
    /// See [`Query::format`].
    pub format: Format,
}

/// A path and all below it, or a glob and all below what it matches.
#[derive(Debug, Clone)]
pub enum Paths {
    /// This path, and below.
    Below(BytePath),
    /// What matches one of them; all of it lies in this directory.
    Globs(BytePath, [globset::GlobMatcher; 2]),
}

impl Search {
    /// # Errors
    /// A sentence: a word that there is not, or a glob that is none.
    pub fn new(query: Query) -> Result<Self, String> {
        let actions = query.actions.iter().map(|word| {
            Action::from_name(word).ok_or_else(|| {
                let known: Vec<&str> = Action::ALL.iter().map(|it| it.name()).collect();
                format!("an action is one of {}", known.join(", "))
            })
        });
        let actions = actions.collect::<Result<_, _>>()?;
        let path = query.path.as_deref().map(Paths::parse).transpose()?;
        let word = query.format.as_deref().unwrap_or("json");
        let format = FORMATS.iter().find(|(name, _)| *name == word);
        let (_, format) = format.ok_or("a format is one of json, ocsf, text, table")?;
        Ok(Self {
            actions,
            path,
            format: *format,
            query,
        })
    }

    /// Whether this event is one.
    pub fn matches(&self, event: &Event) -> bool {
        let query = &self.query;
        event.severity >= query.severity.unwrap_or(0)
            && (self.actions.is_empty() || self.actions.contains(&event.action))
            && query
                .since
                .is_none_or(|since| event.created >= Timestamp(since))
            && query
                .until
                .is_none_or(|until| event.created < Timestamp(until))
            && self.path.as_ref().is_none_or(|paths| paths.match_of(event))
            && query
                .rule
                .as_ref()
                .is_none_or(|rule| is_of_rule(event, rule))
            && self.matches_actor(event)
    }

    /// Whether no older event can be one, if clocks were not set back.
    pub fn is_before(&self, event: &Event) -> bool {
        let since = self.query.since;
        since.is_some_and(|since| event.created < Timestamp(since))
    }

    /// Whether only events are wanted that nobody has accepted.
    pub fn wants_unaccepted(&self) -> bool {
        self.query.unaccepted
    }

    fn matches_actor(&self, event: &Event) -> bool {
        let (process, user) = (&self.query.process, &self.query.user);
        if process.is_none() && user.is_none() {
            return true;
        }
        let (one, others) = match &event.body {
            Body::Burst(burst) => (Some(&burst.root), &[][..]),
            body => {
                let change = body.change();
                let one = change.and_then(|change| change.actor.as_ref());
                (one, change.map_or(&[][..], |change| &change.actors))
            }
        };
        one.into_iter().chain(others).any(|actor| {
            process.as_ref().is_none_or(|it| is_process(actor, it))
                && user.as_ref().is_none_or(|it| is_user(actor, it))
        })
    }
}

impl Paths {
    /// # Errors
    /// A sentence: it is not absolute, or a glob that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        match Pattern::parse(text) {
            Ok(Pattern::Path(path)) => Ok(Self::Below(path)),
            Ok(Pattern::Glob(glob)) => {
                let matchers = [glob.glob(), glob.below()].map(globset::Glob::compile_matcher);
                Ok(Self::Globs(glob.base().clone(), matchers))
            }
            Err(why) => Err(format!("the path {why}")),
        }
    }

    /// Whether an event is about one of them, be it under an old name.
    pub(crate) fn match_of(&self, event: &Event) -> bool {
        if let Body::Burst(burst) = &event.body {
            return self.matches(&burst.directory);
        }
        let Some(change) = event.body.change() else {
            return false;
        };
        let others = [&change.previous_path, &change.new_path];
        let mut all = others.into_iter().flatten().chain([&change.file.path]);
        all.any(|path| self.matches(path))
    }

    /// Where all of them lie.
    pub fn base(&self) -> &BytePath {
        match self {
            Self::Below(base) | Self::Globs(base, _) => base,
        }
    }

    /// Whether it is one of them.
    pub fn matches(&self, path: &BytePath) -> bool {
        match self {
            Self::Below(above) => path.is_in(above),
            Self::Globs(_, globs) => globs.iter().any(|glob| glob.is_match(path.as_path())),
        }
    }
}

fn is_of_rule(event: &Event, rule: &str) -> bool {
    let rules = match &event.body {
        Body::Burst(burst) => &burst.rules,
        body => match body.change() {
            Some(change) if change.rule == rule => return true,
            Some(change) => &change.rules,
            None => return false,
        },
    };
    rules.iter().any(|it| it == rule)
}

fn is_process(actor: &Actor, wanted: &str) -> bool {
    let mut chain = std::iter::once(&actor.process).chain(&actor.ancestors);
    chain.any(|process| {
        let executable = process.executable.as_ref();
        process.name.as_deref() == Some(wanted)
            || executable.is_some_and(|path| {
                path.bytes() == wanted.as_bytes() || path.name() == wanted.as_bytes()
            })
            || wanted.parse() == Ok(process.pid)
    })
}

fn is_user(actor: &Actor, wanted: &str) -> bool {
    let uid = actor.uid.or(actor.login_uid);
    actor.user.as_deref() == Some(wanted) || uid.is_some_and(|uid| wanted.parse() == Ok(uid))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::event::{Burst, Notice, Process};

    #[test]
    fn a_request_is_what_it_says_and_nothing_more() {
        let parse = |text: &str| serde_json::from_str::<Request>(text).ok();
        assert_eq!(parse("{\"command\":\"status\"}"), Some(Request::Status {}));
        assert_eq!(
            parse("{\"command\":\"show\",\"sequence\":7}"),
            Some(Request::Show { sequence: 7 })
        );
        let query = Query {
            limit: Some(3),
            path: Some("/etc".into()),
            ..Query::default()
        };
        let request = Request::Events(Box::new(query));
        let text = serde_json::to_string(&request).expect("JSON");
        assert_eq!(
            text,
            "{\"command\":\"events\",\"limit\":3,\"path\":\"/etc\"}"
        );
        assert_eq!(parse(&text), Some(request));
        for bad in [
            "{\"command\":\"status\",\"of\":\"me\"}",
            "{\"command\":\"events\",\"lmit\":3}",
            "{\"command\":\"show\"}",
            "{\"command\":\"stop\"}",
            "{\"limit\":3}",
            "[]",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    fn burst() -> Event {
        let process = |pid, path: &str| Process {
            pid,
            executable: Some(BytePath::new(path.as_bytes())),
            ..Process::default()
        };
        let root = Actor {
            process: process(812, "/usr/bin/dpkg"),
            ancestors: vec![process(800, "/usr/bin/apt")],
            uid: Some(0),
            user: Some("root".into()),
            ..Actor::default()
        };
        let burst = Burst {
            root,
            events: 2,
            first: 1,
            last: 2,
            start: Timestamp(0),
            end: Timestamp(0),
            count: 0,
            bytes: 0,
            actions: Vec::new(),
            directory: BytePath::new(b"/usr/share"),
            rules: vec!["programs".into()],
        };
        event(Action::Burst, Body::Burst(Box::new(burst)))
    }

    fn event(action: Action, body: Body) -> Event {
        Event {
            sequence: 2,
            created: Timestamp(100),
            boot: String::new(),
            source: None,
            action,
            severity: 47,
            body,
        }
    }

    #[test]
    fn every_part_of_a_query_must_fit() {
        let burst = burst();
        let notice = event(Action::Gap, Body::Notice(Notice::default()));
        let words = |text: &str| Some(text.to_owned());
        let all = |change: &dyn Fn(&mut Query)| {
            let mut query = Query::default();
            change(&mut query);
            let search = Search::new(query).expect("it makes sense");
            (search.matches(&burst), search.matches(&notice))
        };
        assert_eq!(all(&|_| ()), (true, true));
        assert_eq!(all(&|it| it.severity = Some(48)), (false, false));
        assert_eq!(all(&|it| it.since = Some(101)), (false, false));
        assert_eq!(all(&|it| it.until = Some(100)), (false, false));
        assert_eq!(all(&|it| it.actions = vec!["gap".into()]), (false, true));
        for path in ["/usr", "/usr/share", "/u*/share", "/usr/*"] {
            assert_eq!(all(&|it| it.path = words(path)), (true, false), "{path}");
        }
        assert_eq!(all(&|it| it.path = words("/us")), (false, false));
        assert_eq!(all(&|it| it.rule = words("programs")), (true, false));
        for process in ["812", "dpkg", "/usr/bin/dpkg", "apt", "800"] {
            assert_eq!(all(&|it| it.process = words(process)), (true, false));
        }
        assert_eq!(all(&|it| it.process = words("pkg")), (false, false));
        for user in ["root", "0"] {
            assert_eq!(all(&|it| it.user = words(user)), (true, false));
        }
    }

    #[test]
    fn what_makes_no_sense_says_why() {
        let refused = |query: Query, word: &str| {
            let why = Search::new(query).err().expect("it makes no sense");
            assert!(why.contains(word), "{why}");
        };
        let query = Query::default;
        refused(
            Query {
                actions: vec!["x".into()],
                ..query()
            },
            "created, deleted",
        );
        refused(
            Query {
                path: Some("etc".into()),
                ..query()
            },
            "not absolute",
        );
        refused(
            Query {
                format: Some("xml".into()),
                ..query()
            },
            "json, ocsf",
        );
    }
}
