//! The command line.

mod baseline;
mod filters;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Arg, ArgAction, ArgMatches, Command, ValueHint, builder::PossibleValuesParser,
    error::ErrorKind, value_parser,
};
use clap_complete::Shell;

use crate::{baseline as records, check, events, top};

/// Where the monitor's socket is if nothing else is said; also the analyzer's default.
const RUN_DIR: &str = "/run/fimk";

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    Human,
    /// As it came.
    Json,
    /// Metrics, in the text form of Prometheus.
    Prometheus,
}

impl Format {
    /// As the flag says.
    pub fn of(matches: &ArgMatches) -> Option<Self> {
        Some(match matches.get_one::<String>("format")?.as_str() {
            "json" => Self::Json,
            "prometheus" => Self::Prometheus,
            _ => Self::Human,
        })
    }
}

/// What is to be done, and whom to ask.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The command.
    pub what: What,
    /// `--run-dir`.
    pub run_dir: PathBuf,
}

/// The commands.
#[derive(Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum What {
    Status {
        format: Format,
        check: bool,
    },
    Events(Box<events::Wanted>),
    Show {
        sequence: u64,
        format: Format,
    },
    Rules {
        format: Format,
    },
    Explain {
        path: String,
        format: Format,
    },
    Scan {
        rule: Option<String>,
        format: Format,
    },
    Baseline(records::Wanted),
    Top(top::Wanted),
    Legend {
        format: Format,
    },
}

/// What a command line comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A command.
    Run(Wanted),
    /// A configuration is to be checked.
    Check(check::Wanted),
    /// Help, version or a script, to be printed.
    Text(String),
    /// Not understood: why, and what would be.
    Wrong(String),
}

/// Parses it, the program's name first.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Parsed {
    match command().try_get_matches_from(words) {
        Ok(matches) => match matches.subcommand() {
            Some(("completions", of)) => completions(of),
            Some((check::NAME, of)) => {
                check::wanted(of).map_or_else(|| Parsed::Wrong(usage()), Parsed::Check)
            }
            Some((name, of)) => match what(name, of) {
                Ok(Some(what)) => Parsed::Run(Wanted {
                    what,
                    run_dir: run_dir(of.subcommand().map_or(of, |(_, of)| of)),
                }),
                Ok(None) => Parsed::Wrong(usage()),
                Err(why) => Parsed::Wrong(format!("error: {why}\n")),
            },
            None => Parsed::Wrong(usage()),
        },
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Parsed::Text(error.to_string()),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Parsed::Wrong(usage()),
            _ => Parsed::Wrong(error.to_string()),
        },
    }
}

fn usage() -> String {
    command().render_help().to_string()
}

/// A command of this name; an error is a sentence about one of its arguments.
fn what(name: &str, matches: &ArgMatches) -> Result<Option<What>, String> {
    if let Some(events) = filters::wanted(name, matches)? {
        return Ok(Some(What::Events(Box::new(events))));
    }
    if name == baseline::NAME {
        return Ok(baseline::wanted(matches).map(What::Baseline));
    }
    if name == "top" {
        let seconds = matches.get_one::<u64>("interval").copied().unwrap_or(2);
        return Ok(Format::of(matches).map(|format| {
            What::Top(top::Wanted {
                once: matches.get_flag("once"),
                interval: Duration::from_secs(seconds),
                format,
            })
        }));
    }
    Ok(Format::of(matches).and_then(|format| {
        Some(match name {
            "status" => What::Status {
                format,
                check: matches.get_flag("check"),
            },
            "show" => What::Show {
                sequence: *matches.get_one("sequence")?,
                format,
            },
            "rules" => What::Rules { format },
            "explain" => What::Explain {
                path: matches.get_one::<String>("path")?.clone(),
                format,
            },
            "scan" => What::Scan {
                rule: matches.get_one::<String>("rule").cloned(),
                format,
            },
            "legend" => What::Legend { format },
            _ => return None,
        })
    }))
}

fn run_dir(matches: &ArgMatches) -> PathBuf {
    let given = matches.try_get_one::<PathBuf>("run-dir").ok().flatten();
    given.cloned().unwrap_or_else(|| RUN_DIR.into())
}

fn completions(matches: &ArgMatches) -> Parsed {
    let Some(shell) = matches.get_one::<Shell>("shell") else {
        return Parsed::Wrong(usage());
    };
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut command(), "fimk", &mut script);
    Parsed::Text(String::from_utf8_lossy(&script).into_owned())
}

fn command() -> Command {
    Command::new("fimk")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Asks the fimk file integrity monitor on this host. See fimk(1).")
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(status())
        .subcommand(check::command())
        .subcommands(filters::commands())
        .subcommand(
            asking("show", "Prints everything about one event")
                .arg(format_flag())
                .arg(
                    Arg::new("sequence")
                        .value_name("NUMBER")
                        .value_parser(value_parser!(u64))
                        .required(true)
                        .help("The number of the event: event.sequence"),
                ),
        )
        .subcommand(asking("rules", "Prints the rules that are in force").arg(format_flag()))
        .subcommand(
            asking(
                "explain",
                "Says which rule covers a path, and whether it is watched",
            )
            .arg(format_flag())
            .arg(
                Arg::new("path")
                    .value_name("PATH")
                    .required(true)
                    .value_hint(ValueHint::AnyPath)
                    .help("An absolute path"),
            ),
        )
        .subcommand(
            asking(
                "scan",
                "Compares what is watched with what is recorded, now",
            )
            .arg(format_flag())
            .arg(
                Arg::new("rule")
                    .value_name("RULE")
                    .help("Only what this rule covers"),
            ),
        )
        .subcommand(baseline::command())
        .subcommand(top())
        .subcommand(
            Command::new("legend")
                .about("Prints every field of an event, and what it means")
                .arg(format_flag()),
        )
        .subcommand(
            Command::new("completions")
                .about("Prints a script by which a shell completes this command")
                .arg(
                    Arg::new("shell")
                        .value_name("SHELL")
                        .value_parser(value_parser!(Shell))
                        .required(true)
                        .help("Whose script"),
                ),
        )
}

/// A command that asks the monitor.
fn asking(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).arg(
        Arg::new("run-dir")
            .long("run-dir")
            .value_name("DIR")
            .value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::DirPath)
            .default_value(RUN_DIR)
            .help("The monitor's run directory, in which its socket is"),
    )
}

/// `--format`, of every command that prints.
pub fn format_flag() -> Arg {
    Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .value_parser(PossibleValuesParser::new(["human", "json"]))
        .default_value("human")
        .help("How to print it")
}

fn status() -> Command {
    let formats = PossibleValuesParser::new(["human", "json", "prometheus"]);
    asking(
        "status",
        "Says whether all is well, what is watched, and what happened last",
    )
    .arg(format_flag().value_parser(formats))
    .arg(
        Arg::new("check")
            .long("check")
            .action(ArgAction::SetTrue)
            .help("Exit with status 1 if not all is well"),
    )
}

fn top() -> Command {
    asking(
        "top",
        "Shows the busiest processes and files, and what waits or was lost",
    )
    .arg(
        Arg::new("once")
            .long("once")
            .action(ArgAction::SetTrue)
            .help("Print one picture, and end"),
    )
    .arg(
        Arg::new("interval")
            .long("interval")
            .value_name("SECONDS")
            .value_parser(value_parser!(u64).range(1..=3_600))
            .default_value("2")
            .help("Between two pictures"),
    )
    .arg(format_flag())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::collections::BTreeSet;

    use super::*;

    fn parsed(line: &str) -> Parsed {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn status_takes_a_format_and_a_directory() {
        let wanted = |format, check, run_dir: &str| {
            Parsed::Run(Wanted {
                what: What::Status { format, check },
                run_dir: run_dir.into(),
            })
        };
        assert_eq!(
            parsed("fimk status"),
            wanted(Format::Human, false, "/run/fimk")
        );
        assert_eq!(
            parsed("fimk status --format json --run-dir /r"),
            wanted(Format::Json, false, "/r")
        );
        assert_eq!(
            parsed("fimk status --check --format prometheus"),
            wanted(Format::Prometheus, true, "/run/fimk")
        );
    }

    #[test]
    fn what_is_not_understood_says_what_would_be() {
        for (line, word) in [
            ("fimk", "status"),
            ("fimk stat", "status"),
            ("fimk status --format yaml", "json"),
            ("fimk status --frmat json", "--format"),
            ("fimk status --run-dir", "--run-dir"),
            ("fimk status more", "more"),
            ("fimk show", "NUMBER"),
            ("fimk show one", "one"),
            ("fimk events --since yesterday", "--since"),
            ("fimk events --action made", "created"),
            ("fimk completions csh", "bash"),
        ] {
            let Parsed::Wrong(text) = parsed(line) else {
                panic!("{line} was taken");
            };
            assert!(text.contains(word), "{line}: {text}");
        }
    }

    #[test]
    fn version_and_help_are_printed() {
        let version = format!("fimk {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(parsed("fimk --version"), Parsed::Text(version));
        for line in ["fimk --help", "fimk status --help"] {
            let Parsed::Text(text) = parsed(line) else {
                panic!("{line} is no help");
            };
            assert!(text.contains("Usage:"), "{text}");
        }
    }

    #[test]
    fn every_shell_gets_a_script() {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let Parsed::Text(script) = parsed(&format!("fimk completions {shell}")) else {
                panic!("{shell} is none");
            };
            assert!(script.contains("explain"), "{script}");
        }
    }

    /// The long flags in a piece of the manual page.
    fn flags_in(page: &str) -> BTreeSet<String> {
        let words: Vec<_> = page.split_whitespace().collect();
        words
            .windows(2)
            .filter(|pair| pair[0].ends_with("Fl"))
            .filter_map(|pair| pair[1].strip_prefix('-'))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_manual_page_has_every_flag_and_no_other() {
        let mut command = command();
        command.build();
        let below = command.get_subcommands().flat_map(Command::get_subcommands);
        let flags: BTreeSet<String> = command
            .get_subcommands()
            .chain(below)
            .flat_map(Command::get_arguments)
            .chain(command.get_arguments())
            .filter_map(|flag| flag.get_long().map(str::to_owned))
            .collect();
        let page = include_str!("../../../man/fimk.1");
        let (synopsis, rest) = page.split_once(".Sh DESCRIPTION").expect("a section");
        assert_eq!(flags_in(synopsis), flags);
        assert_eq!(flags_in(rest), flags);
        for subcommand in command.get_subcommands() {
            let line = format!(".Cm {}", subcommand.get_name());
            assert!(synopsis.contains(&line), "{line}");
        }
    }
}
