//! `fimk`: asks the monitor that runs on this host, and prints what it answers.

mod arguments;
mod check;
mod client;
mod exit;
mod human;
mod words;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use fimk_core::render::one_line;
use serde_json::Value;

use crate::{
    arguments::{Format, Parsed, Wanted},
    exit::{Failure, Status},
};

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
            let _ = writeln!(io::stderr(), "fimk: {sentence}");
            ExitCode::from(failure.status as u8)
        }
    }
}

fn run(wanted: &Wanted) -> Result<(), Failure> {
    let answer = client::ask(&wanted.run_dir, "status")?;
    if let Some(error) = answer.get("error") {
        return Err(refused(error));
    }
    print(&match wanted.format {
        Format::Human => human::status(&answer),
        Format::Json => one_line(&answer) + "\n",
    })
}

/// What the monitor says instead of an answer.
fn refused(error: &Value) -> Failure {
    let text = |key| error.get(key).and_then(Value::as_str);
    let status = match text("code") {
        Some("busy" | "too_slow") => Status::Unavailable,
        _ => Status::Io,
    };
    let message = text("message").unwrap_or("it does not say why");
    Failure::new(status, format!("the monitor does not answer: {message}"))
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| {
            Failure::new(
                Status::Io,
                format!("standard output cannot be written ({error})"),
            )
        })
}
