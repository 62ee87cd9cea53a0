//! `[[output]]`: where events go, and which.

use super::{ConfigError, OUTPUT, section::Section, severity::severity};

/// One `[[output]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where to.
    pub kind: OutputKind,
    /// Events below are not written to it.
    pub severity: u8,
    /// When many changes of one process tree are told as one; none: never.
    pub burst: Option<Burst>,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            kind: OutputKind::Stdout,
            severity: OUTPUT_SEVERITY_DEFAULT,
            burst: None,
        }
    }
}

/// `burst = "summary"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// So many events of one tree,
    pub events: usize,
    /// that come within so many milliseconds of each other. So long an event is held back at most.
    pub within_ms: u64,
}

/// `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// JSON lines on standard output.
    Stdout,
}

const OUTPUT_SEVERITY_DEFAULT: u8 = 1;

/// From here on an event is never folded into a summary: `high`.
pub const UNFOLDED: u8 = 73;

const BURSTS: [(&str, bool); 2] = [("events", false), ("summary", true)];

/// Far more than a person changes at once, far less than a package.
const BURST_EVENTS_DEFAULT: u64 = 50;

/// Each may be held back until it is known to be one of so many.
pub const BURST_EVENTS_MAX: u64 = 1_000;

/// A package manager on a slow disk pauses for as long.
const BURST_MS_DEFAULT: u64 = 2_000;

const OUTPUTS: [(&str, OutputKind); 1] = [("stdout", OutputKind::Stdout)];

pub(super) fn outputs(top: &Section<'_>) -> Result<Vec<Output>, ConfigError> {
    let mut outputs: Vec<Output> = Vec::new();
    for section in top.tables("output", OUTPUT)? {
        let Some(kind) = section.word("type", &OUTPUTS)? else {
            return Err(section.error("this [[output]] has no `type`; write type = \"stdout\""));
        };
        if outputs.iter().any(|output| output.kind == kind) {
            return Err(section.error(
                "there are two [[output]] of this type, so each line would come twice; remove one",
            ));
        }
        outputs.push(Output {
            kind,
            severity: severity(&section)?.unwrap_or(OUTPUT_SEVERITY_DEFAULT),
            burst: burst(&section)?,
        });
    }
    if outputs.is_empty() {
        outputs.push(Output::default());
    }
    Ok(outputs)
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
