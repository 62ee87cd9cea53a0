//! A status for a person: first whether all is well, then a line for each thing one may want to know. What the
//! answer does not have is left out.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Map, Value};

use crate::baseline::by_whom;
use crate::words::{bytes, counted, grouped, moment, shown, span};

/// Width of the labels, with the space behind them.
const LABEL: usize = 13;

/// Where lists are wrapped: a terminal has 80 columns.
const WIDTH: usize = 79;

/// Causes in the counters that are no loss.
const HARMLESS: [&str; 3] = ["seen", "announced", "coalesced"];

/// The whole text.
pub fn status(answer: &Value) -> String {
    let answer = Answer(answer);
    let rows = [
        ("source", answer.source()),
        ("plan", answer.plan()),
        ("mounts", answer.mounts()),
        ("objects", answer.objects()),
        ("last event", answer.last_event()),
        ("events", answer.events()),
        ("latency", answer.latency()),
        ("accepted", answer.accepted()),
        ("hooks", answer.hooks()),
        ("kernel", answer.counters()),
        ("repaired", answer.repairs()),
        ("memory", answer.memory()),
        ("queues", answer.queues()),
        ("outputs", answer.outputs()),
        ("compared", answer.compared()),
        ("scan", answer.scan()),
        ("database", answer.number("/database/bytes").map(bytes)),
        ("rules", answer.rules()),
        ("sandbox", answer.sandbox()),
        ("host", answer.host()),
        ("process", answer.process()),
        ("refused", answer.refused()),
    ];
    let mut text = answer.verdict();
    text.push('\n');
    put_rows(&mut text, rows);
    text
}

/// Whether all is well, and what waits or was lost.
pub fn brief(answer: &Value) -> String {
    let answer = Answer(answer);
    let mut text = answer.verdict();
    put_rows(
        &mut text,
        [
            ("kernel", answer.counters()),
            ("queues", answer.queues()),
            ("outputs", answer.outputs()),
        ],
    );
    text
}

fn put_rows<const N: usize>(text: &mut String, rows: [(&str, Option<String>); N]) {
    for (label, lines) in rows {
        for (at, line) in lines.iter().flat_map(|it| it.lines()).enumerate() {
            let label = if at == 0 { label } else { "" };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{label:LABEL$}{line}");
        }
    }
}

/// An answer, of which nothing need be there or be what it should.
struct Answer<'a>(&'a Value);

impl Answer<'_> {
    fn text(&self, pointer: &str) -> Option<String> {
        self.0.pointer(pointer)?.as_str().map(shown)
    }

    fn number(&self, pointer: &str) -> Option<u64> {
        self.0.pointer(pointer)?.as_u64()
    }

    fn flag(&self, pointer: &str) -> Option<bool> {
        self.0.pointer(pointer)?.as_bool()
    }

    fn members(&self, pointer: &str) -> Option<&Map<String, Value>> {
        self.0.pointer(pointer)?.as_object()
    }

    fn list(&self, pointer: &str) -> &[Value] {
        self.0
            .pointer(pointer)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    /// Whether all is well, in a sentence; what is not, each on a line.
    fn verdict(&self) -> String {
        let problems: Vec<String> = self
            .list("/problems")
            .iter()
            .map(|it| {
                Answer(it)
                    .text("/message")
                    .unwrap_or_else(|| "it does not say what".to_owned())
            })
            .collect();
        let watching = format!(
            "watching {}{}{}",
            self.number("/objects/watched")
                .map_or_else(|| "objects".to_owned(), |it| counted(it, "object")),
            self.text("/source/name")
                .map_or_else(String::new, |it| format!(" with the source {it}")),
            self.since(),
        );
        let well = match self.text("/state").as_deref() {
            Some("watching") if problems.is_empty() => format!("All is well: {watching}.\n"),
            Some("watching") => format!("Not all is well: {watching}, but\n"),
            _ => format!(
                "Starting{}: not everything is compared yet, and new events are printed after that.\n",
                self.since()
            ),
        };
        problems
            .iter()
            .fold(well, |text, problem| text + "  - " + problem + "\n")
    }

    fn since(&self) -> String {
        let Some(since) = self.text("/since") else {
            return String::new();
        };
        let span = self
            .number("/uptime_seconds")
            .map_or_else(String::new, |it| format!(" ({})", span(it)));
        format!(" since {}{span}", moment(&since))
    }

    fn source(&self) -> Option<String> {
        let name = self.text("/source/name")?;
        let message = self.text("/source/message")?;
        let why = message
            .split_once(" serves: ")
            .map_or(&*message, |(_, why)| why);
        let error = self
            .text("/source/error")
            .map_or_else(String::new, |it| format!(" ({it})"));
        let coverage = self
            .text("/source/coverage")
            .map_or_else(String::new, |it| format!("\ncoverage {it}"));
        Some(format!("{name}: {why}{error}{coverage}"))
    }

    /// The hooks, by how they are served.
    fn plan(&self) -> Option<String> {
        let mut by_word: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (hook, word) in self.members("/source/plan")? {
            let word = shown(word.as_str()?);
            by_word.entry(word).or_default().push(shown(hook));
        }
        let lines: Vec<String> = by_word
            .into_iter()
            .map(|(word, hooks)| wrapped(&format!("{word}:"), hooks))
            .collect();
        Some(lines.join("\n"))
    }

    /// Those that the source serves for the same reason on one line, each of the others on one of its own.
    fn mounts(&self) -> Option<String> {
        let usual = self.text("/source/name")?;
        let (mut served, mut others) = (BTreeMap::<_, Vec<String>>::new(), Vec::new());
        for mount in self.list("/mounts") {
            let mount = Answer(mount);
            let of = format!("{} ({})", mount.text("/path")?, mount.text("/file_system")?);
            let sources: Vec<String> = mount
                .list("/sources")
                .iter()
                .filter_map(|source| source.as_str().map(shown))
                .collect();
            if sources == [usual.as_str()] {
                // Of BPF there is one reason for all.
                let why = mount.text("/marks").and_then(|_| mount.text("/reason"));
                served.entry(why).or_default().push(of);
            } else {
                let why = mount.text("/reason").unwrap_or_default();
                others.push(format!("{}: {of}: {why}", sources.join(" and ")));
            }
        }
        let mut lines = Vec::new();
        for (why, served) in served {
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            lines.push(wrapped(&format!("{usual}:"), with_commas(served)) + &why);
        }
        lines.extend(others);
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    fn objects(&self) -> Option<String> {
        let watched = grouped(self.number("/objects/watched")?);
        let limit = self
            .number("/objects/limit")
            .map_or_else(String::new, |it| format!(" of at most {}", grouped(it)));
        let recorded = self
            .number("/objects/recorded_about")
            .map_or_else(String::new, |it| {
                format!("; about {} recorded", grouped(it))
            });
        Some(format!("{watched}{limit} watched{recorded}"))
    }

    fn last_event(&self) -> Option<String> {
        let time = moment(&self.text("/events/last/time")?);
        let action = self.text("/events/last/action")?.replace('_', " ");
        let what = self
            .text("/events/last/path")
            .map(|path| format!(" {path}"))
            .or_else(|| {
                self.text("/events/last/message")
                    .map(|it| format!(": {it}"))
            })
            .unwrap_or_default();
        let severity = self
            .number("/events/last/severity")
            .map_or_else(String::new, |it| format!(" (severity {it})"));
        Some(format!("{time}: {action}{what}{severity}"))
    }

    fn events(&self) -> Option<String> {
        let stored = self
            .number("/events/first_sequence")
            .zip(self.number("/events/last_sequence"))
            .map(|(first, last)| format!("numbers {} to {} stored", grouped(first), grouped(last)));
        let since: Vec<String> = self
            .members("/events/since_start")?
            .iter()
            .filter_map(|(action, count)| {
                Some(format!(
                    "{} {}",
                    grouped(count.as_u64()?),
                    shown(action).replace('_', " ")
                ))
            })
            .collect();
        let since = if since.is_empty() {
            "none since the start".to_owned()
        } else {
            wrapped("since the start:", with_commas(since))
        };
        Some(stored.map_or_else(String::new, |it| it + "\n") + &since)
    }

    /// How soon a change was told, in the words of the smallest bucket that holds nearly all.
    fn latency(&self) -> Option<String> {
        let count = self.number("/events/latency/count").filter(|it| *it > 0)?;
        let members = self.members("/events/latency/le")?.iter();
        let mut buckets: Vec<(f64, &String, u64)> = members
            .filter_map(|(bound, below)| Some((bound.parse().ok()?, bound, below.as_u64()?)))
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let within = |percent: u64| {
            let enough = count.saturating_mul(percent).div_ceil(100);
            let found = buckets.iter().find(|(.., below)| *below >= enough);
            found.map_or_else(
                || "more than the last bound".to_owned(),
                |(_, bound, _)| format!("{} s", shown(bound)),
            )
        };
        Some(format!(
            "half of the changes told within {}, 99 % within {}",
            within(50),
            within(99)
        ))
    }

    fn accepted(&self) -> Option<String> {
        let accepted = self.0.get("accepted")?;
        let through = grouped(accepted.get("through")?.as_u64()?);
        Some(format!("events up to {through}, {}", by_whom(accepted)))
    }

    /// How often each program saw a watched object touched.
    fn hooks(&self) -> Option<String> {
        let hooks = self.members("/counters/hooks")?.iter();
        let seen: Vec<String> = hooks
            .filter_map(|(hook, causes)| {
                Some(format!(
                    "{} {}",
                    shown(hook),
                    grouped(causes.get("seen")?.as_u64()?)
                ))
            })
            .collect();
        (!seen.is_empty()).then(|| wrapped("seen by", with_commas(seen)))
    }

    /// The comparison that is under way, else the last that somebody asked for.
    fn scan(&self) -> Option<String> {
        let number = |pointer: &str| self.number(pointer).map(grouped);
        if let (Some(done), Some(of)) = (number("/scan/done"), number("/scan/of")) {
            let kind = self.text("/scan/kind").unwrap_or_default();
            return Some(format!("{kind} under way: {done} of {of} objects"));
        }
        let compared = number("/last_scan/compared")?;
        let found = number("/last_scan/differences")?;
        let when = moment(&self.text("/last_scan/finished")?);
        Some(format!(
            "asked for, last at {when}: {compared} objects, {found} changes found"
        ))
    }

    /// What the kernel counted: how much was seen, and what was lost.
    fn counters(&self) -> Option<String> {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (cause, count) in self
            .members("/counters/hooks")?
            .values()
            .filter_map(Value::as_object)
            .flatten()
        {
            let sum = sums.entry(cause).or_default();
            *sum = sum.saturating_add(count.as_u64().unwrap_or(0));
        }
        let of = |cause| grouped(sums.get(cause).copied().unwrap_or(0));
        let mut lost: Vec<String> = sums
            .iter()
            .filter(|(cause, _)| !HARMLESS.contains(cause))
            .map(|(cause, count)| format!("{} {}", grouped(*count), shown(cause)))
            .collect();
        if let Some(skipped @ 1..) = self.number("/counters/skipped") {
            lost.push(format!("{} skipped", grouped(skipped)));
        }
        let lost = if lost.is_empty() {
            "nothing".to_owned()
        } else {
            lost.join(", ")
        };
        Some(format!(
            "{} seen, {} announced, {} coalesced\nlost: {lost}",
            of("seen"),
            of("announced"),
            of("coalesced")
        ))
    }

    /// What was done about what was lost; nothing if there was nothing to do.
    fn repairs(&self) -> Option<String> {
        let of = |member: &str| self.number(&format!("/repairs/{member}")).unwrap_or(0);
        let done = [
            (of("entries_swept"), "swept"),
            (of("directories_compared"), "directories compared"),
            (of("paths_compared"), "paths compared"),
            (of("differences_found"), "differences found"),
        ];
        let said = |(count, what): &(u64, &str)| format!("{} {what}", grouped(*count));
        let done = done.iter().filter(|(count, _)| *count > 0).map(said);
        Some(done.collect::<Vec<_>>().join(", ")).filter(|it| !it.is_empty())
    }

    fn memory(&self) -> Option<String> {
        let maps = self.number("/kernel/map_bytes")?;
        Some(format!("{} in the maps of the kernel", bytes(maps)))
    }

    fn queues(&self) -> Option<String> {
        let filled: Vec<String> = self
            .members("/queues")?
            .iter()
            .filter_map(|(name, queue)| {
                let queue = Answer(queue);
                let length = queue.number("/length").filter(|&it| it > 0)?;
                let limit = queue
                    .number("/limit")
                    .map_or_else(String::new, |it| format!(" of {}", grouped(it)));
                Some(format!("{} {}{limit}", shown(name), grouped(length)))
            })
            .collect();
        Some(if filled.is_empty() {
            "empty".to_owned()
        } else {
            filled.join(", ")
        })
    }

    fn outputs(&self) -> Option<String> {
        let lines: Vec<String> = self
            .list("/outputs")
            .iter()
            .filter_map(|output| {
                let output = Answer(output);
                let name = output.text("/name")?;
                let far = match (output.number("/cursor").map(grouped), output.number("/lag")) {
                    (Some(cursor), Some(0)) => format!("{name} has all up to {cursor}"),
                    (Some(cursor), Some(lag)) => format!(
                        "{name} has all up to {cursor}, and {} to come",
                        grouped(lag)
                    ),
                    _ => format!("{name} gets counters"),
                };
                Some(match output.text("/problem") {
                    Some(problem) => format!("{far}: {problem}"),
                    None => far,
                })
            })
            .collect();
        Some(lines.join("\n")).filter(|it| !it.is_empty())
    }

    fn compared(&self) -> Option<String> {
        let when = moment(&self.text("/last_comparison")?);
        Some(format!("everything, last at {when}"))
    }

    fn rules(&self) -> Option<String> {
        let rules = counted(self.number("/config/rules")?, "rule");
        Some(format!("{rules} in {}", self.text("/config/path")?))
    }

    fn sandbox(&self) -> Option<String> {
        let complete = self.flag("/sandbox/landlock_complete")?;
        let landlock = match self.number("/sandbox/landlock_abi") {
            Some(abi) if complete => format!("landlock (ABI {abi}) in full"),
            Some(abi) => format!("landlock (ABI {abi}), as far as this kernel has it"),
            None => "no landlock in this kernel".to_owned(),
        };
        let seccomp = if self.flag("/sandbox/seccomp")? {
            "seccomp"
        } else {
            "no seccomp"
        };
        Some(format!("{landlock}; {seccomp}"))
    }

    fn host(&self) -> Option<String> {
        let name = self.text("/host/name")?;
        let kernel = self
            .text("/host/kernel")
            .map_or_else(String::new, |it| format!(", Linux {it}"));
        Some(name + &kernel)
    }

    fn process(&self) -> Option<String> {
        let version = self.text("/version")?;
        let pid = self.number("/pid")?;
        let wire = self
            .number("/wire")
            .map_or_else(String::new, |it| format!(", wire format {it}"));
        Some(format!("fimk-analyzer {version}, pid {pid}{wire}"))
    }

    /// Who was turned away from the control socket, if anybody was.
    fn refused(&self) -> Option<String> {
        let reasons: Vec<String> = self
            .members("/control/refused")?
            .iter()
            .filter_map(|(reason, count)| Some((reason, count.as_u64().filter(|&it| it > 0)?)))
            .map(|(reason, count)| {
                format!("{} {}", grouped(count), shown(reason).replace('_', " "))
            })
            .collect();
        (!reasons.is_empty())
            .then(|| format!("connections to the control socket: {}", reasons.join(", ")))
    }
}

fn with_commas(mut words: Vec<String>) -> Vec<String> {
    let all_but_last = words.len().saturating_sub(1);
    words[..all_but_last]
        .iter_mut()
        .for_each(|word| word.push(','));
    words
}

/// Words behind a heading, on as many lines as they need beside the labels.
fn wrapped(heading: &str, words: Vec<String>) -> String {
    let mut text = heading.to_owned();
    let mut column = heading.chars().count();
    for word in words {
        let length = word.chars().count();
        if column + 1 + length > WIDTH - LABEL {
            text += "\n  ";
            column = 2;
        } else {
            text.push(' ');
            column += 1;
        }
        text += &word;
        column += length;
    }
    text
}
