//! `fimk-loader --probe`: what this kernel gives, in a table.

use std::{collections::HashMap, fs};

use fimk_tests::{attempt, loader, text};

/// The cells of the table by the operation. What is logged beside it, of programs that another had to replace, is left out.
fn rows(output: &str) -> HashMap<&str, Vec<&str>> {
    output
        .lines()
        .filter(|line| !line.starts_with("fimk-loader: "))
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
        })
        .filter_map(|mut cells| Some((cells.next()?, cells.collect())))
        .collect()
}

#[test]
fn every_operation_has_a_plan_that_was_seen_or_a_reason() {
    let probe = attempt(loader(), &["--probe"]);
    let rows = rows(&probe.output);
    assert!(probe.succeeded, "{}", probe.output);
    assert!(rows.len() > 35, "{}", probe.output);
    let source = rows["source"][0];
    let mut seen = 0;
    for (operation, cells) in &rows {
        match cells[..] {
            [_, "after" | "before", "seen"] => seen += 1,
            [plan, "-", "-"] => {
                let explained = plan.starts_with("absent: ") || plan.starts_with("refused ");
                assert!(explained, "{operation}: {plan}");
            }
            [_, "after" | "before", test] => {
                let unseen = operation.starts_with("denied ") && test == "not seen";
                let untested = test.starts_with("not tested: ");
                assert!(untested || unseen, "{operation}: {test}");
            }
            _ => assert!(
                ["kernel", "operation", "source", "coverage"].contains(operation),
                "{operation}: {cells:?}"
            ),
        }
    }
    if source == "bpf" {
        assert!(seen >= 30, "only {seen} seen:\n{}", probe.output);
    } else {
        assert_eq!(rows["write"][0], "refused by this kernel");
    }
}

#[test]
fn a_probe_leaves_nothing_behind() {
    let probe = attempt(loader(), &["--probe"]);
    assert!(probe.succeeded, "{}", probe.output);
    let left = |directory: &str, prefix: &str| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .find(|path| text(path).starts_with(&format!("{directory}/{prefix}")))
    };
    assert_eq!(left("/run", "fimk-selftest."), None);
    assert_eq!(left("/run/fimk-loader", "fimk-selftest."), None);
    let mounts = fs::read_to_string("/proc/self/mounts").expect("procfs");
    assert!(!mounts.contains("fimk-selftest"), "{mounts}");
}
