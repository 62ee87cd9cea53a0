//! Events as lines, messages and entries. The fields of all of them but OCSF's are those of the Elastic Common Schema (ECS).
//!
//! A page of the manual, fimk-events(7), describes every field; a test holds it to [`FIELDS`].

mod cut;
mod ecs;
mod fields;
mod flat;
mod further;
mod journal;
mod json;
mod line;
mod message;
mod ocsf;
mod process;
mod prometheus;
mod record;
mod severity;
mod syslog;
#[cfg(test)]
mod tests;

pub use self::{
    cut::LINE_BYTES_MAX,
    ecs::{Host, ecs_line, ecs_line_within},
    fields::{FIELDS, Kind},
    journal::{JOURNAL_NAME_BYTES_MAX, journal_entry, journal_name, message_id},
    json::{harmless, is_active, one_line},
    line::{sentence, table_head, table_row, text_line},
    ocsf::ocsf_line,
    prometheus::metrics,
    record::record_value,
    severity::{severity_word, syslog_severity},
    syslog::{SYSLOG_BYTES_MAX, SYSLOG_ELEMENT, syslog_message},
};
