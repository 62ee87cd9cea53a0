//! What an event says was done or has happened, and what it is in the words of ECS.

use serde::{Deserialize, Serialize};

/// `event.action`. Of several in one window the first in this order names the event. Stored events hold the
/// place in this list: new ones go to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Action {
    Created,
    Deleted,
    Renamed,
    Modified,
    AttributesModified,
    Linked,
    MonitorStarted,
    MonitorStopped,
    BaselineCreated,
    Gap,
    EventsLost,
    Degraded,
    Mounted,
    Unmounted,
    Denied,
    Opened,
    Executed,
    Heartbeat,
    Burst,
    Recovered,
    EventsRemoved,
    ConfigReloaded,
    ConfigRejected,
    ScanFinished,
    BaselineAccepted,
}

impl Action {
    /// Every action, in the order of the list.
    pub const ALL: [Self; 25] = [
        Self::Created,
        Self::Deleted,
        Self::Renamed,
        Self::Modified,
        Self::AttributesModified,
        Self::Linked,
        Self::MonitorStarted,
        Self::MonitorStopped,
        Self::BaselineCreated,
        Self::Gap,
        Self::EventsLost,
        Self::Degraded,
        Self::Mounted,
        Self::Unmounted,
        Self::Denied,
        Self::Opened,
        Self::Executed,
        Self::Heartbeat,
        Self::Burst,
        Self::Recovered,
        Self::EventsRemoved,
        Self::ConfigReloaded,
        Self::ConfigRejected,
        Self::ScanFinished,
        Self::BaselineAccepted,
    ];

    /// The action of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// As `event.action` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Deleted => "deleted",
            Self::Renamed => "renamed",
            Self::Modified => "modified",
            Self::AttributesModified => "attributes_modified",
            Self::Linked => "linked",
            Self::MonitorStarted => "monitor_started",
            Self::MonitorStopped => "monitor_stopped",
            Self::BaselineCreated => "baseline_created",
            Self::Gap => "gap",
            Self::EventsLost => "events_lost",
            Self::Degraded => "degraded",
            Self::Mounted => "mounted",
            Self::Unmounted => "unmounted",
            Self::Denied => "denied",
            Self::Opened => "opened",
            Self::Executed => "executed",
            Self::Heartbeat => "heartbeat",
            Self::Burst => "burst",
            Self::Recovered => "recovered",
            Self::EventsRemoved => "events_removed",
            Self::ConfigReloaded => "config_reloaded",
            Self::ConfigRejected => "config_rejected",
            Self::ScanFinished => "scan_finished",
            Self::BaselineAccepted => "baseline_accepted",
        }
    }

    /// Whether it changed a watched object.
    pub fn is_change(self) -> bool {
        self <= Self::Linked || matches!(self, Self::Mounted | Self::Unmounted)
    }

    /// Whether it was done to a watched object without changing it, or was refused.
    pub fn is_attempt(self) -> bool {
        matches!(self, Self::Denied | Self::Opened | Self::Executed)
    }

    /// As `event.kind` has it.
    pub fn kind(self) -> &'static str {
        if self.is_change() || self.is_attempt() || self == Self::Burst {
            "event"
        } else {
            "state"
        }
    }

    /// As `event.category` has it: its only member.
    pub fn category(self) -> &'static str {
        match self {
            Self::Executed => "process",
            Self::Denied | Self::Opened | Self::Burst => "file",
            Self::ConfigReloaded | Self::ConfigRejected => "configuration",
            change if change.is_change() => "file",
            _ => "host",
        }
    }

    /// As `event.type` has it: its only member, one that ECS allows in the category.
    pub fn ecs_type(self) -> &'static str {
        match self {
            Self::Created => "creation",
            Self::Deleted => "deletion",
            Self::Renamed
            | Self::Modified
            | Self::AttributesModified
            | Self::Linked
            | Self::Mounted
            | Self::Unmounted
            | Self::Burst
            | Self::ConfigReloaded => "change",
            Self::Denied | Self::Opened => "access",
            Self::Executed | Self::MonitorStarted => "start",
            Self::MonitorStopped => "end",
            Self::BaselineCreated
            | Self::Gap
            | Self::EventsLost
            | Self::Degraded
            | Self::Heartbeat
            | Self::Recovered
            | Self::EventsRemoved
            | Self::ConfigRejected
            | Self::ScanFinished
            | Self::BaselineAccepted => "info",
        }
    }
}
