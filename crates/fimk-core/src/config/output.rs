//! `[[output]]`: where events go, which of them, and in what form.

mod filter;
mod place;
mod remote;

use super::{ConfigError, OUTPUT, Rule, section::Section};

pub(super) use self::place::absolute;
pub use self::{
    filter::Filter,
    place::{FACILITIES, OutputKind, numbered},
    remote::{Address, Graphite, Http, HttpBody, Remote, Syslog, Tls, Transport, Udp, Way},
};

/// Each has a queue of a mebibyte and a thread.
pub const OUTPUTS_MAX: usize = 16;

/// Of a name: it is part of a key in the database, and of sentences.
const NAME_BYTES_MAX: usize = 64;

/// One `[[output]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// No other has it: the database remembers by it how far this one is.
    pub name: String,
    /// Where to.
    pub kind: OutputKind,
    /// Which events.
    pub filter: Filter,
    /// What is made of one.
    pub format: Format,
    /// When many changes of one process tree are told as one; none: never.
    pub burst: Option<Burst>,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            name: OutputKind::Stdout.word().to_owned(),
            kind: OutputKind::Stdout,
            filter: Filter::default(),
            format: Format::Json,
            burst: None,
        }
    }
}

/// `format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, in the fields of ECS.
    Json,
    /// The same in those of OCSF.
    Ocsf,
    /// One line for a person.
    Text,
    /// One line in columns.
    Table,
}

/// The words for it.
pub const FORMATS: [(&str, Format); 4] = [
    ("json", Format::Json),
    ("ocsf", Format::Ocsf),
    ("text", Format::Text),
    ("table", Format::Table),
];

/// `burst = "summary"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// So many events of one tree,
    pub events: usize,
    /// that come within so many milliseconds of each other. So long an event is held back at most.
    pub within_ms: u64,
}

/// From here on an event is never folded into a summary: `high`.
pub const UNFOLDED: u8 = 73;

const BURSTS: [(&str, bool); 2] = [("events", false), ("summary", true)];

/// Far more than a person changes at once, far less than a package.
const BURST_EVENTS_DEFAULT: u64 = 50;

/// Each may be held back until it is known to be one of so many.
pub const BURST_EVENTS_MAX: u64 = 1_000;

/// A package manager on a slow disk pauses for as long.
const BURST_MS_DEFAULT: u64 = 2_000;

pub(super) fn outputs(top: &Section<'_>, rules: &[Rule]) -> Result<Vec<Output>, ConfigError> {
    let sections = top.tables("output", OUTPUT)?;
    if sections.len() > OUTPUTS_MAX {
        return Err(top.error(format!(
            "there are more than {OUTPUTS_MAX} [[output]]; let one receiver pass on to others"
        )));
    }
    let mut outputs: Vec<Output> = Vec::new();
    for section in sections {
        let output = output(&section, rules)?;
        if outputs.iter().any(|it| it.kind.is_same(&output.kind)) {
            return Err(section.error(
                "there are two [[output]] to the same place, so each line would come twice or be torn; remove one",
            ));
        }
        if outputs.iter().any(|it| it.name == output.name) {
            return Err(section.error(format!(
                "there are two [[output]] named \"{}\"; give one of them another `name`",
                output.name
            )));
        }
        outputs.push(output);
    }
    if outputs.is_empty() {
        outputs.push(Output::default());
    }
    Ok(outputs)
}

fn output(section: &Section<'_>, rules: &[Rule]) -> Result<Output, ConfigError> {
    let kind = place::kind(section)?;
    Ok(Output {
        name: name(section)?.unwrap_or_else(|| kind.word().to_owned()),
        format: format(section, &kind)?,
        filter: filter::filter(section, rules)?,
        burst: burst(section)?,
        kind,
    })
}

fn name(section: &Section<'_>) -> Result<Option<String>, ConfigError> {
    let Some(name) = section.string("name")? else {
        return Ok(None);
    };
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.text.is_empty() || name.text.len() > NAME_BYTES_MAX || !name.text.chars().all(plain) {
        let message = format!(
            "the `name` of an output is 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`"
        );
        return Err(section.error_at(name, message));
    }
    Ok(Some(name.text.to_owned()))
}

fn format(section: &Section<'_>, kind: &OutputKind) -> Result<Format, ConfigError> {
    let format = section.word("format", &FORMATS)?;
    match (kind, format) {
        (OutputKind::Journald { .. }, Some(_)) => {
            Err(section.error("journald takes fields, not lines; remove `format`"))
        }
        (OutputKind::Syslog { .. }, Some(Format::Table)) => Err(section.error(
            "columns are for people; for syslog `format` is \"text\", \"json\" or \"ocsf\"",
        )),
        (OutputKind::Remote(remote), format) => remote_format(section, remote, format),
        (OutputKind::Syslog { .. } | OutputKind::Journald { .. }, None) => Ok(Format::Text),
        (_, format) => Ok(format.unwrap_or(Format::Json)),
    }
}

fn remote_format(
    section: &Section<'_>,
    remote: &Remote,
    format: Option<Format>,
) -> Result<Format, ConfigError> {
    match (&remote.way, format) {
        (Way::Syslog(_), Some(Format::Table)) => Err(section.error(
            "columns are for people; for syslog `format` is \"text\", \"json\" or \"ocsf\"",
        )),
        (Way::Syslog(syslog), Some(Format::Ocsf)) if matches!(syslog.transport, Transport::Udp(_)) => {
            Err(section.error(
                "objects of OCSF may be too large for a datagram, and cannot be cut; write transport = \"tcp\", or another `format`",
            ))
        }
        (Way::Syslog(_), format) => Ok(format.unwrap_or(Format::Text)),
        (Way::Udp(_), Some(Format::Ocsf | Format::Text | Format::Table)) => Err(section.error(
            "for udp `format` is \"json\": what is too large for a datagram is cut, and only there it can be said how",
        )),
        (_, Some(Format::Text | Format::Table)) => Err(section.error(
            "programs read this one; for http `format` is \"json\" or \"ocsf\"",
        )),
        (_, format) => Ok(format.unwrap_or(Format::Json)),
    }
}

impl Output {
    /// Whether events go there, so that there is a cursor; to others go counters.
    pub fn takes_events(&self) -> bool {
        self.kind.remote().is_none_or(Remote::takes_events)
    }
}

fn burst(section: &Section<'_>) -> Result<Option<Burst>, ConfigError> {
    let events = section.integer("burst_events", 2..=BURST_EVENTS_MAX)?;
    let within_ms = section.integer("burst_ms", 100..=60_000)?;
    if section.word("burst", &BURSTS)? != Some(true) {
        if events.is_some() || within_ms.is_some() {
            return Err(section.error(
                "`burst_events` and `burst_ms` are for burst = \"summary\" only; write that too, or remove them",
            ));
        }
        return Ok(None);
    }
    let events = events.unwrap_or(BURST_EVENTS_DEFAULT);
    Ok(Some(Burst {
        events: usize::try_from(events).unwrap_or(usize::MAX),
        within_ms: within_ms.unwrap_or(BURST_MS_DEFAULT),
    }))
}
