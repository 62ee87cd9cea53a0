//! What an output makes of an event.

use fimk_core::{
    config::{self, Format, OutputKind},
    event::Event,
    render::{Host, ecs_line, journal_entry, ocsf_line, syslog_message, table_row, text_line},
};

/// How an event becomes a record.
pub struct Form {
    host: Host,
    kind: Kind,
}

enum Kind {
    /// With a line end; on a terminal a progress bar makes room for it first.
    Line {
        format: Format,
        screen: bool,
    },
    Journal,
    Syslog {
        facility: u8,
        format: Format,
    },
}

impl Form {
    /// As configured.
    pub fn of(config: &config::Output, host: Host) -> Self {
        let format = config.format;
        let kind = match &config.kind {
            OutputKind::Stdout => Kind::Line {
                format,
                screen: true,
            },
            OutputKind::File { .. } => Kind::Line {
                format,
                screen: false,
            },
            OutputKind::Journald { .. } => Kind::Journal,
            OutputKind::Syslog { facility, .. } => Kind::Syslog {
                facility: *facility,
                format,
            },
        };
        Self { host, kind }
    }

    /// The record.
    pub fn record(&self, event: &Event) -> Vec<u8> {
        match self.kind {
            Kind::Line { format, screen } => {
                if screen {
                    crate::scan::clear_line();
                }
                (line(event, format, &self.host) + "\n").into_bytes()
            }
            Kind::Journal => journal_entry(event, &self.host),
            Kind::Syslog { facility, format } => {
                let words = (format != Format::Text).then(|| line(event, format, &self.host));
                let pid = std::process::id();
                syslog_message(event, &self.host, facility, pid, words.as_deref()).into_bytes()
            }
        }
    }
}

/// An event as one line, without its end.
pub fn line(event: &Event, format: Format, host: &Host) -> String {
    match format {
        Format::Json => ecs_line(event, host),
        Format::Ocsf => ocsf_line(event, host),
        Format::Text => text_line(event),
        Format::Table => table_row(event),
    }
}
