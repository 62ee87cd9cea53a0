//! `fimk`: asks the monitor that runs on this host, and prints what it answers.

mod arguments;
mod baseline;
mod check;
mod client;
mod colours;
mod events;
mod human;
mod legend;
mod lists;
mod scan;
mod show;
mod top;
mod words;

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use fimk_core::{
    exit::{Failure, Status},
    render::{metrics, one_line},
    request::Request,
};
use serde_json::Value;

use crate::arguments::{Format, Parsed, Wanted, What};

fn main() -> ExitCode {
    let done = match arguments::parse(std::env::args_os()) {
        Parsed::Run(wanted) => run(&wanted),
        Parsed::Check(wanted) => check::run(&wanted).and_then(|text| print(&text)),
        Parsed::Text(text) => print(&text),
        Parsed::Wrong(text) => {
            let _ = write!(io::stderr(), "{text}");
            return ExitCode::from(Status::Usage as u8);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // What it names may come from elsewhere: a path, an answer.
            let sentence = words::shown(&failure.sentence);
            if !sentence.is_empty() {
                let _ = writeln!(io::stderr(), "fimk: {sentence}");
            }
            ExitCode::from(failure.status as u8)
        }
    }
}

fn run(wanted: &Wanted) -> Result<(), Failure> {
    let run_dir = &wanted.run_dir;
    match &wanted.what {
        What::Status { format, check } => status(run_dir, *format, *check),
        What::Events(wanted) => events::print_all(run_dir, wanted),
        What::Show { sequence, format } => {
            let sequence = *sequence;
            let answer = client::ask(run_dir, &Request::Show { sequence })?;
            let accepted = &answer["accepted"];
            print_as(*format, &answer["event"], |event| {
                let mut text = show::event(event);
                if accepted.is_object() {
                    text = text + "\nAccepted " + &baseline::by_whom(accepted) + "\n";
                }
                text
            })
        }
        What::Rules { format } => {
            let answer = client::ask(run_dir, &Request::Rules {})?;
            print_as(*format, &answer["rules"], lists::rules)
        }
        What::Explain { path, format } => {
            let path = path.clone();
            let answer = client::ask(run_dir, &Request::Explain { path })?;
            print_as(*format, &answer, lists::explanation)
        }
        What::Scan { rule, format } => scan::run(run_dir, rule.as_deref(), *format),
        What::Baseline(wanted) => baseline::run(run_dir, wanted),
        What::Top(wanted) => top::run(run_dir, wanted),
        What::Legend { format } => print_as(*format, &legend::legend(), lists::legend),
    }
}

fn status(run_dir: &Path, format: Format, check: bool) -> Result<(), Failure> {
    let answer = client::ask(run_dir, &Request::Status {})?;
    print_as(format, &answer, human::status)?;
    let problems = answer["problems"].as_array();
    let tells = check || format == Format::Human;
    if tells && problems.is_none_or(|problems| !problems.is_empty()) {
        return Err(Failure::new(Status::NotWell, ""));
    }
    Ok(())
}

fn print_as(
    format: Format,
    answer: &Value,
    human: impl Fn(&Value) -> String,
) -> Result<(), Failure> {
    print(&match format {
        Format::Human => human(answer),
        Format::Json => one_line(answer) + "\n",
        Format::Prometheus => metrics(answer),
    })
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let done = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match done {
        // As with `fimk events | head`: who has read enough is not to be told of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Status::Io, ""))
        }
        done => done.map_err(|error| {
            Failure::new(
                Status::Io,
                format!("standard output cannot be written ({error})"),
            )
        }),
    }
}
