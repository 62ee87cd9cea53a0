//! Why a source does not tell everything at once, and of whom: what `tests/EVASION.md` says above its tables.

use std::fmt::Write as _;

/// What explains some outcomes that are not `event`.
pub struct Reason {
    sources: &'static [&'static str],
    outcomes: &'static [&'static str],
    /// In words.
    of: &'static str,
    /// As `evade` knows them; none: all that no other reason of the same source and outcome has.
    techniques: &'static [&'static str],
    why: &'static str,
}

/// All of them.
static REASONS: &[Reason] = &[
    Reason {
        sources: &["fanotify", "fanotify-filesystem", "periodic"],
        outcomes: &["unseen"],
        of: "trusted.*",
        techniques: &["set-trusted"],
        why: "reading it needs CAP_SYS_ADMIN, which the analyzer has not; for fanotify it is a chmod to the same mode",
    },
    Reason {
        sources: &["periodic"],
        outcomes: &["unseen"],
        of: "what went, or was as before, at once",
        techniques: &["away-and-back", "transient", "transient-deep"],
        why: "it left nothing behind that a comparison could find",
    },
    Reason {
        sources: &["periodic"],
        outcomes: &["late, no process"],
        of: "all others",
        techniques: &[],
        why: "a comparison sees what is there, not how it came",
    },
    Reason {
        sources: &["fanotify", "fanotify-filesystem", "periodic"],
        outcomes: &["no process"],
        of: "mounts",
        techniques: &[
            "cover-file",
            "cover-directory",
            "cover-bind",
            "cover-tree",
            "cover-new",
            "uncover",
            "uncover-lazily",
            "mount-moved",
        ],
        why: "neither is told of them: the mount table is",
    },
    Reason {
        sources: &["fanotify", "fanotify-filesystem"],
        outcomes: &["late"],
        of: "mappings",
        techniques: &[
            "map-keep",
            "map-keep-open",
            "map-protect",
            "map-earlier",
            "map-of-another",
        ],
        why: "no event tells of a store; who holds the mapping is looked for",
    },
    Reason {
        sources: &["fanotify", "fanotify-filesystem"],
        outcomes: &["late, no process"],
        of: "chattr, FS_IOC_FSSETXATTR, file_setattr",
        techniques: &["immutable", "nodump", "fsxattr", "file-setattr"],
        why: "no event tells of file flags",
    },
    Reason {
        sources: &["fanotify", "fanotify-filesystem"],
        outcomes: &["late, no process"],
        of: "layers of an overlay",
        techniques: &["overlay-below", "overlay-lowest"],
        why: "their marks are on the merged names, which are other objects",
    },
    Reason {
        sources: &["fanotify"],
        outcomes: &["late, no process"],
        of: "a directory and what is in it at once",
        techniques: &["directory-and-file", "deep", "directory-moved"],
        why: "made before the directory was marked, maybe by another",
    },
    Reason {
        sources: &["bpf", "fanotify", "fanotify-filesystem"],
        outcomes: &["late"],
        of: "a directory exchanged or moved with what is in it",
        techniques: &[
            "rename-parent-back",
            "replace-parent",
            "move-tree-in",
            "directory-moved",
        ],
        why: "the walk of what stands there finds it; who moved it is named",
    },
    Reason {
        sources: &["bpf", "fanotify", "fanotify-filesystem"],
        outcomes: &["late"],
        of: "a store to a page that was dirty",
        techniques: &["map-dirty"],
        why: "nothing shows until content is read again",
    },
    Reason {
        sources: &["bpf", "fanotify", "fanotify-filesystem"],
        outcomes: &["no process", "late, no process"],
        of: "a loop device, a raw block device",
        techniques: &["loop", "loop-attached", "below"],
        why: "the kernel writes, or nobody wrote to the file",
    },
];

/// The table of the page.
pub fn table() -> String {
    let mut table = "| source | outcome | techniques | why |\n|---|---|---|---|\n".to_owned();
    for it in REASONS {
        let (sources, outcomes) = (it.sources.join(", "), it.outcomes.join(" · "));
        let _ = writeln!(table, "| {sources} | {outcomes} | {} | {} |", it.of, it.why);
    }
    table
}

/// What explains that a source tells so of a technique.
pub fn reason_of(source: &str, outcome: &str, technique: &str) -> Option<&'static Reason> {
    let fits = |it: &&Reason| it.sources.contains(&source) && it.outcomes.contains(&outcome);
    let fitting = || REASONS.iter().filter(fits);
    fitting()
        .find(|it| it.techniques.contains(&technique))
        .or_else(|| fitting().find(|it| it.techniques.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap, HashSet};

    use super::*;
    use crate::cases;

    const PAGE: &str = include_str!("../../../EVASION.md");

    /// The sources whose every outcome is explained.
    const EXPLAINED: [&str; 3] = ["fanotify", "fanotify-filesystem", "periodic"];

    /// What a table of the page says.
    struct Cell {
        source: &'static str,
        technique: &'static str,
        outcome: &'static str,
    }

    fn cells() -> Vec<Cell> {
        let cases = cases::all().into_iter();
        let techniques: HashMap<_, _> = cases.map(|it| (it.name, it.technique)).collect();
        let mut source = "";
        let mut cells = Vec::new();
        for line in PAGE.lines() {
            if let Some(section) = line.strip_prefix("## ") {
                source = section.rsplit(", ").next().unwrap_or_default();
            } else if !source.is_empty() && line.starts_with("| ") {
                let mut row = line.trim_matches('|').split(" | ").map(str::trim);
                let technique = row.next().and_then(|name| techniques.get(name).copied());
                let outcomes = row.map(|it| it.trim_end_matches(|it: char| it.is_ascii_digit()));
                cells.extend(technique.into_iter().flat_map(|technique| {
                    outcomes.clone().map(move |outcome| Cell {
                        source,
                        technique,
                        outcome: outcome.trim_end(),
                    })
                }));
            }
        }
        cells
    }

    fn needs_a_reason(cell: &Cell) -> bool {
        let well = ["event", "silent", "?"].contains(&cell.outcome);
        EXPLAINED.contains(&cell.source) && !well && !cell.outcome.starts_with("not run")
    }

    #[test]
    fn whatever_is_not_told_at_once_and_of_somebody_is_explained() {
        let cells = cells();
        let sources: HashSet<_> = cells.iter().map(|it| it.source).collect();
        assert!(
            EXPLAINED.iter().all(|it| sources.contains(it)),
            "{sources:?}"
        );
        let unexplained: BTreeSet<_> = cells
            .iter()
            .filter(|it| needs_a_reason(it))
            .filter(|it| reason_of(it.source, it.outcome, it.technique).is_none())
            .map(|it| (it.source, it.technique, it.outcome))
            .collect();
        assert!(unexplained.is_empty(), "{unexplained:#?}");
    }

    #[test]
    fn nothing_is_explained_that_does_not_happen() {
        let cells = cells();
        for reason in REASONS {
            for source in reason.sources.iter().filter(|it| EXPLAINED.contains(it)) {
                let happens = cells.iter().filter(|it| it.source == *source).any(|it| {
                    let found = reason_of(source, it.outcome, it.technique);
                    found.is_some_and(|found| std::ptr::eq(found, reason))
                });
                assert!(happens, "{source}: {}", reason.of);
            }
        }
    }

    #[test]
    fn every_technique_of_a_reason_is_one_of_the_suite() {
        let cases = cases::all();
        let known: HashSet<_> = cases.iter().map(|case| case.technique).collect();
        for technique in REASONS.iter().flat_map(|it| it.techniques) {
            assert!(known.contains(technique), "{technique}");
        }
    }

    #[test]
    fn the_page_has_these_reasons_and_no_others() {
        assert!(
            PAGE.contains(&format!("\n\n{}\n## ", table())),
            "run scripts/evasion"
        );
    }
}
