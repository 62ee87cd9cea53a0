//! What a rotator does to a growing file: it puts it aside and begins another. That is one event, of low severity.

use fimk_consumers::Difference;
use fimk_core::{
    config::Rule,
    event::{Action, Change, Process},
    path::BytePath,
};

use super::{Report, SILENT};

/// `low`.
const ROTATED: u8 = 21;

/// Lowers what rotators did. `shrank`: the file lost bytes in place, as by copytruncate.
pub fn lower(reports: &mut [Report], rule: &Rule, shrank: bool) {
    let Some(growing) = rule.growing.as_ref().filter(|it| !it.rotators.is_empty()) else {
        return;
    };
    let rotator = |change: &Change| rotator(change, &growing.rotators);
    let truncated_by_one = shrank && reports.iter().any(|(.., change)| rotator(change).is_some());
    for (action, severity, change) in reports {
        if !change.findings.is_empty() {
            // What that says is not a matter of rotation.
            continue;
        }
        match rotator(change) {
            Some(program) => {
                let aside = *action == Action::Renamed && is_put_aside(change);
                let truncated = *action == Action::Modified && shrank;
                *severity = if aside || truncated { ROTATED } else { SILENT };
                change.changes.push(Difference {
                    subject: "file".to_owned(),
                    field: "rotated by".to_owned(),
                    before: None,
                    after: Some(program),
                });
            }
            // Who went on writing meanwhile did not take anything away.
            None if truncated_by_one && *action == Action::Modified => *severity = SILENT,
            None => {}
        }
    }
}

/// The rotator that did it or started who did it: a script of its own, a compressor.
fn rotator(change: &Change, rotators: &[BytePath]) -> Option<String> {
    let actor = change.actor.as_ref()?;
    let processes = [&actor.process].into_iter().chain(&actor.ancestors);
    let executable = |it: &Process| it.executable.clone();
    processes
        .filter_map(executable)
        .find(|it| rotators.contains(it))
        .map(|it| it.escaped())
}

/// Whether it has a longer name than before, `app.log.1`: what is only moved on, `app.log.2`, was put aside before.
fn is_put_aside(change: &Change) -> bool {
    let new = change.new_path.as_ref().unwrap_or(&change.file.path);
    change.previous_path.as_ref().is_some_and(|old| {
        new.name().len() > old.name().len() && new.name().starts_with(stem(old.name()))
    })
}

/// A date may be put before the ending: `app.log` becomes `app-20261122.log`.
fn stem(name: &[u8]) -> &[u8] {
    match name.iter().rposition(|&byte| byte == b'.') {
        Some(dot @ 1..) => &name[..dot],
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_became_longer_was_put_aside() {
        assert_eq!(stem(b"app.log"), b"app");
        assert_eq!(stem(b".log"), b".log");
        assert_eq!(stem(b"messages"), b"messages");
    }
}
