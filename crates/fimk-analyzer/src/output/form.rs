//! What an output makes of an event.

use std::cell::Cell;

use fimk_core::{
    config::{self, Format, OutputKind, Remote, Transport, Way},
    event::Event,
    render::{
        Host, SYSLOG_BYTES_MAX, ecs_line, ecs_line_within, journal_entry, ocsf_line,
        syslog_message, table_row, text_line,
    },
};

/// How an event becomes a record.
pub struct Form {
    host: Host,
    kind: Kind,
    /// Records that were cut to fit into a datagram.
    cut: Cell<u64>,
}

/// Of a syslog message before its words: they are some hundred bytes with the longest host name.
const HEAD_BYTES_MAX: usize = 512;

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
        datagram: bool,
    },
    /// Without a line end: the protocol says where a record ends.
    Bare {
        format: Format,
        bytes_max: Option<usize>,
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
                datagram: false,
            },
            OutputKind::Remote(remote) => Kind::of_remote(remote, format),
        };
        let cut = Cell::new(0);
        Self { host, kind, cut }
    }

    /// How many records were cut because a datagram has no room for more.
    pub fn cut(&self) -> u64 {
        self.cut.get()
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
            Kind::Syslog {
                facility,
                format,
                datagram,
            } => {
                let most = datagram.then_some(SYSLOG_BYTES_MAX - HEAD_BYTES_MAX);
                let words = (format != Format::Text).then(|| self.line_within(event, format, most));
                let pid = std::process::id();
                syslog_message(event, &self.host, facility, pid, words.as_deref()).into_bytes()
            }
            Kind::Bare { format, bytes_max } => {
                self.line_within(event, format, bytes_max).into_bytes()
            }
        }
    }

    fn line_within(&self, event: &Event, format: Format, bytes_max: Option<usize>) -> String {
        let whole = line(event, format, &self.host);
        let Some(bytes_max) = bytes_max.filter(|most| whole.len() > *most) else {
            return whole;
        };
        self.cut.set(self.cut.get() + 1);
        ecs_line_within(event, &self.host, bytes_max)
    }
}

impl Kind {
    fn of_remote(remote: &Remote, format: Format) -> Self {
        match &remote.way {
            Way::Syslog(syslog) => Self::Syslog {
                facility: syslog.facility,
                format,
                datagram: matches!(syslog.transport, Transport::Udp(_)),
            },
            Way::Udp(udp) => Self::Bare {
                format,
                bytes_max: Some(udp.bytes_max),
            },
            Way::Http(_) | Way::Graphite(_) => Self::Bare {
                format,
                bytes_max: None,
            },
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
