//! `--probe`: how this kernel serves each operation, as a table.

use std::io::Write;

use fimk_wire::plan::{PROGRAMS, ROWS, Served, Verdict, When};
use fimk_wire::{REASON_SENTENCES, raw};

use crate::error::{Error, Result};
use crate::exit::Status;
use crate::flags::source_name;
use crate::probe::{self, Source};
use crate::user;

/// Finds out and prints. An error if nothing but comparing at intervals would serve.
pub fn probe() -> Result<()> {
    user::require_root()?;
    let source = probe::examine()?;
    let kernel = nix::sys::utsname::uname()
        .map(|kernel| kernel.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    std::io::stdout()
        .write_all(table(&kernel, &source).as_bytes())
        .map_err(|cause| Error::internal("standard output", cause))?;
    if source.number == raw::FIMK_SOURCE_PERIODIC {
        let sentence = "this kernel serves neither bpf nor fanotify: changes are found only by comparing at intervals";
        return Err(Error::new(Status::Kernel, sentence.to_owned()));
    }
    Ok(())
}

/// Columns are separated by two spaces or more, of which no cell has two in a row.
fn table(kernel: &str, source: &Source) -> String {
    let mut rows = vec![["operation", "plan", "when", "self-test"].map(str::to_owned)];
    for (place, row) in ROWS.iter().enumerate() {
        let served = Served::of(row, source.plan[place]);
        let why = source.untested.get(&place).map_or("", String::as_str);
        rows.push(cells(row, served, why));
    }
    let widths =
        [0, 1, 2].map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    let mut text = format!("kernel  {kernel}\n\n");
    for [operation, plan, when, test] in &rows {
        let line = format!(
            "{operation:0$}  {plan:1$}  {when:2$}  {test}",
            widths[0], widths[1], widths[2]
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let why = REASON_SENTENCES
        .get(source.refusal.reason as usize)
        .copied()
        .unwrap_or_default();
    let name = source_name(source.number);
    let coverage = match (source.number, source.preempts) {
        (raw::FIMK_SOURCE_BPF, true) => {
            "coverage  strict  this kernel preempts programs, and skips them then\n"
        }
        (raw::FIMK_SOURCE_BPF, false) => "coverage  normal  this kernel preempts no program\n",
        _ => "",
    };
    text + &format!("\nsource  {name}  {why}\n{coverage}")
}

fn cells(row: &fimk_wire::plan::Row, served: Served, why: &str) -> [String; 4] {
    let (plan, when, test) = match served {
        Served::By(hook, verdict) => {
            let program = PROGRAMS[hook as usize];
            let when = match program.when {
                When::After => "after",
                When::Before => "before",
            };
            let test = match verdict {
                Verdict::Seen => "seen".to_owned(),
                Verdict::Unseen => "not seen".to_owned(),
                Verdict::Untested => format!("not tested: {why}"),
            };
            (program.attached(), when, test)
        }
        lacking => {
            let words = lacking.words(row).unwrap_or_else(|| "-".to_owned());
            (words, "-", "-".to_owned())
        }
    };
    [row.operation.to_owned(), plan, when.to_owned(), test]
}
