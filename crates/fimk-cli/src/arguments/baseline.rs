//! `fimk baseline` and what is below it.

use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};
use fimk_core::request::{Accept, Records};

use super::{Format, asking, format_flag};
use crate::baseline::Wanted;

/// Of the command.
pub(super) const NAME: &str = "baseline";

pub(super) fn command() -> Command {
    Command::new(NAME)
        .about("Prints what is recorded, or says that changes were looked at")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(
            asking("list", "Lists recorded objects")
                .arg(format_flag())
                .args(which()),
        )
        .subcommand(
            asking(
                "export",
                "Prints recorded objects as JSON, one on a line: attributes and hashes",
            )
            .args(which()),
        )
        .subcommand(
            asking("accept", "Says that changes were looked at and are right")
                .arg(format_flag())
                .arg(path("Only events of this path, of what matches this glob, and of all below"))
                .arg(
                    Arg::new("note")
                        .long("note")
                        .value_name("TEXT")
                        .help("What to remember of it: the number of a change, a reason"),
                )
                .arg(
                    Arg::new("through")
                        .value_name("NUMBER")
                        .value_parser(value_parser!(u64))
                        .required_unless_present("path")
                        .help("Events up to this one; with --path, all that there are if it is left out"),
                ),
        )
}

fn which() -> [Arg; 2] {
    [
        path("Of this path, of what matches this glob, and of all below"),
        Arg::new("rule")
            .long("rule")
            .value_name("RULE")
            .help("On which this rule decides"),
    ]
}

fn path(help: &'static str) -> Arg {
    Arg::new("path")
        .long("path")
        .value_name("GLOB")
        .value_hint(ValueHint::AnyPath)
        .help(help)
}

/// What is wanted; none if the words are none of these.
pub(super) fn wanted(matches: &ArgMatches) -> Option<Wanted> {
    let (name, of) = matches.subcommand()?;
    let one = |key: &str| of.try_get_one::<String>(key).ok().flatten().cloned();
    let records = || Records {
        path: one("path"),
        rule: one("rule"),
        ..Records::default()
    };
    Some(match name {
        "list" => Wanted::Print {
            records: records(),
            json: Format::of(of)? == Format::Json,
        },
        "export" => Wanted::Print {
            records: records(),
            json: true,
        },
        "accept" => Wanted::Accept {
            accept: Accept {
                through: of.get_one::<u64>("through").copied(),
                path: one("path"),
                note: one("note"),
            },
            json: Format::of(of)? == Format::Json,
        },
        _ => return None,
    })
}
