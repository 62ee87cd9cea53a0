//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Arg, ArgMatches, Command, builder::PossibleValuesParser, error::ErrorKind, value_parser,
};

use crate::check;

/// Where the monitor's socket is if nothing else is said; also the analyzer's default.
const RUN_DIR: &str = "/run/fimk";

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    Human,
    /// As it came.
    Json,
}

impl Format {
    /// As the flag says.
    pub fn of(matches: &ArgMatches) -> Option<Self> {
        Some(match matches.get_one::<String>("format")?.as_str() {
            "json" => Self::Json,
            _ => Self::Human,
        })
    }
}

/// What is to be done. So far there is one command.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `--format`.
    pub format: Format,
    /// `--run-dir`.
    pub run_dir: PathBuf,
}

/// What a command line comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A command.
    Run(Wanted),
    /// A configuration is to be checked.
    Check(check::Wanted),
    /// Help or version, to be printed.
    Text(String),
    /// Not understood: why, and what would be.
    Wrong(String),
}

/// Parses it, the program's name first.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Parsed {
    match command().try_get_matches_from(words) {
        Ok(matches) => match matches.subcommand() {
            Some((check::NAME, of_check)) => check::wanted(of_check).map(Parsed::Check),
            _ => wanted(&matches).map(Parsed::Run),
        }
        .unwrap_or_else(|| Parsed::Wrong(usage())),
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

fn wanted(matches: &ArgMatches) -> Option<Wanted> {
    let ("status", matches) = matches.subcommand()? else {
        return None;
    };
    let format = Format::of(matches)?;
    let run_dir = matches.get_one::<PathBuf>("run-dir")?.clone();
    Some(Wanted { format, run_dir })
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
    Command::new("status")
        .about("Says whether all is well, what is watched, and what happened last")
        .arg(format_flag())
        .arg(
            Arg::new("run-dir")
                .long("run-dir")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .default_value(RUN_DIR)
                .help("The monitor's run directory, in which its socket is"),
        )
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
        let wanted = |format, run_dir: &str| {
            Parsed::Run(Wanted {
                format,
                run_dir: run_dir.into(),
            })
        };
        assert_eq!(parsed("fimk status"), wanted(Format::Human, "/run/fimk"));
        assert_eq!(
            parsed("fimk status --format json --run-dir /r"),
            wanted(Format::Json, "/r")
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
        let flags: BTreeSet<String> = command
            .get_subcommands()
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
